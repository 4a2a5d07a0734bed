/* SPDX-License-Identifier: MIT */
/* upsampling.c - how an upsampling stage differs from the stage before it
 * (docs/reference/sampling.md#stacks-and-upsampling). */
#include "diffusion/diffusion.h"

/* A stage draws with a key of its own size: its noise is not that of the stage before. */
uint64_t gd_stage_seed(uint64_t seed, int size)
{
    return seed ^ (uint64_t)size * 0x9e3779b97f4a7c15u;
}

void gd_stage_disturb(float *low_res, float *noise, int64_t n, double deviation, uint64_t seed,
                      int64_t image)
{
    enum { DISTURBANCE = 0x7fffffff }; /* a step that no trajectory has */

    if (deviation <= 0)
        return;
    gd_noise_normal(noise, n, seed, (uint64_t)image, DISTURBANCE);
    for (int64_t i = 0; i < n; i++)
        low_res[i] += (float)deviation * noise[i];
}
