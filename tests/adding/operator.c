/* SPDX-License-Identifier: MIT */
/* y = -x */
#include "restore/restore_private.h"

static void negate(const gd_operator *op, const double *in, double *out)
{
    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        out[i] = -in[i];
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    negate(op, w, g);
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    (void)words, (void)seed;
    return gd_operator_make(out, &gd_kind_toy, image, image, 0);
}

const gd_operator_kind gd_kind_toy = {
    "toy",          "toy",           "an operator of a test", .linear = true,
    .parse = parse, .apply = negate, .adjoint = adjoint,      .pinv = negate
};
