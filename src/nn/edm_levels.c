/* SPDX-License-Identifier: MIT */
/* edm_levels.c - the noise levels of iDDPMPrecond: those of the cosine schedule, in float32 as EDM
 * computes them (Karras et al. 2022, appendix C.3). */
#include "nn/config.h"

#include <math.h>

enum { STEPS = GD_EDM_LEVELS - 1 };

static float cosine_alpha_bar(int j)
{
    const float s = sinf((float)(0.5 * M_PI) * (float)j / STEPS / 1.008f);

    return s * s;
}

void gd_edm_levels(float u[GD_EDM_LEVELS])
{
    const float least = 0.001f;

    u[STEPS] = 0;
    for (int j = STEPS; j > 0; j--) {
        const float ratio = cosine_alpha_bar(j - 1) / cosine_alpha_bar(j);
        u[j - 1] = sqrtf((u[j] * u[j] + 1) / GD_MAX(ratio, least) - 1);
    }
}
