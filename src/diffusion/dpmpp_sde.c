/* SPDX-License-Identifier: MIT */
/* dpmpp_sde.c - Lu et al. 2022b, SDE-DPM-Solver++(2M), and its third order form: the share eta of
 * the diffusion's noise is drawn anew at every step.  In sigma space these are Katherine Crowson's
 * dpmpp_2m_sde and dpmpp_3m_sde. */
#include "diffusion/dpmpp.h"

/* x = keep x + alpha (g m_0 + first differences + second differences) + to_noise z */
static void step(const gd_problem *p, const gd_level *s, const gd_level *t, double h,
                 const gd_history *y, int order, bool midpoint, double *x)
{
    const double eta = p->run->options.eta, e = h * (1 + eta), g = -expm1(-e),
                 phi2 = h < INFINITY ? 1 - g / e : 1, phi3 = h < INFINITY ? phi2 / e - 0.5 : 0,
                 scale = p->run->options.noise > 0 ? p->run->options.noise : 1,
                 keep = t->sigma > 0 ? t->sigma / s->sigma * exp(-eta * h) : 0,
                 to_noise = t->sigma * sqrt(-expm1(-2 * eta * h)) * scale,
                 first = midpoint ? g / 2 : phi2;
    const double r0 = order > 1 ? y->h[0] / h : 1, r1 = order > 2 ? y->h[1] / h : 1;

    for (int64_t i = 0; i < p->n; i++) {
        double d1 = order > 1 ? (y->m[0][i] - y->m[1][i]) / r0 : 0, d2 = 0;
        if (order > 2) {
            d2 = (d1 - (y->m[1][i] - y->m[2][i]) / r1) / (r0 + r1);
            d1 += r0 * d2;
        }
        x[i] = keep * x[i] + t->alpha * (g * y->m[0][i] + first * d1 - phi3 * d2);
        if (to_noise > 0)
            x[i] += to_noise * p->noise[i];
    }
}

static gd_status solve(gd_problem *p, double *x, int order)
{
    const gd_solver_options *o = &p->run->options;
    const int n = p->grid->steps, below = gd_lower_order_below(o);
    const bool midpoint = order == 2 && !o->taylor;
    gd_history y = { .m = { p->buffer[0], p->buffer[1], p->buffer[2] } };

    order = o->order ? GD_MIN(o->order, order) : order;
    for (int k = 0; k < n; k++) {
        const gd_level *at = &p->grid->level[k];
        const double h = at[1].sigma > 0 ? gd_lambda(&at[1]) - gd_lambda(at) : INFINITY;
        gd_history_shift(&y);
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, at, x, y.m[0]));
        step(p, at, at + 1, h, &y, at[1].sigma > 0 ? gd_multistep_order(order, k, n, below) : 1,
             midpoint, x);
        gd_history_stepped(&y, h);
        GD_TRY(gd_step_done(p, k + 1, x, y.m[0]));
    }
    return gd_denoise_to_zero(p, x);
}

static gd_status solve_2m(gd_problem *p, double *x)
{
    return solve(p, x, 2);
}

static gd_status solve_3m(gd_problem *p, double *x)
{
    return solve(p, x, 3);
}

const gd_solver gd_solver_dpmpp_2m_sde = {
    "dpmpp-2m-sde",     "SDE-DPM-Solver++(2M): fresh noise every step",
    solve_2m,           .buffers = 3,
    .grid = GD_GRID_VP, .steps = "25",
    .takes_eta = true,  .eta = 1
};
const gd_solver gd_solver_dpmpp_3m_sde = { "dpmpp-3m-sde",
                                           "SDE-DPM-Solver++ of third order, in sigma space",
                                           solve_3m,
                                           .buffers = 3,
                                           .grid = GD_GRID_SIGMA,
                                           .steps = "25",
                                           .takes_eta = true,
                                           .eta = 1 };
