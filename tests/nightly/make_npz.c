/* SPDX-License-Identifier: MIT */
/* make_npz.c - an .npz of N random images of SIZE x SIZE, of any size on disk: FILE N SIZE SEED */
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

/* Flat squares under grain, so that images differ from one another (xorshift, Marsaglia 2003) */
static void fill(uint8_t *image, int size, uint64_t key)
{
    uint64_t x = (key + 1) * 0x9e3779b97f4a7c15u;
    uint8_t level[16][3];

    for (int i = 0; i < 16 * 3; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        level[i / 3][i % 3] = (uint8_t)(x >> 40 & 0x7f);
    }
    for (int y = 0; y < size; y++)
        for (int i = 0; i < size * 3; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *image++ = (uint8_t)(level[(4 * y / size * 4 + 4 * (i / 3) / size) % 16][i % 3] +
                                 (x >> 40 & 0x7f));
        }
}

static gd_status write_images(gd_npz_writer *w, uint8_t *image, int64_t n, int size, uint64_t seed)
{
    const gd_array array = { "arr_0", GD_U8, 4, { n, size, size, 3 } };

    GD_TRY(gd_npz_array(w, &array));
    for (int64_t i = 0; i < n; i++) {
        fill(image, size, seed << 32 | (uint64_t)i);
        GD_TRY(gd_npz_add(w, image, (size_t)size * (size_t)size * 3));
    }
    return GD_OK;
}

int main(int argc, char **argv)
{
    const int64_t n = argc == 5 ? atoll(argv[2]) : 0;
    const int size = argc == 5 ? atoi(argv[3]) : 0;
    uint8_t *image = malloc((size_t)size * (size_t)size * 3 + 1);
    gd_npz_writer *w = NULL;
    gd_status s = gd_fail(GD_EUSAGE, "usage: make-npz FILE N SIZE SEED");

    if (n > 0 && size > 0 && image)
        s = gd_npz_begin(&w, argv[1], true, (uint64_t)n * (uint64_t)(size * size * 3));
    if (s == GD_OK)
        s = write_images(w, image, n, size, strtoull(argv[4], NULL, 10));
    if (s == GD_OK)
        s = gd_npz_commit(w);
    else
        gd_npz_abort(w);
    if (s != GD_OK)
        fprintf(stderr, "make-npz: %s\n", gd_error());
    free(image);
    return gd_exit_status(s);
}
