/* SPDX-License-Identifier: MIT */
/* crop.c - the authors' crops, and bytes as the floats that networks see
 * (docs/reference/training.md#images). */
#include "data/data.h"

#include <math.h>
#include <string.h>

/* Python's round: halves to even */
static int round_even(double x)
{
    return (int)nearbyint(x);
}

static gd_status replace(gd_image *image, int width, int height, gd_filter filter)
{
    gd_image out;

    GD_TRY(gd_resize(&out, image, width, height, filter));
    gd_image_free(image);
    *image = out;
    return GD_OK;
}

/* Halved with BOX as long as that leaves twice the size, then BICUBIC to a shorter side of `side`
 */
static gd_status shrink(gd_image *image, int side)
{
    while (GD_MIN(image->width, image->height) >= 2 * side)
        GD_TRY(replace(image, image->width / 2, image->height / 2, GD_FILTER_BOX));
    const double scale = (double)side / GD_MIN(image->width, image->height);
    return replace(image, round_even(image->width * scale), round_even(image->height * scale),
                   GD_FILTER_BICUBIC);
}

static gd_status cut(gd_image *image, int x, int y, int size)
{
    const size_t c = (size_t)image->channels, row = (size_t)size * c;
    gd_image out = { size, size, image->channels, NULL };

    GD_TRY(gd_block_make(&out.pixels, row * (size_t)size, "crop"));
    for (int i = 0; i < size; i++)
        memcpy(out.pixels + (size_t)i * row,
               image->pixels + ((size_t)(y + i) * (size_t)image->width + (size_t)x) * c, row);
    gd_image_free(image);
    *image = out;
    return GD_OK;
}

gd_status gd_crop_centre(gd_image *image, int size)
{
    GD_TRY(shrink(image, size));
    return cut(image, (image->width - size) / 2, (image->height - size) / 2, size);
}

void gd_crop_range(int size, int *least, int *most)
{
    const double least_fraction = 0.8;

    *least = size;
    *most = (int)ceil(size / least_fraction);
}

gd_status gd_crop_shrink(gd_image *image, int side)
{
    return shrink(image, side);
}

gd_status gd_crop_cut(gd_image *image, int size, int x, int y)
{
    return cut(image, x, y, size);
}

gd_status gd_crop_pad(gd_image *image, int size)
{
    const int width = GD_MAX(size, image->width), height = GD_MAX(size, image->height);
    const size_t c = (size_t)image->channels;
    gd_image out = { width, height, image->channels, NULL };
    const size_t x = (size_t)(width - image->width) / 2, y = (size_t)(height - image->height) / 2;

    GD_TRY(gd_block_make(&out.pixels, (size_t)width * (size_t)height * c, "border"));
    for (size_t i = 0; i < (size_t)image->height; i++)
        memcpy(out.pixels + ((y + i) * (size_t)width + x) * c,
               image->pixels + i * (size_t)image->width * c, (size_t)image->width * c);
    gd_image_free(image);
    *image = out;
    return GD_OK;
}

void gd_image_floats(float *out, const gd_image *image, bool flip)
{
    const int w = image->width, h = image->height, n = image->channels;

    for (int c = 0; c < n; c++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const int from = flip ? w - 1 - x : x;
                *out++ = (float)image->pixels[(y * w + from) * n + c] / 127.5f - 1;
            }
}
