/* SPDX-License-Identifier: MIT */
/* select.c - which ISA's kernels are used: the machine's best, or the one that GUIDED_ISA names. */
#include "cpu/kernels/kernels.h"
#include "cpu/machine.h"

#include <stdlib.h>
#include <string.h>

#if defined __x86_64__
#define X86(table) &table
#else
#define X86(table) NULL
#endif
#if defined __aarch64__
#define ARM64(table) &table
#else
#define ARM64(table) NULL
#endif

/* Of each architecture, in rising order; kernels: NULL for those of another */
static const struct {
    const char *name;
    const gd_kernels *kernels;
} isas[] = {
    [GD_ISA_C] = { "c", &gd_kernels_c },
    [GD_ISA_NEON] = { "neon", ARM64(gd_kernels_neon) },
    [GD_ISA_SSE41] = { "sse41", X86(gd_kernels_sse41) },
    [GD_ISA_AVX2] = { "avx2", X86(gd_kernels_avx2) },
    [GD_ISA_AVX512] = { "avx512", X86(gd_kernels_avx512) },
    [GD_ISA_AVX512_BF16] = { "avx512_bf16", X86(gd_kernels_avx512_bf16) },
    [GD_ISA_AVX512_AMX] = { "avx512_amx", X86(gd_kernels_avx512_amx) },
};

static int chosen = -1;

void gd_isa_names(char list[GD_ISA_NAMES])
{
    size_t length = 0;

    for (int i = 0; i < COUNT(isas); i++)
        if (isas[i].kernels)
            length += (size_t)snprintf(list + length, GD_ISA_NAMES - length, "%s%s",
                                       length ? ", " : "", isas[i].name);
}

static gd_status unknown(const char *name)
{
    char list[GD_ISA_NAMES];

    gd_isa_names(list);
    return gd_fail(GD_EUSAGE, "GUIDED_ISA=%s: expected one of %s", name, list);
}

gd_status gd_isa_check(void)
{
    const char *wish = getenv("GUIDED_ISA");

    if (!wish || !*wish)
        return GD_OK;
    for (int i = 0; i < COUNT(isas); i++)
        if (strcmp(isas[i].name, wish) == 0 && isas[i].kernels)
            return GD_OK;
    return unknown(wish);
}

gd_status gd_isa_force(const char *name)
{
    const gd_isa best = machine_isa();

    for (int i = 0; i < COUNT(isas); i++) {
        if (strcmp(isas[i].name, name) != 0 || !isas[i].kernels)
            continue;
        if (i > (int)best)
            return gd_fail(GD_EUSAGE, "GUIDED_ISA=%s: this machine has %s at most", name,
                           isas[best].name);
        chosen = i;
        return GD_OK;
    }
    return unknown(name);
}

gd_isa gd_isa_used(void)
{
    const char *wish;

    if (chosen >= 0)
        return (gd_isa)chosen;
    wish = getenv("GUIDED_ISA");
    if (!wish || !*wish || gd_isa_force(wish) != GD_OK)
        chosen = machine_isa();
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
    return isa <= machine_isa() ? isas[isa].kernels : NULL;
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
