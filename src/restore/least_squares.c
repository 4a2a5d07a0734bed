/* SPDX-License-Identifier: MIT */
/* least_squares.c - A^+ y and the regularised step for maps that are too large to decompose.
 * Source: Hestenes & Stiefel 1952; CGLS in Bjorck, Numerical Methods for Least Squares Problems. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

int64_t gd_least_squares_work(const gd_operator *op)
{
    return 4 * gd_shape_count(op->image) + 2 * gd_shape_count(op->measurement);
}

/* g = A^T r - rho x */
static void gradient(const gd_operator *op, double rho, const double *r, const double *x, double *g)
{
    gd_operator_adjoint(op, NULL, r, g);
    for (int64_t i = 0; rho > 0 && i < gd_shape_count(op->image); i++)
        g[i] -= rho * x[i];
}

void gd_least_squares_solve(const gd_operator *op, const gd_least_squares *how, const double *y,
                            double *x, double *work)
{
    const int64_t n = gd_shape_count(op->image), m = gd_shape_count(op->measurement);
    double *g = work, *p = g + n, *r = p + n, *q = r + m;
    double now, first, before;

    memset(x, 0, (size_t)n * sizeof *x);
    memcpy(r, y, (size_t)m * sizeof *r);
    gradient(op, how->rho, r, x, g);
    memcpy(p, g, (size_t)n * sizeof *p);
    first = now = gd_dot(g, g, n);
    for (int k = 0; k < how->most_steps && now > how->tolerance * how->tolerance * first; k++) {
        gd_operator_apply(op, p, q);
        const double alpha = now / (gd_dot(q, q, m) + how->rho * gd_dot(p, p, n));
        for (int64_t i = 0; i < n; i++)
            x[i] += alpha * p[i];
        for (int64_t i = 0; i < m; i++)
            r[i] -= alpha * q[i];
        gradient(op, how->rho, r, x, g);
        before = now;
        now = gd_dot(g, g, n);
        for (int64_t i = 0; i < n; i++)
            p[i] = g[i] + now / before * p[i];
    }
}

double gd_power_norm(const gd_operator *op, double *work)
{
    enum { STEPS = 30 };
    const int64_t n = gd_shape_count(op->image);
    double *x = work, *y = work + n, length = 0;

    for (int64_t i = 0; i < n; i++)
        x[i] = 1 + 0.1 * (double)(i % 7); /* positive: a blur's largest value belongs to the mean */
    for (int k = 0; k < STEPS; k++) {
        length = sqrt(gd_dot(x, x, n));
        if (!(length > 0))
            return 0;
        for (int64_t i = 0; i < n; i++)
            x[i] /= length;
        gd_operator_apply(op, x, y);
        gd_operator_adjoint(op, NULL, y, x);
    }
    return sqrt(sqrt(gd_dot(x, x, n)));
}
