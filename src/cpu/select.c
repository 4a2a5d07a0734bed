/* select.c - which ISA's kernels are used: the machine's best, or what GUIDED_ISA says. */
#include "cpu/kernels.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    const gd_kernels *kernels;
} isas[] = {
    [GD_ISA_C] = { "c", &gd_kernels_c },
    [GD_ISA_SSE41] = { "sse41", &gd_kernels_sse41 },
    [GD_ISA_AVX2] = { "avx2", &gd_kernels_avx2 },
    [GD_ISA_AVX512] = { "avx512", &gd_kernels_avx512 },
    [GD_ISA_AVX512_BF16] = { "avx512_bf16", &gd_kernels_avx512_bf16 },
    [GD_ISA_AVX512_AMX] = { "avx512_amx", &gd_kernels_avx512_amx },
};

const gd_tile_shape gd_whole_tiles = { .palette = 1,
                                       .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
                                       .rows = { 16, 16, 16, 16, 16, 16, 16, 16 } };

static int chosen = -1;

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

static gd_isa best_isa(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return best_avx512();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return GD_ISA_AVX2;
    return __builtin_cpu_supports("sse4.1") ? GD_ISA_SSE41 : GD_ISA_C;
}

gd_status gd_isa_force(const char *name)
{
    const gd_isa best = best_isa();

    for (int i = 0; i < COUNT(isas); i++) {
        if (strcmp(isas[i].name, name) != 0)
            continue;
        if (i > (int)best)
            return gd_fail(GD_EUSAGE, "GUIDED_ISA=%s: this machine has %s at most", name,
                           isas[best].name);
        chosen = i;
        return GD_OK;
    }
    return gd_fail(GD_EUSAGE,
                   "GUIDED_ISA=%s: expected c, sse41, avx2, avx512, avx512_bf16 or avx512_amx",
                   name);
}

gd_isa gd_isa_used(void)
{
    const char *wish;

    if (chosen >= 0)
        return (gd_isa)chosen;
    wish = getenv("GUIDED_ISA");
    if (!wish || !*wish || gd_isa_force(wish) != GD_OK)
        chosen = best_isa();
    return (gd_isa)chosen;
}

const char *gd_isa_name(gd_isa isa)
{
    return isas[isa].name;
}

const gd_kernels *gd_kernels_get(void)
{
    return isas[gd_isa_used()].kernels;
}

const gd_kernels *gd_kernels_of(gd_isa isa)
{
    return isa <= best_isa() ? isas[isa].kernels : NULL;
}

/* Rows of every part, panels of some, two sums a token (attention.inc's carve); rows have room for
 * the pairs of attention_bf16.inc */
size_t gd_attention_scratch(int heads, int head_channels, int tokens, bool backward)
{
    const size_t padded = (size_t)gd_attention_padded(tokens);
    const size_t channels = (size_t)head_channels, width = (channels + 31) / 32 * 32;
    const size_t n_rows = backward ? 6 + (size_t)gd_attention_chunks(heads, tokens) : 4;
    const size_t n_panels = backward ? 2 : 1;

    return sizeof(float) * (size_t)heads * padded * (n_rows * width + n_panels * channels + 2);
}
