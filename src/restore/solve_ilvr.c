/* SPDX-License-Identifier: MIT */
/* solve_ilvr.c - Choi et al. 2021, "ILVR: Conditioning Method for Denoising Diffusion Probabilistic
 * Models": the low frequencies of each step's image are replaced by those of the noised reference.
 */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct work {
    double *low;                   /* [m] */
    double *difference, *filtered; /* [n] */
} work;

static gd_status solve(gd_solving *s)
{
    gd_enlarge up;
    work w = { gd_solving_array(s, s->m), gd_solving_array(s, s->n), gd_solving_array(s, s->n) };

    if (!w.low || !w.difference || !w.filtered)
        return GD_ENOMEM;
    GD_TRY(gd_enlarge_make(&up, s->op->measurement, s->op->image, GD_EDGE_MIRROR, s->mem));
    gd_next_noise(s, s->n, s->x);
    for (int t = s->schedule->n - 1; t >= 0; t--) {
        const gd_level at = gd_level_of(s->schedule, t);
        const double a = gd_alpha_bar(s->schedule, t);
        GD_TRY(gd_predict(s, &at, s->x, false));
        gd_next_noise(s, s->n, s->z);
        gd_ancestral(s, t);
        if (t <= s->o->range_t)
            continue;
        gd_next_noise(s, s->n, s->z);
        for (int64_t i = 0; i < s->n; i++)
            w.difference[i] = sqrt(a) * s->y[i] + sqrt(1 - a) * s->z[i] - s->x[i];
        gd_operator_apply(s->op, w.difference, w.low);
        gd_enlarge_apply(&up, w.low, w.filtered);
        for (int64_t i = 0; i < s->n; i++)
            s->x[i] += w.filtered[i];
    }
    return GD_OK;
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 250;
}

const gd_restorer gd_restorer_ilvr = { "ilvr",
                                       "ILVR: images that resemble a reference when reduced",
                                       GD_NEEDS_LINEAR | GD_NEEDS_IMAGE,
                                       true,
                                       solve,
                                       gd_calls_of_all,
                                       defaults,
                                       "steps range_t clip" };
