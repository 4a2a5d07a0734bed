/* SPDX-License-Identifier: MIT */
/* op_box.c - the mean of factor x factor blocks; every singular value is 1 / factor. */
#include "restore/restore_private.h"

typedef struct state {
    int factor;
    double *mean; /* of the measurement's size */
} state;

static void apply(const gd_operator *op, const double *x, double *y)
{
    const int f = ((const state *)op->state)->factor, w = op->image.w;
    const gd_shape m = op->measurement;

    for (int64_t r = 0; r < (int64_t)m.c * m.h; r++)
        for (int j = 0; j < m.w; j++) {
            double sum = 0;
            for (int a = 0; a < f; a++)
                for (int b = 0; b < f; b++)
                    sum += x[(r * f + a) * w + (int64_t)j * f + b];
            y[r * m.w + j] = sum / (f * f);
        }
}

static void replicate(const gd_operator *op, const double *y, double factor, double *x)
{
    const int f = ((const state *)op->state)->factor, w = op->image.w;

    for (int64_t r = 0; r < (int64_t)op->image.c * op->image.h; r++)
        for (int j = 0; j < w; j++)
            x[r * w + j] = factor * y[r / f * op->measurement.w + j / f];
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    const int f = ((const state *)op->state)->factor;

    (void)x;
    replicate(op, w, 1.0 / (f * f), g);
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    replicate(op, y, 1, x);
}

/* V V^T x is the block's mean */
static void spectral(const gd_operator *op, gd_gain gain, void *ctx, const double *x, double *out)
{
    const state *s = op->state;
    const int f = s->factor, w = op->image.w;
    const double f0 = gain(ctx, 0), rest = gain(ctx, 1.0 / f) - f0;

    apply(op, x, s->mean);
    for (int64_t r = 0; r < (int64_t)op->image.c * op->image.h; r++)
        for (int j = 0; j < w; j++)
            out[r * w + j] = f0 * x[r * w + j] + rest * s->mean[r / f * op->measurement.w + j / f];
}

gd_status gd_op_box_down(gd_operator **out, gd_shape image, int factor)
{
    const gd_shape m = { image.c, image.h / factor, image.w / factor };

    if (image.h % factor != 0 || image.w % factor != 0)
        return gd_fail(GD_EUSAGE, "factor %d does not divide an image of %dx%d", factor, image.w,
                       image.h);
    GD_TRY(gd_operator_make(out, &gd_kind_box_down, image, m, sizeof(state)));
    state *s = (*out)->state;
    s->factor = factor;
    (*out)->norm = 1.0 / factor;
    return gd_operator_alloc(&s->mean, *out, (size_t)gd_shape_count(m) * sizeof(double));
}

static gd_status factor_of(int *out, gd_words *words)
{
    return gd_words_value_int(words, 1, 64, out);
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    int factor;

    (void)seed;
    GD_TRY(factor_of(&factor, words));
    return gd_op_box_down(out, image, factor);
}

const gd_operator_kind gd_kind_box_down = {
    "box_down",          "box_down:FACTOR",   "means of FACTOR x FACTOR blocks",
    .linear = true,      .per_channel = true, .parse = parse,
    .factor = factor_of, .apply = apply,      .adjoint = adjoint,
    .pinv = pinv,        .spectral = spectral
};
