/* SPDX-License-Identifier: MIT */
/* heun.c - Karras et al. 2022, algorithm 2: Euler's step from a level with a little more noise than
 * the present one, and Heun's correction of it; Euler's step alone; and the midpoint form (DPM-2)
 * of the consistency models' code. */
#include "diffusion/solver.h"

/* d = (x - D(x; s)) / s; D stays in p->prediction */
static gd_status slope(gd_problem *p, const gd_level *at, const double *x, double *d)
{
    GD_TRY(gd_denoise(p, at, x, p->prediction));
    for (int64_t i = 0; i < p->n; i++)
        d[i] = (x[i] - p->prediction[i]) / at->sigma;
    return GD_OK;
}

/* Adds noise: from level k to the one that is returned */
static gd_level churn(gd_problem *p, int k, double *x)
{
    enum { EDGE = 2 };
    const gd_solver_options *o = &p->run->options;
    const gd_level at = p->grid->level[k];
    const double most = sqrt(EDGE) - 1, scale = o->noise > 0 ? o->noise : 1;
    const bool inside = at.sigma >= o->churn_min && (o->churn_max <= 0 || at.sigma <= o->churn_max);
    gd_level to;

    gd_draw(p, k + 1);
    if (!(o->churn > 0) || !inside)
        return at;
    to = gd_sigma_level(&p->grid->map, at.sigma * (1 + fmin(o->churn / p->grid->steps, most)));
    const double more = sqrt(fmax(to.sigma * to.sigma - at.sigma * at.sigma, 0)) * scale;
    for (int64_t i = 0; i < p->n; i++)
        x[i] += more * p->noise[i];
    return to;
}

static gd_status euler(gd_problem *p, double *x)
{
    double *d = p->buffer[0];

    for (int k = 0; k < p->grid->steps; k++) {
        const gd_level at = churn(p, k, x);
        const double step = p->grid->level[k + 1].sigma - at.sigma;
        GD_TRY(slope(p, &at, x, d));
        for (int64_t i = 0; i < p->n; i++)
            x[i] += step * d[i];
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

static gd_status heun(gd_problem *p, double *x)
{
    double *d = p->buffer[0], *d2 = p->buffer[1], *guess = p->buffer[2];

    for (int k = 0; k < p->grid->steps; k++) {
        const gd_level at = churn(p, k, x), *next = &p->grid->level[k + 1];
        const double step = next->sigma - at.sigma;
        GD_TRY(slope(p, &at, x, d));
        for (int64_t i = 0; i < p->n; i++)
            guess[i] = x[i] + step * d[i];
        if (next->sigma > 0) {
            GD_TRY(slope(p, next, guess, d2));
            for (int64_t i = 0; i < p->n; i++)
                guess[i] = x[i] + step * 0.5 * (d[i] + d2[i]);
        }
        for (int64_t i = 0; i < p->n; i++)
            x[i] = guess[i];
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

static gd_status midpoint(gd_problem *p, double *x)
{
    double *d = p->buffer[0], *half = p->buffer[1];

    for (int k = 0; k < p->grid->steps; k++) {
        const gd_level at = churn(p, k, x);
        const double to = p->grid->level[k + 1].sigma,
                     middle = pow((cbrt(at.sigma) + cbrt(to)) / 2, 3);
        const gd_level in_between = gd_sigma_level(&p->grid->map, middle);
        GD_TRY(slope(p, &at, x, d));
        for (int64_t i = 0; i < p->n; i++)
            half[i] = x[i] + (in_between.sigma - at.sigma) * d[i];
        GD_TRY(slope(p, &in_between, half, d));
        for (int64_t i = 0; i < p->n; i++)
            x[i] += (to - at.sigma) * d[i];
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

static int two_but_for_the_last(const gd_grid *grid)
{
    return 2 * grid->steps - (grid->level[grid->steps].sigma == 0);
}

static int two(const gd_grid *grid)
{
    return 2 * grid->steps;
}

const gd_solver gd_solver_heun = { "heun",
                                   "Karras et al.: second order, two calls a step",
                                   heun,
                                   .buffers = 3,
                                   .calls = two_but_for_the_last,
                                   .grid = GD_GRID_SIGMA,
                                   .steps = "18" };
const gd_solver gd_solver_euler = { "euler",      "Euler steps in sigma space", euler,
                                    .buffers = 1, .grid = GD_GRID_SIGMA,        .steps = "35" };
const gd_solver gd_solver_dpm2 = { "dpm2",       "midpoint steps in sigma space, two calls a step",
                                   midpoint,     .buffers = 2,
                                   .calls = two, .grid = GD_GRID_SIGMA,
                                   .steps = "18" };
