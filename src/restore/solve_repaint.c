/* SPDX-License-Identifier: MIT */
/* solve_repaint.c - Lugmayr et al. 2022, "RePaint: Inpainting using Denoising Diffusion
 * Probabilistic Models": known pixels are replaced by the noised measurement before each call, and
 * the walk goes back up again and again. */
#include "restore/restore_private.h"

#include <math.h>

/* x <- m (sqrt(a) y + sqrt(1 - a) z) + (1 - m) x */
static void blend(gd_solving *s, const uint8_t *mask, int t, const double *z)
{
    const double a = gd_alpha_bar(s->schedule, t);
    const int64_t plane = (int64_t)s->op->image.h * s->op->image.w;

    for (int64_t i = 0; i < s->n; i++)
        if (mask[i % plane])
            s->x[i] = sqrt(a) * s->y[i] + sqrt(1 - a) * z[i];
}

static gd_status solve(gd_solving *s)
{
    const uint8_t *mask = gd_operator_mask(s->op);
    double *z = gd_solving_array(s, s->n);
    int *list, count;

    if (!z)
        return GD_ENOMEM;
    GD_TRY(
        gd_jump_list(&list, &count, s->schedule->n, s->o->jump_length, s->o->jump_repeat, s->mem));
    gd_next_noise(s, s->n, s->x);
    for (int k = 0; k + 1 < count; k++) {
        const int t = list[k];
        if (list[k + 1] > t) {
            const double beta = s->schedule->beta[t + 1];
            gd_next_noise(s, s->n, s->z);
            gd_mix(s->x, sqrt(1 - beta), s->x, sqrt(beta), s->z, s->n);
            continue;
        }
        const gd_level at = gd_level_of(s->schedule, t);
        gd_next_noise(s, s->n, s->z); /* of the step, drawn first */
        if (s->calls > 0) {
            gd_next_noise(s, s->n, z);
            blend(s, mask, t, z);
        }
        GD_TRY(gd_predict(s, &at, s->x, false));
        gd_ancestral(s, t);
    }
    return GD_OK;
}

static int calls(const gd_prior *prior, const gd_restore_options *o)
{
    return gd_jump_calls(prior->schedule->n, o->jump_length, o->jump_repeat);
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 250;
}

const gd_restorer gd_restorer_repaint = { "repaint",
                                          "RePaint: inpainting by going back and forth",
                                          GD_NEEDS_LINEAR | GD_NEEDS_MASK,
                                          true,
                                          solve,
                                          calls,
                                          defaults,
                                          "steps jump_length jump_repeat clip" };
