/* SPDX-License-Identifier: MIT */
/* fuzz_bundle.h - open bytes as a file of arrays and read every array of reasonable size. */
#ifndef FUZZ_BUNDLE_H
#define FUZZ_BUNDLE_H

#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ELEMENTS = 1 << 16 };

/* The same bytes in pieces of 1, 2, 3 .. as at once */
static void read_in_pieces(gd_bundle *b, const gd_array *a, const unsigned char *whole, bool ok)
{
    const size_t bytes = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
    unsigned char *piece = malloc(bytes + 1);
    gd_elements *elements = NULL;
    gd_status s = gd_elements_open(&elements, b, a);
    const bool streams = s == GD_OK;
    size_t at = 0;

    for (size_t n = 1; s == GD_OK && at < bytes; n++) {
        const size_t part = GD_MIN(n, bytes - at);
        s = gd_elements_read(elements, piece + at, part);
        at += part;
    }
    if (ok && streams && (s != GD_OK || memcmp(piece, whole, bytes) != 0))
        abort();
    gd_elements_close(elements);
    free(piece);
}

/* Each array once as it is and once as float32, into memory of just its size, which ASan watches */
static void read_arrays(gd_bundle *b)
{
    for (int i = 0; i < gd_bundle_count(b); i++) {
        const gd_array *a = gd_bundle_array(b, i);
        const int64_t n = gd_array_count(a);
        if (gd_bundle_find(b, a->name) != a)
            abort();
        if (n > MOST_ELEMENTS)
            continue;
        void *raw = malloc((size_t)n * gd_dtype_bytes(a->dtype) + 1);
        float *wide = malloc((size_t)n * sizeof *wide + 1);
        const gd_status s = gd_bundle_read(b, a, raw);
        if (gd_bundle_read_f32(b, a, wide) != s)
            abort();
        read_in_pieces(b, a, raw, s == GD_OK);
        gd_bundle_release(b, a);
        free(raw);
        free(wide);
    }
}

static void open_and_read(const uint8_t *data, size_t bytes, bool flat)
{
    gd_bundle *b;

    if (io_bundle_open_memory(&b, data, bytes, "FILE", flat) != GD_OK)
        return;
    read_arrays(b);
    gd_bundle_close(b);
}

#endif
