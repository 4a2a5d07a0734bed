/* SPDX-License-Identifier: MIT */
/* op_gray.c - one channel, a weighted sum of all; the singular value is the weights' length. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct state {
    double *weight; /* [C] */
    double square;  /* of their length */
} state;

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    for (int64_t i = 0; i < plane; i++) {
        double sum = 0;
        for (int c = 0; c < op->image.c; c++)
            sum += s->weight[c] * x[c * plane + i];
        y[i] = sum;
    }
}

static void spread(const gd_operator *op, const double *y, double factor, double *x)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    for (int c = 0; c < op->image.c; c++)
        for (int64_t i = 0; i < plane; i++)
            x[c * plane + i] = s->weight[c] * factor * y[i];
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    spread(op, w, 1, g);
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    spread(op, y, 1 / ((const state *)op->state)->square, x);
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;
    const double f0 = f(ctx, 0), rest = (f(ctx, op->norm) - f0) / s->square;

    for (int64_t i = 0; i < plane; i++) {
        double sum = 0;
        for (int c = 0; c < op->image.c; c++)
            sum += s->weight[c] * x[c * plane + i];
        for (int c = 0; c < op->image.c; c++)
            out[c * plane + i] = f0 * x[c * plane + i] + rest * sum * s->weight[c];
    }
}

gd_status gd_op_gray(gd_operator **out, gd_shape image, const double *weights)
{
    GD_TRY(gd_operator_make(out, &gd_kind_gray, image, (gd_shape){ 1, image.h, image.w },
                            sizeof(state)));
    state *s = (*out)->state;
    GD_TRY(gd_operator_alloc(&s->weight, *out, (size_t)image.c * sizeof(double)));
    memcpy(s->weight, weights, (size_t)image.c * sizeof(double));
    for (int c = 0; c < image.c; c++)
        s->square += weights[c] * weights[c];
    (*out)->norm = sqrt(s->square);
    if (!(s->square > 0) || !isfinite(s->square))
        return gd_fail(GD_EUSAGE, "the weights are all 0 or not finite");
    return GD_OK;
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    static const char *const names[] = { "svd", "mean", "luma" };
    static const double values[][3] = {
        { .3333, .3334, .3333 },    /* DDRM and DDNM's classes */
        { 1. / 3, 1. / 3, 1. / 3 }, /* DDNM simplified */
        { .299, .587, .114 },       /* ITU-R BT.601 */
    };
    int which;

    (void)seed;
    GD_TRY(gd_words_choice(words, "weights", names, COUNT(names), &which));
    if (image.c != 3)
        return gd_fail(GD_EUSAGE, "the image has %d channels, not 3", image.c);
    return gd_op_gray(out, image, values[which]);
}

const gd_operator_kind gd_kind_gray = { "gray",
                                        "gray[:weights=svd|mean|luma]",
                                        "one grey channel: colourise",
                                        .linear = true,
                                        .parse = parse,
                                        .apply = apply,
                                        .adjoint = adjoint,
                                        .pinv = pinv,
                                        .spectral = spectral };
