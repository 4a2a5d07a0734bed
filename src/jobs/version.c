/* SPDX-License-Identifier: MIT */
/* version.c - guided version: how this program was built and what it uses on this machine. */
#include "jobs/jobs.h"
#include "jobs/option_rows.h"

#include <jansson.h>
#include <string.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* features: "openmp bf16 ...", from CMake */
static gd_status print_json(const char *features)
{
    json_t *list = json_array();
    char word[64];
    json_t *j;

    for (const char *at = features; *at;) {
        const int n = (int)strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", n, at);
        json_array_append_new(list, json_string(word));
        at += n + (at[n] == ' ');
    }
    j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "version", gd_version(), "compiler", COMPILER,
                  "onednn", gd_onednn_version(), "isa", gd_isa_name(gd_isa_used()), "threads",
                  gd_threads(), "features", list);
    return job_print_json(j);
}

typedef struct options {
    bool json;
} options;

static const job_option table[] = {
    OPTION_JSON(offsetof(options, json)),
};

static gd_status run(gd_job *job)
{
    options o = { 0 };
    job_words w = { .n_words = 0 };

    GD_TRY(job_parse(job, &o, &w));
    if (w.n_words > 0)
        return gd_fail(GD_EUSAGE, "version: unexpected word %s", w.word[0]);
    if (o.json)
        return print_json(GUIDED_FEATURES);
    fprintf(job_out(),
            "guided %s\ncompiler  %s\noneDNN    %s\nISA       %s, %d thread%s\nfeatures  %s\n",
            gd_version(), COMPILER, gd_onednn_version(), gd_isa_name(gd_isa_used()), gd_threads(),
            gd_threads() == 1 ? "" : "s", GUIDED_FEATURES);
    return GD_OK;
}

const job_kind job_version = { "version",
                               "print version, build and instruction set in use",
                               "version [options]",
                               "guided version --json",
                               table,
                               COUNT(table),
                               run,
                               "guided --version prints the same." };
