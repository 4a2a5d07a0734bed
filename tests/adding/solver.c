/* SPDX-License-Identifier: MIT */
/* Euler's method in sigma space */
#include "diffusion/solver.h"

static gd_status solve(gd_problem *p, double *x)
{
    for (int k = 0; k < p->grid->steps; k++) {
        const double from = p->grid->level[k].sigma, to = p->grid->level[k + 1].sigma;

        GD_TRY(gd_denoise(p, &p->grid->level[k], x, p->prediction));
        for (int64_t i = 0; i < p->n; i++)
            x[i] += (x[i] - p->prediction[i]) / from * (to - from);
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

const gd_solver gd_solver_toy = { "toy", "a solver of a test", solve, .grid = GD_GRID_SIGMA };
