/* SPDX-License-Identifier: MIT */
/* grid.c - the noise levels of a trajectory. */
#include "diffusion/solver.h"

gd_status gd_grid_make(gd_grid **out, int steps)
{
    GD_TRY(
        gd_block_make(out, sizeof **out + (size_t)(steps + 1) * sizeof(gd_level), "noise levels"));
    (*out)->steps = steps;
    (*out)->start = 1;
    return GD_OK;
}

void gd_grid_free(gd_grid *grid)
{
    gd_block_free(grid);
}

static gd_level entry(const gd_schedule *s, int i)
{
    return (gd_level){ .alpha = s->sqrt_alpha_bar[i],
                       .sigma = s->sqrt_one_minus_alpha_bar[i],
                       .time = gd_schedule_model_t(s, i),
                       .index = i };
}

gd_status gd_grid_discrete(gd_grid **out, const gd_schedule *s, int first, bool ascending)
{
    gd_grid *g;

    GD_TRY(gd_grid_make(&g, first + 1));
    for (int k = 0; k <= first; k++)
        g->level[k] = entry(s, ascending ? k : first - k);
    if (!ascending)
        g->level[first + 1] = (gd_level){ .alpha = 1, .index = -1 };
    else if (first + 1 < s->n)
        g->level[first + 1] = entry(s, first + 1);
    else
        g->level[first + 1] = (gd_level){ .sigma = 1, .index = -1 };
    *out = g;
    return GD_OK;
}

gd_status gd_grid_strided(gd_grid **out, const gd_schedule *s, int n, bool to_first)
{
    const int stride = s->n / n;

    if (n < 1 || stride < 1)
        return gd_fail(GD_EUSAGE, "%d steps: the model was trained with %d", n, s->n);
    GD_TRY(gd_grid_make(out, n));
    for (int k = 0; k < n; k++)
        (*out)->level[k] = entry(s, (n - 1 - k) * stride);
    (*out)->level[n] = to_first ? entry(s, 0) : (gd_level){ .alpha = 1, .index = -1 };
    return GD_OK;
}
