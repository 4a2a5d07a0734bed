/* SPDX-License-Identifier: MIT */
/* noise.c - counter-based normal noise: a format for ever, written down in docs/noise.md; and
 * PyTorch's CPU generator.
 *
 * Philox4x32-10: Salmon et al. 2011. log, cos and sin are our own polynomials in double, so that no
 * library or compiler changes a bit. */
#include "base/base.h"

#include <math.h>
#include <string.h>

/* ---- Philox4x32-10 ---- */

static void philox(uint32_t out[4], const uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];

#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* ---- elementary functions with fixed bits, on LANES numbers at once ---- */

enum { LANES = 4, BLOCKS = 2 * LANES / 4 /* of Philox, two words to a lane */ };
typedef double reals __attribute__((vector_size(LANES * 8)));
typedef int64_t masks __attribute__((vector_size(LANES * 8)));
typedef int32_t ints __attribute__((vector_size(LANES * 4)));
#define INLINE static inline __attribute__((always_inline))

INLINE reals choose(masks mask, reals yes, reals no)
{
    return (reals)(((masks)yes & mask) | ((masks)no & ~mask));
}

/* ln x for x in [2^-32, 1]: x = m 2^e, m in [sqrt(1/2), sqrt 2), ln m = 2 atanh(s), s =
 * (m-1)/(m+1), |s| < 0.1716, series to s^19 */
INLINE reals fixed_log(reals x)
{
    static const double coefficient[] = { 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                                          1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0 };
    const double ln2 = 0.69314718055994530942;
    const masks bits = (masks)x, exponent = bits >> 52;
    reals m = (reals)((bits & ((INT64_C(1) << 52) - 1)) | INT64_C(0x3fe) << 52); /* [1/2, 1) */
    const masks low = m < 0.70710678118654752440;
    reals s, s2, sum = { 0 };

    m = choose(low, m * 2, m);
    s = (m - 1) / (m + 1);
    s2 = s * s;
#pragma GCC unroll 10
    for (int k = 0; k < 10; k++)
        sum = sum * s2 + coefficient[k];
    return 2 * s * sum +
           __builtin_convertvector(__builtin_convertvector(exponent - 0x3fe + low, ints), reals) *
               ln2;
}

/* cos and sin of 2 pi u, u in [0, 1): the angle is brought to [-pi/4, pi/4], Taylor series to x^16
 * and x^17 */
INLINE void fixed_cos_sin(reals u, reals *c, reals *s)
{
    const ints quarters = __builtin_convertvector(4 * u + 0.5, ints);
    const masks quarter = __builtin_convertvector(quarters, masks);
    const reals x = (4 * u - __builtin_convertvector(quarters, reals)) * 1.57079632679489661923;
    const reals x2 = x * x;
    const masks odd = -(quarter & 1), sign = -(quarter >> 1 & 1) & INT64_MIN;
    reals cosine = { 0 }, sine = { 0 };

#pragma GCC unroll 8
    for (int k = 16; k >= 2; k -= 2) {
        cosine = (cosine + 1) * -x2 / (k * (k - 1));
        sine = (sine + 1) * -x2 / ((k + 1) * k);
    }
    cosine += 1;
    sine = x * (sine + 1);
    /* Of quarters 0 to 3 the cosine is cos, -sin, -cos, sin, and the sine sin, cos, -sin, -cos. */
    *c = (reals)((masks)choose(odd, -sine, cosine) ^ sign);
    *s = (reals)((masks)choose(odd, cosine, sine) ^ sign);
}

/* Two words to two normal values: u1 = (a + 1) 2^-32 in (0, 1], u2 = b 2^-32 in [0, 1) */
INLINE void box_muller(float value[2 * LANES], const uint32_t word[2 * LANES])
{
    reals u1, u2, radius, c, s;

    for (int l = 0; l < LANES; l++) {
        u1[l] = ((double)word[2 * l] + 1) * 0x1p-32;
        u2[l] = (double)word[2 * l + 1] * 0x1p-32;
    }
    radius = -2 * fixed_log(u1);
    for (int l = 0; l < LANES; l++)
        radius[l] = sqrt(radius[l]);
    fixed_cos_sin(u2, &c, &s);
    for (int l = 0; l < LANES; l++) {
        value[2 * l] = (float)(radius[l] * c[l]);
        value[2 * l + 1] = (float)(radius[l] * s[l]);
    }
}

void gd_noise_normal(float *out, int64_t n, uint64_t seed, uint64_t image, uint32_t step)
{
    for (int64_t i = 0; i < n; i += 2 * LANES) {
        uint32_t word[2 * LANES];
        float value[2 * LANES];
        for (int k = 0; k < BLOCKS; k++) {
            const uint32_t counter[4] = { (uint32_t)(i / 4 + k), step, (uint32_t)image,
                                          (uint32_t)(image >> 32) };
            philox(word + 4 * k, counter, (uint32_t)seed, (uint32_t)(seed >> 32));
        }
        box_muller(value, word);
        memcpy(out + i, value, (size_t)GD_MIN(2 * LANES, n - i) * sizeof *out);
    }
}

void gd_noise_images(float *out, int64_t n, uint64_t seed, int64_t first, int images, int step)
{
    for (int i = 0; i < images; i++)
        gd_noise_normal(out + i * n, n, seed, (uint64_t)(first + i), (uint32_t)step);
}

/* Lemire 2019: the high half of word * range, redrawn where the low half shows a bias.  Counter
 * word 0 counts the draws from the top, away from those of gd_noise_normal. */
uint32_t gd_noise_below(uint32_t range, uint64_t seed, uint64_t image, uint32_t step)
{
    uint32_t draw = UINT32_MAX, word[4];
    uint64_t product;

    do {
        const uint32_t counter[4] = { draw--, step, (uint32_t)image, (uint32_t)(image >> 32) };
        philox(word, counter, (uint32_t)seed, (uint32_t)(seed >> 32));
        product = (uint64_t)word[0] * range;
    } while ((uint32_t)product < (0u - range) % range);
    return (uint32_t)(product >> 32);
}

void gd_noise_uniform(float *out, int64_t n, uint64_t seed, uint64_t block, uint32_t step)
{
    for (int64_t i = 0; i < n; i += 4) {
        const uint64_t at = block + (uint64_t)i / 4;
        const uint32_t counter[4] = { UINT32_MAX - 1, step, (uint32_t)at, (uint32_t)(at >> 32) };
        uint32_t word[4];
        philox(word, counter, (uint32_t)seed, (uint32_t)(seed >> 32));
        for (int k = 0; k < 4 && i + k < n; k++)
            out[i + k] = (float)(word[k] >> 8) * 0x1p-24f;
    }
}

/* ---- PyTorch's CPU generator (docs/reference/diffusion.md#random-numbers): mt19937, Matsumoto &
 * Nishimura 1998 ---- */

enum { MT_N = 624, MT_M = 397 };

void gd_torch_seed(gd_torch_rng *rng, uint64_t seed)
{
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < MT_N; i++)
        rng->state[i] = 1812433253u * (rng->state[i - 1] ^ rng->state[i - 1] >> 30) + i;
    rng->index = MT_N;
    rng->has_cached = false;
}

static void refill(gd_torch_rng *rng)
{
    for (int i = 0; i < MT_N; i++) {
        const uint32_t y =
            (rng->state[i] & 0x80000000u) | (rng->state[(i + 1) % MT_N] & 0x7fffffffu);
        rng->state[i] = rng->state[(i + MT_M) % MT_N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    rng->index = 0;
}

static uint32_t next_word(gd_torch_rng *rng)
{
    uint32_t y;

    if (rng->index == MT_N)
        refill(rng);
    y = rng->state[rng->index++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static float next_float(gd_torch_rng *rng)
{
    return (float)(next_word(rng) & 0xffffff) * 0x1p-24f;
}

static double next_double(gd_torch_rng *rng)
{
    const uint64_t high = next_word(rng), low = next_word(rng);
    return (double)((high << 32 | low) & ((1ull << 53) - 1)) * 0x1p-53;
}

void gd_torch_randint(gd_torch_rng *rng, int64_t *out, int64_t n, uint32_t range)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = next_word(rng) % range;
}

static void transform16(float *a)
{
    for (int j = 0; j < 8; j++) {
        const float u1 = 1 - a[j], u2 = a[j + 8];
        const float radius = sqrtf(-2 * logf(u1)), theta = 2 * (float)M_PI * u2;
        a[j] = radius * cosf(theta);
        a[j + 8] = radius * sinf(theta);
    }
}

static float small_normal(gd_torch_rng *rng)
{
    double u1, u2, radius;

    if (rng->has_cached) {
        rng->has_cached = false;
        return (float)rng->cached;
    }
    u1 = next_double(rng);
    u2 = next_double(rng);
    radius = sqrt(-2 * log1p(-u2));
    rng->cached = radius * sin(2 * M_PI * u1);
    rng->has_cached = true;
    return (float)(radius * cos(2 * M_PI * u1));
}

void gd_torch_randn(gd_torch_rng *rng, float *out, int64_t n)
{
    if (n < 16) {
        for (int64_t i = 0; i < n; i++)
            out[i] = small_normal(rng);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = next_float(rng);
    for (int64_t i = 0; i + 16 <= n; i += 16)
        transform16(out + i);
    if (n % 16 != 0) {
        for (int64_t i = n - 16; i < n; i++)
            out[i] = next_float(rng);
        transform16(out + n - 16);
    }
}
