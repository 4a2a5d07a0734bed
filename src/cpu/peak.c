/* peak.c - the machine's multiply-add rate, measured in registers: what a kernel can reach at most,
 * today, on this machine. */
#include "cpu/conv.h"
#include "cpu/kernels.h"

#include <immintrin.h>

enum { LOOPS = 20000, CHAINS = 16, REPEATS = 20, MAX_THREADS = 1024 };
enum { TILE_CYCLES = 16, TILE_MACS = 16 * 16 * 32 }; /* of an instruction on tiles */

/* Each returns the sum of its registers so that the loop is not removed. */
__attribute__((target("avx512f"))) static float fma_avx512(int loops)
{
    __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1e-3f), s[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        s[i] = _mm512_set1_ps((float)i);
    for (int k = 0; k < loops; k++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            s[i] = _mm512_fmadd_ps(s[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        s[0] = _mm512_add_ps(s[0], s[i]);
    return _mm512_reduce_add_ps(s[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float dot_bf16(int loops)
{
    const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3c00), b = (__m512bh)_mm512_set1_epi16(0x3c00);
    __m512 s[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        s[i] = _mm512_set1_ps((float)i);
    for (int k = 0; k < loops; k++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            s[i] = _mm512_dpbf16_ps(s[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        s[0] = _mm512_add_ps(s[0], s[i]);
    return _mm512_reduce_add_ps(s[0]);
}

__attribute__((target("amx-tile,amx-bf16"))) static float dot_tiles(int loops)
{
    float out[256];

    _tile_loadconfig(&gd_whole_tiles);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (int k = 0; k < loops / TILE_CYCLES; k++) {
#pragma GCC unroll 4
        for (int i = 0; i < CHAINS / 4; i++) {
            _tile_dpbf16ps(0, 4, 5);
            _tile_dpbf16ps(1, 4, 5);
            _tile_dpbf16ps(2, 4, 5);
            _tile_dpbf16ps(3, 4, 5);
        }
    }
    _tile_stored(0, out, 64);
    _tile_release();
    return out[0];
}

__attribute__((target("avx2,fma"))) static float fma_avx2(int loops)
{
    __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1e-3f), s[CHAINS / 2];
    float out[8], sum = 0;

    for (int i = 0; i < CHAINS / 2; i++)
        s[i] = _mm256_set1_ps((float)i);
    for (int k = 0; k < 2 * loops; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < CHAINS / 2; i++)
            s[i] = _mm256_fmadd_ps(s[i], a, b);
    }
    for (int i = 0; i < CHAINS / 2; i++) {
        _mm256_storeu_ps(out, s[i]);
        for (int j = 0; j < 8; j++)
            sum += out[j];
    }
    return sum;
}

static float mul_add_sse(int loops)
{
    __m128 a = _mm_set1_ps(0.5f), b = _mm_set1_ps(1e-3f), s[CHAINS / 2];
    float out[4], sum = 0;

    for (int i = 0; i < CHAINS / 2; i++)
        s[i] = _mm_set1_ps((float)i);
    for (int k = 0; k < 2 * loops; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < CHAINS / 2; i++)
            s[i] = _mm_add_ps(_mm_mul_ps(s[i], a), b);
    }
    for (int i = 0; i < CHAINS / 2; i++) {
        _mm_storeu_ps(out, s[i]);
        for (int j = 0; j < 4; j++)
            sum += out[j];
    }
    return sum;
}

typedef struct peak_job {
    float (*run)(int loops);
    volatile float *sink; /* [threads]: the sums are not optimised away */
} peak_job;

static void run_one(void *ctx, int64_t i)
{
    const peak_job *job = ctx;
    job->sink[i] = job->run(LOOPS);
}

/* What runs, and the multiply-adds of one of its CHAINS in one of its loops */
typedef struct multiplier {
    float (*run)(int loops);
    double macs;
} multiplier;

static multiplier multiplier_of(gd_isa isa, gd_dtype dtype)
{
    if (dtype == GD_BF16 && isa == GD_ISA_AVX512_AMX)
        return (multiplier){ dot_tiles, (double)TILE_MACS / TILE_CYCLES };
    if (dtype == GD_BF16 && isa == GD_ISA_AVX512_BF16)
        return (multiplier){ dot_bf16, 32 };
    if (isa >= GD_ISA_AVX512)
        return (multiplier){ fma_avx512, 16 };
    return isa == GD_ISA_AVX2 ? (multiplier){ fma_avx2, 8 } : (multiplier){ mul_add_sse, 4 };
}

double gd_peak_macs(gd_dtype dtype)
{
    const multiplier m = multiplier_of(gd_isa_used(), dtype);
    const int threads = GD_MIN(gd_threads(), MAX_THREADS);
    volatile float sink[MAX_THREADS];
    double best = 0;

    for (int r = 0; r < REPEATS; r++) {
        const double start = gd_seconds();
        gd_par(threads, run_one, &(peak_job){ m.run, sink });
        best = GD_MAX(best, (double)LOOPS * CHAINS * m.macs * threads / (gd_seconds() - start));
    }
    return best;
}
