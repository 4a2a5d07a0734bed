/* SPDX-License-Identifier: MIT */
/* dpmpp_singlestep.c - Lu et al. 2022b, DPM-Solver++(2S) and (3S): each step makes as many network
 * calls as its order and keeps no history.  The grid names each step's order at its first level;
 * the levels up to the next such one are the step's own. */
#include "diffusion/dpmpp.h"

/* u = x carried from s to t with the prediction m_0 alone */
static void carry(const gd_problem *p, const gd_exponential_step *e, const double *x,
                  const double *m0, double *u)
{
    for (int64_t i = 0; i < p->n; i++)
        u[i] = e->keep * x[i] + e->first * m0[i];
}

static gd_status second(gd_problem *p, const gd_level *s, double *x, const double *m0, double *m1,
                        double *u)
{
    const gd_exponential_step whole = gd_exponential_step_make(&s[0], &s[2]),
                              part = gd_exponential_step_make(&s[0], &s[1]);
    const double r = part.h / whole.h,
                 weight = (p->run->options.taylor ? whole.alpha * whole.phi2 : whole.first / 2) / r;

    carry(p, &part, x, m0, u);
    GD_TRY(gd_denoise(p, &s[1], u, m1));
    carry(p, &whole, x, m0, x);
    for (int64_t i = 0; i < p->n; i++)
        x[i] += weight * (m1[i] - m0[i]);
    return GD_OK;
}

static gd_status third(gd_problem *p, const gd_level *s, double *x, const double *m0, double *m1,
                       double *m2, double *u)
{
    const gd_exponential_step whole = gd_exponential_step_make(&s[0], &s[3]),
                              one = gd_exponential_step_make(&s[0], &s[1]),
                              two = gd_exponential_step_make(&s[0], &s[2]);
    const double r1 = one.h / whole.h, r2 = two.h / whole.h;

    carry(p, &one, x, m0, u);
    GD_TRY(gd_denoise(p, &s[1], u, m1));
    carry(p, &two, x, m0, u);
    for (int64_t i = 0; i < p->n; i++)
        u[i] += r2 / r1 * two.alpha * two.phi2 * (m1[i] - m0[i]);
    GD_TRY(gd_denoise(p, &s[2], u, m2));
    carry(p, &whole, x, m0, x);
    for (int64_t i = 0; i < p->n; i++) {
        const double e1 = (m1[i] - m0[i]) / r1, e2 = (m2[i] - m0[i]) / r2,
                     d1 = (r2 * e1 - r1 * e2) / (r2 - r1), d2 = 2 * (e2 - e1) / (r2 - r1);
        x[i] += p->run->options.taylor ? whole.alpha * (whole.phi2 * d1 - whole.phi3 * d2)
                                       : whole.alpha * whole.phi2 * e2;
    }
    return GD_OK;
}

static gd_status first(gd_problem *p, const gd_level *s, double *x, const double *m0)
{
    const gd_exponential_step whole = gd_exponential_step_make(&s[0], &s[1]);

    carry(p, &whole, x, m0, x);
    return GD_OK;
}

static gd_status solve(gd_problem *p, double *x)
{
    double *m0 = p->buffer[0], *m1 = p->buffer[1], *m2 = p->buffer[2], *u = p->buffer[3];
    const gd_level *s = p->grid->level;

    for (int at = 0, k = 1; at < p->grid->steps; at += s[at].order, k++) {
        const int order = s[at].order;
        gd_draw(p, k);
        GD_TRY(gd_denoise(p, &s[at], x, m0));
        GD_TRY(order == 1   ? first(p, &s[at], x, m0)
               : order == 2 ? second(p, &s[at], x, m0, m1, u)
                            : third(p, &s[at], x, m0, m1, m2, u));
        GD_TRY(gd_step_done(p, k, x, m0));
    }
    return gd_denoise_to_zero(p, x);
}

const gd_solver gd_solver_dpmpp_2s = { "dpmpp-2s",
                                       "DPM-Solver++(2S): second order without history",
                                       solve,
                                       .buffers = 4,
                                       .grid = GD_GRID_SINGLESTEP,
                                       .steps = "18",
                                       .order = 2 };
const gd_solver gd_solver_dpmpp_3s = { "dpmpp-3s",
                                       "DPM-Solver++(3S): third order without history",
                                       solve,
                                       .buffers = 4,
                                       .grid = GD_GRID_SINGLESTEP,
                                       .steps = "18",
                                       .order = 3 };
