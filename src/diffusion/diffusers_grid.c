/* SPDX-License-Identifier: MIT */
/* diffusers_grid.c - noise levels as the multistep schedulers of diffusers choose them. */
#include "diffusion/solver.h"

/* Variance preserving, of sigma / alpha */
static gd_level level_of(double sigma, int time)
{
    const double alpha = 1 / sqrt(1 + sigma * sigma);

    return (gd_level){ .alpha = alpha, .sigma = alpha * sigma, .time = time, .index = time };
}

/* The k-th of n training steps out of the first `last` */
static int time_of(const gd_diffusers_grid *how, int n_train, int last, int n, int k)
{
    switch (how->spacing) {
    case GD_DIFFUSERS_LINSPACE:
        return (int)rint((double)(last - 1) * (n - k) / n);
    case GD_DIFFUSERS_LEADING:
        return (n - k) * (last / (n + 1));
    case GD_DIFFUSERS_TRAILING:
        return (int)rint(last - (double)k * n_train / n) - 1;
    }
    return 0;
}

static void fill_karras(gd_grid *g, const gd_schedule *s, const gd_diffusers_grid *how)
{
    const double rho = 7, from = pow(gd_sigma_of(s, s->n - 1), 1 / rho),
                 to = pow(gd_sigma_of(s, 0), 1 / rho);
    const gd_sigma_map map = { .kind = GD_TIME_LOG, .schedule = s };

    for (int k = 0; k < g->steps; k++) {
        const double part = g->steps > 1 ? (double)k / (g->steps - 1) : 0,
                     sigma = pow(from + part * (to - from), rho),
                     time = gd_sigma_level(&map, sigma).time;
        g->level[k] = level_of(sigma, (int)(how->truncate ? floor(time) : rint(time)));
    }
}

gd_status gd_grid_diffusers(gd_grid **out, const gd_schedule *s, int steps,
                            const gd_diffusers_grid *how)
{
    const int last = how->clip ? gd_vp_make(s).n : s->n;

    if (steps < 1 || steps >= last)
        return gd_fail(GD_EUSAGE, "steps %d: expected 1 to %d", steps, last - 1);
    GD_TRY(gd_grid_make(out, steps));
    if (how->karras)
        fill_karras(*out, s, how);
    else
        for (int k = 0; k < steps; k++) {
            const int time = time_of(how, s->n, last, steps, k);
            (*out)->level[k] = level_of(gd_sigma_of(s, time), time);
        }
    (*out)->level[steps] =
        how->end_first ? level_of(gd_sigma_of(s, 0), 0) : (gd_level){ .alpha = 1, .index = -1 };
    return GD_OK;
}
