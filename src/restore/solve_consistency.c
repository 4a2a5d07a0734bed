/* SPDX-License-Identifier: MIT */
/* solve_consistency.c - Song et al. 2023, "Consistency Models", algorithm 4: editing in the few
 * calls of a consistency model.  Every predicted image is projected to those that give the
 * measurement, x0 + A^+ (y - A x0), before noise of the next level is added. */
#include "restore/restore_private.h"

#include <math.h>

typedef struct work {
    double *residual; /* [m] */
    double *change;   /* [n] */
} work;

static void project(gd_solving *s, work *w)
{
    gd_operator_apply(s->op, s->x0, w->residual);
    for (int64_t i = 0; i < s->m; i++)
        w->residual[i] = s->y[i] - w->residual[i];
    gd_operator_pinv(s->op, w->residual, w->change);
    for (int64_t i = 0; i < s->n; i++)
        s->x0[i] += w->change[i];
}

static gd_status walk(gd_solving *s, const gd_grid *grid, work *w)
{
    const double least = grid->level[grid->steps].sigma;

    gd_next_noise(s, s->n, s->z);
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] = grid->start * s->z[i];
    for (int k = 0; k < grid->steps; k++) {
        const double to = grid->level[k + 1].sigma, noise = sqrt(fmax(to * to - least * least, 0));
        GD_TRY(gd_predict(s, &grid->level[k], s->x, true));
        if (s->o->clip)
            gd_clip(s->x0, s->n);
        project(s, w);
        gd_next_noise(s, s->n, s->z);
        gd_mix(s->x, 1, s->x0, noise, s->z, s->n);
    }
    return GD_OK;
}

static gd_status levels_of(gd_consistency_calls *out, const gd_restore_options *o)
{
    char steps[24];

    if (o->n_ts == 0) {
        snprintf(steps, sizeof steps, "%d", o->steps);
        return gd_consistency_calls_read(out, steps);
    }
    *out = (gd_consistency_calls){ .points = o->points, .n = o->n_ts };
    if (o->n_ts > COUNT(out->at))
        return gd_fail(GD_EUSAGE, "%d levels: at most %d", o->n_ts, COUNT(out->at));
    for (int k = 0; k < o->n_ts; k++)
        out->at[k] = o->ts[k];
    return GD_OK;
}

static gd_status solve(gd_solving *s)
{
    const gd_sigma_range range = {
        .spacing = GD_SIGMA_KARRAS, .min = s->o->sigma_min, .max = s->o->sigma_max, .rho = s->o->rho
    };
    const gd_sigma_map map = { .kind = GD_TIME_NONE };
    work w = { gd_solving_array(s, s->m), gd_solving_array(s, s->n) };
    gd_consistency_calls levels;
    gd_grid *grid;
    gd_status status;

    if (!w.residual || !w.change)
        return GD_ENOMEM;
    GD_TRY(levels_of(&levels, s->o));
    GD_TRY(gd_grid_consistency(&grid, &range, &levels, &map));
    status = walk(s, grid, &w);
    gd_grid_free(grid);
    return status;
}

static int calls(const gd_prior *prior, const gd_restore_options *o)
{
    (void)prior;
    return o->n_ts > 0 ? o->n_ts - 1 : o->steps;
}

static gd_status check(const gd_operator *op, const gd_restore_options *o)
{
    gd_consistency_calls levels;

    (void)op;
    if (o->sigma_y > 0)
        return gd_fail(GD_EUSAGE, "consistency: takes the measurement as exact, the noise is %g",
                       o->sigma_y);
    return levels_of(&levels, o);
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 4;
    o->sigma_min = 0.002;
    o->sigma_max = 80;
}

const gd_restorer gd_restorer_consistency = { "consistency",
                                              "a consistency model's few calls, linear operators",
                                              GD_NEEDS_LINEAR | GD_NEEDS_PINV,
                                              false,
                                              solve,
                                              calls,
                                              defaults,
                                              "steps sigma_min sigma_max clip",
                                              check };
