/* SPDX-License-Identifier: MIT */
/* request.c - a client's request as a job: checked against the library's tables before it
 * waits, so that a wrong option is refused at once. */
#include "serve/serve_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the library's tables ---- */

/* The row of an option, borrowed from *table; NULL: the kind has none of this name */
static const json_t *option_row(const char *kind, const char *name, json_t **table)
{
    const char *text = guided_job_options_json(kind);
    size_t i;
    json_t *row;

    *table = text ? json_loads(text, 0, NULL) : NULL;
    json_array_foreach(*table, i, row)
    {
        const char *found = json_string_value(json_object_get(row, "name"));
        if (found && strcmp(found, name) == 0)
            return row;
    }
    return NULL;
}

/* "switch", "int", ...; "": the kind has no such option */
static void option_type(char type[16], const char *kind, const char *name)
{
    json_t *table;
    const char *text = json_string_value(json_object_get(option_row(kind, name, &table), "type"));

    snprintf(type, 16, "%s", text ? text : "");
    json_decref(table);
}

static bool has_option(const char *kind, const char *name)
{
    char type[16];

    option_type(type, kind, name);
    return *type != 0;
}

/* A text where a path may stand: numbers and switches need no look. */
static bool may_be_path(const char *kind, const char *name)
{
    static const char *const others[] = { "switch", "count", "int", "real", "seed" };
    char type[16];

    option_type(type, kind, name);
    for (int i = 0; i < COUNT(others); i++)
        if (strcmp(type, others[i]) == 0)
            return false;
    return true;
}

/* ---- setting ---- */

static gd_status set(const serve *s, guided_job *to, const char *kind, const char *name,
                     const char *value)
{
    char *text = NULL;
    gd_status status;

    if (*name && !may_be_path(kind, name))
        return guided_job_set(to, name, value);
    GD_TRY(serve_path_resolve(s, value, &text));
    status = guided_job_set(to, name, text);
    free(text);
    return status;
}

/* The result as a line of JSON: a switch, or a file's name that is left out */
static gd_status want_result(guided_job *to, const char *kind)
{
    char type[16];

    option_type(type, kind, "json");
    return *type ? guided_job_set(to, "json", strcmp(type, "maybe") == 0 ? "" : "true") : GD_OK;
}

gd_status serve_job_set_all(const serve *s, guided_job *to, const json_t *job)
{
    const char *kind = json_string_value(json_object_get(job, "kind"));
    json_t *options = json_object_get(job, "options"), *words = json_object_get(job, "words");
    const char *name;
    json_t *value;
    size_t i;

    json_object_foreach(options, name, value)
        GD_TRY(set(s, to, kind, name, json_string_value(value)));
    json_array_foreach(words, i, value) GD_TRY(set(s, to, kind, "", json_string_value(value)));
    return json_object_get(options, "json") ? GD_OK : want_result(to, kind);
}

/* ---- the command of a shell that does the same ---- */

static void quote(FILE *to, const char *word)
{
    bool plain = *word != 0;

    for (const char *c = word; *c; c++)
        plain = plain && (isalnum((unsigned char)*c) || strchr("-_./,:=+@%#", *c)) &&
                !(*c == '#' && c == word);
    if (plain) {
        fprintf(to, " %s", word);
        return;
    }
    fputs(" '", to);
    for (const char *c = word; *c; c++)
        fputs(*c == '\'' ? "'\\''" : (char[]){ *c, 0 }, to);
    fputc('\'', to);
}

/* With whole paths: it works from any folder. */
static void quote_path(const serve *s, FILE *to, const char *text)
{
    char *path = NULL;

    if (serve_path_resolve(s, text, &path) == GD_OK)
        quote(to, path);
    free(path);
}

static char *command_of(const serve *s, const json_t *job)
{
    const char *kind = json_string_value(json_object_get(job, "kind"));
    char *text = NULL;
    size_t bytes, i;
    FILE *to = open_memstream(&text, &bytes);
    const char *name;
    json_t *value;

    if (!to)
        return NULL;
    fprintf(to, "guided %s", kind);
    json_object_foreach(json_object_get(job, "options"), name, value)
    {
        const char *given = json_string_value(value);
        const bool on = strcmp(given, "true") == 0, off = strcmp(given, "false") == 0;
        const bool path = may_be_path(kind, name), flag = !path && (on || off);
        fprintf(to, " --%s%s", flag && off ? "no-" : "", name);
        if (path)
            quote_path(s, to, given);
        else if (!flag)
            quote(to, given);
    }
    json_array_foreach(json_object_get(job, "words"), i, value)
        quote_path(s, to, json_string_value(value));
    fclose(to);
    return text;
}

/* ---- the request ---- */

/* Numbers and booleans become the text that an option takes. */
static json_t *as_text(const json_t *value)
{
    char text[32];

    if (json_is_string(value))
        return json_copy((json_t *)value);
    if (json_is_boolean(value))
        return json_string(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, sizeof text, "%.17g", json_real_value(value));
    else
        return NULL;
    return json_string(text);
}

static gd_status take_options(const json_t *request, json_t *job)
{
    json_t *from = json_object_get(request, "options"), *value;
    json_t *to = json_object_get(job, "options");
    const char *name;

    if (from && !json_is_object(from))
        return gd_fail(GD_EUSAGE, "options: an object of names and values is expected");
    json_object_foreach(from, name, value)
    {
        json_t *text = as_text(value);
        if (!text || !*name)
            return gd_fail(GD_EUSAGE,
                           "options: \"%s\": a text, a number, true or false is expected", name);
        json_object_set_new(to, name, text);
    }
    return GD_OK;
}

static gd_status take_words(const json_t *request, json_t *job)
{
    json_t *from = json_object_get(request, "words"), *value;
    json_t *to = json_object_get(job, "words");
    size_t i;

    if (from && !json_is_array(from))
        return gd_fail(GD_EUSAGE, "words: a list of texts is expected");
    json_array_foreach(from, i, value)
    {
        if (!json_is_string(value))
            return gd_fail(GD_EUSAGE, "words: a list of texts is expected");
        json_array_append(to, value);
    }
    return GD_OK;
}

/* What decides the result is decided now: a job that begins again makes the same pictures. */
static gd_status add_defaults(const char *kind, json_t *options)
{
    uint32_t seed;
    char text[16];

    if (has_option(kind, "seed") && !json_object_get(options, "seed")) {
        if (!gd_random(&seed, sizeof seed))
            return gd_fail(GD_EIO, "no random numbers from the system");
        snprintf(text, sizeof text, "%u", seed);
        json_object_set_new(options, "seed", json_string(text));
    }
    return GD_OK;
}

static gd_status check(const serve *s, const json_t *job)
{
    guided_context *context = NULL;
    guided_job *trial = NULL;
    gd_status status = guided_context_open(&context);

    if (status == GD_OK)
        status = guided_job_open(&trial, context, json_string_value(json_object_get(job, "kind")));
    if (status == GD_OK)
        status = serve_job_set_all(s, trial, job);
    guided_job_close(trial);
    guided_context_close(context);
    return status;
}

static gd_status fill(const serve *s, const json_t *request, json_t *job)
{
    const char *kind = json_string_value(json_object_get(request, "kind"));
    const json_t *tag = json_object_get(request, "tag");
    const char *key;
    json_t *value;

    json_object_foreach(
        (json_t *)request, key,
        value) if (strcmp(key, "kind") && strcmp(key, "options") && strcmp(key, "words") &&
                   strcmp(key, "tag")) return gd_fail(GD_EUSAGE,
                                                      "\"%s\": a job has \"kind\", \"options\", "
                                                      "\"words\" and \"tag\"",
                                                      key);
    if (!kind)
        return gd_fail(GD_EUSAGE, "\"kind\" is missing\nhint: GET /api/kinds lists them");
    if (tag && (!json_is_string(tag) || json_string_length(tag) >= 64))
        return gd_fail(GD_EUSAGE, "\"tag\": a text of less than 64 bytes is expected");
    json_object_set_new(job, "kind", json_string(kind));
    if (tag)
        json_object_set_new(job, "tag", json_copy((json_t *)tag));
    json_object_set_new(job, "options", json_object());
    json_object_set_new(job, "words", json_array());
    GD_TRY(take_options(request, job));
    GD_TRY(take_words(request, job));
    GD_TRY(check(s, job));
    GD_TRY(add_defaults(kind, json_object_get(job, "options")));
    char *command = command_of(s, job);
    json_object_set_new(job, "command", json_string(command ? command : ""));
    json_object_set_new(job, "created", json_integer(time(NULL)));
    json_object_set_new(job, "runs", json_integer(0));
    free(command);
    return GD_OK;
}

gd_status serve_job_from(const serve *s, const json_t *request, json_t **job)
{
    gd_status status;

    if (!json_is_object(request))
        return gd_fail(GD_EUSAGE, "a JSON object is expected");
    *job = json_object();
    if (!*job)
        return gd_fail(GD_ENOMEM, "a job: out of memory");
    status = fill(s, request, *job);
    if (status != GD_OK) {
        json_decref(*job);
        *job = NULL;
    }
    return status;
}
