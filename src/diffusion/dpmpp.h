/* SPDX-License-Identifier: MIT */
/* dpmpp.h - the terms that DPM-Solver++ (Lu et al. 2022b) and UniPC (Zhao et al. 2023) share: from
 * level s to level t, h = lambda_t - lambda_s, with predicted images m_0, m_1, ... */
#ifndef GD_DPMPP_H
#define GD_DPMPP_H

#include "diffusion/solver.h"

typedef struct gd_exponential_step {
    double h;
    double keep;       /* of x: sigma_t / sigma_s */
    double first;      /* of m_0: -alpha_t (e^-h - 1) */
    double phi2, phi3; /* (e^-h - 1) / h + 1, phi2 / h - 1/2 */
    double alpha;      /* of t */
} gd_exponential_step;

/* At sigma_t = 0 the step returns m_0: keep 0, first alpha_t. */
static inline gd_exponential_step gd_exponential_step_make(const gd_level *s, const gd_level *t)
{
    gd_exponential_step e = { .alpha = t->alpha };

    if (t->sigma == 0) {
        e.h = INFINITY;
        e.first = t->alpha;
        e.phi2 = 1;
        return e;
    }
    e.h = gd_lambda(t) - gd_lambda(s);
    e.keep = t->sigma / s->sigma;
    e.first = -t->alpha * expm1(-e.h);
    e.phi2 = expm1(-e.h) / e.h + 1;
    e.phi3 = e.phi2 / e.h - 0.5;
    return e;
}

/* The order of step k (0, 1, ..) of n: as much history as there is, and lower ones at the end of
 * grids of fewer steps than `below` (they are unstable there). */
static inline int gd_multistep_order(int order, int k, int n, int below)
{
    const int most = GD_MIN(order, k + 1);

    return n < below ? GD_MIN(most, n - k) : most;
}

static inline int gd_lower_order_below(const gd_solver_options *o)
{
    enum { PAPER = 10 };

    return o->lower_order_below ? o->lower_order_below : PAPER;
}

/* What DPM-Solver++'s multistep forms remember */
typedef struct gd_history {
    double *m[3]; /* predictions, newest first */
    double h[2];  /* steps that ended at the present level and the one before */
} gd_history;

/* Makes room for the next prediction in m[0] */
static inline void gd_history_shift(gd_history *y)
{
    double *oldest = y->m[2];

    y->m[2] = y->m[1];
    y->m[1] = y->m[0];
    y->m[0] = oldest;
}

static inline void gd_history_stepped(gd_history *y, double h)
{
    y->h[1] = y->h[0];
    y->h[0] = h;
}

#endif
