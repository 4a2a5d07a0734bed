/* SPDX-License-Identifier: MIT */
/* values.c - the value of one option: parses and checks its text, prints it back. */
#include "jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

bool job_is_alias(const job_option *o)
{
    return o->about && strncmp(o->about, "= ", 2) == 0;
}

bool job_is_bf16(const char *precision)
{
    return strcmp(precision, "bf16") == 0;
}

bool job_takes_value(const job_option *o)
{
    return o->type != JOB_SWITCH && o->type != JOB_COUNT;
}

const char *job_choice(const job_option *o, int k, char word[64])
{
    const char *at = o->argument;

    if (strcmp(at, JOB_SAMPLER) == 0) {
        if (k >= gd_solver_count())
            return NULL;
        snprintf(word, 64, "%s", gd_solver_name(gd_solver_at(k)));
        return word;
    }
    if (o->type != JOB_TEXT || !strchr(at, '|'))
        return NULL;
    for (; k > 0 && at; k--) {
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return NULL;
    snprintf(word, 64, "%.*s", (int)strcspn(at, "|"), at);
    return word;
}

/* Options whose empty text is valid in the authors' scripts: no file, or all steps */
static bool means_none(const char *name)
{
    static const char *const names[] = { "resume_checkpoint", "val_data_dir",
                                         "timestep_respacing" };

    for (int i = 0; i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static gd_status set_text(const job_option *o, const char *name, const char *value,
                          const char **place)
{
    enum { MOST = 64 };
    char word[MOST][64];
    const char *names[MOST];
    int n = 0, chosen;

    *place = value;
    if (!*value && means_none(o->name)) {
        *place = strcmp(o->name, "timestep_respacing") == 0 ? "" : NULL;
        return GD_OK;
    }
    if (!*value)
        return gd_fail(GD_EUSAGE, "%s \"\": expected %s", name, o->argument);
    while (n < MOST && (names[n] = job_choice(o, n, word[n])))
        n++;
    return n == 0 ? GD_OK : gd_field_choose(name, value, names, n, &chosen);
}

static gd_status set_seed(const gd_field *v, const char *text, uint64_t *place)
{
    GD_TRY(gd_field_read(v, text, place));
    *(bool *)(place + 1) = true; /* the bool "given" after it */
    return GD_OK;
}

gd_status job_value_set(const job_option *o, const char *text, void *values)
{
    static const gd_field_type types[] = {
        [JOB_SWITCH] = GD_SWITCH, [JOB_COUNT] = GD_INT, [JOB_INT] = GD_INT,    [JOB_WIDE] = GD_WIDE,
        [JOB_SEED] = GD_SEED,     [JOB_REAL] = GD_REAL, [JOB_MAYBE] = GD_TEXT,
    };
    char name[80];
    void *place = (char *)values + o->offset;
    gd_field v = { name, types[o->type], o->min, o->type == JOB_COUNT ? 9 : o->max };

    snprintf(name, sizeof name, "--%s", o->name);
    if (o->type == JOB_TEXT)
        return set_text(o, name, text, place);
    return o->type == JOB_SEED ? set_seed(&v, text, place) : gd_field_read(&v, text, place);
}

/* ---- back to text ---- */

static void print_number(const job_option *o, double v, FILE *out)
{
    char text[32];

    if (!(v >= o->min && v <= o->max)) {
        fprintf(out, "# %s =\n", o->name);
        return;
    }
    snprintf(text, sizeof text, "%.15g", v);
    if (strtod(text, NULL) != v)
        snprintf(text, sizeof text, "%.17g", v);
    fprintf(out, "%s = %s\n", o->name, text);
}

void job_value_print(const job_option *o, const void *values, FILE *out)
{
    const void *place = (const char *)values + o->offset;
    const char *text =
        o->type == JOB_TEXT || o->type == JOB_MAYBE ? *(const char *const *)place : NULL;

    switch (o->type) {
    case JOB_SWITCH:
        fprintf(out, "%s = %s\n", o->name, *(const bool *)place ? "true" : "false");
        break;
    case JOB_COUNT:
        fprintf(out, "%s = %d\n", o->name, *(const int *)place);
        break;
    case JOB_INT:
        print_number(o, *(const int *)place, out);
        break;
    case JOB_WIDE:
        print_number(o, (double)*(const int64_t *)place, out);
        break;
    case JOB_REAL:
        print_number(o, *(const double *)place, out);
        break;
    case JOB_SEED:
        if (*(const bool *)((const uint64_t *)place + 1))
            fprintf(out, "%s = %llu\n", o->name, (unsigned long long)*(const uint64_t *)place);
        else
            fprintf(out, "# %s =\n", o->name);
        break;
    case JOB_TEXT:
    case JOB_MAYBE:
        fprintf(out, "%s%s =%s%s\n", text && *text ? "" : "# ", o->name, text && *text ? " " : "",
                text ? text : "");
    }
}
