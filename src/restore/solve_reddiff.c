/* SPDX-License-Identifier: MIT */
/* solve_reddiff.c - Mardani et al. 2023, "A Variational Perspective on Solving Inverse Problems
 * with Diffusion Models": Adam on one image, the network's error as its regulariser.  Gives a mode:
 * there is no spread. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *mean, *first, *second, *x0, *z0, *adjoint; /* [n]; moments of Adam */
    double *residual;                                  /* [m] */
    double measured;                                   /* elements of y that were measured */
} work;

static double term_weight(const char *kind, double inverse_snr)
{
    if (strcmp(kind, "sqrt") == 0)
        return sqrt(inverse_snr);
    if (strcmp(kind, "square") == 0)
        return inverse_snr * inverse_snr;
    if (strcmp(kind, "log") == 0)
        return log(inverse_snr + 1);
    if (strcmp(kind, "trunc") == 0)
        return fmin(inverse_snr, 1);
    if (strcmp(kind, "const") == 0)
        return 1;
    return inverse_snr;
}

static double count_measured(const gd_solving *s)
{
    const uint8_t *mask = gd_operator_mask(s->op);
    const int64_t plane = (int64_t)s->op->image.h * s->op->image.w;
    int64_t known = 0;

    if (!mask)
        return (double)s->m;
    for (int64_t i = 0; i < plane; i++)
        known += mask[i];
    return (double)(known * s->op->image.c);
}

/* Kingma & Ba 2015 */
static void adam(gd_solving *s, work *w, double weight, int k)
{
    const double beta1 = 0.9, beta2 = 0.99, tiny = 1e-8, /* beta2 as the authors set it */
        bias1 = 1 - pow(beta1, k), bias2 = 1 - pow(beta2, k);

    for (int64_t i = 0; i < s->n; i++) {
        const double g = weight * (s->eps[i] - s->z[i]) / (double)s->n -
                         s->o->obs_weight * w->adjoint[i] / w->measured;
        w->first[i] = beta1 * w->first[i] + (1 - beta1) * g;
        w->second[i] = beta2 * w->second[i] + (1 - beta2) * g * g;
        w->mean[i] -= s->o->lr * (w->first[i] / bias1) / (sqrt(w->second[i] / bias2) + tiny);
    }
}

static gd_status step(gd_solving *s, work *w, int t, int k)
{
    const double a = gd_alpha_bar(s->schedule, t);
    const gd_level at = gd_level_of(s->schedule, t);

    gd_next_noise(s, s->n, w->z0);
    gd_next_noise(s, s->n, s->z);
    gd_mix(w->x0, 1, w->mean, s->o->sigma_x0, w->z0, s->n);
    gd_mix(s->x, sqrt(a), w->x0, sqrt(1 - a), s->z, s->n);
    GD_TRY(gd_predict(s, &at, s->x, true));
    gd_operator_apply(s->op, w->x0, w->residual);
    for (int64_t i = 0; i < s->m; i++)
        w->residual[i] = s->y[i] - w->residual[i];
    gd_operator_adjoint(s->op, w->x0, w->residual, w->adjoint);
    adam(s, w, s->o->grad_term_weight * term_weight(s->o->denoise_weight, sqrt(1 / a - 1)), k);
    return GD_OK;
}

static gd_status solve(gd_solving *s)
{
    work w = { 0 };
    double **const arrays[] = { &w.mean, &w.first, &w.second, &w.x0, &w.z0, &w.adjoint };
    int *list, n;

    for (int i = 0; i < COUNT(arrays); i++)
        if (!(*arrays[i] = gd_solving_array(s, s->n)))
            return GD_ENOMEM;
    if (!(w.residual = gd_solving_array(s, s->m)))
        return GD_ENOMEM;
    w.measured = count_measured(s);
    GD_TRY(gd_step_list(s, &list, &n));
    if (s->op->has_pinv)
        gd_operator_pinv(s->op, s->y, w.mean);
    s->draws = 1; /* there is no noise to begin with */
    for (int k = n - 1; k >= 0; k--)
        GD_TRY(step(s, &w, list[k], n - k));
    memcpy(s->x, w.mean, (size_t)s->n * sizeof *s->x);
    return GD_OK;
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 200;
    o->grad_term_weight = 0.25;
    o->obs_weight = 1;
    o->lr = 0.1;
}

const gd_restorer gd_restorer_reddiff = {
    "reddiff",      "RED-diff: one most likely image by optimisation, no spread",
    GD_NEEDS_SCORE, false,
    solve,          gd_calls_of_list,
    defaults,       "steps denoise_weight grad_term_weight obs_weight lr sigma_x0"
};
