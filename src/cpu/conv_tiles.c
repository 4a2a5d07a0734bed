/* conv_tiles.c - convolutions by tiles of AMX (conv_tiles.inc): sizes, and the job of one call. */
#include "cpu/conv_private.h"

bool tiles_can(const gd_conv_desc *d)
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

size_t tiles_weights_bytes(const gd_conv_desc *d)
{
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

size_t tiles_scratch_bytes(const gd_conv_desc *d)
{
    return (size_t)round_of(d) * image_bytes(d);
}

void tiles_conv_run(const gd_conv_desc *d, int threads, const gd_conv_buffers *b)
{
    const gd_tiles job = { .x = conv_input(d, b),
                           .y = conv_output(d, b),
                           .kernel = d->kernel,
                           .pad = conv_in_pad(d),
                           .relu = d->relu,
                           .weights = b->weights,
                           .bias = d->bias ? b->bias : NULL,
                           .residual = d->accumulate ? b->residual : NULL,
                           .threads = threads,
                           .round = round_of(d),
                           .scratch = b->scratch };

    gd_kernels_get()->tiles_run(&job);
}
