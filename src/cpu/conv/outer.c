/* SPDX-License-Identifier: MIT */
/* outer.c - gradients of weights as outer products (outer.inc): sizes, and the job of one call. */
#include "cpu/conv/conv_private.h"

static bool can(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_GRAD_WEIGHTS && d->dtype == GD_F32 && !d->kernel_w &&
           (d->kernel == 1 || d->kernel == 3) && d->ci % 16 == 0 && d->co % 16 == 0;
}

static size_t scratch_bytes(const gd_conv *c)
{
    return (size_t)gd_outer_scratch(c->desc.kernel * c->desc.kernel, c->threads) * sizeof(float);
}

static void run(const gd_conv_call *call)
{
    const gd_conv_desc *d = &call->conv->desc;
    const gd_conv_buffers *b = &call->buffers;
    const gd_outer job = { .x = conv_x(d, b->x),
                           .dy = conv_y(d, b->y),
                           .kernel = d->kernel,
                           .stride = d->stride,
                           .pad = d->pad,
                           .dweights = b->dweights,
                           .threads = call->conv->threads,
                           .scratch = b->scratch };

    gd_kernels_get()->outer_weights(&job);
}

const conv_engine conv_engine_outer = {
    .name = "outer", .can = can, .scratch_bytes = scratch_bytes, .run = run
};
