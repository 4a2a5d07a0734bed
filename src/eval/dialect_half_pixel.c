/* SPDX-License-Identifier: MIT */
/* dialect_half_pixel.c - PyTorch's bilinear resize between half-pixel centres, without
 * antialiasing: pytorch-fid, and clean-fid's legacy_pytorch. */
#include "eval/bilinear.h"
#include "eval/dialect.h"

#include "nn/inception.h"

#include <math.h>

enum { SIDE = GD_INCEPTION_SIDE, CHANNELS = 3 };

static void find_taps(gd_tap *taps, int in)
{
    const float scale = (float)in / SIDE;

    for (int o = 0; o < SIDE; o++) {
        const float at = fmaf(scale, (float)o + 0.5f, -0.5f), from = at > 0 ? at : 0;
        taps[o] = gd_tap_at(from, in);
    }
}

static float blend(float p, float q, float s, float t, float across, float down)
{
    p /= 255;
    q /= 255;
    s /= 255;
    t /= 255;
    return (1 - down) * ((1 - across) * p + across * q) + down * ((1 - across) * s + across * t);
}

void gd_resize_half_pixel(float *out, const uint8_t *pixels, int height, int width)
{
    gd_tap rows[SIDE], columns[SIDE];

    find_taps(rows, height);
    find_taps(columns, width);
    gd_resize_bilinear(out, pixels, width, SIDE, rows, columns, blend);
}

/* pytorch-fid divides bytes by 255 before it resizes them, clean-fid afterwards: at most 4e-7 of a
 * range of 2 apart, so that both take pytorch-fid's input and share the network's run. */
static gd_status prepare(float *out, const uint8_t *pixels, int height, int width)
{
    gd_resize_half_pixel(out, pixels, height, width);
    for (int i = 0; i < CHANNELS * SIDE * SIDE; i++)
        out[i] = 2 * out[i] - 1;
    return GD_OK;
}

const gd_dialect gd_dialect_pytorch_fid = {
    .name = "pytorch-fid",
    .program = "pytorch-fid 0.3",
    .input = "v / 255, half-pixel bilinear to 299 without antialiasing, 2 v - 1",
    .statistic = "",
    .rows = "pytorch-fid",
    .prepare = prepare,
};

const gd_dialect gd_dialect_clean_fid_pytorch = {
    .name = "clean-fid-legacy-pytorch",
    .program = "clean-fid 0.1.35, mode legacy_pytorch",
    .input = "half-pixel bilinear to 299 without antialiasing, 2 v / 255 - 1",
    .statistic = "",
    .rows = "pytorch-fid",
    .prepare = prepare,
};
