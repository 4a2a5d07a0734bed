/* SPDX-License-Identifier: MIT */
/* ancestral.c - ancestral steps in sigma space (k-diffusion): down to a lower level than the next
 * one, then noise up to it. */
#include "diffusion/solver.h"

typedef struct split {
    double down, up;
} split;

static split split_of(const gd_problem *p, double s, double t)
{
    const double up = fmin(t, p->run->options.eta * sqrt(t * t * (s * s - t * t) / (s * s)));

    return (split){ sqrt(t * t - up * up),
                    up * (p->run->options.noise > 0 ? p->run->options.noise : 1) };
}

/* x = (t/s) x + (1 - t/s) D: Euler's step, and DPM-Solver++'s of first order */
static void carry(const gd_problem *p, double ratio, const double *x, const double *d, double *out)
{
    for (int64_t i = 0; i < p->n; i++)
        out[i] = ratio * x[i] + (1 - ratio) * d[i];
}

static void add_noise(const gd_problem *p, double up, double *x)
{
    for (int64_t i = 0; i < p->n && up > 0; i++)
        x[i] += up * p->noise[i];
}

static gd_status euler(gd_problem *p, double *x)
{
    for (int k = 0; k < p->grid->steps; k++) {
        const gd_level *at = &p->grid->level[k];
        const split t = split_of(p, at[0].sigma, at[1].sigma);
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, at, x, p->prediction));
        carry(p, t.down / at->sigma, x, p->prediction, x);
        add_noise(p, t.up, x);
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

/* DPM-Solver++(2S) down to t.down, through the level halfway in log sigma */
static gd_status second(gd_problem *p, double *x)
{
    double *half = p->buffer[0];

    for (int k = 0; k < p->grid->steps; k++) {
        const gd_level *at = &p->grid->level[k];
        const split t = split_of(p, at[0].sigma, at[1].sigma);
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, at, x, p->prediction));
        if (t.down > 0) {
            const gd_level middle = gd_sigma_level(&p->grid->map, sqrt(at->sigma * t.down));
            carry(p, middle.sigma / at->sigma, x, p->prediction, half);
            GD_TRY(gd_denoise(p, &middle, half, p->prediction));
        }
        carry(p, t.down / at->sigma, x, p->prediction, x);
        add_noise(p, t.up, x);
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

static int calls_of_second(const gd_grid *grid)
{
    return 2 * grid->steps - (grid->level[grid->steps].sigma == 0);
}

const gd_solver gd_solver_euler_ancestral = { "euler-a",     "ancestral Euler steps in sigma space",
                                              euler,         .grid = GD_GRID_SIGMA,
                                              .steps = "40", .takes_eta = true,
                                              .eta = 1 };
const gd_solver gd_solver_dpmpp_2s_ancestral = {
    "dpmpp-2s-a",
    "DPM-Solver++(2S) with ancestral noise, two calls a step",
    second,
    .buffers = 1,
    .calls = calls_of_second,
    .grid = GD_GRID_SIGMA,
    .steps = "20",
    .takes_eta = true,
    .eta = 1
};
