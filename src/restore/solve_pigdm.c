/* SPDX-License-Identifier: MIT */
/* solve_pigdm.c - Song et al. 2023, "Pseudoinverse-Guided Diffusion Models for Inverse Problems".
 * The weight of the gradient is that of the authors' program, of the paper, or the one that
 * Tweedie's formula gives (exact). */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *c, *g;    /* [n] */
    double *residual; /* [m] */
} work;

static double guidance_gain(void *ctx, double s)
{
    return s * s / (s * s + *(const double *)ctx);
}

/* w->g = J^T V s^2 / (s^2 + sigma_y^2 / r^2) V^T A^+ (y - A x0) */
static gd_status guide(gd_solving *s, work *w, const gd_level *at, double a)
{
    const double variance = s->o->prior_variance,
                 r2 = variance > 0 ? variance * (1 - a) / (variance * a + 1 - a) : 1 - a;
    double ratio = s->o->sigma_y * s->o->sigma_y / r2;

    gd_operator_apply(s->op, s->x0, w->residual);
    for (int64_t i = 0; i < s->m; i++)
        w->residual[i] = s->y[i] - w->residual[i];
    if (s->prior->correct) {
        s->prior->correct(s->prior->ctx, at, w->residual, w->c);
        return gd_x0_vjp(s, at, false, w->c, w->g);
    }
    gd_operator_pinv(s->op, w->residual, w->c);
    if (s->o->sigma_y > 0)
        gd_operator_spectral(s->op, guidance_gain, &ratio, w->c, w->c);
    return gd_x0_vjp(s, at, false, w->c, w->g);
}

static double weight_of(const gd_solving *s, double a, double next, double c2)
{
    if (strcmp(s->o->weight, "code") == 0)
        return sqrt(next) * sqrt(a);
    if (strcmp(s->o->weight, "paper") == 0)
        return sqrt(a);
    return (sqrt(next) - c2 * sqrt(a) / sqrt(1 - a)) / sqrt(a);
}

static gd_status step(gd_solving *s, work *w, int t, int to)
{
    const double a = gd_alpha_bar(s->schedule, t), b = gd_alpha_bar(s->schedule, to),
                 c1 = s->o->eta * sqrt((1 - a / b) * (1 - b) / (1 - a)),
                 c2 = sqrt(fmax(1 - b - c1 * c1, 0));
    const gd_level at = gd_level_of(s->schedule, t);
    const double k = s->o->grad_weight * weight_of(s, a, b, c2);

    GD_TRY(gd_predict(s, &at, s->x, true));
    GD_TRY(guide(s, w, &at, a));
    gd_next_noise(s, s->n, s->z);
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] = sqrt(b) * s->x0[i] + c1 * s->z[i] + c2 * s->eps[i] + k * w->g[i];
    return GD_OK;
}

static gd_status solve(gd_solving *s)
{
    work w = { gd_solving_array(s, s->n), gd_solving_array(s, s->n), gd_solving_array(s, s->m) };
    int *list, n;

    if (!w.c || !w.g || !w.residual)
        return GD_ENOMEM;
    GD_TRY(gd_step_list(s, &list, &n));
    gd_next_noise(s, s->n, s->x);
    if (!s->o->init_noise) {
        const double a = gd_alpha_bar(s->schedule, list[n - 1]);
        gd_operator_pinv(s->op, s->y, w.c);
        gd_mix(s->x, sqrt(a), w.c, sqrt(1 - a), s->x, s->n);
    }
    for (int k = n - 1; k >= 0; k--)
        GD_TRY(step(s, &w, list[k], k ? list[k - 1] : -1));
    return GD_OK;
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 100;
    o->eta = 1;
    o->weight = "code"; /* exact is exact for exact networks alone (docs/restoration.md) */
}

const gd_restorer gd_restorer_pigdm = { "pigdm",
                                        "PiGDM: linear operators by the network's gradient",
                                        GD_NEEDS_VJP | GD_NEEDS_LINEAR | GD_NEEDS_PINV |
                                            GD_NEEDS_SPECTRUM | GD_NEEDS_SCORE,
                                        false,
                                        solve,
                                        gd_calls_of_list,
                                        defaults,
                                        "steps eta weight grad_weight init_noise prior_variance" };
