/* SPDX-License-Identifier: MIT */
/* cover.c - a large image as overlapping tiles, and their results as one. */
#include "restore/restore_private.h"

#include <math.h>

enum { OVERLAP_SHARE = 4 }; /* of a tile's side, at least */

/* Positions are spread evenly; weights rise from a tile's edge over the overlap and add up to 1 at
 * every pixel. */
static gd_status cut(gd_cover_axis *a, int side, int tile, gd_arena *mem)
{
    const int overlap = GD_MAX(tile / OVERLAP_SHARE, 1), stride = GD_MAX(tile - overlap, 1);
    double *sum;

    a->tile = GD_MIN(tile, side);
    a->n = side > tile ? (side - overlap + stride - 1) / stride : 1;
    a->first = gd_alloc(mem, (size_t)a->n * sizeof *a->first);
    a->weight = gd_alloc(mem, (size_t)a->n * (size_t)a->tile * sizeof *a->weight);
    sum = gd_alloc(mem, (size_t)side * sizeof *sum);
    if (!a->first || !a->weight || !sum)
        return gd_fail(GD_ENOMEM, "tiles: out of memory");
    for (int k = 0; k < a->n; k++) {
        a->first[k] = a->n > 1 ? (int)((int64_t)k * (side - a->tile) / (a->n - 1)) : 0;
        for (int i = 0; i < a->tile; i++) {
            const double edge = GD_MIN(i, a->tile - 1 - i) + 0.5;
            a->weight[k * a->tile + i] = fmin(edge / overlap, 1);
            sum[a->first[k] + i] += a->weight[k * a->tile + i];
        }
    }
    for (int k = 0; k < a->n; k++)
        for (int i = 0; i < a->tile; i++)
            a->weight[k * a->tile + i] /= sum[a->first[k] + i];
    return GD_OK;
}

gd_status gd_cover_make(gd_cover *t, gd_shape image, int side, gd_arena *mem)
{
    t->image = image;
    GD_TRY(cut(&t->y, image.h, side, mem));
    GD_TRY(cut(&t->x, image.w, side, mem));
    t->tile = (gd_shape){ image.c, t->y.tile, t->x.tile };
    t->n = t->y.n * t->x.n;
    return GD_OK;
}

void gd_cover_take(const gd_cover *t, int k, const float *image, float *tile)
{
    const gd_shape s = t->tile;
    const int top = t->y.first[k / t->x.n], left = t->x.first[k % t->x.n];

    for (int c = 0; c < s.c; c++)
        for (int i = 0; i < s.h; i++)
            for (int j = 0; j < s.w; j++)
                tile[((int64_t)c * s.h + i) * s.w + j] =
                    image[((int64_t)c * t->image.h + top + i) * t->image.w + left + j];
}

void gd_cover_add(const gd_cover *t, int k, int channels, const float *tile, float *image)
{
    const gd_shape s = t->tile;
    const int row = k / t->x.n, column = k % t->x.n;
    const int top = t->y.first[row], left = t->x.first[column];
    const double *down = t->y.weight + (int64_t)row * s.h,
                 *along = t->x.weight + (int64_t)column * s.w;

    for (int c = 0; c < channels; c++)
        for (int i = 0; i < s.h; i++)
            for (int j = 0; j < s.w; j++)
                image[((int64_t)c * t->image.h + top + i) * t->image.w + left + j] +=
                    (float)(down[i] * along[j] * tile[((int64_t)c * s.h + i) * s.w + j]);
}
