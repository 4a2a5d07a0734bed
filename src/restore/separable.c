/* SPDX-License-Identifier: MIT */
/* separable.c - y = H x W^T for each channel.  The singular values of the map are the products of
 * those of H and W, so nothing larger than one axis is ever decomposed. */
#include "restore/restore_private.h"

#include "cpu/linear.h"

#include <string.h>

/* ---- one axis ---- */

static void transpose(double *out, const double *in, int rows, int columns)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            out[(int64_t)j * rows + i] = in[(int64_t)i * columns + j];
}

gd_status gd_axis_make(gd_axis *x, gd_operator *op, const double *a, int m, int n)
{
    const int k = GD_MIN(m, n);
    const size_t mn = (size_t)m * (size_t)n * sizeof(double),
                 mk = (size_t)m * (size_t)k * sizeof(double),
                 nk = (size_t)n * (size_t)k * sizeof(double);
    void *copy;
    gd_status s;

    *x = (gd_axis){ .m = m, .n = n, .k = k };
    GD_TRY(gd_operator_alloc(&x->a, op, mn));
    GD_TRY(gd_operator_alloc(&x->at, op, mn));
    GD_TRY(gd_operator_alloc(&x->u, op, mk));
    GD_TRY(gd_operator_alloc(&x->ut, op, mk));
    GD_TRY(gd_operator_alloc(&x->v, op, nk));
    GD_TRY(gd_operator_alloc(&x->vt, op, nk));
    GD_TRY(gd_operator_alloc(&x->s, op, (size_t)k * sizeof(double)));
    memcpy(x->a, a, mn);
    transpose(x->at, a, m, n);
    GD_TRY(gd_block_make(&copy, mn, "operator"));
    memcpy(copy, a, mn);
    s = gd_singular_values(copy, x->u, x->s, x->vt, m, n);
    gd_block_free(copy);
    transpose(x->ut, x->u, m, k);
    transpose(x->v, x->vt, k, n);
    return s;
}

/* ---- both ---- */

gd_status gd_separable_make(gd_separable *s, gd_operator *op, double axis_cut, double cut)
{
    const gd_axis *h = &s->h, *w = &s->w;
    const double largest = h->s[0] * w->s[0];
    const size_t side_h = (size_t)GD_MAX(h->m, h->n), side_w = (size_t)GD_MAX(w->m, w->n);

    GD_TRY(gd_operator_alloc(&s->s, op, (size_t)h->k * (size_t)w->k * sizeof(double)));
    GD_TRY(gd_operator_alloc(&s->work, op, side_h * side_w * sizeof(double)));
    GD_TRY(gd_operator_alloc(&s->coef, op, side_h * side_w * sizeof(double)));
    for (int i = 0; i < h->k; i++)
        for (int j = 0; j < w->k; j++) {
            const double value = h->s[i] * w->s[j];
            const bool zero = h->s[i] < axis_cut || w->s[j] < axis_cut || value < cut ||
                              value < GD_SV_ZERO * largest;
            s->s[(int64_t)i * w->k + j] = zero ? 0 : value;
        }
    op->norm = largest;
    return GD_OK;
}

/* out [m][q] = left [m][n] in [n][p] right [q][p]^T; work: [m][p] */
static void both_sides(double *out, const double *left, const double *in, const double *right,
                       int m, int n, int p, int q, double *work)
{
    gd_matrix_product(work, left, in, false, m, p, n);
    gd_matrix_product(out, work, right, true, m, q, p);
}

void gd_separable_apply(const gd_separable *s, int channels, const double *x, double *y)
{
    const gd_axis *h = &s->h, *w = &s->w;

    for (int c = 0; c < channels; c++)
        both_sides(y + (int64_t)c * h->m * w->m, h->a, x + (int64_t)c * h->n * w->n, w->a, h->m,
                   h->n, w->n, w->m, s->work);
}

void gd_separable_adjoint(const gd_separable *s, int channels, const double *y, double *x)
{
    const gd_axis *h = &s->h, *w = &s->w;

    for (int c = 0; c < channels; c++)
        both_sides(x + (int64_t)c * h->n * w->n, h->at, y + (int64_t)c * h->m * w->m, w->at, h->n,
                   h->m, w->m, w->n, s->work);
}

void gd_separable_pinv(const gd_separable *s, int channels, const double *y, double *x)
{
    const gd_axis *h = &s->h, *w = &s->w;

    for (int c = 0; c < channels; c++) {
        both_sides(s->coef, h->ut, y + (int64_t)c * h->m * w->m, w->ut, h->k, h->m, w->m, w->k,
                   s->work);
        for (int i = 0; i < h->k * w->k; i++)
            s->coef[i] = s->s[i] > 0 ? s->coef[i] / s->s[i] : 0;
        both_sides(x + (int64_t)c * h->n * w->n, h->v, s->coef, w->v, h->n, h->k, w->k, w->n,
                   s->work);
    }
}

/* f(0) x + V (f(s) - f(0)) V^T x */
void gd_separable_spectral(const gd_separable *s, int channels, gd_gain f, void *ctx,
                           const double *x, double *out)
{
    const gd_axis *h = &s->h, *w = &s->w;
    const int64_t plane = (int64_t)h->n * w->n;
    const double f0 = f(ctx, 0);

    for (int c = 0; c < channels; c++) {
        const double *in = x + c * plane;
        double *to = out + c * plane;
        both_sides(s->coef, h->vt, in, w->vt, h->k, h->n, w->n, w->k, s->work);
        for (int i = 0; i < h->k * w->k; i++)
            s->coef[i] *= f(ctx, s->s[i]) - f0;
        gd_matrix_product(s->work, h->v, s->coef, false, h->n, w->k, h->k);
        /* into coef, which is free now */
        gd_matrix_product(s->coef, s->work, w->v, true, h->n, w->n, w->k);
        for (int64_t i = 0; i < plane; i++)
            to[i] = f0 * in[i] + s->coef[i];
    }
}
