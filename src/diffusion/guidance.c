/* SPDX-License-Identifier: MIT */
/* guidance.c - a prediction pushed away from another one: classifier-free guidance (Ho & Salimans
 * 2022), autoguidance (Karras et al. 2024), their rescaling (Lin et al. 2024), the interval of
 * noise levels (Kynkaanniemi et al. 2024). */
#include "diffusion/solver.h"

bool gd_guidance_active(const gd_guidance *g, const gd_level *at)
{
    const double sigma = at->sigma / at->alpha;

    return !(g->high > 0) || (sigma > g->low && sigma <= g->high);
}

/* Population standard deviation; only ratios of it are used */
static double deviation(const float *x, int64_t n)
{
    double sum = 0, squares = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    for (int64_t i = 0; i < n; i++)
        squares += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
    return sqrt(squares / (double)n);
}

void gd_guidance_combine(const gd_guidance *g, float *out, const float *other, int64_t n)
{
    const double before = g->rescale > 0 ? deviation(out, n) : 1;
    double factor;

    for (int64_t i = 0; i < n; i++)
        out[i] = other[i] + (float)g->scale * (out[i] - other[i]);
    if (!(g->rescale > 0))
        return;
    factor = g->rescale * before / deviation(out, n) + 1 - g->rescale;
    for (int64_t i = 0; i < n; i++)
        out[i] *= (float)factor;
}

void gd_guidance_combine64(const gd_guidance *g, double *x0, const double *other, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x0[i] = other[i] + g->scale * (x0[i] - other[i]);
}

bool gd_gradient_due(const gd_guidance *g, int step)
{
    if (!g->gradient_steps)
        return true;
    for (int i = 0; i < g->n_gradient_steps; i++)
        if (g->gradient_steps[i] == step)
            return true;
    return false;
}
