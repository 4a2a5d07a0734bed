/* SPDX-License-Identifier: MIT */
/* solve_blended.c - Avrahami et al. 2022, "Blended Diffusion": an image with a hole, begun from the
 * image itself; the surroundings are blended in after each step. */
#include "restore/restore_private.h"

#include <math.h>

static gd_status solve(gd_solving *s)
{
    const uint8_t *mask = gd_operator_mask(s->op);
    const int64_t plane = (int64_t)s->op->image.h * s->op->image.w;
    const int first = s->schedule->n - s->o->skip - 1;

    if (first < 0)
        return gd_fail(GD_EUSAGE, "blended: skip %d leaves none of %d steps", s->o->skip,
                       s->schedule->n);
    const double a0 = gd_alpha_bar(s->schedule, first);
    gd_next_noise(s, s->n, s->z);
    gd_mix(s->x, sqrt(a0), s->y, sqrt(1 - a0), s->z, s->n);
    for (int t = first; t >= 0; t--) {
        const gd_level at = gd_level_of(s->schedule, t);
        const double a = gd_alpha_bar(s->schedule, t); /* the level of t on a sample of t - 1 */
        GD_TRY(gd_predict(s, &at, s->x, false));
        gd_next_noise(s, s->n, s->z);
        gd_ancestral(s, t);
        gd_next_noise(s, s->n, s->z);
        for (int64_t i = 0; i < s->n; i++)
            if (mask[i % plane])
                s->x[i] = sqrt(a) * s->y[i] + sqrt(1 - a) * s->z[i];
    }
    for (int64_t i = 0; i < s->n && s->o->final_x0; i++)
        s->x[i] = mask[i % plane] ? s->y[i] : s->x0[i];
    return GD_OK;
}

static int calls(const gd_prior *prior, const gd_restore_options *o)
{
    return GD_MAX(prior->schedule->n - o->skip, 0);
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 1000;
    o->final_x0 = true;
    o->clip = true;
}

const gd_restorer gd_restorer_blended = { "blended",
                                          "blended diffusion: change a hole of an image",
                                          GD_NEEDS_LINEAR | GD_NEEDS_MASK,
                                          true,
                                          solve,
                                          calls,
                                          defaults,
                                          "steps skip clip final_x0" };
