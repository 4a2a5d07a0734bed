/* SPDX-License-Identifier: MIT */
/* winograd.c - convolutions by our own Winograd kernels (winograd.inc): sizes, and the job of
 * one call. */
#include "cpu/conv/conv_private.h"

enum { TILE = 4, POINTS = 36 };

static bool can(const gd_conv_desc *d)
{
    return d->kernel == 3 && !d->kernel_w && d->stride == 1 && d->pad <= 1 && d->ci % 16 == 0 &&
           d->co % 16 == 0;
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

static bool pays(const gd_conv_desc *d)
{
    return !is_small(d) && d->n * d->h * d->w >= gd_conv_winograd_pixels(d->pass, d->dtype);
}

static size_t weights_bytes(const gd_conv *c)
{
    const gd_conv_desc *d = &c->desc;
    const size_t panels =
        (size_t)(conv_out_channels(d) + GD_WINOGRAD_PANEL - 1) / GD_WINOGRAD_PANEL;

    return panels * GD_WINOGRAD_PANEL * 9 * (size_t)conv_in_channels(d) * gd_dtype_bytes(d->dtype);
}

static int patches_of(const gd_conv_desc *d, const gd_view *y)
{
    return d->n * ((y->h + TILE - 1) / TILE) * ((y->w + TILE - 1) / TILE);
}

/* Patches of one thread's round: enough to pay for transforming the filters again, few enough for
 * their transforms to stay in a cache */
static int round_of(const gd_conv_desc *d)
{
    enum { ROUND_BYTES = 4 << 20, LEAST = 28, MAX_PATCHES = 64 };
    const gd_view y = conv_output(d, NULL);
    const int fitting = ROUND_BYTES / (POINTS * conv_in_channels(d) * (int)sizeof(float));

    return GD_MIN(patches_of(d, &y), GD_MIN(GD_MAX(fitting, LEAST), MAX_PATCHES));
}

/* Of a weight gradient: transforms of both operands stay in a cache.  A function of the
 * shape alone. */
static int gradient_round_of(const gd_conv_desc *d)
{
    enum { ROUND_BYTES = 4 << 20, LEAST = 64 };
    const gd_view dy = conv_y(d, NULL);
    const int fitting = ROUND_BYTES / (POINTS * (d->ci + d->co) * (int)sizeof(float));

    return GD_MIN(patches_of(d, &dy), GD_MAX(fitting, LEAST));
}

static size_t scratch_bytes(const gd_conv *c)
{
    const gd_conv_desc *d = &c->desc;

    if (d->pass == GD_CONV_GRAD_WEIGHTS)
        return (size_t)gd_winograd_weights_scratch(gradient_round_of(d), d->ci, d->co, c->threads) *
               sizeof(float);
    return (size_t)(c->threads * gd_winograd_scratch(round_of(d), conv_in_channels(d))) *
           sizeof(float);
}

static bool has_bands(const gd_conv *c)
{
    (void)c;
    return true;
}

static void pack_band(const gd_conv *c, void *packed, const float *weights, int band, bool stream)
{
    const gd_conv_desc *d = &c->desc;
    const gd_winograd_packing job = { packed, d->dtype, weights,
                                      d->co,  d->ci,    d->pass == GD_CONV_GRAD_DATA,
                                      stream };

    gd_kernels_get()->winograd_pack(&job, band);
}

static void run_weights(const gd_conv_desc *d, int threads, const gd_conv_buffers *b)
{
    const gd_winograd_weights job = { .x = conv_x(d, b->x),
                                      .dy = conv_y(d, b->y),
                                      .pad = d->pad,
                                      .dweights = b->dweights,
                                      .round = gradient_round_of(d),
                                      .threads = threads,
                                      .scratch = b->scratch };

    gd_kernels_get()->winograd_weights(&job);
}

static void run_data(const gd_conv_desc *d, int threads, const gd_conv_buffers *b)
{
    const gd_winograd job = { .x = conv_input(d, b),
                              .y = conv_output(d, b),
                              .pad = conv_in_pad(d),
                              .weights = b->weights,
                              .bias = d->bias ? b->bias : NULL,
                              .residual = d->accumulate ? b->residual : NULL,
                              .relu = d->relu,
                              .round = round_of(d),
                              .threads = threads,
                              .scratch = b->scratch };

    gd_kernels_get()->winograd(&job);
}

static void run(const gd_conv_call *call)
{
    const gd_conv *c = call->conv;

    if (c->desc.pass == GD_CONV_GRAD_WEIGHTS)
        run_weights(&c->desc, c->threads, &call->buffers);
    else
        run_data(&c->desc, c->threads, &call->buffers);
}

const conv_engine conv_engine_winograd = { .name = "winograd",
                                           .can = can,
                                           .pays = pays,
                                           .weights_bytes = weights_bytes,
                                           .scratch_bytes = scratch_bytes,
                                           .has_bands = has_bands,
                                           .pack_band = pack_band,
                                           .run = run };
