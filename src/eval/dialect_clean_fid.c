/* SPDX-License-Identifier: MIT */
/* dialect_clean_fid.c - clean-fid (Parmar et al. 2022): each channel through Pillow's bicubic
 * resize of floats, which widens the filter when it shrinks, cut to [0, 255] and not rounded. */
#include "eval/dialect.h"

#include "data/data.h"
#include "nn/inception.h"

#include <math.h>

enum { SIDE = GD_INCEPTION_SIDE, CHANNELS = 3 };

/* Weights of output pixel o over `in` pixels from *low on; how many there are.  The products in
 * Pillow's order (libImaging/Resample.c, precompute_coeffs). */
static int find_weights(double *weight, int *low, int o, int in)
{
    const double scale = (double)in / SIDE, wide = fmax(scale, 1), support = 2 * wide;
    const double centre = (o + 0.5) * scale, narrow = 1 / wide;
    const int high = GD_MIN(in, (int)(centre + support + 0.5));
    double sum = 0;

    *low = GD_MAX(0, (int)(centre - support + 0.5));
    for (int i = 0; i < high - *low; i++) {
        weight[i] = gd_bicubic((i + *low - centre + 0.5) * narrow);
        sum += weight[i];
    }
    for (int i = 0; i < high - *low && sum != 0; i++)
        weight[i] /= sum;
    return high - *low;
}

/* Pillow leaves a direction out that keeps its size. */
static void resize_rows(float *wide, const uint8_t *pixels, double *weight, int height, int width)
{
    for (int x = 0; x < SIDE; x++) {
        int low = x, n = 1;
        weight[0] = 1;
        if (width != SIDE)
            n = find_weights(weight, &low, x, width);
        for (int y = 0; y < height; y++)
            for (int c = 0; c < CHANNELS; c++) {
                const uint8_t *from = pixels + ((int64_t)y * width + low) * CHANNELS + c;
                double sum = 0;
                for (int i = 0; i < n; i++)
                    sum += from[i * CHANNELS] * weight[i];
                wide[((int64_t)c * height + y) * SIDE + x] = (float)sum;
            }
    }
}

/* [CHANNELS][height][SIDE] -> [CHANNELS][SIDE][SIDE] */
static void resize_columns(float *out, const float *wide, double *weight, int height)
{
    for (int y = 0; y < SIDE; y++) {
        int low = y, n = 1;
        weight[0] = 1;
        if (height != SIDE)
            n = find_weights(weight, &low, y, height);
        for (int c = 0; c < CHANNELS; c++)
            for (int x = 0; x < SIDE; x++) {
                const float *from = wide + ((int64_t)c * height + low) * SIDE + x;
                double sum = 0;
                for (int i = 0; i < n; i++)
                    sum += from[(int64_t)i * SIDE] * weight[i];
                out[((int64_t)c * SIDE + y) * SIDE + x] = (float)sum;
            }
    }
}

static gd_status prepare(float *out, const uint8_t *pixels, int height, int width)
{
    const size_t most = (size_t)GD_MAX(height, width) + 16, row = (size_t)height * SIDE;
    double *weight;
    float *wide;

    GD_TRY(gd_block_make(&weight, most * sizeof *weight + CHANNELS * row * sizeof *wide,
                         "resized image"));
    wide = (float *)(weight + most);
    resize_rows(wide, pixels, weight, height, width);
    resize_columns(out, wide, weight, height);
    for (int i = 0; i < CHANNELS * SIDE * SIDE; i++)
        out[i] = (fminf(fmaxf(out[i], 0), 255) - 128) / 128;
    gd_block_free(weight);
    return GD_OK;
}

const gd_dialect gd_dialect_clean_fid = {
    .name = "clean-fid",
    .program = "clean-fid 0.1.35, mode clean",
    .input = "Pillow's bicubic of floats to 299 with antialiasing, cut to [0, 255], "
             "(v - 128) / 128",
    .statistic = "",
    .rows = "clean-fid",
    .prepare = prepare,
};
