/* SPDX-License-Identifier: MIT */
/* op_matrix.c - any small matrix. */
#include "restore/restore_private.h"

#include <string.h>

typedef struct state {
    double *matrix; /* [m][n] */
    gd_dense svd;
} state;

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const int64_t n = gd_shape_count(op->image);

    for (int i = 0; i < s->svd.m; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum += s->matrix[i * n + j] * x[j];
        y[i] = sum;
    }
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    const state *s = op->state;
    const int64_t n = gd_shape_count(op->image);

    (void)x;
    memset(g, 0, (size_t)n * sizeof *g);
    for (int i = 0; i < s->svd.m; i++)
        for (int64_t j = 0; j < n; j++)
            g[j] += s->matrix[i * n + j] * w[i];
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    gd_dense_pinv(&((const state *)op->state)->svd, y, x);
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    gd_dense_spectral(&((const state *)op->state)->svd, f, ctx, x, out);
}

gd_status gd_op_matrix(gd_operator **out, gd_shape image, const double *matrix, int m)
{
    const size_t n = (size_t)gd_shape_count(image), bytes = (size_t)m * n * sizeof(double);
    double *copy;

    GD_TRY(gd_operator_make(out, &gd_kind_matrix, image, (gd_shape){ 1, 1, m }, sizeof(state)));
    state *s = (*out)->state;
    GD_TRY(gd_operator_alloc(&s->matrix, *out, bytes));
    GD_TRY(gd_operator_alloc(&copy, *out, bytes));
    memcpy(s->matrix, matrix, bytes);
    memcpy(copy, matrix, bytes);
    return gd_dense_make(&s->svd, *out, copy, m, (int)n, 0);
}

const gd_operator_kind gd_kind_matrix = { "matrix",
                                          "",
                                          "any matrix, by the library only",
                                          .linear = true,
                                          .apply = apply,
                                          .adjoint = adjoint,
                                          .pinv = pinv,
                                          .spectral = spectral };
