/* SPDX-License-Identifier: MIT */
/* describe.c - a kind's table of options as JSON, for clients that build forms or help from it. */
#include "jobs/args.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(job_type type)
{
    static const char *const names[] = { "switch", "count", "int",  "int",
                                         "seed",   "real",  "text", "maybe" };
    return names[type];
}

static void add_choices(json_t *j, const job_option *o)
{
    json_t *list = NULL;
    char word[64];

    for (int k = 0; job_choice(o, k, word); k++) {
        if (!list)
            list = json_array();
        json_array_append_new(list, json_string(word));
    }
    if (list)
        json_object_set_new(j, "choices", list);
}

json_t *job_option_json(const job_option *o)
{
    const bool number = o->type == JOB_INT || o->type == JOB_WIDE || o->type == JOB_REAL;
    json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "name", o->name, "type", type_name(o->type),
                          "argument", o->argument, "about", o->about ? o->about : "");

    if (!j)
        return NULL;
    if (o->letter)
        json_object_set_new(j, "letter", json_stringn(&o->letter, 1));
    if (number) {
        json_object_set_new(j, "min", json_real(o->min));
        json_object_set_new(j, "max", json_real(o->max));
    }
    if (job_option_is_common(o))
        json_object_set_new(j, "common", json_true());
    add_choices(j, o);
    return j;
}

/* Adds the default as the text that would set it; adds nothing if there is no default */
static gd_status add_default(json_t *j, const job_option *o, const void *values)
{
    char *text = NULL, *equals, *end;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);

    if (!f)
        return gd_fail(GD_ENOMEM, "options: out of memory");
    job_value_print(o, values, f);
    if (fclose(f) != 0 || !text) {
        free(text);
        return gd_fail(GD_ENOMEM, "options: out of memory");
    }
    equals = strstr(text, " = ");
    end = strchr(text, '\n');
    if (*text != '#' && equals && end)
        json_object_set_new(j, "default", json_stringn(equals + 3, (size_t)(end - equals - 3)));
    free(text);
    return GD_OK;
}

gd_status job_describe(gd_job *job, const void *values)
{
    const job_kind *c = job->kind;
    json_t *list = json_array();
    gd_status s = GD_OK;

    for (int i = 0; i < c->n_options + job_n_common_options && s == GD_OK; i++) {
        const bool common = i >= c->n_options;
        const job_option *o = common ? &job_common_options[i - c->n_options] : &c->options[i];
        json_t *j =
            common && job_option_find(c, o->name, strlen(o->name)) != o ? NULL : job_option_json(o);
        if (!j)
            continue; /* the kind redefines it */
        if (!job_is_alias(o))
            s = add_default(j, o, common ? (const void *)&job->settings : values);
        json_array_append_new(list, j);
    }
    if (s == GD_OK)
        return job_print_json(list);
    json_decref(list);
    return s;
}

json_t *job_kinds_json(void)
{
    json_t *list = json_array();

    for (int i = 0; i < job_n_kinds; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s}", "name", job_kinds[i]->name, "about",
                                        job_kinds[i]->about, "usage", job_kinds[i]->usage,
                                        "example", job_kinds[i]->example));
    return list;
}
