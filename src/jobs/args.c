/* SPDX-License-Identifier: MIT */
/* args.c - parses the command line by the tables of options.  Long names match exactly; --name
 * value, --name=value, --switch, --no-switch, -x value, -xvalue; -- ends the options. */
#include "jobs/args.h"
#include "nn/scripts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

bool job_option_is_common(const job_option *o)
{
    return o >= job_common_options && o < job_common_options + job_n_common_options;
}

static const job_option *find_in(const job_option *list, int n, const char *name, size_t length)
{
    for (int i = 0; i < n; i++)
        if (strlen(list[i].name) == length && strncmp(list[i].name, name, length) == 0)
            return &list[i];
    return NULL;
}

static const job_option *find_common(const char *name, size_t length)
{
    return find_in(job_common_options, job_n_common_options, name, length);
}

const job_option *job_option_find(const job_kind *c, const char *name, size_t length)
{
    const job_option *o = find_in(c->options, c->n_options, name, length);
    return o ? o : find_common(name, length);
}

static const job_option *find_letter(const job_kind *c, char letter)
{
    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].letter == letter)
            return &c->options[i];
    for (int i = 0; i < job_n_common_options; i++)
        if (job_common_options[i].letter == letter)
            return &job_common_options[i];
    return NULL;
}

gd_status job_unknown_option(const job_kind *c, const char *name)
{
    const char *names[128];
    int n = 0;

    for (int i = 0; i < c->n_options && n < COUNT(names); i++)
        names[n++] = c->options[i].name;
    for (int i = 0; i < job_n_common_options && n < COUNT(names); i++)
        names[n++] = job_common_options[i].name;
    const char *near = gd_nearest(name, names, n);
    gd_status s = gd_fail(GD_EUSAGE, "%s: unknown option --%s", c->name, name);
    if (near)
        gd_detail("hint: did you mean --%s?", near);
    else
        gd_detail("hint: guided %s --help lists the options", c->name);
    return s;
}

/* ---- options given so far ---- */

gd_status job_option_set(const job_option *o, const char *text, void *values)
{
    const job_option *common = find_common(o->name, strlen(o->name));

    if (common)
        GD_TRY(job_value_set(common, text, &job_now()->settings));
    if (common == o)
        return GD_OK;
    return job_value_set(o, text, values);
}

const job_given *job_given_named(const job_words *words, const char *name)
{
    for (int i = 0; i < words->n_given; i++)
        if (strcmp(words->given[i].option->name, name) == 0)
            return &words->given[i];
    return NULL;
}

const char *job_get(const gd_job *job, const char *name)
{
    for (int i = 0; i < job->n_given; i++)
        if (strcmp(job->given[i].option->name, name) == 0)
            return job->given[i].text;
    return NULL;
}

static bool same(const job_option *a, const job_option *b)
{
    return a == b || (a->offset == b->offset && job_option_is_common(a) == job_option_is_common(b));
}

job_given *job_given_find(job_words *words, const job_option *o)
{
    for (int i = 0; i < words->n_given; i++)
        if (same(words->given[i].option, o))
            return &words->given[i];
    return NULL;
}

gd_status job_given_add(job_words *words, const job_option *o, const char *text, job_source source)
{
    job_given *before = job_given_find(words, o);

    if (before && before->option == o && gd_script_knows(o->name) && before->source == source) {
        before->text = text; /* as in the authors' scripts, the last value counts */
        return GD_OK;
    }
    if (before && before->source == source)
        return before->option == o ? gd_fail(GD_EUSAGE, "--%s is given twice", o->name)
                                   : gd_fail(GD_EUSAGE, "--%s and --%s are the same option",
                                             before->option->name, o->name);
    if (before && before->source > source)
        return GD_OK;
    if (!before && words->n_given == JOB_MAX_GIVEN)
        return gd_fail(GD_EUSAGE, "more than %d options", JOB_MAX_GIVEN);
    *(before ? before : &words->given[words->n_given++]) = (job_given){ o, text, source };
    return GD_OK;
}

/* ---- the line ---- */

typedef struct parser {
    gd_job *job;
    const job_kind *c;
    int at;
    job_words *words;
} parser;

/* The next word; NULL: none */
static const char *upcoming(const parser *p)
{
    return p->at < p->job->n_words ? p->job->word[p->at].text : NULL;
}

/* In "--eta --steps 5" a value is missing.  A value that looks like an option must be given as
 * --name=VALUE. */
static gd_status next_value(parser *p, const char *name, const char **out)
{
    const char *next = upcoming(p);

    if (!next || (next[0] == '-' && next[1] == '-' && isalpha((unsigned char)next[2])))
        return gd_fail(GD_EUSAGE, "--%s needs a value", name);
    *out = next;
    p->at++;
    return GD_OK;
}

static gd_status author_flag(parser *p, const char *name, const char *value)
{
    job_words *w = p->words;

    if (!value)
        GD_TRY(next_value(p, name, &value));
    for (int i = 0; i < w->n_flags; i++)
        if (strcmp(w->flag[i].name, name) == 0) { /* the last value counts */
            w->flag[i].value = value;
            return GD_OK;
        }
    if (w->n_flags == JOB_MAX_FLAGS)
        return gd_fail(GD_EUSAGE, "more than %d network flags", JOB_MAX_FLAGS);
    w->flag[w->n_flags++] = (gd_flag){ name, value };
    return GD_OK;
}

static gd_status take_switch(parser *p, const job_option *o, const char *value, bool on)
{
    bool given = true;
    const job_option any = { o->name, 0, JOB_SWITCH, "", "", 0 };
    const char *next = upcoming(p) ? upcoming(p) : "";

    if (value) {
        GD_TRY(job_value_set(&any, value, &given));
    } else if ((strlen(next) > 1 || gd_script_knows(o->name)) && *next &&
               job_value_set(&any, next, &given) == GD_OK) {
        p->at++; /* the authors' "--class_cond True" */
    }
    return job_given_add(p->words, o, on == given ? "true" : "false", JOB_FROM_LINE);
}

static gd_status take_count(parser *p, const job_option *o)
{
    static const char *const counts[] = { "0", "1", "2" };
    job_given *before = job_given_find(p->words, o);

    if (!before)
        return job_given_add(p->words, o, counts[1], JOB_FROM_LINE);
    before->text = counts[2];
    return GD_OK;
}

static gd_status long_option(parser *p, const char *text)
{
    const char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const char *value = equals ? equals + 1 : NULL;
    const job_option *o = job_option_find(p->c, text, length);
    bool on = true;

    if (!o && strncmp(text, "no-", 3) == 0) {
        o = job_option_find(p->c, text + 3, length - 3);
        on = false;
        if (o && o->type != JOB_SWITCH)
            o = NULL;
    }
    if (o && o->type == JOB_COUNT && !value)
        return take_count(p, o);
    if (o && o->type == JOB_SWITCH)
        return take_switch(p, o, value, on);
    if (!o) {
        const char *name = job_keep(text, length);
        if (!name)
            return gd_fail(GD_ENOMEM, "out of memory");
        return gd_flag_known(name) ? author_flag(p, name, value) : job_unknown_option(p->c, name);
    }
    if (!value && o->type == JOB_MAYBE)
        value = upcoming(p) && *upcoming(p) != '-' ? p->job->word[p->at++].text : "";
    if (!value)
        GD_TRY(next_value(p, o->name, &value));
    return job_given_add(p->words, o, value, JOB_FROM_LINE);
}

static gd_status short_option(parser *p, const char *text)
{
    const job_option *o = find_letter(p->c, text[0]);
    const char *value = text + 1;

    if (!o)
        return gd_fail(GD_EUSAGE,
                       "%s: unknown option -%c\nhint: guided %s --help lists the options",
                       p->c->name, text[0], p->c->name);
    if (o->type == JOB_SWITCH || o->type == JOB_COUNT) {
        GD_TRY(o->type == JOB_COUNT ? take_count(p, o)
                                    : job_given_add(p->words, o, "true", JOB_FROM_LINE));
        return *value ? short_option(p, value) : GD_OK;
    }
    if (!*value)
        GD_TRY(next_value(p, o->name, &value));
    return job_given_add(p->words, o, value, JOB_FROM_LINE);
}

static gd_status read_words(parser *p)
{
    job_words *w = p->words;
    bool options = true;

    while (upcoming(p)) {
        const job_word *word = &p->job->word[p->at++];
        const char *text = word->text;
        const bool option = options && !word->plain;
        if (option && strcmp(text, "--") == 0)
            options = false;
        else if (option && strncmp(text, "--", 2) == 0)
            GD_TRY(long_option(p, text + 2));
        else if (option && text[0] == '-' && text[1])
            GD_TRY(short_option(p, text + 1));
        else if (w->n_words < JOB_MAX_WORDS)
            w->word[w->n_words++] = text;
        else
            return gd_fail(GD_EUSAGE, "%s: too many words", p->c->name);
    }
    return GD_OK;
}

/* ---- options that end a job before its work ---- */

static gd_status end_early(gd_job *job)
{
    job->ended = true;
    return GD_EINTERRUPTED; /* tells job_run that this is not a failure */
}

static gd_status print_config(gd_job *job, const void *values, const job_words *w)
{
    const job_kind *c = job->kind;

    fprintf(job_out(), "# guided %s --config THIS_FILE\n", c->name);
    for (int i = 0; i < c->n_options; i++)
        if (!job_is_alias(&c->options[i]))
            job_value_print(&c->options[i], values, job_out());
    for (int i = 0; i < job_n_common_options; i++) {
        const job_option *o = &job_common_options[i];
        if (job_option_find(c, o->name, strlen(o->name)) == o && !strstr(o->name, "config"))
            job_value_print(o, &job->settings, job_out());
    }
    for (int i = 0; i < w->n_flags; i++)
        fprintf(job_out(), "%s = %s\n", w->flag[i].name, w->flag[i].value);
    return end_early(job);
}

/* The notices that -q, -v and -vv select, at most those that the caller's log receives */
static void set_notices(gd_job *job)
{
    const job_settings *s = &job->settings;
    const gd_log_level most = s->quiet         ? GD_LOG_ERROR
                              : s->verbose > 1 ? GD_LOG_DEBUG
                              : s->verbose > 0 ? GD_LOG_INFO
                                               : GD_LOG_NOTE;

    job->own.log_most = GD_MIN(job->log_most, most);
    job->own.max_pixels = s->max_pixels;
}

gd_status job_parse(gd_job *job, void *values, job_words *words)
{
    parser p = { job, job->kind, 0, words };

    if (job->describe) {
        GD_TRY(job_describe(job, values));
        return end_early(job);
    }
    GD_TRY(read_words(&p));
    GD_TRY(job_settings_read(job, values, words));
    for (int i = 0; i < words->n_given; i++)
        if (words->given[i].source == JOB_FROM_LINE)
            GD_TRY(job_option_set(words->given[i].option, words->given[i].text, values));
    memcpy(job->given, words->given, sizeof job->given);
    job->n_given = words->n_given;
    set_notices(job);
    return job->settings.print_config ? print_config(job, values, words) : GD_OK;
}
