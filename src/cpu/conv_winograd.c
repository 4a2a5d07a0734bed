/* conv_winograd.c - convolutions by our own Winograd kernels (winograd.inc): sizes, and the job of
 * one call. */
#include "cpu/conv_private.h"

enum { TILE = 4, POINTS = 36 };

bool winograd_can(const gd_conv_desc *d)
{
    return d->pass != GD_CONV_GRAD_WEIGHTS && d->dtype == GD_F32 && d->kernel == 3 &&
           d->stride == 1 && d->pad == 1 && d->ci % 16 == 0 && d->co % 16 == 0;
}

static int in_channels(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_FORWARD ? d->ci : d->co;
}

static int out_channels(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_FORWARD ? d->co : d->ci;
}

size_t winograd_weights_bytes(const gd_conv_desc *d)
{
    const size_t panels = (size_t)(out_channels(d) + GD_WINOGRAD_PANEL - 1) / GD_WINOGRAD_PANEL;

    return panels * GD_WINOGRAD_PANEL * 9 * (size_t)in_channels(d) * sizeof(float);
}

/* Patches of one thread's round: enough to pay for transforming the filters again, few enough for
 * their transforms to stay in a cache */
static int round_of(const gd_conv_desc *d)
{
    enum { ROUND_BYTES = 4 << 20, LEAST = 28, MOST = 64 };
    const int patches = d->n * ((d->h + TILE - 1) / TILE) * ((d->w + TILE - 1) / TILE);
    const int fitting = ROUND_BYTES / (POINTS * in_channels(d) * (int)sizeof(float));

    return GD_MIN(patches, GD_MIN(GD_MAX(fitting, LEAST), MOST));
}

size_t winograd_scratch_bytes(const gd_conv_desc *d)
{
    return (size_t)(gd_threads() * gd_winograd_scratch(round_of(d), in_channels(d))) *
           sizeof(float);
}

static gd_view view_of(const gd_conv_desc *d, void *data, int channels)
{
    const int64_t pixels = (int64_t)d->h * d->w;

    return (gd_view){ .data = data,
                      .dtype = GD_F32,
                      .n = d->n,
                      .c = channels,
                      .h = d->h,
                      .w = d->w,
                      .pixel = d->blocked ? 16 : channels,
                      .block = d->blocked ? 16 * pixels : 16,
                      .image = pixels * channels };
}

void winograd_conv_run(const gd_conv_desc *d, int threads, const gd_conv_buffers *b)
{
    const bool forward = d->pass == GD_CONV_FORWARD;
    gd_winograd job = { .x = view_of(d, forward ? b->x : b->y, in_channels(d)),
                        .y = view_of(d, forward ? b->y : b->x, out_channels(d)),
                        .weights = b->weights,
                        .bias = d->bias ? b->bias : NULL,
                        .residual = d->accumulate ? b->residual : NULL,
                        .round = round_of(d),
                        .threads = threads,
                        .scratch = b->scratch };

    gd_kernels_get()->winograd(&job);
}
