/* SPDX-License-Identifier: MIT */
/* op_clip.c - an overexposed image: y = clip(scale x). */
#include "restore/restore_private.h"

#include <math.h>

typedef struct state {
    double scale;
} state;

static void apply(const gd_operator *op, const double *x, double *y)
{
    const double s = ((const state *)op->state)->scale;

    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        y[i] = fmin(fmax(s * x[i], -1), 1);
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    const double s = ((const state *)op->state)->scale;

    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        g[i] = fabs(s * x[i]) <= 1 ? s * w[i] : 0;
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    const double s = ((const state *)op->state)->scale;

    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        x[i] = y[i] / s;
}

gd_status gd_op_clip(gd_operator **out, gd_shape image, double scale)
{
    GD_TRY(gd_operator_make(out, &gd_kind_clip, image, image, sizeof(state)));
    ((state *)(*out)->state)->scale = scale;
    (*out)->norm = scale;
    return GD_OK;
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    double scale;

    (void)seed;
    GD_TRY(gd_words_value_double(words, 2, 1e-3, 1e3, &scale));
    return gd_op_clip(out, image, scale);
}

const gd_operator_kind gd_kind_clip = {
    "clip",         "clip[:SCALE]", "overexposed: SCALE times the image, clipped (not linear)",
    .parse = parse, .apply = apply, .adjoint = adjoint,
    .pinv = pinv
};
