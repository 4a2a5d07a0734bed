/* SPDX-License-Identifier: MIT */
/* solve_daps.c - Zhang et al. 2024, "Improving Diffusion Inverse Problem Solving with Decoupled
 * Noise Annealing": at each level an ODE predicts an image, Langevin steps pull it towards the
 * measurement, and noise of the next level is added. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *u, *v, *gradient; /* [n] */
    double *residual;         /* [m] */
    double tau;
} work;

/* Level of the sigma scale: x / sqrt(1 + sigma^2) is what the network has seen */
static gd_level level_at(const gd_solving *s, double sigma)
{
    const double norm = sqrt(1 + sigma * sigma);
    const bool continuous = strcmp(s->o->time, "vp-continuous") == 0;

    return (gd_level){ .alpha = 1 / norm,
                       .sigma = sigma / norm,
                       .time = continuous ? gd_time_continuous(sigma)
                                          : gd_time_interpolated(sigma, s->schedule->alpha_bar,
                                                                 s->schedule->n),
                       .index = -1 };
}

/* Euler steps of dx = eps dsigma from sigma down to ode_sigma_min */
static gd_status integrate(gd_solving *s, work *w, double sigma)
{
    const int steps = s->o->ode_steps;
    double *input = w->gradient;

    memcpy(w->u, s->x, (size_t)s->n * sizeof *w->u);
    for (int k = 0; k < steps; k++) {
        const double now = gd_poly7_sigma(k, steps, sigma, s->o->ode_sigma_min),
                     next = gd_poly7_sigma(k + 1, steps, sigma, s->o->ode_sigma_min);
        const gd_level at = level_at(s, now);
        for (int64_t i = 0; i < s->n; i++)
            input[i] = w->u[i] * at.alpha;
        GD_TRY(gd_predict(s, &at, input, true));
        for (int64_t i = 0; i < s->n; i++)
            w->u[i] += (next - now) * s->eps[i];
    }
    return GD_OK;
}

/* Unadjusted Langevin steps on |A v - y|^2 / tau^2 + |v - u|^2 / (2 sigma^2) */
static void langevin(gd_solving *s, work *w, double h, double sigma)
{
    memcpy(w->v, w->u, (size_t)s->n * sizeof *w->v);
    for (int k = 0; k < s->o->mcmc_steps; k++) {
        gd_operator_apply(s->op, w->v, w->residual);
        for (int64_t i = 0; i < s->m; i++)
            w->residual[i] -= s->y[i];
        gd_operator_adjoint(s->op, w->v, w->residual, w->gradient);
        gd_next_noise(s, s->n, s->z);
        for (int64_t i = 0; i < s->n; i++)
            w->v[i] += h * (-2 / (w->tau * w->tau) * w->gradient[i] +
                            (w->u[i] - w->v[i]) / (sigma * sigma)) +
                       sqrt(2 * h) * s->z[i];
    }
}

static double tau_of(const gd_restore_options *o)
{
    return o->tau > 0 ? o->tau : sqrt(2) * o->sigma_y;
}

/* The largest second derivative of what Langevin steps go down on */
static double curvature(const gd_operator *op, const gd_restore_options *o, double sigma)
{
    const double tau = tau_of(o);
    return 2 * op->norm * op->norm / (tau * tau) + 1 / (sigma * sigma);
}

/* Step of level i; lr 0: a tenth of the stability limit */
static double step_size(const gd_operator *op, const gd_restore_options *o, int i, double sigma)
{
    if (o->lr > 0)
        return o->lr * (1 + (double)i / (o->annealing_steps + 1) * (o->lr_min_ratio - 1));
    return 0.2 / curvature(op, o, sigma);
}

/* At the limit itself the iteration diverges. */
static gd_status check(const gd_operator *op, const gd_restore_options *o)
{
    const int n = o->annealing_steps;

    if (!(tau_of(o) > 0))
        return gd_fail(GD_EUSAGE, "daps: needs noise (--noise) or tau");
    for (int i = 0; i < n && !o->unchecked && o->mcmc_steps > 0; i++) {
        const double sigma = gd_poly7_sigma(i, n, o->sigma_max, o->sigma_min),
                     most = 2 / curvature(op, o, sigma), h = step_size(op, o, i, sigma);
        if (h >= most)
            return gd_fail(GD_EUSAGE,
                           "daps: a step of %g is unstable with tau %g and this operator; lr must "
                           "be below %g (lr=0 chooses)",
                           h, tau_of(o), most);
    }
    return GD_OK;
}

static gd_status solve(gd_solving *s)
{
    const gd_restore_options *o = s->o;
    work w = { gd_solving_array(s, s->n), gd_solving_array(s, s->n), gd_solving_array(s, s->n),
               gd_solving_array(s, s->m), tau_of(o) };

    if (!w.u || !w.v || !w.gradient || !w.residual)
        return GD_ENOMEM;
    gd_next_noise(s, s->n, s->z);
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] = o->sigma_max * s->z[i];
    for (int i = 0; i < o->annealing_steps; i++) {
        const int n = o->annealing_steps;
        const double sigma = gd_poly7_sigma(i, n, o->sigma_max, o->sigma_min),
                     next = i + 1 < n ? gd_poly7_sigma(i + 1, n, o->sigma_max, o->sigma_min) : 0;
        GD_TRY(integrate(s, &w, sigma));
        langevin(s, &w, step_size(s->op, o, i, sigma), sigma);
        GD_TRY(gd_check_state(s, w.v));
        gd_next_noise(s, s->n, s->z);
        gd_mix(s->x, 1, w.v, next, s->z, s->n);
    }
    return GD_OK;
}

static int calls(const gd_prior *prior, const gd_restore_options *o)
{
    (void)prior;
    return o->annealing_steps * o->ode_steps;
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->annealing_steps = 100;
    o->ode_steps = 5;
    o->sigma_max = 100;
    o->sigma_min = 0.1;
    o->ode_sigma_min = 0.01;
    o->mcmc_steps = 100;
    o->lr_min_ratio = 0.01;
}

const gd_restorer gd_restorer_daps = { "daps",
                                       "DAPS: any operator with a derivative, noise needed",
                                       GD_NEEDS_SCORE,
                                       false,
                                       solve,
                                       calls,
                                       defaults,
                                       "annealing_steps ode_steps mcmc_steps sigma_max sigma_min "
                                       "ode_sigma_min lr lr_min_ratio tau time",
                                       check };
