/* SPDX-License-Identifier: MIT */
/* plms.c - Liu et al. 2022, pseudo numerical methods (PNDM) without Runge-Kutta steps: Adams-
 * Bashforth of order 1 to 4 in epsilon, with DDIM's transfer between two levels. */
#include "diffusion/solver.h"

/* Eq. 11: x at s moved to t with the noise e */
static void transfer(const gd_level *s, const gd_level *t, const double *x, const double *e,
                     double *out, int64_t n)
{
    const double a = s->alpha * s->alpha, b = t->alpha * t->alpha,
                 to_e = (b - a) / (s->alpha * (sqrt((1 - b) * a) + sqrt((1 - a) * b)));

    for (int64_t i = 0; i < n; i++)
        out[i] = t->alpha / s->alpha * x[i] - to_e * e[i];
}

/* epsilon at x, from the prediction, which stays in p->prediction */
static gd_status noise_at(gd_problem *p, const gd_level *at, const double *x, double *e)
{
    GD_TRY(gd_denoise(p, at, x, p->prediction));
    for (int64_t i = 0; i < p->n; i++)
        e[i] = (x[i] - at->alpha * p->prediction[i]) / at->sigma;
    return GD_OK;
}

/* The first step: with the mean of epsilon at its start and at its end, from the original x */
static gd_status first(gd_problem *p, double *x, double *e, double *sum)
{
    const gd_level *at = p->grid->level;
    double *moved = p->buffer[5];

    gd_draw(p, 1);
    GD_TRY(noise_at(p, &at[0], x, e));
    transfer(&at[0], &at[1], x, e, moved, p->n);
    GD_TRY(gd_step_done(p, 1, moved, p->prediction));
    gd_draw(p, 2);
    GD_TRY(noise_at(p, &at[1], moved, sum));
    for (int64_t i = 0; i < p->n; i++)
        sum[i] = (sum[i] + e[i]) / 2;
    transfer(&at[0], &at[1], x, sum, x, p->n);
    return gd_step_done(p, 2, x, p->prediction);
}

/* Adams-Bashforth: weights of the newest epsilon and those before it, by how many there are */
static const double weights[4][4] = { { 1 },
                                      { 3 / 2.0, -1 / 2.0 },
                                      { 23 / 12.0, -16 / 12.0, 5 / 12.0 },
                                      { 55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0 } };

static gd_status solve(gd_problem *p, double *x)
{
    const gd_level *at = p->grid->level;
    double *e[4] = { p->buffer[0], p->buffer[1], p->buffer[2], p->buffer[3] };
    double *sum = p->buffer[4];

    GD_TRY(first(p, x, e[0], sum));
    for (int k = 1; k < p->grid->steps; k++) {
        const double *w = weights[GD_MIN(k, 3)];
        double *oldest = e[3];
        e[3] = e[2];
        e[2] = e[1];
        e[1] = e[0];
        e[0] = oldest;
        gd_draw(p, k + 2);
        GD_TRY(noise_at(p, &at[k], x, e[0]));
        for (int64_t i = 0; i < p->n; i++) {
            sum[i] = 0;
            for (int j = 0; j <= GD_MIN(k, 3); j++)
                sum[i] += w[j] * e[j][i];
        }
        transfer(&at[k], &at[k + 1], x, sum, x, p->n);
        GD_TRY(gd_step_done(p, k + 2, x, p->prediction));
    }
    return GD_OK;
}

static int calls(const gd_grid *grid)
{
    return grid->steps + 1; /* the first step makes two */
}

const gd_solver gd_solver_plms = { "plms",         "PNDM: Adams-Bashforth of order 4 in epsilon",
                                   solve,          .buffers = 6,
                                   .calls = calls, .grid = GD_GRID_STRIDED,
                                   .steps = "25" };
