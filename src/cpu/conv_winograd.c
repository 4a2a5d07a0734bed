/* conv_winograd.c - convolutions by our own Winograd kernels (winograd.inc): sizes, and the job of
 * one call. */
#include "cpu/conv_private.h"

enum { TILE = 4, POINTS = 36 };

bool winograd_can(const gd_conv_desc *d)
{
    return d->kernel == 3 && !d->kernel_w && d->stride == 1 && d->pad <= 1 && d->ci % 16 == 0 &&
           d->co % 16 == 0;
}

size_t winograd_weights_bytes(const gd_conv_desc *d)
{
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
    enum { ROUND_BYTES = 4 << 20, LEAST = 28, MOST = 64 };
    const gd_view y = conv_output(d, NULL);
    const int fitting = ROUND_BYTES / (POINTS * conv_in_channels(d) * (int)sizeof(float));

    return GD_MIN(patches_of(d, &y), GD_MIN(GD_MAX(fitting, LEAST), MOST));
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

size_t winograd_scratch_bytes(const gd_conv_desc *d, int threads)
{
    if (d->pass == GD_CONV_GRAD_WEIGHTS)
        return (size_t)gd_winograd_weights_scratch(gradient_round_of(d), d->ci, d->co, threads) *
               sizeof(float);
    return (size_t)(threads * gd_winograd_scratch(round_of(d), conv_in_channels(d))) *
           sizeof(float);
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

void winograd_conv_run(const gd_conv_desc *d, int threads, const gd_conv_buffers *b)
{
    if (d->pass == GD_CONV_GRAD_WEIGHTS)
        run_weights(d, threads, b);
    else
        run_data(d, threads, b);
}
