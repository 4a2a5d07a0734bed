/* cmd_help.c - guided help, guided completion: what the tables of options say of themselves. */
#include "cli/cli.h"

#include <jansson.h>
#include <string.h>

/* ---- help ---- */

typedef struct help_options {
    bool roff, json;
} help_options;

static const cli_option help_table[] = {
    { "roff", 0, CLI_SWITCH, "", "the page as man reads it", offsetof(help_options, roff) },
    { "json", 0, CLI_SWITCH, "", "every option as one JSON line", offsetof(help_options, json) },
};

static gd_status print_option(const cli_command *c, const cli_option *o)
{
    static const char *const types[] = { "switch", "count", "int",  "int",
                                         "seed",   "real",  "text", "maybe" };
    const bool number = o->type == CLI_INT || o->type == CLI_WIDE || o->type == CLI_REAL;
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "verb", c->name, "name", o->name, "type",
                  types[o->type], "argument", o->argument, "about", o->about ? o->about : "");

    if (j && o->letter)
        json_object_set_new(j, "letter", json_stringn(&o->letter, 1));
    if (j && number) {
        json_object_set_new(j, "min", json_real(o->min));
        json_object_set_new(j, "max", json_real(o->max));
    }
    return cli_print_json(j);
}

static gd_status print_json(const cli_command *c)
{
    for (int i = 0; i < c->n_options; i++)
        GD_TRY(print_option(c, &c->options[i]));
    for (int i = 0; i < cli_n_common_options; i++)
        GD_TRY(print_option(c, &cli_common_options[i]));
    return GD_OK;
}

static void print_samplers(void)
{
    for (int i = 0; i < gd_solver_count(); i++) {
        const gd_solver *s = gd_solver_at(i);
        printf("%-14s %s (--steps %s)\n", gd_solver_name(s), gd_solver_about(s),
               gd_solver_steps(s));
    }
}

static gd_status run_help(int argc, char **argv)
{
    help_options o = { 0 };
    cli_words w = { .n_words = 0 };
    const cli_command *c = NULL;

    GD_TRY(cli_parse(&cli_help, argc, argv, &o, &w));
    if (w.n_words > 1)
        return gd_fail(GD_EUSAGE, "help: one verb at a time");
    if (w.n_words == 1 && strcmp(w.word[0], "samplers") == 0) {
        print_samplers();
        return GD_OK;
    }
    if (w.n_words == 1 && strcmp(w.word[0], "flags") == 0) {
        cli_print_flags(stdout);
        return GD_OK;
    }
    if (w.n_words == 1 && strcmp(w.word[0], "guided") != 0) {
        c = cli_command_find(w.word[0]);
        if (!c)
            return cli_unknown_verb(w.word[0]);
    }
    if (!o.json) {
        cli_print_manual(c, o.roff, stdout);
        return GD_OK;
    }
    for (int i = 0; i < cli_n_commands; i++)
        if (!c || c == cli_commands[i])
            GD_TRY(print_json(cli_commands[i]));
    return GD_OK;
}

const cli_command cli_help = {
    "help",
    "the manual of a verb",
    "help [VERB|samplers|flags] [options]",
    "guided help sample",
    help_table,
    COUNT(help_table),
    run_help,
    "Prints the manual page as text; without a verb, guided(1); guided "
    "help flags prints the table of the authors' scripts and flags. make "
    "install puts the same pages where man finds them."
};

/* ---- completion ---- */

static gd_status run_completion(int argc, char **argv)
{
    static const char *const shells[] = { "bash", "zsh", "fish" };
    cli_words w = { .n_words = 0 };

    GD_TRY(cli_parse(&cli_completion, argc, argv, NULL, &w));
    for (int i = 0; w.n_words == 1 && i < COUNT(shells); i++)
        if (strcmp(w.word[0], shells[i]) == 0) {
            cli_print_completion(shells[i], stdout);
            return GD_OK;
        }
    const char *near = w.n_words == 1 ? gd_nearest(w.word[0], shells, COUNT(shells)) : NULL;
    return gd_fail(GD_EUSAGE, "completion: expected bash, zsh or fish%s%s%s",
                   near ? "\nhint: did you mean " : "", near ? near : "", near ? "?" : "");
}

const cli_command cli_completion = { "completion",
                                     "what a shell needs to complete guided's options",
                                     "completion bash|zsh|fish",
                                     "guided completion bash >~/.local/share/bash-completion/"
                                     "completions/guided",
                                     NULL,
                                     0,
                                     run_completion,
                                     "make install puts the three files in their places; this "
                                     "prints one for a home directory." };
