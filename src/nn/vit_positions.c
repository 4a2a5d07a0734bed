/* SPDX-License-Identifier: MIT */
/* vit_positions.c - DINOv2's position embedding on another grid of patches. */
#include "nn/vit_names.h"

#include <math.h>

enum { MAX_TAPS = 128 };

/* Keys 1981, with the parameter a */
static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Which positions an output reads, and their weights */
typedef struct taps {
    int low, count;
    double weight[MAX_TAPS];
} taps;

/* Between four neighbours, those of the border again beyond it */
static void plain_taps(taps *t, int o, int side, int grid)
{
    const double offset = 0.1, scale = grid / (side + offset), at = scale * (o + 0.5) - 0.5;
    const int first = (int)floor(at) - 1;
    const double share = at - floor(at);

    *t = (taps){ .low = GD_MAX(0, GD_MIN(first, grid - 1)) };
    for (int i = 0; i < 4; i++) {
        const int from = GD_MAX(0, GD_MIN(first + i, grid - 1));
        t->weight[from - t->low] += cubic(i - 1 - share, -0.75);
        t->count = from - t->low + 1;
    }
}

/* Under a kernel that is as wide as an output's share of the inputs */
static void wide_taps(taps *t, int o, int side, int grid)
{
    const double scale = (double)grid / side, wide = fmax(scale, 1), support = 2 * wide;
    const double centre = scale * (o + 0.5);
    double sum = 0;

    t->low = GD_MAX(0, (int)(centre - support + 0.5));
    t->count = GD_MIN(GD_MIN(grid, (int)(centre + support + 0.5)) - t->low, MAX_TAPS);
    for (int i = 0; i < t->count; i++)
        sum += t->weight[i] = cubic((i + t->low - centre + 0.5) / wide, -0.5);
    for (int i = 0; i < t->count; i++)
        t->weight[i] /= sum;
}

static double weighted(const taps *rows, const taps *columns, const float *in, int grid, int width)
{
    double sum = 0;

    for (int r = 0; r < rows->count; r++) {
        double row = 0;
        for (int c = 0; c < columns->count; c++)
            row += columns->weight[c] *
                   (double)in[((int64_t)(rows->low + r) * grid + columns->low + c) * width];
        sum += rows->weight[r] * row;
    }
    return sum;
}

void vit_interpolate_positions(float *out, int side, const float *in, int grid, int width,
                               bool antialias)
{
    void (*find)(taps *, int, int, int) = antialias ? wide_taps : plain_taps;
    taps rows, columns;

    for (int y = 0; y < side; y++) {
        find(&rows, y, side, grid);
        for (int x = 0; x < side; x++) {
            find(&columns, x, side, grid);
            for (int i = 0; i < width; i++)
                out[((int64_t)y * side + x) * width + i] =
                    (float)weighted(&rows, &columns, in + i, grid, width);
        }
    }
}
