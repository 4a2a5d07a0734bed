/* SPDX-License-Identifier: MIT */
/* help.c - guided help and guided completion, printed from the tables of options. */
#include "eval/metric.h"
#include "jobs/args.h"

#include <jansson.h>
#include <string.h>

/* ---- help ---- */

typedef struct help_options {
    bool roff, json, brief, options;
} help_options;

static const job_option help_table[] = {
    { "roff", 0, JOB_SWITCH, "", "print the page in roff, for man", offsetof(help_options, roff) },
    { "json", 0, JOB_SWITCH, "", "print every option as one JSON line",
      offsetof(help_options, json) },
    { "brief", 0, JOB_SWITCH, "", "print a verb's main options, as guided VERB -h",
      offsetof(help_options, brief) },
    { "options", 0, JOB_SWITCH, "", "print all its options, as guided VERB --help",
      offsetof(help_options, options) },
};

static gd_status print_json(const job_kind *c)
{
    for (int i = 0; i < c->n_options + job_n_common_options; i++) {
        const job_option *o =
            i < c->n_options ? &c->options[i] : &job_common_options[i - c->n_options];
        json_t *j = job_option_json(o);
        if (j)
            json_object_set_new(j, "verb", json_string(c->name));
        GD_TRY(job_print_json(j));
    }
    return GD_OK;
}

static void print_samplers(void)
{
    for (int i = 0; i < gd_solver_count(); i++) {
        const gd_solver *s = gd_solver_at(i);
        fprintf(job_out(), "%-14s %s (--steps %s)\n", gd_solver_name(s), gd_solver_about(s),
                gd_solver_steps(s));
    }
}

static void print_metrics(void)
{
    for (int i = 0; i < gd_metric_count(); i++)
        fprintf(job_out(), "%-14s %s%s%s%s\n", gd_metric_at(i)->word, gd_metric_at(i)->about,
                gd_metric_at(i)->alias ? " (also " : "",
                gd_metric_at(i)->alias ? gd_metric_at(i)->alias : "",
                gd_metric_at(i)->alias ? ")" : "");
}

static gd_status run_help(gd_job *job)
{
    help_options o = { 0 };
    job_words w = { .n_words = 0 };
    const job_kind *c = NULL;

    GD_TRY(job_parse(job, &o, &w));
    if (w.n_words > 1)
        return gd_fail(GD_EUSAGE, "help: expected one verb");
    if (w.n_words == 1 && strcmp(w.word[0], "samplers") == 0) {
        print_samplers();
        return GD_OK;
    }
    if (w.n_words == 1 && strcmp(w.word[0], "metrics") == 0) {
        print_metrics();
        return GD_OK;
    }
    if (w.n_words == 1 && strcmp(w.word[0], "flags") == 0) {
        job_print_flags(job_out());
        return GD_OK;
    }
    if (w.n_words == 1 && strcmp(w.word[0], "guided") != 0) {
        c = job_kind_find(w.word[0]);
        if (!c)
            return job_unknown_kind(w.word[0]);
    }
    if ((o.brief || o.options) && !c)
        return gd_fail(GD_EUSAGE, "help --%s: expected a verb", o.brief ? "brief" : "options");
    if (o.brief)
        job_print_brief(c, job_out());
    else if (o.options)
        job_print_help(c, job_out());
    else if (!o.json)
        job_print_manual(c, o.roff, job_out());
    if (!o.json)
        return GD_OK;
    for (int i = 0; i < job_n_kinds; i++)
        if (!c || c == job_kinds[i])
            GD_TRY(print_json(job_kinds[i]));
    return GD_OK;
}

const job_kind job_help = {
    "help",
    "print the manual of a verb",
    "help [VERB|samplers|metrics|flags] [options]",
    "guided help sample",
    help_table,
    COUNT(help_table),
    run_help,
    "Prints the manual page as text; without a verb, the page guided(1). guided help flags prints "
    "the table of the authors' scripts and flags. make install installs the same pages for man."
};

/* ---- completion ---- */

static gd_status run_completion(gd_job *job)
{
    static const char *const shells[] = { "bash", "zsh", "fish" };
    job_words w = { .n_words = 0 };

    GD_TRY(job_parse(job, NULL, &w));
    for (int i = 0; w.n_words == 1 && i < COUNT(shells); i++)
        if (strcmp(w.word[0], shells[i]) == 0) {
            job_print_completion(shells[i], job_out());
            return GD_OK;
        }
    const char *near = w.n_words == 1 ? gd_nearest(w.word[0], shells, COUNT(shells)) : NULL;
    return gd_fail(GD_EUSAGE, "completion: expected bash, zsh or fish%s%s%s",
                   near ? "\nhint: did you mean " : "", near ? near : "", near ? "?" : "");
}

const job_kind job_completion = {
    "completion",
    "print a shell's completion script",
    "completion bash|zsh|fish",
    "guided completion bash >~/.local/share/bash-completion/"
    "completions/guided",
    NULL,
    0,
    run_completion,
    "make install installs the three scripts; this verb prints one for your home directory."
};
