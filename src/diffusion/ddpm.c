/* ddpm.c - ancestral sampling (Ho et al. 2020, algorithm 2), guided as in Dhariwal & Nichol 2021,
 * algorithm 1. */
#include "diffusion/diffusion.h"

#include <math.h>

static void step(const gd_move *m, float *x)
{
    gd_p_mean_variance(m->process, m->t, x, m->out, m->n, m->mean, m->variance, m->log_variance,
                       m->x0);
    if (m->gradient)
        gd_condition_mean(m->mean, m->variance, m->gradient, m->n);
    for (int64_t i = 0; i < m->n; i++)
        x[i] = m->t == 0 ? m->mean[i] : m->mean[i] + expf(0.5f * m->log_variance[i]) * m->noise[i];
}

const gd_sampler_kind gd_sampler_ddpm = { "ddpm", "ancestral sampling", step };
