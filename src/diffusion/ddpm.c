/* SPDX-License-Identifier: MIT */
/* ddpm.c - ancestral sampling (Ho et al. 2020, algorithm 2), guided as in Dhariwal & Nichol 2021,
 * algorithm 1.  In float, as the authors' code computes it. */
#include "diffusion/solver.h"

#include <math.h>

static void step(gd_problem *p, int t, int image, double *x)
{
    const int64_t at = image * p->count, channels = p->run->denoiser->out_channels,
                  out_count = p->count / p->run->denoiser->channels * channels;
    const float *noise = p->noise + at;

    gd_p_mean_variance(&p->run->process, t, p->input + at, p->out + image * out_count, p->count,
                       p->mean, p->variance, p->log_variance, p->x0);
    if (gd_guided(p))
        gd_condition_mean(p->mean, p->variance, p->gradient + at, p->count);
    for (int64_t i = 0; i < p->count; i++) {
        x[at + i] = t == 0 ? p->mean[i] : p->mean[i] + expf(0.5f * p->log_variance[i]) * noise[i];
        p->prediction[at + i] = p->x0[i];
    }
}

static gd_status solve(gd_problem *p, double *x)
{
    for (int k = 0; k < p->grid->steps; k++) {
        gd_draw(p, k + 1);
        GD_TRY(gd_evaluate(p, &p->grid->level[k], x));
        for (int i = 0; i < p->images; i++)
            step(p, p->grid->level[k].index, i, x);
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

const gd_solver gd_solver_ddpm = { "ddpm", "ancestral sampling", solve };
