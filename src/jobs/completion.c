/* SPDX-License-Identifier: MIT */
/* completion.c - completion scripts for shells: verbs, options and values, from the tables of
 * options. */
#include "jobs/jobs.h"
#include "nn/config.h"

#include <string.h>

static bool takes_path(const job_option *o)
{
    static const char *const arguments[] = { "FILE", "FILES", "PATH", "FOLDER", "DIR" };

    for (int i = 0; i < COUNT(arguments); i++)
        if (o->type == JOB_TEXT && strcmp(o->argument, arguments[i]) == 0)
            return true;
    return false;
}

/* All values of the option, separated by spaces; false: it has no list of values */
static bool print_values(const job_option *o, FILE *out)
{
    char word[64];

    if (strcmp(o->name, "preset") == 0) {
        for (int i = 0; i < gd_preset_count(); i++)
            fprintf(out, "%s%s", i ? " " : "", gd_preset_name(i));
        return true;
    }
    const char *value;
    for (int k = 0; (value = job_choice(o, k, word)); k++)
        fprintf(out, "%s%s", k ? " " : "", value);
    return job_choice(o, 0, word) != NULL;
}

/* In single quotes, with a backslash before each character of `special` */
static void print_escaped(const char *text, const char *special, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fprintf(out, "'\\''");
        else
            fprintf(out, "%s%c", strchr(special, *text) ? "\\" : "", *text);
    }
}

typedef void print_fn(const job_kind *c, const job_option *o, FILE *out);

/* The verb's own options, then the common options that it does not redefine */
static void each_option(const job_kind *c, print_fn *print, FILE *out)
{
    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].about)
            print(c, &c->options[i], out);
    for (int i = 0; i < job_n_common_options; i++) {
        bool own = false;
        for (int k = 0; k < c->n_options; k++)
            own = own || strcmp(c->options[k].name, job_common_options[i].name) == 0;
        if (!own)
            print(c, &job_common_options[i], out);
    }
}

/* ---- bash ---- */

static void bash_name(const job_kind *c, const job_option *o, FILE *out)
{
    (void)c;
    fprintf(out, " --%s", o->name);
}

static void bash_values(const job_kind *c, const job_option *o, FILE *out)
{
    if (!job_takes_value(o))
        return;
    fprintf(out, "    '%s --%s'", c->name, o->name);
    if (o->letter)
        fprintf(out, "|'%s -%c'", c->name, o->letter);
    if (takes_path(o)) {
        fprintf(out, ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
        return;
    }
    fprintf(out, ") COMPREPLY=($(compgen -W '");
    print_values(o, out);
    fprintf(out, "' -- \"$cur\")); return ;;\n");
}

static void print_bash(FILE *out)
{
    fprintf(out, "# bash completion of guided, made by: guided completion bash\n_guided() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    local verb=${COMP_WORDS[1]} names=\n"
                 "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '");
    for (int i = 0; i < job_n_kinds; i++)
        fprintf(out, "%s ", job_kinds[i]->name);
    fprintf(out, "--help --version' -- \"$cur\"))\n        return\n    fi\n"
                 "    case \"$verb $prev\" in\n");
    for (int i = 0; i < job_n_kinds; i++)
        each_option(job_kinds[i], bash_values, out);
    fprintf(out, "    esac\n    case $verb in\n"
                 "    completion) names='bash zsh fish' ;;\n    help) names='");
    for (int i = 0; i < job_n_kinds; i++)
        fprintf(out, "%s ", job_kinds[i]->name);
    fprintf(out,
            "' ;;\n    esac\n    if [ -n \"$names\" ] && [[ $cur != -* ]]; then\n"
            "        COMPREPLY=($(compgen -W \"$names\" -- \"$cur\"))\n        return\n    fi\n"
            "    case $verb in\n");
    for (int i = 0; i < job_n_kinds; i++) {
        fprintf(out, "    %s) names='--help", job_kinds[i]->name);
        each_option(job_kinds[i], bash_name, out);
        fprintf(out, "' ;;\n");
    }
    fprintf(out, "    esac\n"
                 "    if [[ $cur == -* ]]; then\n"
                 "        COMPREPLY=($(compgen -W \"$names\" -- \"$cur\"))\n    else\n"
                 "        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\n"
                 "complete -o filenames -F _guided guided\n");
}

/* ---- zsh ---- */

static void zsh_option(const job_kind *c, const job_option *o, FILE *out)
{
    char word[64];

    (void)c;
    if (o->letter)
        fprintf(out, " \\\n            '(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter,
                o->name);
    else
        fprintf(out, " \\\n            '--%s[", o->name);
    print_escaped(o->about, "[]\\", out);
    fprintf(out, "]");
    if (job_takes_value(o)) {
        fprintf(out, ":%s:", job_choice(o, 0, word) ? "value" : o->argument);
        if (takes_path(o))
            fprintf(out, "_files");
        else if (job_choice(o, 0, word) || strcmp(o->name, "preset") == 0) {
            fprintf(out, "(");
            print_values(o, out);
            fprintf(out, ")");
        }
    }
    fprintf(out, "'");
}

static void print_zsh(FILE *out)
{
    fprintf(out, "#compdef guided\n# made by: guided completion zsh\n"
                 "_guided() {\n    local -a verbs\n    verbs=(\n");
    for (int i = 0; i < job_n_kinds; i++) {
        fprintf(out, "        '%s:", job_kinds[i]->name);
        print_escaped(job_kinds[i]->about, ":\\", out);
        fprintf(out, "'\n");
    }
    fprintf(out, "    )\n    if (( CURRENT == 2 )); then\n        _describe verb verbs\n"
                 "        return\n    fi\n    local verb=$words[2]\n    shift words\n"
                 "    (( CURRENT-- ))\n    case $verb in\n"
                 "    completion)\n        _values shell bash zsh fish\n        ;;\n"
                 "    help)\n        _describe verb verbs\n        ;;\n");
    for (int i = 0; i < job_n_kinds; i++) {
        if (job_kinds[i] == &job_help || job_kinds[i] == &job_completion)
            continue;
        fprintf(out, "    %s)\n        _arguments", job_kinds[i]->name);
        each_option(job_kinds[i], zsh_option, out);
        fprintf(out, " \\\n            '*:file:_files'\n        ;;\n");
    }
    fprintf(out, "    esac\n}\n_guided \"$@\"\n");
}

/* ---- fish ---- */

static void fish_option(const job_kind *c, const job_option *o, FILE *out)
{
    char word[64];

    fprintf(out, "complete -c guided -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
    if (o->letter)
        fprintf(out, " -s %c", o->letter);
    if (job_takes_value(o)) {
        fprintf(out, takes_path(o) ? " -r -F" : " -x");
        if (job_choice(o, 0, word) || strcmp(o->name, "preset") == 0) {
            fprintf(out, " -a '");
            print_values(o, out);
            fprintf(out, "'");
        }
    }
    fprintf(out, " -d '");
    for (const char *at = o->about; *at; at++)
        fprintf(out, "%s%c", *at == '\'' || *at == '\\' ? "\\" : "", *at);
    fprintf(out, "'\n");
}

static void print_fish(FILE *out)
{
    fprintf(out, "# fish completion of guided, made by: guided completion fish\n");
    for (int i = 0; i < job_n_kinds; i++) {
        fprintf(out, "complete -c guided -f -n __fish_use_subcommand -a %s -d '",
                job_kinds[i]->name);
        for (const char *at = job_kinds[i]->about; *at; at++)
            fprintf(out, "%s%c", *at == '\'' || *at == '\\' ? "\\" : "", *at);
        fprintf(out, "'\n");
        each_option(job_kinds[i], fish_option, out);
    }
    fprintf(out, "complete -c guided -f -n '__fish_seen_subcommand_from completion' "
                 "-a 'bash zsh fish'\n");
}

void job_print_completion(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(out);
    else
        print_fish(out);
}
