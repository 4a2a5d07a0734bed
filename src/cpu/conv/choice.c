/* SPDX-License-Identifier: MIT */
/* choice.c - which algorithm a convolution gets: a table by ISA, precision, pass and size,
 * made from what `guided bench --tune` measures. */
#include "cpu/conv/conv_private.h"

#include <stdlib.h>
#include <string.h>

gd_status gd_conv_mode(const char **out)
{
    const char *mode = getenv("GUIDED_CONV");

    *out = mode && *mode ? mode : "auto";
    if (strcmp(*out, "auto") == 0 || strcmp(*out, "direct") == 0)
        return GD_OK;
    return gd_fail(GD_EUSAGE, "GUIDED_CONV=%s: expected auto or direct", *out);
}

enum { NEVER = 1 << 30 };

/* Pixels of all images from which Winograd's products in float32 are faster than the other way:
 * direct in the given precision, for float32 gradients of weights outer products */
static const struct {
    int forward, data, weights;
} least_pixels[][2] = {
    /*                       float32           bfloat16 */
    [GD_ISA_NEON] = { { 64, 64, 64 }, { NEVER, NEVER, NEVER } },
    [GD_ISA_SSE41] = { { 64, 64, 64 }, { NEVER, NEVER, NEVER } },
    [GD_ISA_AVX2] = { { 64, 64, 64 }, { NEVER, NEVER, NEVER } },
    [GD_ISA_AVX512] = { { 64, 64, 64 }, { 64, 64, 64 } },
    [GD_ISA_AVX512_BF16] = { { 64, 64, 64 }, { 256, 256, 64 } },
    [GD_ISA_AVX512_AMX] = { { 64, 64, 64 }, { NEVER, NEVER, 64 } },
};

int gd_conv_winograd_pixels(gd_conv_pass pass, gd_dtype dtype)
{
    const bool bf16 = dtype == GD_BF16;
    const gd_isa isa = gd_isa_used();

    switch (pass) {
    case GD_CONV_FORWARD:
        return least_pixels[isa][bf16].forward;
    case GD_CONV_GRAD_DATA:
        return least_pixels[isa][bf16].data;
    default:
        return least_pixels[isa][bf16].weights;
    }
}

gd_conv_algo gd_conv_choose(const gd_conv_desc *d)
{
    static const gd_conv_algo fastest_first[] = { GD_CONV_TILES, GD_CONV_WINOGRAD, GD_CONV_OUTER };
    const char *mode = "auto";

    if (gd_isa_used() == GD_ISA_C)
        return GD_CONV_PLAIN;
    if (gd_conv_mode(&mode) != GD_OK || strcmp(mode, "direct") == 0)
        return GD_CONV_DIRECT;
    for (int i = 0; i < COUNT(fastest_first); i++) {
        const conv_engine *e = conv_engine_of(fastest_first[i]);
        if (e->can(d) && (!e->pays || e->pays(d)))
            return fastest_first[i];
    }
    return GD_CONV_DIRECT;
}
