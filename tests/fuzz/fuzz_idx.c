/* SPDX-License-Identifier: MIT */
/* fuzz_idx.c - IDX files, gzipped or not; behind the word LABELS the file of labels, if any. */
#define _GNU_SOURCE
#include "fuzz_dataset.h"

static const char images[] = "images-idx3-ubyte", labels[] = "labels-idx1-ubyte";

static void tidy(void)
{
    drop_file(images);
    drop_file(labels);
    rmdir(fuzz_folder);
}

/* What the container is told by; other kinds of sets have their own targets */
static bool begins_like_idx(const uint8_t *data, size_t bytes)
{
    return bytes > 3 && (memcmp(data, "\0\0\x08", 3) == 0 || memcmp(data, "\x1f\x8b", 2) == 0);
}

static void put_files(const uint8_t *data, size_t bytes)
{
    static const char word[] = "LABELS";
    const size_t n = sizeof word - 1;
    const uint8_t *at = memmem(data, bytes, word, n);

    put_file(images, data, at ? (size_t)(at - data) : bytes);
    if (at)
        put_file(labels, at + n, bytes - n - (size_t)(at - data));
    else
        drop_file(labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const int wanted[] = { 0, 1, 3 };
    char path[MOST_PATH];

    if (!begins_like_idx(data, bytes))
        return 0;
    if (!fuzz_folder[0])
        make_folder(tidy);
    gd_set_memory_limit(64 << 20); /* a gzip of 64 KiB would come to as much */
    put_files(data, bytes);
    for (int i = 0; i < COUNT(wanted); i++)
        if (!open_and_read(in_folder(path, images), &(gd_dataset_options){ .channels = wanted[i] }))
            break; /* nor with other channels */
    return 0;
}
