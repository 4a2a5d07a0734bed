/* SPDX-License-Identifier: MIT */
/* machine_x86.c - which of x86's ISAs the machine has, and how fast each multiplies. */
#include "cpu/machine.h"

#include "cpu/kernels/kernels.h"

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TILE_CYCLES = 16, TILE_MACS = 16 * 16 * 32 }; /* of an instruction on tiles */

const gd_tile_shape gd_whole_tiles = { .palette = 1,
                                       .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
                                       .rows = { 16, 16, 16, 16, 16, 16, 16, 16 } };

/* Not every compiler knows these by name. */
static bool has_tiles(void)
{
    enum { LEAF = 7, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;

    return __get_cpuid_count(LEAF, 0, &a, &b, &c, &d) && d & AMX_BF16 && d & AMX_TILE;
}

/* Linux lets a process use the tile registers once it has asked: their contents are 8 KB more to
 * save. */
static bool may_use_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static gd_isa best_avx512(void)
{
    if (!__builtin_cpu_supports("avx512bf16"))
        return GD_ISA_AVX512;
    return has_tiles() && may_use_tiles() ? GD_ISA_AVX512_AMX : GD_ISA_AVX512_BF16;
}

gd_isa machine_isa(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return best_avx512();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return GD_ISA_AVX2;
    return __builtin_cpu_supports("sse4.1") ? GD_ISA_SSE41 : GD_ISA_C;
}

/* ---- peak ---- */

__attribute__((target("avx512f"))) static float fma_avx512(int loops)
{
    __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1e-3f), s[PEAK_CHAINS];

    for (int i = 0; i < PEAK_CHAINS; i++)
        s[i] = _mm512_set1_ps((float)i);
    for (int k = 0; k < loops; k++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            s[i] = _mm512_fmadd_ps(s[i], a, b);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
        s[0] = _mm512_add_ps(s[0], s[i]);
    return _mm512_reduce_add_ps(s[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float dot_bf16(int loops)
{
    const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3c00), b = (__m512bh)_mm512_set1_epi16(0x3c00);
    __m512 s[PEAK_CHAINS];

    for (int i = 0; i < PEAK_CHAINS; i++)
        s[i] = _mm512_set1_ps((float)i);
    for (int k = 0; k < loops; k++) {
#pragma GCC unroll 16
        for (int i = 0; i < PEAK_CHAINS; i++)
            s[i] = _mm512_dpbf16_ps(s[i], a, b);
    }
    for (int i = 1; i < PEAK_CHAINS; i++)
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
        for (int i = 0; i < PEAK_CHAINS / 4; i++) {
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
    __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1e-3f), s[PEAK_CHAINS / 2];
    float out[8], sum = 0;

    for (int i = 0; i < PEAK_CHAINS / 2; i++)
        s[i] = _mm256_set1_ps((float)i);
    for (int k = 0; k < 2 * loops; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < PEAK_CHAINS / 2; i++)
            s[i] = _mm256_fmadd_ps(s[i], a, b);
    }
    for (int i = 0; i < PEAK_CHAINS / 2; i++) {
        _mm256_storeu_ps(out, s[i]);
        for (int j = 0; j < 8; j++)
            sum += out[j];
    }
    return sum;
}

machine_peak machine_peak_of(gd_isa isa, gd_dtype dtype)
{
    if (dtype == GD_BF16 && isa == GD_ISA_AVX512_AMX)
        return (machine_peak){ dot_tiles, (double)TILE_MACS / TILE_CYCLES };
    if (dtype == GD_BF16 && isa == GD_ISA_AVX512_BF16)
        return (machine_peak){ dot_bf16, 32 };
    if (isa >= GD_ISA_AVX512)
        return (machine_peak){ fma_avx512, 16 };
    return isa == GD_ISA_AVX2 ? (machine_peak){ fma_avx2, 8 } : (machine_peak){ 0 };
}
