/* SPDX-License-Identifier: MIT */
/* main.c - the command: runs a command line as a job of the library and returns the exit status. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the verbs ---- */

static const char intro[] = "guided %s - diffusion models that beat GANs, on CPUs\n\n"
                            "  guided sample --class 0-9 -n 40 --steps ddim25 -o grid.png\n"
                            "  guided info 64x64_diffusion.pt\n\n";

/* Printed without a verb: at most 15 lines */
static void print_usage(const json_t *kinds)
{
    int column = 0;

    fprintf(stderr, intro, guided_version());
    fprintf(stderr, "usage: guided VERB [options]\nverbs:");
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(kinds, i), "name"));
        if (column + (int)strlen(name) > 60)
            column = 0 * fprintf(stderr, "\n      ");
        column += fprintf(stderr, " %s", name);
    }
    fprintf(
        stderr,
        "\n\nguided --help describes the verbs, guided VERB -h and guided help VERB one verb\n");
}

static void print_help(const json_t *kinds)
{
    printf(intro, guided_version());
    printf("usage: guided VERB [options]\n");
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = json_array_get(kinds, i);
        printf("  %-16s  %s\n", json_string_value(json_object_get(kind, "name")),
               json_string_value(json_object_get(kind, "about")));
    }
    printf("\nguided VERB -h       its main options; --help: all\n"
           "guided help VERB     its manual\n"
           "guided --version     what is built in; --json\n");
}

/* Lists the verbs: wanted if help was asked for, else as usage; returns the exit status */
static int show_verbs(bool wanted)
{
    json_t *kinds = json_loads(guided_jobs_json() ? guided_jobs_json() : "[]", 0, NULL);

    (wanted ? print_help : print_usage)(kinds);
    json_decref(kinds);
    return wanted ? cli_report(cli_flush()) : 2;
}

/* ---- a job ---- */

static void show_text(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    (void)!fwrite(text, 1, n, stdout);
}

static bool write_data(void *ctx, const void *bytes, size_t n)
{
    (void)ctx;
    return cli_raw(stdout, bytes, n);
}

static gd_status run(guided_context *context, const char *verb, int n, char **words)
{
    cli_progress progress = { .begun = false };
    guided_events events = { &progress,         show_text,
                             cli_show_progress, NULL,
                             cli_show_image,    isatty(STDOUT_FILENO) ? NULL : write_data,
                             cli_show_partial };
    guided_job *job;
    gd_status s;

    GD_TRY(guided_job_open(&job, context, verb));
    progress.job = job;
    guided_job_set_events(job, &events);
    s = guided_job_set_line(job, n, words);
    cli_signals_save(job);
    if (s == GD_OK)
        s = guided_job_run(job);
    if (s == GD_OK && strcmp(verb, "serve") == 0)
        s = cli_serve(job);
    cli_signals_save(NULL);
    guided_job_close(job);
    return s == GD_OK ? cli_flush() : s;
}

/* -h or --help anywhere runs the job help instead. */
static gd_status run_or_help(guided_context *context, const char *verb, int n, char **words)
{
    for (int i = 0; i < n && strcmp(words[i], "--") != 0; i++) {
        const bool brief = strcmp(words[i], "-h") == 0;
        if (!brief && strcmp(words[i], "--help") != 0)
            continue;
        char *const help[] = { brief ? "--brief" : "--options", "--", (char *)verb };
        return run(context, "help", COUNT(help), (char **)help);
    }
    return run(context, verb, n, words);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    guided_context *context;
    gd_status s;

    cli_open_standard_streams();
    cli_guard_terminal();
    cli_start_clock();
    if (argc < 2)
        return show_verbs(false);
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 ||
        (strcmp(verb, "help") == 0 && argc == 2))
        return show_verbs(true);
    s = guided_context_open(&context);
    if (s != GD_OK)
        return cli_report(s);
    cli_catch_signals(context);
    guided_context_set_log(context, cli_notice, NULL, GUIDED_LOG_DEBUG);
    s = run_or_help(context, strcmp(verb, "--version") == 0 ? "version" : verb, argc - 2, argv + 2);
    const int status = cli_report(s);
    guided_context_close(context);
    return status;
}
