/* SPDX-License-Identifier: MIT */
/* solve_ddnm.c - Wang, Yu & Zhang 2023, "Zero-Shot Image Restoration Using Denoising Diffusion
 * Null-Space Model": the predicted image is corrected in A's range before every step.  With noise,
 * DDNM+: DDRM's step with eta_b = 1.  Time travel as in its algorithm 2.  Its authors do not clip
 * the prediction: at the noisiest levels a network's error is then as large as sigma, and what A
 * does not see, colours of a grey image above all, never comes back from there. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *p, *next, *scratch; /* [n]: A^+ y; the step's result */
    double *y;                  /* [m] */
    int *list, n;               /* training steps, ascending */
    int *jump, n_jump;          /* levels, see gd_jump_list */
} work;

static double alpha_bar(const gd_solving *s, const work *w, int level)
{
    return gd_alpha_bar(s->schedule, level < 0 ? -1 : w->list[level]);
}

/* x0 - A^+ (A x0 - y), then a DDIM step with eta */
static void noise_free(gd_solving *s, work *w, double next)
{
    const double eta = s->o->eta, sigma = sqrt(1 - next), rest = sqrt(1 - eta * eta);

    gd_operator_apply(s->op, s->x0, w->y);
    for (int64_t i = 0; i < s->m; i++)
        w->y[i] -= s->y[i];
    gd_operator_pinv(s->op, w->y, w->scratch);
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] =
            sqrt(next) * (s->x0[i] - w->scratch[i]) + sigma * (eta * s->z[i] + rest * s->eps[i]);
}

static gd_status down(gd_solving *s, work *w, int from, int to)
{
    const gd_level at = gd_level_of(s->schedule, w->list[from]);
    const gd_spectral_step step = { .next = alpha_bar(s, w, to),
                                    .sigma_y = s->o->sigma_y,
                                    .eta = s->o->eta,
                                    .eta_b = 1,
                                    .project = true };

    GD_TRY(gd_predict(s, &at, s->x, true));
    if (s->o->clip)
        gd_clip(s->x0, s->n);
    gd_next_noise(s, s->n, s->z);
    if (s->o->sigma_y == 0) {
        noise_free(s, w, step.next);
        return GD_OK;
    }
    gd_spectral_move(s, &step, w->p, s->z, w->next, w->scratch);
    memcpy(s->x, w->next, (size_t)s->n * sizeof *s->x);
    return GD_OK;
}

static gd_status prepare(gd_solving *s, work *w)
{
    w->p = gd_solving_array(s, s->n);
    w->next = gd_solving_array(s, s->n);
    w->scratch = gd_solving_array(s, s->n);
    w->y = gd_solving_array(s, s->m);
    if (!w->p || !w->next || !w->scratch || !w->y)
        return GD_ENOMEM;
    GD_TRY(gd_step_list(s, &w->list, &w->n));
    gd_operator_pinv(s->op, s->y, w->p);
    return gd_jump_list(&w->jump, &w->n_jump, w->n, s->o->travel_length, s->o->travel_repeat,
                        s->mem);
}

static gd_status solve(gd_solving *s)
{
    work w;

    GD_TRY(prepare(s, &w));
    gd_next_noise(s, s->n, s->x);
    for (int k = 0; k + 1 < w.n_jump; k++) {
        const int from = w.jump[k], to = w.jump[k + 1];
        if (to < from) {
            GD_TRY(down(s, &w, from, to));
            continue;
        }
        /* back up, from the prediction as the network made it */
        const double a = alpha_bar(s, &w, to);
        gd_next_noise(s, s->n, s->z);
        gd_mix(s->x, sqrt(a), s->x0, sqrt(1 - a), s->z, s->n);
    }
    return GD_OK;
}

static int calls(const gd_prior *prior, const gd_restore_options *o)
{
    return gd_jump_calls(gd_calls_of_list(prior, o), o->travel_length, o->travel_repeat);
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 100;
    o->eta = 0.85;
}

const gd_restorer gd_restorer_ddnm = { "ddnm",
                                       "DDNM (DDNM+ with noise): exact where there is no noise",
                                       GD_NEEDS_LINEAR | GD_NEEDS_PINV | GD_NEEDS_SPECTRUM,
                                       false,
                                       solve,
                                       calls,
                                       defaults,
                                       "steps eta travel_length travel_repeat clip" };
