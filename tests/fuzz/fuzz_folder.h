/* SPDX-License-Identifier: MIT */
/* fuzz_folder.h - a folder of this process for inputs that are opened by their path: on a disk in
 * memory where there is one. */
#ifndef FUZZ_FOLDER_H
#define FUZZ_FOLDER_H

#include "base/base.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

static char fuzz_folder[64];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(fuzz_folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void need_folder(void)
{
    static const char *const places[] = { "/dev/shm", "/tmp" };

    for (int i = 0; i < COUNT(places) && !fuzz_folder[0]; i++) {
        snprintf(fuzz_folder, sizeof fuzz_folder, "%s/guided-fuzz-XXXXXX", places[i]);
        if (!mkdtemp(fuzz_folder))
            fuzz_folder[0] = '\0';
        else if (atexit(remove_folder) != 0)
            abort();
    }
    if (!fuzz_folder[0])
        abort();
}

/* FOLDER/name, valid until the next call */
static const char *inside(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    return path;
}

static void put_file(const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(inside(name), "wb");

    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0)
        abort();
}

static void require(bool truth)
{
    if (!truth) {
        fprintf(stderr, "%s\n", gd_error());
        abort();
    }
}

#endif
