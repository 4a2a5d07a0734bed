/* values.c - the value of one option: text to its type, checked, and back. */
#include "jobs/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool job_is_alias(const job_option *o)
{
    return o->about && strncmp(o->about, "= ", 2) == 0;
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

static gd_status bad_value(const job_option *o, const char *value, const char *expected)
{
    return gd_fail(GD_EUSAGE, "--%s %s: expected %s", o->name, *value ? value : "\"\"", expected);
}

/* ---- numbers ---- */

static const char *range_of(char *out, size_t bytes, const job_option *o)
{
    if (o->type == JOB_REAL)
        snprintf(out, bytes, "a number from %g to %g", o->min, o->max);
    else
        snprintf(out, bytes, "a whole number from %.0f to %.0f", o->min, o->max);
    return out;
}

static gd_status set_number(const job_option *o, const char *value, void *place)
{
    char *end, range[96];
    const double v = strtod(value, &end);
    const bool inside = *value && !*end && v >= o->min && v <= o->max; /* NaN is not */

    if (!inside || (o->type != JOB_REAL && v != (double)(int64_t)v))
        return bad_value(o, value, range_of(range, sizeof range, o));
    if (o->type == JOB_INT)
        *(int *)place = (int)v;
    else if (o->type == JOB_WIDE)
        *(int64_t *)place = (int64_t)v;
    else
        *(double *)place = v;
    return GD_OK;
}

static gd_status set_seed(const job_option *o, const char *value, void *place)
{
    char *end;

    errno = 0;
    const unsigned long long v = strtoull(value, &end, 10);
    if (!*value || *end || errno || *value == '-')
        return bad_value(o, value, "a whole number from 0 to 2^64 - 1");
    *(uint64_t *)place = v;
    *(bool *)((uint64_t *)place + 1) = true; /* "given", which stands behind it */
    return GD_OK;
}

/* ---- words ---- */

/* What means true and false, to the authors' scripts too: their switches take a value */
static gd_status set_switch(const job_option *o, const char *value, bool *place)
{
    static const char *const yes[] = { "true", "yes", "t", "y", "1" };
    static const char *const no[] = { "false", "no", "f", "n", "0" };

    for (int i = 0; i < COUNT(yes); i++) {
        if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
            *place = strcasecmp(value, yes[i]) == 0;
            return GD_OK;
        }
    }
    return bad_value(o, value, "true or false");
}

/* The authors' defaults "" that mean something: no such file, and of the steps all */
static bool means_none(const char *name)
{
    static const char *const names[] = { "resume_checkpoint", "val_data_dir",
                                         "timestep_respacing" };

    for (int i = 0; i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static gd_status set_text(const job_option *o, const char *value, const char **place)
{
    enum { MOST = 64 };
    char word[MOST][64], list[1024] = "";
    const char *names[MOST];
    int n = 0;

    *place = value;
    if (!*value && means_none(o->name)) {
        *place = strcmp(o->name, "timestep_respacing") == 0 ? "" : NULL;
        return GD_OK;
    }
    if (!*value)
        return bad_value(o, value, o->argument);
    for (; n < MOST && (names[n] = job_choice(o, n, word[n])); n++) {
        if (strcmp(value, names[n]) == 0)
            return GD_OK;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", n ? ", " : "one of ",
                 names[n]);
    }
    if (n == 0)
        return GD_OK;
    const char *near = gd_nearest(value, names, n);
    gd_status s = bad_value(o, value, list);
    if (near)
        gd_detail("hint: did you mean %s?", near);
    return s;
}

gd_status job_value_set(const job_option *o, const char *text, void *values)
{
    void *place = (char *)values + o->offset;

    switch (o->type) {
    case JOB_SWITCH:
        return set_switch(o, text, place);
    case JOB_COUNT:
        return set_number(&(job_option){ o->name, 0, JOB_INT, "", "", 0, 0, 9 }, text, place);
    case JOB_INT:
    case JOB_WIDE:
    case JOB_REAL:
        return set_number(o, text, place);
    case JOB_SEED:
        return set_seed(o, text, place);
    case JOB_TEXT:
        return set_text(o, text, place);
    case JOB_MAYBE:
        *(const char **)place = text;
    }
    return GD_OK;
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
