/* SPDX-License-Identifier: MIT */
/* lms.c - linear multistep in sigma space (k-diffusion's lms): the slope's interpolation polynomial
 * through the last levels, integrated exactly. */
#include "diffusion/solver.h"

enum { MAX_ORDER = 4 };

/* Integral over [a, b] of the Lagrange polynomial that is 1 at s[j] and 0 at the other s[0 .. n) */
static double lagrange_integral(const double *s, int n, int j, double a, double b)
{
    /* Gauss-Legendre with three points: exact up to degree 5 */
    const double root = sqrt(0.6), at[] = { -root, 0, root },
                 weight[] = { 5.0 / 9, 8.0 / 9, 5.0 / 9 };
    double sum = 0;

    for (int q = 0; q < COUNT(at); q++) {
        const double x = (a + b) / 2 + (b - a) / 2 * at[q];
        double value = weight[q];
        for (int i = 0; i < n; i++)
            if (i != j)
                value *= (x - s[i]) / (s[j] - s[i]);
        sum += value;
    }
    return sum * (b - a) / 2;
}

static gd_status solve(gd_problem *p, double *x)
{
    const int order = p->run->options.order ? GD_MIN(p->run->options.order, MAX_ORDER) : MAX_ORDER;
    double *d[MAX_ORDER] = { p->buffer[0], p->buffer[1], p->buffer[2], p->buffer[3] };

    for (int k = 0; k < p->grid->steps; k++) {
        const gd_level *at = &p->grid->level[k];
        const int n = GD_MIN(k + 1, order);
        double *oldest = d[MAX_ORDER - 1], s[MAX_ORDER];
        for (int j = MAX_ORDER - 1; j > 0; j--)
            d[j] = d[j - 1];
        d[0] = oldest;
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, at, x, p->prediction));
        for (int64_t i = 0; i < p->n; i++)
            d[0][i] = (x[i] - p->prediction[i]) / at->sigma;
        for (int j = 0; j < n; j++)
            s[j] = at[-j].sigma;
        for (int j = 0; j < n; j++) {
            const double w = lagrange_integral(s, n, j, at[0].sigma, at[1].sigma);
            for (int64_t i = 0; i < p->n; i++)
                x[i] += w * d[j][i];
        }
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

const gd_solver gd_solver_lms = { "lms",
                                  "linear multistep of order 4 in sigma space",
                                  solve,
                                  .buffers = 4,
                                  .grid = GD_GRID_SIGMA,
                                  .steps = "25" };
