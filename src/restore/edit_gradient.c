/* SPDX-License-Identifier: MIT */
/* edit_gradient.c - the exact gradient through noise and back (DiffPure's adaptive attack): states
 * are kept, and each call is made again for its vector-Jacobian product. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *state;              /* [start + 1][n]: x before the call at index t */
    double *c_x0, *c_eps, *c_v; /* [n] cotangents */
    double *through;            /* [n] of the network */
} work;

/* d x' / d log_variance is z exp(log_variance / 2) / 2 */
static double of_variance(const gd_solving *s, int t, double v)
{
    const double h = s->prior->var_type == GD_VAR_LEARNED_RANGE
                         ? (log(s->schedule->beta[t]) - s->schedule->posterior_log_variance[t]) / 2
                     : s->prior->var_type == GD_VAR_LEARNED ? 1
                                                            : 0;
    double variance, log_variance;

    gd_variance_of(s, t, v, &variance, &log_variance);
    return h * exp(0.5 * log_variance) / 2;
}

/* x' = c1 x0 + c2 x + exp(log_variance / 2) z: c_x0, c_v, and what x has directly, into g */
static void back_ancestral(const gd_solving *s, work *w, int t, double *g)
{
    for (int64_t i = 0; i < s->n; i++) {
        w->c_x0[i] = s->schedule->posterior_mean_coef1[t] * g[i];
        w->c_v[i] = t > 0 ? of_variance(s, t, s->v[i]) * s->z[i] * g[i] : 0;
        g[i] *= s->schedule->posterior_mean_coef2[t];
    }
}

/* x' = sqrt(next) x0 + to_eps (x - sqrt(a) x0) / sqrt(1 - a) + sigma z */
static void back_ddim(const gd_solving *s, work *w, int t, double *g)
{
    const double a = gd_alpha_bar(s->schedule, t), next = gd_alpha_bar(s->schedule, t - 1),
                 sigma = s->o->eta * sqrt((1 - next) / (1 - a)) * sqrt(fmax(1 - a / next, 0)),
                 of_x = sqrt(fmax(1 - next - sigma * sigma, 0)) / sqrt(1 - a);

    for (int64_t i = 0; i < s->n; i++) {
        w->c_x0[i] = (sqrt(next) - of_x * sqrt(a)) * g[i];
        w->c_v[i] = 0;
        g[i] *= of_x;
    }
}

/* g at the state after the call at index t becomes that before it */
static gd_status back(gd_solving *s, work *w, int t, double *g)
{
    const gd_prior *p = s->prior;
    const gd_level at = gd_level_of(s->schedule, t);
    const double *x = w->state + (int64_t)t * s->n;

    GD_TRY(gd_predict(s, &at, x, false));
    p->noise(p->ctx, 1 + s->o->start - t, s->n, s->z);
    if (s->o->ddim)
        back_ddim(s, w, t, g);
    else
        back_ancestral(s, w, t, g);
    for (int64_t i = 0; i < s->n; i++) {
        if (s->o->clip && fabs(s->x0[i]) > 1)
            w->c_x0[i] = 0;
        w->c_eps[i] = -at.sigma / at.alpha * w->c_x0[i];
        g[i] += w->c_x0[i] / at.alpha;
    }
    GD_TRY(p->vjp(p->ctx, &at, w->c_eps, w->c_v, w->through));
    for (int64_t i = 0; i < s->n; i++)
        g[i] += w->through[i];
    return GD_OK;
}

static gd_status run(gd_solving *s, work *w, gd_edit_loss loss, void *loss_ctx, double *g)
{
    const int start = s->o->start;
    double **const arrays[] = { &w->c_x0, &w->c_eps, &w->c_v, &w->through };

    for (int i = 0; i < COUNT(arrays); i++)
        if (!(*arrays[i] = gd_solving_array(s, s->n)))
            return GD_ENOMEM;
    GD_TRY(gd_edit_start(s));
    if (!(w->state = gd_solving_array(s, (start + 1) * s->n)))
        return GD_ENOMEM;
    s->all_calls = 2 * (start + 1);
    for (int t = start; t >= 0; t--) {
        memcpy(w->state + (int64_t)t * s->n, s->x, (size_t)s->n * sizeof *s->x);
        GD_TRY(gd_edit_step(s, t));
    }
    GD_TRY(gd_check_state(s, s->x));
    GD_TRY(loss(loss_ctx, s->x, g));
    for (int t = 0; t <= start; t++)
        GD_TRY(back(s, w, t, g));
    for (int64_t i = 0; i < s->n; i++) /* the start is sqrt(alpha_bar) y + noise */
        g[i] *= sqrt(gd_alpha_bar(s->schedule, start));
    return GD_OK;
}

gd_status gd_edit_gradient(const gd_prior *prior, const double *y, const gd_restore_options *o,
                           gd_edit_loss loss, void *loss_ctx, double *x, double *g)
{
    gd_solving s;
    gd_status status;
    work w;

    if (!prior->vjp)
        return gd_fail(GD_EUSAGE, "sdedit: the prior was opened without gradients");
    if (prior->guide)
        return gd_fail(GD_EUSAGE, "the gradient through guidance by a classifier is not known");
    status = gd_solving_begin(&s, &gd_restorer_sdedit, prior, o, x);
    s.y = y;
    if (status == GD_OK)
        status = run(&s, &w, loss, loss_ctx, g);
    gd_arena_free(s.mem);
    return status;
}
