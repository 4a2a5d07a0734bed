/* SPDX-License-Identifier: MIT */
/* lint_copies.c - images that are there twice, exactly or nearly.
 *
 * Exact copies have one hash of their pixels.  Near ones have thumbnails whose values differ by
 * little and whose signs differ in at most 3 of 64 bits: then one of four 16-bit bands is equal
 * (Manku, Jain & Das Sarma 2007), so that only images of one band's value are compared. */
#include "eval/lint.h"

#include <stdlib.h>
#include <string.h>

enum { BANDS = 4, BAND_BITS = 16, MOST_BITS = 3, MOST_COMPARED = 64, VALUES = 1 << BAND_BITS };
enum { THUMB = GD_LINT_THUMB * GD_LINT_THUMB, NEAR_SUM = THUMB, NEAR_ONE = 4 };
static const float flat = 8; /* thumbnails of flat images are all alike */

typedef struct hashed {
    const char *hash;
    int32_t index;
} hashed;

static int by_hash(const void *a, const void *b)
{
    const hashed *x = a, *y = b;
    const int order = strcmp(x->hash, y->hash);

    return order ? order : x->index - y->index;
}

static bool alike(const gd_lint_image *a, const gd_lint_image *b)
{
    int sum = 0;

    if (__builtin_popcountll(a->sign ^ b->sign) > MOST_BITS || a->deviation < flat)
        return false;
    for (int k = 0; k < THUMB; k++) {
        const int d = abs(a->thumb[k] - b->thumb[k]);
        sum += d;
        if (d > NEAR_ONE)
            return false;
    }
    return sum <= NEAR_SUM;
}

static gd_status find_exact(int32_t *copy, const gd_lint_image *image, int64_t n)
{
    hashed *order;

    GD_TRY(gd_block_make(&order, (size_t)n * sizeof *order, "copies"));
    for (int64_t i = 0; i < n; i++)
        order[i] = (hashed){ image[i].hash, (int32_t)i };
    qsort(order, (size_t)n, sizeof *order, by_hash);
    for (int64_t i = 0, first = 0; i < n; i++) {
        if (strcmp(order[i].hash, order[first].hash) != 0)
            first = i;
        copy[order[i].index] = i == first ? -1 : order[first].index;
    }
    gd_block_free(order);
    return GD_OK;
}

static int band_of(const gd_lint_image *image, int band)
{
    return (int)(image->sign >> (band * BAND_BITS) & (VALUES - 1));
}

/* Chains of images by the band's value, latest first */
static void find_near(int32_t *near, const int32_t *copy, int32_t *head, int32_t *next,
                      const gd_lint_image *image, int64_t n)
{
    for (int band = 0; band < BANDS; band++) {
        memset(head, -1, VALUES * sizeof *head);
        for (int32_t i = 0; i < n; i++) {
            int compared = 0;
            int32_t *const chain = &head[band_of(&image[i], band)];
            if (copy[i] >= 0)
                continue;
            for (int32_t j = *chain; j >= 0 && near[i] < 0 && compared++ < MOST_COMPARED;
                 j = next[j])
                if (alike(&image[i], &image[j]))
                    near[i] = j;
            next[i] = *chain;
            *chain = i;
        }
    }
}

gd_status gd_lint_copies(int32_t *copy, int32_t *near, const gd_lint_image *image, int64_t n)
{
    int32_t *space;

    GD_TRY(find_exact(copy, image, n));
    GD_TRY(gd_block_make(&space, ((size_t)n + VALUES) * sizeof *space, "copies"));
    memset(near, -1, (size_t)n * sizeof *near);
    find_near(near, copy, space, space + VALUES, image, n);
    gd_block_free(space);
    return GD_OK;
}
