/* dpmpp_sde.c - Lu et al. 2022b, SDE-DPM-Solver++(2M): second order with fresh noise at every
 * step. */
#include "diffusion/dpmpp.h"

static gd_status solve(gd_problem *p, double *x)
{
    const gd_level *at = p->grid->level;
    const int n = p->grid->steps,
              below = p->run->options.lower_order_below ? p->run->options.lower_order_below : 10;
    const int order = p->run->options.order ? GD_MIN(p->run->options.order, 2) : 2;
    double *m0 = p->buffer[0], *m1 = p->buffer[1], before = 0;

    for (int k = 0; k < n; k++) {
        const gd_exponential_step e = gd_exponential_step_make(&at[k], &at[k + 1]);
        const double g = -expm1(-2 * e.h), keep = e.keep * exp(-e.h),
                     to_noise = at[k + 1].sigma * sqrt(g);
        const bool first =
            k == 0 || at[k + 1].sigma == 0 || gd_multistep_order(order, k, n, below) == 1;
        double *older = m1;
        m1 = m0;
        m0 = older;
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, &at[k], x, m0));
        for (int64_t i = 0; i < p->n; i++) {
            const double d = first ? 0 : 0.5 * (m0[i] - m1[i]) * e.h / before;
            x[i] = keep * x[i] + e.alpha * g * (m0[i] + d) + to_noise * p->noise[i];
        }
        before = e.h;
        GD_TRY(gd_step_done(p, k + 1, x, m0));
    }
    return gd_denoise_to_zero(p, x);
}

const gd_solver gd_solver_dpmpp_2m_sde = { "dpmpp-2m-sde",
                                           "SDE-DPM-Solver++(2M): fresh noise every step",
                                           solve,
                                           .buffers = 2,
                                           .grid = GD_GRID_VP,
                                           .steps = "25" };
