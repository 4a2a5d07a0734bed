/* SPDX-License-Identifier: MIT */
/* solve_dps.c - Chung et al. 2023, "Diffusion Posterior Sampling": an ancestral step and a step
 * along the gradient of |y - A x0(x_t)|, through the network; MCG (Chung et al. 2022) projects
 * onto the noised measurement afterwards. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *clipped, *c, *gradient, *next; /* [n] */
    double *residual;                      /* [m] */
} work;

/* The norm's weight under Poisson noise, as the authors have it */
static double poisson_weight(const gd_solving *s)
{
    double sum = 0;

    for (int64_t i = 0; i < s->m; i++)
        sum += 1 / fabs(s->y[i]);
    return sum / (double)s->m;
}

/* w->gradient = -d |y - A clip(x0)| / d x_t; 0 where the norm is 0 */
static gd_status measure(gd_solving *s, work *w, const gd_level *at)
{
    double norm = 0;

    memcpy(w->clipped, s->x0, (size_t)s->n * sizeof *w->clipped);
    if (s->o->clip)
        gd_clip(w->clipped, s->n);
    gd_operator_apply(s->op, w->clipped, w->residual);
    for (int64_t i = 0; i < s->m; i++) {
        w->residual[i] = s->y[i] - w->residual[i];
        norm += w->residual[i] * w->residual[i];
    }
    norm = sqrt(norm);
    for (int64_t i = 0; i < s->m; i++)
        w->residual[i] = norm > 0 ? w->residual[i] / norm : 0;
    gd_operator_adjoint(s->op, w->clipped, w->residual, w->c);
    return gd_x0_vjp(s, at, s->o->clip, w->c, w->gradient);
}

/* x <- x - A+ A x + A+ y_t */
static void project(gd_solving *s, work *w, double a)
{
    double *noisy = s->z; /* y's noise is drawn into what an image's noise was, where it fits */

    gd_operator_apply(s->op, s->x, w->residual);
    for (int64_t i = 0; i < s->m; i++)
        w->residual[i] = sqrt(a) * s->y[i] + sqrt(1 - a) * noisy[i] - w->residual[i];
    gd_operator_pinv(s->op, w->residual, w->next);
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] += w->next[i];
}

static gd_status run(gd_solving *s, bool mcg)
{
    const double scale = s->o->scale * (s->o->poisson ? poisson_weight(s) : 1);
    work w = { gd_solving_array(s, s->n), gd_solving_array(s, s->n), gd_solving_array(s, s->n),
               gd_solving_array(s, s->n), gd_solving_array(s, s->m) };

    if (!w.clipped || !w.c || !w.gradient || !w.next || !w.residual)
        return GD_ENOMEM;
    if (!isfinite(scale))
        return gd_fail(GD_EUSAGE, "dps: Poisson weights are not finite: the measurement has zeros");
    if (mcg && s->m > s->n && !(s->z = gd_solving_array(s, s->m)))
        return GD_ENOMEM;
    gd_next_noise(s, s->n, s->x);
    for (int t = s->schedule->n - 1; t >= 0; t--) {
        const gd_level at = gd_level_of(s->schedule, t);
        GD_TRY(gd_predict(s, &at, s->x, false));
        GD_TRY(measure(s, &w, &at));
        gd_next_noise(s, s->n, s->z);
        gd_ancestral(s, t);
        for (int64_t i = 0; i < s->n; i++)
            s->x[i] += scale * w.gradient[i];
        if (mcg) {
            gd_next_noise(s, s->m, s->z);
            project(s, &w, gd_alpha_bar(s->schedule, s->o->level_t ? t : t - 1));
        }
    }
    return GD_OK;
}

static gd_status solve_dps(gd_solving *s)
{
    return run(s, false);
}

static gd_status solve_mcg(gd_solving *s)
{
    return run(s, true);
}

/* The released configurations' step for 1000 calls */
static void defaults(gd_restore_options *o, const char *op)
{
    o->steps = 1000;
    o->scale = strcmp(op, "inpaint") == 0 ? 0.5 : strcmp(op, "phase") == 0 ? 1 : 0.3;
}

static void defaults_mcg(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 1000;
    o->scale = 1;
}

const gd_restorer gd_restorer_dps = {
    "dps",        "DPS: any operator with a derivative, by the network's gradient",
    GD_NEEDS_VJP, true,
    solve_dps,    gd_calls_of_all,
    defaults,     "steps scale clip"
};
const gd_restorer gd_restorer_mcg = { "mcg",
                                      "MCG: DPS with projections, without noise",
                                      GD_NEEDS_VJP | GD_NEEDS_LINEAR | GD_NEEDS_PINV,
                                      true,
                                      solve_mcg,
                                      gd_calls_of_all,
                                      defaults_mcg,
                                      "steps scale clip level_t" };
