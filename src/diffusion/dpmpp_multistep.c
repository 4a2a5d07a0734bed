/* SPDX-License-Identifier: MIT */
/* dpmpp_multistep.c - Lu et al. 2022b, DPM-Solver++(2M), algorithm 2, and its third order form: one
 * network call a step.  In sigma space it is Katherine Crowson's dpmpp_2m. */
#include "diffusion/dpmpp.h"

/* x_t = keep x + first m_0 + second-order term (+ third-order term) */
static void step(const gd_problem *p, const gd_exponential_step *e, const gd_history *y, int order,
                 double *x)
{
    const double r0 = order > 1 ? y->h[0] / e->h : 0, r1 = order > 2 ? y->h[1] / e->h : 0;
    const bool taylor = p->run->options.taylor || order == 3;
    const double second = order == 1 ? 0
                          : taylor   ? e->alpha * e->phi2
                                     : 0.5 * e->first,
                 third = order == 3 ? -e->alpha * e->phi3 : 0;

    for (int64_t i = 0; i < p->n; i++) {
        double d1 = 0, d2 = 0;
        if (order > 1)
            d1 = (y->m[0][i] - y->m[1][i]) / r0;
        if (order > 2) {
            const double before = (y->m[1][i] - y->m[2][i]) / r1;
            d2 = (d1 - before) / (r0 + r1);
            d1 += r0 * d2;
        }
        x[i] = e->keep * x[i] + e->first * y->m[0][i] + second * d1 + third * d2;
    }
}

static gd_status solve(gd_problem *p, double *x, int order)
{
    const gd_solver_options *o = &p->run->options;
    const int n = p->grid->steps, below = gd_lower_order_below(o);
    const gd_level *at = p->grid->level;
    gd_history y = { .m = { p->buffer[0], p->buffer[1], p->buffer[2] } };

    order = o->order ? GD_MIN(o->order, order) : order;
    for (int k = 0; k < n; k++) {
        const gd_exponential_step e = gd_exponential_step_make(&at[k], &at[k + 1]);
        const bool to_image = at[k + 1].sigma == 0;
        gd_draw(p, k + 1);
        gd_history_shift(&y);
        GD_TRY(gd_denoise(p, &at[k], x, y.m[0]));
        step(p, &e, &y, to_image ? 1 : gd_multistep_order(order, k, n, below), x);
        gd_history_stepped(&y, e.h);
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

const gd_solver gd_solver_dpmpp_2m = {
    "dpmpp-2m",         "DPM-Solver++(2M): second order, one call a step",
    solve_2m,           .buffers = 3,
    .grid = GD_GRID_VP, .steps = "15"
};
const gd_solver gd_solver_dpmpp_3m = {
    "dpmpp-3m",         "DPM-Solver++(3M): third order, one call a step",
    solve_3m,           .buffers = 3,
    .grid = GD_GRID_VP, .steps = "15"
};
