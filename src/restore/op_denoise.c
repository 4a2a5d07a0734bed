/* SPDX-License-Identifier: MIT */
/* op_denoise.c - A = I. */
#include "restore/restore_private.h"

#include <string.h>

static void copy(const gd_operator *op, const double *in, double *out)
{
    memmove(out, in, (size_t)gd_shape_count(op->image) * sizeof *out);
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    copy(op, w, g);
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const double f1 = f(ctx, 1);

    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        out[i] = f1 * x[i];
}

gd_status gd_op_denoise(gd_operator **out, gd_shape image)
{
    return gd_operator_make(out, &gd_kind_denoise, image, image, 0);
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    (void)words, (void)seed;
    return gd_op_denoise(out, image);
}

const gd_operator_kind gd_kind_denoise = { "denoise",           "denoise",           "noise alone",
                                           .linear = true,      .per_channel = true, .parse = parse,
                                           .apply = copy,       .adjoint = adjoint,  .pinv = copy,
                                           .spectral = spectral };
