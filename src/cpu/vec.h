/* vec.h - sixteen float lanes, the unit in which kernels are written; one source for every ISA.
 *
 * The compiler splits v16 into the registers that the ISA has.  Nothing here contracts a product
 * and a sum (-ffp-contract=off), so that results have the same bits on every ISA; only v_fma, which
 * attention uses, is fused where the machine can. */
#ifndef GD_CPU_VEC_H
#define GD_CPU_VEC_H

#include "cpu/cpu.h"

#include <immintrin.h>
#include <string.h>

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16x32 __attribute__((vector_size(64)));
typedef uint32_t u16x32 __attribute__((vector_size(64)));
typedef uint16_t h16 __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))

INLINE v16 v_set(float x)
{
    return (v16){ x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x };
}

INLINE v16 v_load(const float *p)
{
    v16 v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_store(float *p, v16 v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n lanes; the others are zero */
INLINE v16 v_load_n(const float *p, int n)
{
    v16 v = v_set(0.0f);
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE void v_store_n(float *p, v16 v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}

INLINE v16 v_load_bf16(const uint16_t *p)
{
    h16 h;
    memcpy(&h, p, sizeof h);
    return (v16)(__builtin_convertvector(h, u16x32) << 16);
}

/* Round to nearest even; NaN keeps a payload bit, so that it stays NaN */
INLINE h16 v_to_bf16(v16 v)
{
    const u16x32 u = (u16x32)v;
    const u16x32 rounded = u + 0x7fff + (u >> 16 & 1);
    const u16x32 is_nan = (u16x32)((u & 0x7fffffff) > 0x7f800000);

    return __builtin_convertvector(((is_nan & (u | 0x400000)) | (~is_nan & rounded)) >> 16, h16);
}

INLINE v16 v_select(i16x32 mask, v16 a, v16 b)
{
    return (v16)((mask & (i16x32)a) | (~mask & (i16x32)b));
}

INLINE v16 v_max(v16 a, v16 b)
{
    return v_select(a > b, a, b);
}

INLINE float v_sum(v16 v)
{
    float s = 0;
    for (int i = 0; i < 16; i++)
        s += v[i];
    return s;
}

INLINE float v_max_lane(v16 v)
{
    float m = v[0];
    for (int i = 1; i < 16; i++)
        m = v[i] > m ? v[i] : m;
    return m;
}

/* exp: 2^n * p(r), n = round(x / ln 2), r = x - n ln 2 in two parts (Cody & Waite), p of degree 6
 * (Cephes' coefficients), error below 2 ulp.  Below -87.3 the result is 0 (no denormals),
 * above 88.72 infinity; NaN stays NaN. */
INLINE v16 v_exp(v16 x)
{
    const v16 magic =
        v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    const v16 low = v_set(-87.33654f), high = v_set(88.72283f);
    v16 clamped = v_select(x > high, high, v_select(x < low, low, x));
    v16 shifted = clamped * v_set(1.44269504f) + magic;
    v16 n = shifted - magic;
    v16 r = clamped - n * v_set(0.693359375f) - n * v_set(-2.12194440e-4f);
    v16 p = v_set(1.9875691500e-4f);

    p = p * r + v_set(1.3981999507e-3f);
    p = p * r + v_set(8.3334519073e-3f);
    p = p * r + v_set(4.1665795894e-2f);
    p = p * r + v_set(1.6666665459e-1f);
    p = p * r + v_set(5.0000001201e-1f);
    p = p * r * r + r + v_set(1.0f);
    /* 2^n in two factors: n may be 128 */
    i16x32 k = (i16x32)shifted - (i16x32)magic, half = k >> 1;
    v16 e = p * (v16)((half + 127) << 23) * (v16)((k - half + 127) << 23);
    e = v_select(x < low, v_set(0.0f), e);
    e = v_select(x > high, v_set(__builtin_inff()), e);
    return v_select(x == x, e, x);
}

INLINE v16 v_sigmoid(v16 x)
{
    return v_set(1.0f) / (v_set(1.0f) + v_exp(-x));
}

/* x / (1 + e^-x): e^-x is infinite for very negative x, where the quotient is -0 */
INLINE v16 v_silu(v16 x)
{
    return x / (v_set(1.0f) + v_exp(-x));
}

/* d silu / dx = s (1 + x (1 - s)) */
INLINE v16 v_silu_slope(v16 x)
{
    const v16 s = v_sigmoid(x), one = v_set(1.0f);
    return s * (one + x * (one - s));
}

/* Tokens with room for whole tiles of rows and panels (attention.inc), on every ISA */
static inline int64_t gd_attention_padded(int64_t tokens)
{
    return (tokens + 63) / 64 * 64 + 16;
}

#endif
