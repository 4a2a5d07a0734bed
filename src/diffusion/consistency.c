/* consistency.c - Song et al. 2023, algorithm 1: a consistency model takes any level to the image
 * in one call; between calls the image is noised again.  Also the editing form, in which each image
 * is projected to what is known of it. */
#include "diffusion/solver.h"

static gd_status solve(gd_problem *p, double *x)
{
    const gd_grid *g = p->grid;
    const double least = g->level[g->steps].sigma;

    for (int k = 0; k < g->steps; k++) {
        const double to = g->level[k + 1].sigma, noise = sqrt(fmax(to * to - least * least, 0));
        gd_draw(p, k + 1);
        GD_TRY(gd_denoise(p, &g->level[k], x, p->prediction));
        for (int i = 0; i < p->images && p->run->options.project; i++)
            p->run->options.project(p->run->options.project_ctx, p->first + i,
                                    p->prediction + i * p->count);
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

gd_status gd_grid_consistency(gd_grid **out, const gd_sigma_range *range, int points, const int *at,
                              int n, const gd_sigma_map *map)
{
    const gd_sigma_range r = gd_sigma_range_settled(range);

    if (n < 2 || points < 2)
        return gd_fail(GD_EUSAGE, "%d levels of %d points: expected at least 2", n, points);
    for (int k = 0; k < n; k++)
        if (at[k] < 0 || at[k] >= points || (k > 0 && at[k] <= at[k - 1]))
            return gd_fail(GD_EUSAGE, "level %d of %d points: expected ascending numbers", at[k],
                           points);
    GD_TRY(gd_grid_make(out, n - 1));
    (*out)->map = *map;
    (*out)->start = r.max;
    for (int k = 0; k < n; k++)
        (*out)->level[k] = gd_sigma_level(map, karras(&r, points, at[k]));
    return GD_OK;
}
