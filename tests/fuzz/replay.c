/* SPDX-License-Identifier: MIT */
/* replay.c - a fuzz target over files and folders of inputs, without libFuzzer: the corpus in every
 * ordinary test run, and with --mutants FORMAT FIRST N mutants that keep the format's structure
 * (mutate.h).  A target that finds something aborts; the mutant's number, on standard error before,
 * makes it again. */
#define _GNU_SOURCE
#include "mutate.h"

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int inputs;

/* The input in memory of just its size, which sanitizers watch */
static int run_file(const char *path, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(bytes ? bytes : 1);
    const int ok = file && data && fread(data, 1, bytes, file) == bytes;

    if (ok) {
        LLVMFuzzerTestOneInput(data, bytes);
        inputs++;
    } else {
        fprintf(stderr, "%s: cannot be read\n", path);
    }
    free(data);
    if (file)
        fclose(file);
    return ok ? 0 : 1;
}

static int run_path(const char *path)
{
    struct stat info;
    struct dirent *entry;
    char inner[4096];
    int failed = 0;
    DIR *folder;

    if (stat(path, &info) != 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    if (!S_ISDIR(info.st_mode))
        return run_file(path, (size_t)info.st_size);
    folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            failed |= run_path(inner);
        }
    if (folder)
        closedir(folder);
    return failed;
}

/* ---- mutants ---- */

enum { MAX_SEEDS = 256 };
static char *seed_path[MAX_SEEDS];
static int seeds;
static const char *running; /* for the message of a mutant that ends the process */
static long mutant;

static void list_seeds(const char *folder)
{
    struct dirent **list;
    const int n = scandir(folder, &list, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && seeds < MAX_SEEDS)
            seed_path[seeds++] = strdup(path);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

static void on_abort(int number)
{
    char text[300];
    const int n =
        snprintf(text, sizeof text, "%s: mutant %ld ends by signal %d\n", running, mutant, number);

    (void)!write(STDERR_FILENO, text, (size_t)n);
    signal(number, SIG_DFL);
    raise(number);
}

static void run_mutant(const mutate_format *format, uint8_t *room)
{
    FILE *file = fopen(seed_path[mutant % seeds], "rb");
    size_t bytes = file ? fread(room, 1, MUTATE_ROOM / 2, file) : 0;
    uint8_t *data;

    if (file)
        fclose(file);
    bytes = mutate(room, bytes, format, (uint64_t)mutant);
    data = malloc(bytes ? bytes : 1);
    if (data) {
        memcpy(data, room, bytes);
        LLVMFuzzerTestOneInput(data, bytes);
        inputs++;
    }
    free(data);
}

static int run_mutants(const char *name, const char *format, long first, long n, const char *corpus)
{
    uint8_t *room = calloc(1, MUTATE_ROOM);

    list_seeds(corpus);
    if (!room || seeds == 0)
        return 1;
    running = name;
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    for (mutant = first; mutant < first + n; mutant++)
        run_mutant(mutate_find(format), room);
    free(room);
    while (seeds > 0)
        free(seed_path[--seeds]);
    printf("%s: %d mutants\n", name, inputs);
    return inputs == 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc == 6 && strcmp(argv[1], "--mutants") == 0)
        return run_mutants(argv[0], argv[2], atol(argv[3]), atol(argv[4]), argv[5]);

    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    printf("%s: %d inputs\n", argv[0], inputs);
    return failed || inputs == 0;
}
