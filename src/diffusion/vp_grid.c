/* SPDX-License-Identifier: MIT */
/* vp_grid.c - a discrete schedule in continuous time, and grids of it (Lu et al. 2022, DPM-Solver,
 * appendix D; the authors' discrete_schedule). */
#include "diffusion/solver.h"

static const double LAMBDA_MIN = -5.1; /* noisier entries of a schedule are cut */

static double log_alpha_of(const gd_schedule *s, int i)
{
    return 0.5 * log(s->alpha_bar[i]);
}

static double lambda_of(double log_alpha)
{
    return log_alpha - 0.5 * log(1 - exp(2 * log_alpha));
}

gd_vp gd_vp_make(const gd_schedule *s)
{
    int n = s->n;

    while (n > 2 && lambda_of(log_alpha_of(s, n - 1)) < LAMBDA_MIN)
        n--;
    return (gd_vp){ .schedule = s, .n = n };
}

/* The line through the knots around t, the last ones outside */
static double log_alpha_at(const gd_vp *vp, double t)
{
    int i = (int)floor(t * vp->n) - 1;
    double a, b;

    i = i < 0 ? 0 : i > vp->n - 2 ? vp->n - 2 : i;
    a = log_alpha_of(vp->schedule, i);
    b = log_alpha_of(vp->schedule, i + 1);
    return a + (b - a) * (t * vp->n - (i + 1));
}

/* The network's time: training step t n - 1, fractions included */
static double network_time(const gd_vp *vp, double t)
{
    const gd_schedule *s = vp->schedule;

    if (vp->stretched)
        return (t - 1.0 / vp->n) * 1000;
    return (t * vp->n - 1) * (s->rescale_timesteps ? 1000.0 / s->n_train : 1);
}

gd_level gd_vp_level(const gd_vp *vp, double t)
{
    const double log_alpha = log_alpha_at(vp, t);

    return (gd_level){ .alpha = exp(log_alpha),
                       .sigma = sqrt(-expm1(2 * log_alpha)),
                       .time = network_time(vp, t),
                       .index = -1 };
}

double gd_vp_t(const gd_vp *vp, double lambda)
{
    const double log_alpha = -0.5 * log1p(exp(-2 * lambda));
    int low = 0, high = vp->n - 1; /* log alpha falls with the index */
    double a, b;

    while (high - low > 1) {
        const int mid = (low + high) / 2;
        if (log_alpha_of(vp->schedule, mid) > log_alpha)
            low = mid;
        else
            high = mid;
    }
    a = log_alpha_of(vp->schedule, low);
    b = log_alpha_of(vp->schedule, low + 1);
    return (low + 1 + (log_alpha - a) / (b - a)) / vp->n;
}

void gd_vp_times(const gd_vp *vp, gd_skip skip, int steps, double start, double end, double *t)
{
    const double from = lambda_of(log_alpha_at(vp, start)), to = lambda_of(log_alpha_at(vp, end));

    for (int k = 0; k <= steps; k++) {
        const double part = (double)k / steps,
                     root = sqrt(start) + part * (sqrt(end) - sqrt(start));
        t[k] = skip == GD_SKIP_TIME      ? start + part * (end - start)
               : skip == GD_SKIP_LOG_SNR ? gd_vp_t(vp, from + part * (to - from))
                                         : root * root;
    }
    t[0] = start; /* exactly, whatever the inverse of lambda gives */
    t[steps] = end;
}

gd_status gd_grid_vp_at(gd_grid **out, const gd_vp *vp, int steps, const double *t)
{
    GD_TRY(gd_grid_make(out, steps));
    for (int k = 0; k <= steps; k++)
        (*out)->level[k] = gd_vp_level(vp, t[k]);
    return GD_OK;
}

gd_status gd_grid_vp(gd_grid **out, const gd_vp *vp, gd_skip skip, int steps)
{
    double *t;
    gd_status s;

    GD_TRY(gd_block_make(&t, (size_t)(steps + 1) * sizeof *t, "noise levels"));
    gd_vp_times(vp, skip, steps, 1, 1.0 / vp->n, t);
    s = gd_grid_vp_at(out, vp, steps, t);
    gd_block_free(t);
    return s;
}

/* ---- singlestep ---- */

/* Orders of the steps that make n calls in all (the authors' get_orders_and_timesteps); how many */
static int singlestep_orders(int n, int order, int *orders)
{
    int k = 0, left = n;

    while (left > order || (order == 2 && left == 2)) {
        orders[k++] = order;
        left -= order;
    }
    if (order == 3 && left == 3) {
        orders[k++] = 2;
        left = 1;
    }
    if (left > 0)
        orders[k++] = left;
    return k;
}

static void fill_step(const gd_vp *vp, gd_skip skip, int order, double s, double t, gd_level *at)
{
    double inner[4];

    gd_vp_times(vp, skip, order, s, t, inner);
    for (int i = 0; i < order; i++)
        at[i] = gd_vp_level(vp, inner[i]);
    at[0].order = order;
}

gd_status gd_grid_singlestep(gd_grid **out, const gd_vp *vp, gd_skip skip, int calls, int order)
{
    const double end = 1.0 / vp->n;
    double *t;
    int *orders, steps, done = 0;

    GD_TRY(gd_grid_make(out, calls));
    GD_TRY(gd_block_make(&t, (size_t)(calls + 1) * (sizeof *t + sizeof *orders), "noise levels"));
    orders = (int *)(t + calls + 1);
    steps = singlestep_orders(calls, order, orders);
    gd_vp_times(vp, skip, skip == GD_SKIP_LOG_SNR ? steps : calls, 1, end, t);
    for (int k = 0; k < steps; k++) {
        const int next = done + orders[k];
        const bool own = skip == GD_SKIP_LOG_SNR; /* a grid of the steps, not of the calls */
        fill_step(vp, skip, orders[k], t[own ? k : done], t[own ? k + 1 : next],
                  &(*out)->level[done]);
        done = next;
    }
    (*out)->level[calls] = gd_vp_level(vp, end);
    gd_block_free(t);
    return GD_OK;
}
