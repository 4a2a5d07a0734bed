/* SPDX-License-Identifier: MIT */
/* fuzz_command.c - command lines by the tables: the input chooses a verb, options and values that
 * hurt.  Parsed, or refused with a message and the status of usage or of a file. */
#include "jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 40, MOST_BYTES = 1 << 16 };

static const char *const values[] = {
    "",           "0",    "-1",     "1",     "1e400",     "nan", "18446744073709551616",
    "2147483648", "True", "False",  "fp32",  "bf16",      "3-1", "#2",
    "a,b",        ",",    "--",     "-",     "/dev/null", "/",   "none",
    "x.png",      "250",  "ddim25", "ddim0", "10,10",     "0.5", "\xe9",
    "\033[2J",    "..",   "%s%s%n", "=",     "all"
};

/* A structure that any option of the kind can be set in */
static void parse(const job_kind *c, int argc, char **argv)
{
    static _Alignas(16) unsigned char values_of[MOST_BYTES];
    job_words words = { .n_words = 0 };
    gd_job *job;

    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].offset + 64 > MOST_BYTES)
            abort();
    memset(values_of, 0, sizeof values_of);
    if (job_open(&job, c->name) != GD_OK || job_set_line(job, argc, argv) != GD_OK)
        abort();
    gd_job *before = job_use(job);
    const gd_status s = job_parse(job, values_of, &words);
    if (!job->ended && s != GD_OK &&
        (!*gd_error() || (s != GD_EUSAGE && s != GD_EFORMAT && s != GD_EIO)))
        abort();
    job_use(before);
    job_close(job);
}

/* --NAME, --no-NAME, --NAME=VALUE, or a letter */
static void option(char word[160], const job_kind *c, uint8_t which, uint8_t how, const char *value)
{
    const int n = c->n_options + job_n_common_options;
    const job_option *o = which % n < c->n_options ? &c->options[which % n]
                                                   : &job_common_options[which % n - c->n_options];

    if (how % 8 == 0 && o->letter)
        snprintf(word, 160, "-%c%s", o->letter, value);
    else if (how % 8 == 1)
        snprintf(word, 160, "--no-%s", o->name);
    else if (how % 8 == 2)
        snprintf(word, 160, "--%s=%.60s", o->name, value);
    else
        snprintf(word, 160, "--%s", o->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char word[MOST_WORDS + 1][160];
    char *argv[MOST_WORDS + 1];
    int argc = 0;

    if (bytes < 1)
        return 0;
    const job_kind *c = job_kinds[data[0] % job_n_kinds];
    for (size_t i = 1; i + 3 <= bytes && argc + 2 <= MOST_WORDS && c->n_options > 0; i += 3) {
        const char *value = values[data[i + 2] % COUNT(values)];
        option(word[argc], c, data[i], data[i + 1], value);
        argv[argc] = word[argc];
        argc++;
        if (data[i + 1] % 3 == 0)
            continue;
        snprintf(word[argc], sizeof word[0], "%s", value);
        argv[argc] = word[argc];
        argc++;
    }
    parse(c, argc, argv);
    return 0;
}
