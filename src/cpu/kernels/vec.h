/* SPDX-License-Identifier: MIT */
/* vec.h - LANES floats in one register, the unit in which kernels are written; one source for every
 * ISA.  The including file defines how wide its registers are (GD_VECTOR_LANES: 4, 8 or 16); what
 * needs a machine's own instructions is in vec_x86.h, and for all others in vec_any.h.
 *
 * A channel block of 16 is walked as 16 / LANES parts, each by the same operations in the same
 * order, so the width does not show in the bits: nothing here contracts a product and a sum
 * (-ffp-contract=off).  Only v_fma, v_exp_normal and v_logistic, which attention and SiLU use,
 * are fused where the machine can. */
#ifndef GD_CPU_VEC_H
#define GD_CPU_VEC_H

#include "cpu/kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { LANES = GD_VECTOR_LANES };

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t vec_int __attribute__((vector_size(LANES * 4)));
typedef uint32_t vec_bits __attribute__((vector_size(LANES * 4)));
typedef uint16_t vec_half __attribute__((vector_size(LANES * 2)));
typedef float vec4 __attribute__((vector_size(16)));

#define INLINE static inline __attribute__((always_inline))

/* a where the mask is -1, b where it is 0 */
INLINE vec v_select(vec_int mask, vec a, vec b)
{
    return (vec)((mask & (vec_int)a) | (~mask & (vec_int)b));
}

#if defined __x86_64__
#include "cpu/kernels/vec_x86.h"
#else
#include "cpu/kernels/vec_any.h"
#endif

/* What comes this much later is prefetched by loops that both compute and wait for memory: left
 * alone, the machine asks too late, all the more with several arrays at once.  (Loops that only
 * copy or add gain nothing.) */
enum { AHEAD = 512 /* floats */, PIXELS_AHEAD = AHEAD / 16 };

INLINE void prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

/* Lane by lane, the low one's bits in front */
INLINE vec v_pairs(vec_half low, vec_half high)
{
    return (vec)(v_widen(low) | v_widen(high) << 16);
}

INLINE vec v_load_bf16(const uint16_t *p)
{
    vec_half h;
    memcpy(&h, p, sizeof h);
    return (vec)(v_widen(h) << 16);
}

/* ---- across lanes: halves are folded onto each other until one lane is left ---- */

INLINE vec4 quarter(vec v, int k)
{
    vec4 q;
    memcpy(&q, (const float *)&v + 4 * k, sizeof q);
    return q;
}

INLINE float v_sum(vec v)
{
#if GD_VECTOR_LANES == 16
    const vec4 a = (quarter(v, 0) + quarter(v, 2)) + (quarter(v, 1) + quarter(v, 3));
#elif GD_VECTOR_LANES == 8
    const vec4 a = quarter(v, 0) + quarter(v, 1);
#else
    const vec4 a = v;
#endif
    return (a[0] + a[2]) + (a[1] + a[3]);
}

INLINE float v_max_lane(vec v)
{
    vec4 a = quarter(v, 0);

    for (int k = 1; k < LANES / 4; k++)
        a = v_max4(a, quarter(v, k));
    const float b = a[0] > a[2] ? a[0] : a[2], c = a[1] > a[3] ? a[1] : a[3];
    return b > c ? b : c;
}

/* One step of v_transpose: lanes that differ in bit `bit` are exchanged between rows that do. */
#define SWAP_LOW(l, bit) ((l) & (bit) ? LANES + (l) - (bit) : (l))
#define SWAP_HIGH(l, bit) ((l) & (bit) ? LANES + (l) : (l) + (bit))
#define FOUR(of, l, bit) of(l, bit), of(l + 1, bit), of(l + 2, bit), of(l + 3, bit)
#if GD_VECTOR_LANES == 16
#define EACH_LANE(of, bit) FOUR(of, 0, bit), FOUR(of, 4, bit), FOUR(of, 8, bit), FOUR(of, 12, bit)
#elif GD_VECTOR_LANES == 8
#define EACH_LANE(of, bit) FOUR(of, 0, bit), FOUR(of, 4, bit)
#else
#define EACH_LANE(of, bit) FOUR(of, 0, bit)
#endif
#define SWAP_STEP(row, bit)                                                                        \
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) if (!(i & (bit)))                     \
    {                                                                                              \
        const vec a = row[i], b = row[i + (bit)];                                                  \
        row[i] = __builtin_shufflevector(a, b, EACH_LANE(SWAP_LOW, bit));                          \
        row[i + (bit)] = __builtin_shufflevector(a, b, EACH_LANE(SWAP_HIGH, bit));                 \
    }

/* Lane l of row i <-> lane i of row l */
INLINE void v_transpose(vec row[LANES])
{
    SWAP_STEP(row, 1)
    SWAP_STEP(row, 2)
#if GD_VECTOR_LANES >= 8
    SWAP_STEP(row, 4)
#endif
#if GD_VECTOR_LANES >= 16
    SWAP_STEP(row, 8)
#endif
}

/* ---- exp: 2^n p(r), n = round(x / ln 2), r = x - n ln 2 in two parts (Cody & Waite) ---- */

#define ROUNDER 12582912.0f   /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
#define LN2_HIGH 0.693359375f /* 355 / 512: n times this is exact */
#define LN2_LOW -2.12194440e-4f /* ln 2 - LN2_HIGH */

/* p(r) = 1 + r + r^2 q(r); q interpolates (e^r - 1 - r) / r^2 at the Chebyshev nodes of
 * [-ln 2 / 2, ln 2 / 2] */
static const float exp_q[5] = { 0.5f, 1.666657700e-01f, 4.166655463e-02f, 8.363177630e-03f,
                                1.392618181e-03f };

/* x from -104 to 89 or NaN */
INLINE vec v_exp_inside(vec x)
{
    const vec rounder = v_set(ROUNDER);
    const vec shifted = x * v_set(1.44269504f) + rounder, n = shifted - rounder;
    const vec r = x - n * v_set(LN2_HIGH) - n * v_set(LN2_LOW);
    vec q = v_set(exp_q[4]);

    for (int i = 3; i >= 0; i--)
        q = q * r + v_set(exp_q[i]);
    return v_scale(q * r * r + r + v_set(1.0f), n, (vec_int)shifted - (vec_int)rounder);
}

/* The whole range: denormal results too, 0 below -104, NaN stays NaN */
INLINE vec v_exp(vec x)
{
    return v_exp_inside(v_min(v_set(89.0f), v_max(v_set(-104.0f), x)));
}

/* Where e^x and e^-x are normal numbers: |x| up to EXP_NORMAL, or NaN; fused */
#define EXP_NORMAL 86.0f

INLINE vec v_exp_normal(vec x)
{
    const vec rounder = v_set(ROUNDER);
    const vec shifted = v_fma(x, v_set(1.44269504f), rounder), n = shifted - rounder;
    const vec r = v_fma(n, v_set(-LN2_LOW), v_fma(n, v_set(-LN2_HIGH), x));
    vec q = v_set(exp_q[4]);

    for (int i = 3; i >= 0; i--)
        q = v_fma(q, r, v_set(exp_q[i]));
    /* bits: not a number may overflow */
    return (vec)((vec_bits)v_fma(q * r, r, r + v_set(1.0f)) + ((vec_bits)shifted << 23));
}

/* For x up to about 0: e^-86 (5e-38, for "none") below -86 */
INLINE vec v_exp_negative(vec x)
{
    return v_exp_normal(v_max(v_set(-EXP_NORMAL), x));
}

/* ---- the logistic function ---- */

/* x, at least -EXP_NORMAL, with e^-x and 1 / (1 + e^-x); below -EXP_NORMAL the latter is 5e-38, and
 * above EXP_NORMAL 1 */
typedef struct logistic {
    vec x, e, unit;
} logistic;

INLINE logistic v_logistic(vec x)
{
    const vec inside = v_max(v_set(-EXP_NORMAL), x);
    const vec e = v_exp_normal(-v_min(v_set(EXP_NORMAL), inside)), sum = v_set(1.0f) + e;

    return (logistic){ inside, e, v_reciprocal(sum) };
}

/* x / (1 + e^-x) */
INLINE vec v_silu(vec x)
{
    const logistic l = v_logistic(x);
    return l.x * l.unit;
}

/* d silu / dx = s (1 + x (1 - s)), where 1 - s is e^-x s */
INLINE vec v_silu_slope(vec x)
{
    const logistic l = v_logistic(x);
    const vec most = v_min(v_set(1e4f), l.x); /* infinity times 0 is not a number */
    return l.unit * v_fma(most, l.e * l.unit, v_set(1.0f));
}

/* ---- the normal distribution ---- */

/* erf(z) / z in z^2 for z up to 1, and -ln erfc(z) for z from 1 to 4.3: interpolated at the
 * Chebyshev nodes; both to 5e-8 of erf and erfc */
static const float erf_near[7] = { 1.1283791065216064f,   -0.3761262595653534f,
                                   0.11283597350120544f,  -0.02685432881116867f,
                                   0.005189312156289816f, -0.0008018855005502701f,
                                   7.882497448008507e-05f };
static const float erfc_far[9] = { -0.00022079047630541027f, 1.1298332214355469f,
                                   0.6325064897537231f,      0.10944206267595291f,
                                   -0.02605985291302204f,    0.004632875788956881f,
                                   -0.0005698680179193616f,  4.287861884222366e-05f,
                                   -1.4772995200473815e-06f };
#define ERFC_END 4.3f

INLINE vec v_polynomial(const float *c, int degree, vec x)
{
    vec sum = v_set(c[degree]);

    for (int i = degree - 1; i >= 0; i--)
        sum = sum * x + v_set(c[i]);
    return sum;
}

/* erfc(z), z from 1 on; beyond ERFC_END (1e-9) it falls as e^(-z^2) */
INLINE vec v_erfc_far(vec z)
{
    const vec inside = v_min(v_set(ERFC_END), z), least = v_set(ERFC_END * ERFC_END);
    const vec beyond = v_max(v_set(0.0f), v_min(v_set(1e4f), z * z) - least);

    return v_exp(-(v_polynomial(erfc_far, 8, inside) + beyond));
}

/* x Phi(x) = x (1 + erf(x / sqrt 2)) / 2 */
INLINE vec v_gelu(vec x)
{
    const vec z = x * v_set(0.70710678f), size = v_max(z, -z), half = v_set(0.5f);
    const vec near = half + half * z * v_polynomial(erf_near, 6, z * z);
    const vec tail = half * v_erfc_far(size);
    const vec far = v_select(z < v_set(0.0f), tail, v_set(1.0f) - tail);

    return x * v_select(size < v_set(1.0f), near, far);
}

/* x / (1 + e^-u) */
INLINE vec v_gelu_logistic(vec x, vec u)
{
    return x * v_logistic(u).unit;
}

#endif
