/* SPDX-License-Identifier: MIT */
/* machine_arm64.c - every arm64 has NEON; how fast it multiplies. */
#include "cpu/machine.h"

#include <arm_neon.h>

gd_isa machine_isa(void)
{
    return GD_ISA_NEON;
}

static float fma_neon(int loops)
{
    float32x4_t a = vdupq_n_f32(0.5f), b = vdupq_n_f32(1e-3f), s[PEAK_CHAINS];

    for (int i = 0; i < PEAK_CHAINS; i++)
        s[i] = vdupq_n_f32((float)i);
    for (int k = 0; k < loops; k++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            s[i] = vfmaq_f32(b, s[i], a);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        s[0] = vaddq_f32(s[0], s[i]);
    return vaddvq_f32(s[0]);
}

machine_peak machine_peak_of(gd_isa isa, gd_dtype dtype)
{
    (void)dtype;
    return isa == GD_ISA_NEON ? (machine_peak){ fma_neon, 4 } : (machine_peak){ 0 };
}
