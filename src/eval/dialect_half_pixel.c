/* dialect_half_pixel.c - PyTorch's bilinear resize between half-pixel centres, without
 * antialiasing: pytorch-fid, and clean-fid's legacy_pytorch. */
#include "eval/dialect.h"

#include "nn/inception.h"

#include <math.h>

enum { SIDE = GD_INCEPTION_SIDE, CHANNELS = 3 };

typedef struct tap { /* between pixels `low` and `high`, `share` of the way */
    int low, high;
    float share;
} tap;

static void find_taps(tap *taps, int in)
{
    const float scale = (float)in / SIDE;

    for (int o = 0; o < SIDE; o++) {
        const float at = fmaf(scale, (float)o + 0.5f, -0.5f), from = at > 0 ? at : 0;
        const int low = GD_MIN((int)from, in - 1);
        taps[o] = (tap){ low, GD_MIN(low + 1, in - 1), from - (float)low };
    }
}

void gd_resize_half_pixel(float *out, const uint8_t *pixels, int height, int width, bool unit)
{
    const float range = unit ? 255 : 1;
    tap rows[SIDE], columns[SIDE];

    find_taps(rows, height);
    find_taps(columns, width);
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const tap *r = &rows[y], *k = &columns[x];
                const uint8_t *a = pixels + (int64_t)r->low * width * CHANNELS + c,
                              *b = pixels + (int64_t)r->high * width * CHANNELS + c;
                const float p = (float)a[k->low * CHANNELS] / range,
                            q = (float)a[k->high * CHANNELS] / range,
                            s = (float)b[k->low * CHANNELS] / range,
                            t = (float)b[k->high * CHANNELS] / range;
                *out++ = (1 - r->share) * ((1 - k->share) * p + k->share * q) +
                         r->share * ((1 - k->share) * s + k->share * t);
            }
}

/* Bytes become v / 255 before they are resized */
static gd_status prepare_pytorch_fid(float *out, const uint8_t *pixels, int height, int width)
{
    gd_resize_half_pixel(out, pixels, height, width, true);
    for (int i = 0; i < CHANNELS * SIDE * SIDE; i++)
        out[i] = 2 * out[i] - 1;
    return GD_OK;
}

/* Bytes are resized, then divided */
static gd_status prepare_clean_fid(float *out, const uint8_t *pixels, int height, int width)
{
    gd_resize_half_pixel(out, pixels, height, width, false);
    for (int i = 0; i < CHANNELS * SIDE * SIDE; i++)
        out[i] = 2 * (out[i] / 255) - 1;
    return GD_OK;
}

const gd_dialect gd_dialect_pytorch_fid = {
    .name = "pytorch-fid",
    .program = "pytorch-fid 0.3",
    .input = "v / 255, half-pixel bilinear to 299 without antialiasing, 2 v - 1",
    .statistic = "",
    .rows = "pytorch-fid",
    .prepare = prepare_pytorch_fid,
};

const gd_dialect gd_dialect_clean_fid_pytorch = {
    .name = "clean-fid-legacy-pytorch",
    .program = "clean-fid 0.1.35, mode legacy_pytorch",
    .input = "half-pixel bilinear to 299 without antialiasing, 2 v / 255 - 1",
    .statistic = "",
    .rows = "clean-fid-legacy-pytorch",
    .prepare = prepare_clean_fid,
};
