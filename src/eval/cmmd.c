/* SPDX-License-Identifier: MIT */
/* cmmd.c - CLIP's maximum mean discrepancy (Jayasumana et al. 2024): 1,000 times the squared MMD
 * with the kernel exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, pairs of equal points included, as the
 * authors' program has it. */
#include "eval/metric.h"

#include "cpu/linear.h"

#include <math.h>

enum { TILE = 256 };
static const double sigma = 10, factor = 1000;

/* A tile is some rows of a beside some rows of b. */
typedef struct kernel_sums {
    const gd_features *a, *b;
    const double *square_a, *square_b; /* |x|^2 of every row */
    int64_t columns;                   /* tiles side by side */
    double *sum;                       /* of each tile; negative: out of memory */
} kernel_sums;

static void sum_tile(void *ctx, int64_t i)
{
    const kernel_sums *k = ctx;
    const int64_t row = i / k->columns * TILE, column = i % k->columns * TILE;
    const int m = (int)GD_MIN(TILE, k->a->count - row), n = (int)GD_MIN(TILE, k->b->count - column);
    const double gamma = 1 / (2 * sigma * sigma);
    double sum = 0;
    float *dot;

    k->sum[i] = -1;
    if (gd_block_make(&dot, sizeof *dot * TILE * TILE, "kernel distance") != GD_OK)
        return;
    gd_dot_products(dot, k->a->data + row * k->a->width, k->b->data + column * k->b->width, m, n,
                    k->a->width);
    for (int y = 0; y < m; y++)
        for (int x = 0; x < n; x++)
            sum += exp(-gamma * (k->square_a[row + y] + k->square_b[column + x] -
                                 2 * (double)dot[y * n + x]));
    gd_block_free(dot);
    k->sum[i] = sum;
}

/* Mean of the kernel over all pairs */
static gd_status mean_of_kernel(double *out, const gd_features *a, const double *square_a,
                                const gd_features *b, const double *square_b)
{
    kernel_sums k = { a, b, square_a, square_b, (b->count + TILE - 1) / TILE, NULL };
    const int64_t tiles = (a->count + TILE - 1) / TILE * k.columns;
    gd_status s = GD_OK;
    double sum = 0;

    GD_TRY(gd_block_make(&k.sum, (size_t)tiles * sizeof *k.sum, "kernel distance"));
    gd_par(tiles, sum_tile, &k);
    for (int64_t i = 0; i < tiles && s == GD_OK; i++) {
        sum += k.sum[i];
        if (k.sum[i] < 0)
            s = gd_fail(GD_ENOMEM, "kernel distance: out of memory");
    }
    gd_block_free(k.sum);
    *out = sum / ((double)a->count * (double)b->count);
    return s;
}

static void square_rows(double *out, const gd_features *f)
{
    for (int64_t i = 0; i < f->count; i++) {
        const float *row = f->data + i * f->width;
        out[i] = 0;
        for (int k = 0; k < f->width; k++)
            out[i] += (double)row[k] * (double)row[k];
    }
}

gd_status gd_cmmd_measure(double *out, const gd_features *ref, const gd_features *samples)
{
    const size_t n = (size_t)(ref->count + samples->count);
    double rr, ss, rs, *square;
    gd_status s;

    if (ref->count < 1 || samples->count < 1)
        return gd_fail(GD_EUSAGE, "CMMD needs images in both sets");
    GD_TRY(gd_linear_ready());
    GD_TRY(gd_block_make(&square, n * sizeof *square, "kernel distance"));
    double *square_s = square + ref->count;
    square_rows(square, ref);
    square_rows(square_s, samples);
    s = mean_of_kernel(&rr, ref, square, ref, square);
    if (s == GD_OK)
        s = mean_of_kernel(&ss, samples, square_s, samples, square_s);
    if (s == GD_OK)
        s = mean_of_kernel(&rs, ref, square, samples, square_s);
    gd_block_free(square);
    if (s == GD_OK)
        *out = factor * (rr + ss - 2 * rs);
    return s;
}

/* ---- the metric ---- */

static gd_status measure(gd_measured *out, gd_comparison *c)
{
    return gd_cmmd_measure(&out->value[0], &c->ref, &c->samples);
}

const gd_metric gd_metric_cmmd = {
    .word = "cmmd",
    .about = "maximum mean discrepancy of CLIP's features (Jayasumana et al. 2024)",
    .needs = GD_NEED_FEATURES | GD_NEED_UNIT_LENGTH,
    .standard = true,
    .has_limit = true,
    .least = 1,
    .least_ref = 1,
    .measure = measure,
    .figure = { { .key = "cmmd", .name = "CMMD", .format = "%.6g" } },
};
