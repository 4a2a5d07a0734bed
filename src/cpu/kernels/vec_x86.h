/* SPDX-License-Identifier: MIT */
/* vec_x86.h - the operations of vec.h that take x86's own instructions, SSE to AVX-512.  Included
 * by vec.h alone. */
#ifndef GD_CPU_VEC_X86_H
#define GD_CPU_VEC_X86_H

#include <immintrin.h>

#if GD_VECTOR_LANES == 16
#define NATIVE(function) _mm512_##function
typedef __m512 native;
#elif GD_VECTOR_LANES == 8
#define NATIVE(function) _mm256_##function
typedef __m256 native;
#else
#define NATIVE(function) _mm_##function
typedef __m128 native;
#endif

INLINE vec v_set(float x)
{
    return (vec)NATIVE(set1_ps)(x);
}

INLINE vec v_load(const float *p)
{
    return (vec)NATIVE(loadu_ps)(p);
}

INLINE void v_store(float *p, vec v)
{
    NATIVE(storeu_ps)(p, (native)v);
}

/* Past the caches; p at a multiple of the vector's size.  v_fence() after the last */
INLINE void v_stream(float *p, vec v)
{
    NATIVE(stream_ps)(p, (native)v);
}

INLINE void v_fence(void)
{
    _mm_sfence();
}

/* The first n lanes (0 to LANES); the others are zero */
INLINE vec v_load_n(const float *p, int n)
{
#if GD_VECTOR_LANES == 16
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vec v = v_set(0.0f);
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
#endif
}

INLINE void v_store_n(float *p, vec v, int n)
{
#if GD_VECTOR_LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    memcpy(p, &v, (size_t)n * sizeof *p);
#endif
}

/* GCC 12 makes two halves of what is one instruction. */
INLINE vec_bits v_widen(vec_half h)
{
#if GD_VECTOR_LANES == 16
    return (vec_bits)_mm512_cvtepu16_epi32((__m256i)h);
#else
    return __builtin_convertvector(h, vec_bits);
#endif
}

/* Round to nearest even; NaN keeps a payload bit, so that it stays NaN.  The machine's instruction
 * takes denormal numbers, of which no activation consists, for zero. */
INLINE vec_half v_to_bf16(vec v)
{
#ifdef __AVX512BF16__
    return (vec_half)_mm512_cvtneps_pbh((__m512)v);
#else
    const vec_bits u = (vec_bits)v;
    const vec_bits rounded = u + 0x7fff + (u >> 16 & 1);
    const vec_bits is_nan = (vec_bits)((u & 0x7fffffff) > 0x7f800000);

    return __builtin_convertvector(((is_nan & (u | 0x400000)) | (~is_nan & rounded)) >> 16,
                                   vec_half);
#endif
}

/* a > b ? a : b, so b where either is NaN; v_min likewise */
INLINE vec v_max(vec a, vec b)
{
    return (vec)NATIVE(max_ps)((native)a, (native)b);
}

INLINE vec v_min(vec a, vec b)
{
    return (vec)NATIVE(min_ps)((native)a, (native)b);
}

INLINE vec v_fma(vec a, vec b, vec c)
{
#if defined __FMA__
    return (vec)NATIVE(fmadd_ps)((native)a, (native)b, (native)c);
#else
    return a * b + c;
#endif
}

INLINE vec v_sqrt(vec v)
{
    return (vec)NATIVE(sqrt_ps)((native)v);
}

INLINE vec4 v_max4(vec4 a, vec4 b)
{
    return (vec4)_mm_max_ps((__m128)a, (__m128)b);
}

/* p 2^k; k runs from -150 to 128, so 2^k itself may not be a float */
INLINE vec v_scale(vec p, vec n, vec_int k)
{
#if GD_VECTOR_LANES == 16
    (void)k;
    return (vec)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    const vec_int half = k >> 1;
    (void)n;
    return p * (vec)((half + 127) << 23) * (vec)((k - half + 127) << 23);
#endif
}

/* 1 / x for x from 1 on, within an ulp or two */
INLINE vec v_reciprocal(vec x)
{
#if GD_VECTOR_LANES == 16
    const vec near = (vec)_mm512_rcp14_ps((__m512)x); /* then a Newton step */
    return v_fma(near, v_fma(-x, near, v_set(1.0f)), near);
#else
    return v_set(1.0f) / x;
#endif
}

#endif
