/* SPDX-License-Identifier: MIT */
/* solve_image.c - an image to noise and back: SDEdit (Meng et al. 2022) and DiffPure (Nie et al.
 * 2022) add noise and take it off; DIRE (Wang et al. 2023) encodes by DDIM and decodes. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

/* One DDIM step at index t to alpha_bar `next`, eps from the clipped x0 */
static void ddim(gd_solving *s, int t, double next, double eta)
{
    const double a = gd_alpha_bar(s->schedule, t),
                 sigma = eta * sqrt((1 - next) / (1 - a)) * sqrt(fmax(1 - a / next, 0)),
                 to_eps = sqrt(fmax(1 - next - sigma * sigma, 0));

    if (s->o->clip)
        gd_clip(s->x0, s->n);
    for (int64_t i = 0; i < s->n; i++) {
        const double eps = (s->x[i] - sqrt(a) * s->x0[i]) / sqrt(1 - a);
        s->x[i] = sqrt(next) * s->x0[i] + to_eps * eps + (eta > 0 && t > 0 ? sigma * s->z[i] : 0);
    }
}

gd_status gd_edit_start(gd_solving *s)
{
    const int start = s->o->start;

    if (start < 0 || start >= s->schedule->n)
        return gd_fail(GD_EUSAGE, "sdedit: start %d of %d steps", start, s->schedule->n);
    const double a = gd_alpha_bar(s->schedule, start);
    gd_next_noise(s, s->n, s->z);
    gd_mix(s->x, sqrt(a), s->y, sqrt(1 - a), s->z, s->n);
    return GD_OK;
}

gd_status gd_edit_step(gd_solving *s, int t)
{
    const gd_level at = gd_level_of(s->schedule, t);

    GD_TRY(gd_predict(s, &at, s->x, s->o->ddim));
    gd_next_noise(s, s->n, s->z);
    if (s->o->ddim)
        ddim(s, t, gd_alpha_bar(s->schedule, t - 1), s->o->eta);
    else
        gd_ancestral(s, t);
    return GD_OK;
}

static gd_status solve_sdedit(gd_solving *s)
{
    GD_TRY(gd_edit_start(s));
    for (int t = s->o->start; t >= 0; t--)
        GD_TRY(gd_edit_step(s, t));
    return GD_OK;
}

/* Level t + 1 of t; the last one is pure eps, alpha_bar 0 */
static double above(const gd_schedule *schedule, int t)
{
    return t + 1 < schedule->n ? schedule->alpha_bar[t + 1] : 0;
}

static gd_status solve_invert(gd_solving *s)
{
    const int n = s->o->real_step > 0 ? s->o->real_step : s->schedule->n;

    if (n > s->schedule->n)
        return gd_fail(GD_EUSAGE, "invert: %d levels of %d", n, s->schedule->n);
    memcpy(s->x, s->y, (size_t)s->n * sizeof *s->x);
    for (int t = 0; t < n; t++) {
        const gd_level at = gd_level_of(s->schedule, t);
        GD_TRY(gd_predict(s, &at, s->x, true));
        ddim(s, t, above(s->schedule, t), 0);
    }
    if (s->latent)
        memcpy(s->latent, s->x, (size_t)s->n * sizeof *s->x);
    for (int t = n - 1; t >= 0; t--) {
        const gd_level at = gd_level_of(s->schedule, t);
        GD_TRY(gd_predict(s, &at, s->x, true));
        ddim(s, t, gd_alpha_bar(s->schedule, t - 1), 0);
    }
    return GD_OK;
}

static int calls_sdedit(const gd_prior *prior, const gd_restore_options *o)
{
    (void)prior;
    return o->start + 1;
}

static int calls_invert(const gd_prior *prior, const gd_restore_options *o)
{
    return 2 * (o->real_step > 0 ? o->real_step : prior->schedule->n);
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 50;
}

const gd_restorer gd_restorer_sdedit = {
    "sdedit",       "SDEdit, DiffPure: noise is added and taken off",
    GD_NEEDS_IMAGE, true,
    solve_sdedit,   calls_sdedit,
    defaults,       "steps eta clip"
};
const gd_restorer gd_restorer_invert = { "invert",
                                         "DDIM inversion: to noise and back",
                                         GD_NEEDS_IMAGE | GD_NEEDS_SCORE,
                                         true,
                                         solve_invert,
                                         calls_invert,
                                         defaults,
                                         "steps clip" };
