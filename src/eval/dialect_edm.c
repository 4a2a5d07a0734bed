/* SPDX-License-Identifier: MIT */
/* dialect_edm.c - the detector of StyleGAN3 and EDM (inception-2015-12-05.pkl), also clean-fid's
 * legacy_tensorflow: TensorFlow 1's bilinear resize as PyTorch's affine_grid and grid_sample give
 * it, positions in float32 and so some 1e-5 beside TensorFlow's. */
#include "eval/bilinear.h"
#include "eval/dialect.h"

#include "nn/inception.h"

#include <math.h>

enum { SIDE = GD_INCEPTION_SIDE };

/* torch.linspace(-1, 1, 299) at o: from the nearer end; products and sums are rounded once, as
 * PyTorch's x86 build does */
static float linear(int o)
{
    const float step = 2.0f / (SIDE - 1);

    return o < SIDE / 2 ? fmaf(step, (float)o, -1) : fmaf(-step, (float)(SIDE - o - 1), 1);
}

/* theta is the identity but for a shift by half a pixel of both sizes; the border is repeated. */
static void find_taps(gd_tap *taps, int in)
{
    const float shift = 1 / (float)in - 1 / (float)SIDE, half = (float)in / 2;

    for (int o = 0; o < SIDE; o++) {
        const float grid = linear(o) * (SIDE - 1) / SIDE + shift;
        const float at = fminf(fmaxf(fmaf(grid + 1, half, -0.5f), 0), (float)(in - 1));
        taps[o] = gd_tap_at(at, in);
    }
}

static float blend(float p, float q, float s, float t, float east, float south)
{
    const float west = 1 - east, north = 1 - south;
    const float v =
        p * (west * north) + q * (east * north) + s * (west * south) + t * (east * south);

    return (v - 128) / 128;
}

static gd_status prepare(float *out, const uint8_t *pixels, int height, int width)
{
    gd_tap rows[SIDE], columns[SIDE];

    find_taps(rows, height);
    find_taps(columns, width);
    gd_resize_bilinear(out, pixels, width, SIDE, rows, columns, blend);
    return GD_OK;
}

const gd_dialect gd_dialect_edm = {
    .name = "edm",
    .program = "EDM's fid.py and StyleGAN3's metrics",
    .input = "TensorFlow 1 bilinear to 299 by float32 grid_sample, (v - 128) / 128",
    .statistic = "",
    .rows = "edm",
    .prepare = prepare,
};

const gd_dialect gd_dialect_clean_fid_tensorflow = {
    .name = "clean-fid-legacy-tensorflow",
    .program = "clean-fid 0.1.35, mode legacy_tensorflow",
    .input = "TensorFlow 1 bilinear to 299 by float32 grid_sample, (v - 128) / 128",
    .statistic = "",
    .rows = "edm",
    .prepare = prepare,
};
