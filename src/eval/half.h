/* SPDX-License-Identifier: MIT */
/* half.h - float16 arithmetic, emulated: a float32 rounded to the nearest float16 (even on ties),
 * infinite beyond its range. */
#ifndef GD_EVAL_HALF_H
#define GD_EVAL_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float gd_round_half(float x)
{
    const float smallest_normal = 0x1p-14f, limit = 65520; /* rounds to 65536, which is none */
    uint32_t u;

    if (!(fabsf(x) >= smallest_normal)) /* spacing 2^-24: the sum's last digit; NaN passes */
        return x + copysignf(0.75f, x) - copysignf(0.75f, x);
    if (fabsf(x) >= limit)
        return copysignf(INFINITY, x);
    memcpy(&u, &x, sizeof u);
    u = (u + 0xfff + (u >> 13 & 1)) & ~0x1fffu; /* 10 bits of 23 stay */
    memcpy(&x, &u, sizeof x);
    return x;
}

#endif
