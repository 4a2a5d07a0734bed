/* SPDX-License-Identifier: MIT */
/* tiles.c - convolutions by tiles of AMX (tiles.inc): sizes, and the job of one call. */
#include "cpu/conv/conv_private.h"

static bool can(const gd_conv_desc *d)
{
    const bool kernel =
        !d->kernel_w && ((d->kernel == 1 && d->pad == 0) || (d->kernel == 3 && d->pad <= 1));

    return gd_isa_used() == GD_ISA_AVX512_AMX && d->dtype == GD_BF16 &&
           d->pass != GD_CONV_GRAD_WEIGHTS && kernel && d->stride == 1 && d->ci % 16 == 0 &&
           d->co % 16 == 0;
}

static size_t blocks_of_32(int channels)
{
    return (size_t)(channels + 31) / 32;
}

static size_t weights_bytes(const gd_conv *c)
{
    const gd_conv_desc *d = &c->desc;
    const size_t taps = (size_t)(d->kernel * d->kernel), out = (size_t)conv_out_channels(d);

    return blocks_of_32(conv_in_channels(d)) * 32 * out * taps * sizeof(uint16_t);
}

static size_t image_bytes(const gd_conv_desc *d)
{
    const gd_view x = conv_input(d, NULL);

    return blocks_of_32(x.c) * (size_t)gd_tiles_plane(&x, d->kernel, conv_in_pad(d)) *
           sizeof(uint16_t);
}

/* Images that are laid out together: small ones, so that all threads have work */
static int round_of(const gd_conv_desc *d)
{
    enum { ROUND_BYTES = 8 << 20 };
    const size_t fitting = ROUND_BYTES / GD_MAX(image_bytes(d), 1);

    return (int)GD_MIN((size_t)d->n, GD_MAX(fitting, 1));
}

static size_t scratch_bytes(const gd_conv *c)
{
    return (size_t)round_of(&c->desc) * image_bytes(&c->desc);
}

static gd_status pack(const gd_conv *c, void *packed, const float *weights)
{
    const gd_conv_desc *d = &c->desc;

    gd_kernels_get()->tiles_pack(packed, weights, d->co, d->ci, d->kernel * d->kernel,
                                 d->pass == GD_CONV_GRAD_DATA);
    return GD_OK;
}

static void run(const gd_conv_call *call)
{
    const gd_conv_desc *d = &call->conv->desc;
    const gd_conv_buffers *b = &call->buffers;
    const gd_tiles job = { .x = conv_input(d, b),
                           .y = conv_output(d, b),
                           .kernel = d->kernel,
                           .pad = conv_in_pad(d),
                           .relu = d->relu,
                           .weights = b->weights,
                           .bias = d->bias ? b->bias : NULL,
                           .residual = d->accumulate ? b->residual : NULL,
                           .threads = call->conv->threads,
                           .round = round_of(d),
                           .scratch = b->scratch };

    gd_kernels_get()->tiles_run(&job);
}

const conv_engine conv_engine_tiles = { .name = "tiles",
                                        .can = can,
                                        .weights_bytes = weights_bytes,
                                        .scratch_bytes = scratch_bytes,
                                        .pack = pack,
                                        .run = run };
