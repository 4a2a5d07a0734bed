/* SPDX-License-Identifier: MIT */
/* dense.c - the singular value decomposition of a small map, for which no closed form is known. */
#include "restore/restore_private.h"

#include "cpu/linear.h"

#include <string.h>

gd_status gd_dense_make(gd_dense *d, gd_operator *op, double *matrix, int m, int n, double cut)
{
    const int k = GD_MIN(m, n);
    void *u;
    gd_status s;

    *d = (gd_dense){ .m = m, .n = n, .k = k };
    GD_TRY(gd_operator_alloc(&d->ut, op, (size_t)m * (size_t)k * sizeof(double)));
    GD_TRY(gd_operator_alloc(&d->vt, op, (size_t)n * (size_t)k * sizeof(double)));
    GD_TRY(gd_operator_alloc(&d->s, op, (size_t)k * sizeof(double)));
    GD_TRY(gd_operator_alloc(&d->coef, op, (size_t)k * sizeof(double)));
    GD_TRY(gd_block_make(&u, (size_t)m * (size_t)k * sizeof(double), "operator"));
    s = gd_singular_values(matrix, u, d->s, d->vt, m, n);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < k; j++)
            d->ut[(int64_t)j * m + i] = ((double *)u)[(int64_t)i * k + j];
    gd_block_free(u);
    op->norm = d->s[0];
    for (int i = k - 1; i >= 0; i--)
        if (d->s[i] < cut || d->s[i] < GD_SV_ZERO * d->s[0])
            d->s[i] = 0;
    return s;
}

static void add(double *to, double factor, const double *row, int n)
{
    for (int i = 0; i < n; i++)
        to[i] += factor * row[i];
}

void gd_dense_pinv(const gd_dense *d, const double *y, double *x)
{
    memset(x, 0, (size_t)d->n * sizeof *x);
    for (int r = 0; r < d->k; r++)
        if (d->s[r] > 0)
            add(x, gd_dot(d->ut + (int64_t)r * d->m, y, d->m) / d->s[r], d->vt + (int64_t)r * d->n,
                d->n);
}

void gd_dense_spectral(const gd_dense *d, gd_gain f, void *ctx, const double *x, double *out)
{
    const double f0 = f(ctx, 0);

    for (int r = 0; r < d->k; r++)
        d->coef[r] = gd_dot(d->vt + (int64_t)r * d->n, x, d->n) * (f(ctx, d->s[r]) - f0);
    for (int i = 0; i < d->n; i++)
        out[i] = f0 * x[i];
    for (int r = 0; r < d->k; r++)
        add(out, d->coef[r], d->vt + (int64_t)r * d->n, d->n);
}
