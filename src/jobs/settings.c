/* SPDX-License-Identifier: MIT */
/* settings.c - option values with less precedence than the command line: GUIDED_NAME variables,
 * then the lines "name = value" of the --config file. */
#include "jobs/args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(job_settings, field)
const job_option job_common_options[] = {
    { "config", 0, JOB_TEXT, "FILE", "read options from a file of lines: name = value",
      AT(config) },
    { "max-pixels", 0, JOB_WIDE, "N",
      "limit of a picture's pixels, however small its file is (default: Pillow's limit)",
      AT(max_pixels), 1, 1e12 },
    { "print-config", 0, JOB_SWITCH, "",
      "print the final value of each option as such a file, then stop", AT(print_config) },
    { "progress", 0, JOB_TEXT, "auto|tty|plain|json|none", "how progress is shown", AT(progress) },
    { "quiet", 'q', JOB_SWITCH, "", "print errors only", AT(quiet) },
    { "verbose", 'v', JOB_COUNT, "", "print timings, ISA, threads; -vv: each layer too",
      AT(verbose) },
};
#undef AT
const int job_n_common_options = COUNT(job_common_options);

char *job_keep(const char *text, size_t n)
{
    gd_job *job = job_now();
    char *copy = NULL;

    if (job->texts || gd_arena_make(&job->texts) == GD_OK)
        copy = gd_alloc(job->texts, n + 1);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

/* ---- one entry ---- */

static gd_status enter(const job_option *o, const char *text, void *values, job_words *words,
                       job_source source)
{
    GD_TRY(job_option_set(o, text, values));
    return job_given_add(words, o, text, source);
}

static gd_status enter_flag(job_words *words, const char *name, const char *text)
{
    for (int i = 0; i < words->n_flags; i++)
        if (strcmp(words->flag[i].name, name) == 0) /* the command line has precedence */
            return GD_OK;
    if (words->n_flags == JOB_MAX_FLAGS)
        return gd_fail(GD_EUSAGE, "more than %d network flags", JOB_MAX_FLAGS);
    words->flag[words->n_flags++] = (gd_flag){ name, text };
    return GD_OK;
}

/* ---- the file ---- */

static const char *trimmed(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    return job_keep(from, (size_t)(to - from));
}

static gd_status read_line(const job_kind *c, const char *line, const char *end, void *values,
                           job_words *words)
{
    const char *equals = memchr(line, '=', (size_t)(end - line));
    const char *name = trimmed(line, equals ? equals : end),
               *text = equals ? trimmed(equals + 1, end) : "";
    const job_option *o;

    if (!name || !text)
        return gd_fail(GD_ENOMEM, "out of memory");
    if (!*name || *name == '#')
        return *name || !equals ? GD_OK : gd_fail(GD_EUSAGE, "no name before =");
    if (!equals || !*text)
        return gd_fail(GD_EUSAGE, "%s: expected %s = value", name, name);
    o = job_option_find(c, name, strlen(name));
    if (o && job_option_is_common(o) && strstr("config print-config", name))
        return gd_fail(GD_EUSAGE, "%s cannot be set in a configuration file", name);
    if (o)
        return enter(o, text, values, words, JOB_FROM_FILE);
    return gd_flag_known(name) ? enter_flag(words, name, text) : job_unknown_option(c, name);
}

static gd_status read_file(const job_kind *c, const char *path, void *values, job_words *words)
{
    gd_status s = GD_OK;
    size_t bytes;
    char *text;
    int number = 0;

    GD_TRY(gd_text_read(&text, &bytes, path));
    const char *at = text, *end = text + bytes;
    while (at < end && s == GD_OK) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        number++;
        s = read_line(c, at, stop ? stop : end, values, words);
        at = stop ? stop + 1 : end;
    }
    if (s != GD_OK)
        gd_context("%s:%d", path, number);
    gd_block_free(text);
    return s;
}

/* ---- the environment ---- */

static void variable_of(char *out, size_t bytes, const char *name)
{
    snprintf(out, bytes, "GUIDED_%s", name);
    for (char *at = out; *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
}

static gd_status read_variables(const job_option *option, int n, void *values, job_words *words)
{
    char name[80];

    for (int i = 0; i < n; i++) {
        variable_of(name, sizeof name, option[i].name);
        const char *text = job_is_alias(&option[i]) ? NULL : getenv(name);
        if (!text || !*text)
            continue;
        const gd_status s = enter(&option[i], text, values, words, JOB_FROM_ENVIRONMENT);
        if (s != GD_OK) {
            gd_context("%s", name);
            return s;
        }
    }
    return GD_OK;
}

gd_status job_settings_read(gd_job *job, void *values, job_words *words)
{
    const job_kind *c = job->kind;
    const job_given *config = job_given_find(words, &job_common_options[0]);
    const char *path = config ? config->text : job->by_line ? getenv("GUIDED_CONFIG") : NULL;

    if (path && *path)
        GD_TRY(read_file(c, path, values, words));
    if (!job->by_line)
        return GD_OK;
    GD_TRY(read_variables(c->options, c->n_options, values, words));
    return read_variables(job_common_options, job_n_common_options, &job->settings, words);
}
