/* SPDX-License-Identifier: MIT */
/* vec_any.h - the operations of vec.h by the compiler's vectors, for machines that are not x86;
 * with NEON where the including file is compiled for it (GD_NEON).  Included by vec.h alone. */
#ifndef GD_CPU_VEC_ANY_H
#define GD_CPU_VEC_ANY_H

#ifdef GD_NEON
#include <arm_neon.h>
#endif

/* x - 0 is x, minus zero too */
INLINE vec v_set(float x)
{
    return x - (vec){ 0 };
}

INLINE vec v_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* No store past the caches is known here. */
INLINE void v_stream(float *p, vec v)
{
    v_store(p, v);
}

INLINE void v_fence(void)
{
}

/* The first n lanes (0 to LANES); the others are zero */
INLINE vec v_load_n(const float *p, int n)
{
    vec v = { 0 };
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE void v_store_n(float *p, vec v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}

INLINE vec_bits v_widen(vec_half h)
{
    return __builtin_convertvector(h, vec_bits);
}

/* Round to nearest even; NaN keeps a payload bit, so that it stays NaN. */
INLINE vec_half v_to_bf16(vec v)
{
    const vec_bits u = (vec_bits)v;
    const vec_bits rounded = u + 0x7fff + (u >> 16 & 1);
    const vec_bits is_nan = (vec_bits)((u & 0x7fffffff) > 0x7f800000);

    return __builtin_convertvector(((is_nan & (u | 0x400000)) | (~is_nan & rounded)) >> 16,
                                   vec_half);
}

/* a > b ? a : b, so b where either is NaN; v_min likewise */
INLINE vec v_max(vec a, vec b)
{
    return v_select(a > b, a, b);
}

INLINE vec v_min(vec a, vec b)
{
    return v_select(a < b, a, b);
}

INLINE vec v_fma(vec a, vec b, vec c)
{
#ifdef GD_NEON
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

INLINE vec v_sqrt(vec v)
{
    for (int l = 0; l < LANES; l++)
        v[l] = __builtin_sqrtf(v[l]);
    return v;
}

INLINE vec4 v_max4(vec4 a, vec4 b)
{
    return v_max(a, b); /* LANES is 4 here */
}

/* p 2^k; k runs from -150 to 128, so 2^k itself may not be a float */
INLINE vec v_scale(vec p, vec n, vec_int k)
{
    const vec_int half = k >> 1;

    (void)n;
    return p * (vec)((half + 127) << 23) * (vec)((k - half + 127) << 23);
}

/* 1 / x for x from 1 on */
INLINE vec v_reciprocal(vec x)
{
    return v_set(1.0f) / x;
}

#endif
