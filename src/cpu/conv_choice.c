/* conv_choice.c - which algorithm a convolution gets: a table by ISA, precision, pass and size,
 * made from what `guided bench --tune` measures. */
#include "cpu/conv_private.h"

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

bool outer_can(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_GRAD_WEIGHTS && d->dtype == GD_F32 && !d->kernel_w &&
           (d->kernel == 1 || d->kernel == 3) && d->ci % 16 == 0 && d->co % 16 == 0;
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

/* The sums are short, so that the rounding of the transforms shows: against float64, gradients of
 * small networks on a few images of 8x8 have two to four times the error of direct convolutions,
 * and an optimiser's update exceeds what PyTorch's own rounding allows.  Sampling with small32
 * takes as long; training small8 on 16 images would take a fifth longer, hence the limit. */
static bool is_small(const gd_conv_desc *d)
{
    enum { FEW_PIXELS = 64, FEW_IN_ALL = 512, FEW_CHANNELS = 128 };

    return d->h * d->w < FEW_PIXELS ||
           (d->h * d->w == FEW_PIXELS && d->n * d->h * d->w <= FEW_IN_ALL &&
            GD_MAX(d->ci, d->co) <= FEW_CHANNELS);
}

gd_conv_algo gd_conv_choose(const gd_conv_desc *d)
{
    const char *mode = "auto";

    if (gd_isa_used() == GD_ISA_C)
        return GD_CONV_PLAIN;
    if (gd_conv_mode(&mode) != GD_OK || strcmp(mode, "direct") == 0)
        return GD_CONV_DIRECT;
    if (tiles_can(d))
        return GD_CONV_TILES;
    if (winograd_can(d) && !is_small(d) &&
        d->n * d->h * d->w >= gd_conv_winograd_pixels(d->pass, d->dtype))
        return GD_CONV_WINOGRAD;
    return outer_can(d) ? GD_CONV_OUTER : GD_CONV_DIRECT;
}
