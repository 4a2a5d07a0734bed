/* SPDX-License-Identifier: MIT */
/* consistency.c - Song et al. 2023, algorithm 1: a consistency model takes any level to the image
 * in one call; between calls the image is noised again.  (restore/solve_consistency.c is the
 * editing form.) */
#include "diffusion/solver.h"

#include <stdlib.h>

static gd_status solve(gd_problem *p, double *x)
{
    const gd_grid *g = p->grid;
    const double least = g->level[g->steps].sigma;

    for (int k = 0; k < g->steps; k++) {
        const double to = g->level[k + 1].sigma, noise = sqrt(fmax(to * to - least * least, 0));
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, &g->level[k], x, p->prediction));
        for (int64_t i = 0; i < p->n; i++)
            x[i] = p->prediction[i] + (noise > 0 ? noise * p->noise[i] : 0);
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

const gd_solver gd_solver_consistency = { "consistency",
                                          "a consistency model's calls, noise between", solve,
                                          .grid = GD_GRID_CONSISTENCY, .steps = "1" };

/* Level k of Karras' spacing with n points; behind the last one the formula goes on. */
static double karras(const gd_sigma_range *r, int n, int k)
{
    const double a = pow(r->max, 1 / r->rho), b = pow(r->min, 1 / r->rho);
    const double level = pow(fmax(a + (double)k / (n - 1) * (b - a), 0), r->rho);

    return fmin(fmax(level, r->min), r->max);
}

static gd_status check_calls(const gd_consistency_calls *c)
{
    if (c->n < 2 || c->points < 2)
        return gd_fail(GD_EUSAGE, "%d levels of %d points: expected at least 2", c->n, c->points);
    for (int k = 0; k < c->n; k++)
        if (c->at[k] < 0 || c->at[k] >= c->points || (k > 0 && c->at[k] <= c->at[k - 1]))
            return gd_fail(GD_EUSAGE, "level %d of %d points: expected ascending numbers", c->at[k],
                           c->points);
    return GD_OK;
}

static gd_status cannot(const char *steps, const char *why)
{
    gd_status s = gd_fail(GD_EUSAGE, "steps %s: %s", steps, why);

    gd_detail("hint: a consistency model takes 1 to %d calls, better 1 to 4; --steps 0,22,39/40 "
              "names the levels of two, of 40 points",
              GD_CONSISTENCY_POINTS / 2);
    return s;
}

gd_status gd_consistency_calls_read(gd_consistency_calls *out, const char *steps)
{
    char *end;
    const long calls = strtol(steps, &end, 10);
    long points;

    *out = (gd_consistency_calls){ .points = GD_CONSISTENCY_POINTS };
    if (end != steps && *end == 0) {
        if (calls < 1 || calls > GD_CONSISTENCY_POINTS / 2)
            return cannot(steps, "another number of calls than a consistency model makes");
        for (out->n = 0; out->n <= calls; out->n++)
            out->at[out->n] = (int)rint((double)(out->points - 1) * out->n / (double)calls);
        return GD_OK;
    }
    for (const char *at = steps; *at != '/'; at = end + (*end == ',')) {
        const long level = strtol(at, &end, 10);
        if (end == at || (*end != ',' && *end != '/') || out->n > GD_MAX_CONSISTENCY_CALLS)
            return cannot(steps, "no number of calls and no list of levels");
        out->at[out->n++] = (int)GD_MIN(GD_MAX(level, -1), INT32_MAX);
    }
    points = strtol(end + 1, &end, 10);
    out->points = (int)GD_MIN(points, INT32_MAX);
    return *end ? cannot(steps, "no number of calls and no list of levels") : check_calls(out);
}

gd_status gd_grid_consistency(gd_grid **out, const gd_sigma_range *range,
                              const gd_consistency_calls *calls, const gd_sigma_map *map)
{
    const gd_sigma_range r = gd_sigma_range_settled(range);

    GD_TRY(check_calls(calls));
    GD_TRY(gd_grid_make(out, calls->n - 1));
    (*out)->map = *map;
    (*out)->start = r.max;
    for (int k = 0; k < calls->n; k++)
        (*out)->level[k] = gd_sigma_level(map, karras(&r, calls->points, calls->at[k]));
    return GD_OK;
}
