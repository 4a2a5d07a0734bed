/* SPDX-License-Identifier: MIT */
/* vendi.c - how many different images a set is worth.  The eigenvalues of K / n, K = X X^T with
 * rows of length 1, are those of the smaller X^T X / n but for zeros. */
#include "eval/metric.h"

#include "cpu/linear.h"

#include <math.h>

enum { CHUNK = 256 };

typedef struct work {
    double *rows;    /* [CHUNK][width], rows of length 1 */
    double *product; /* [width][width] */
    double *values;  /* [width] */
} work;

static void take_row(double *out, const float *row, int width)
{
    double square = 0;

    for (int k = 0; k < width; k++)
        square += (double)row[k] * row[k];
    for (int k = 0; k < width; k++)
        out[k] = square > 0 ? row[k] / sqrt(square) : 0;
}

typedef struct part {
    const work *w;
    int width, rows;
} part;

/* CHUNK rows of the product, from its diagonal on */
static void add_band(void *ctx, int64_t band)
{
    const part *p = ctx;
    const int i = (int)band * CHUNK;

    gd_outer_add(p->w->product + (int64_t)i * p->width + i, p->width, p->w->rows + i, p->width,
                 p->w->rows + i, p->width, GD_MIN(CHUNK, p->width - i), p->width - i, p->rows);
}

static gd_status measure(double *out, const work *w, const gd_features *set)
{
    const int width = set->width;
    double entropy = 0;

    for (int64_t first = 0; first < set->count; first += CHUNK) {
        part p = { w, width, (int)GD_MIN(CHUNK, set->count - first) };
        for (int i = 0; i < p.rows; i++)
            take_row(w->rows + (int64_t)i * width, set->data + (first + i) * width, width);
        gd_par((width + CHUNK - 1) / CHUNK, add_band, &p);
    }
    for (int i = 0; i < width; i++)
        for (int j = i; j < width; j++)
            w->product[(int64_t)j * width + i] = w->product[(int64_t)i * width + j];
    GD_TRY(gd_eigen_symmetric(w->product, w->values, width, false));
    for (int i = 0; i < width; i++) {
        const double share = w->values[i] / (double)set->count;
        if (share > 0)
            entropy -= share * log(share);
    }
    *out = exp(entropy);
    return GD_OK;
}

gd_status gd_vendi_measure(double *out, const gd_features *set)
{
    const size_t width = (size_t)set->width;
    work w = { 0 };
    gd_status s;

    if (set->count < 1)
        return gd_fail(GD_EUSAGE, "the Vendi score needs an image");
    GD_TRY(gd_linear_ready());
    s = gd_block_make(&w.rows, CHUNK * width * sizeof(double), "Vendi score");
    if (s == GD_OK)
        s = gd_block_make(&w.product, width * width * sizeof(double), "Vendi score");
    if (s == GD_OK)
        s = gd_block_make(&w.values, width * sizeof(double), "Vendi score");
    if (s == GD_OK)
        s = measure(out, &w, set);
    gd_block_free(w.rows);
    gd_block_free(w.product);
    gd_block_free(w.values);
    return s;
}

/* ---- the metric ---- */

static gd_status measure_metric(gd_measured *out, gd_comparison *c)
{
    GD_TRY(gd_vendi_measure(&out->value[0], &c->samples));
    return gd_vendi_measure(&out->value[1], &c->ref);
}

const gd_metric gd_metric_vendi = {
    .word = "vendi",
    .about = "Vendi score of cosine similarities (Friedman & Dieng 2023), of both sets",
    .needs = GD_NEED_FEATURES,
    .least = 1,
    .least_ref = 1,
    .measure = measure_metric,
    .figure = { { .key = "vendi", .name = "Vendi score", .format = "%.4f" },
                { .key = "vendi_reference",
                  .name = "reference",
                  .format = "%.4f",
                  .minor = true,
                  .beside = true } },
};
