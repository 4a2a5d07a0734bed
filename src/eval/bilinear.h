/* SPDX-License-Identifier: MIT */
/* bilinear.h - bytes to a square of floats by bilinear interpolation.  Programs differ in the
 * position of an output pixel in the input and in the order of the arithmetic, and both change last
 * bits: callers give them. */
#ifndef GD_EVAL_BILINEAR_H
#define GD_EVAL_BILINEAR_H

#include "base/base.h"

/* Between pixels `low` and `high`, `share` of the way */
typedef struct gd_tap {
    int low, high;
    float share;
} gd_tap;

/* At position `at` >= 0 among `in` pixels; the border is repeated */
static inline gd_tap gd_tap_at(float at, int in)
{
    const int low = GD_MIN((int)at, in - 1);

    return (gd_tap){ low, GD_MIN(low + 1, in - 1), at - (float)low };
}

/* p q above s t -> the value `across` of the way from left to right and `down` from top to bottom
 */
typedef float gd_blend(float p, float q, float s, float t, float across, float down);

/* pixels [height][width][3] -> out [3][side][side]; rows and columns [side].  Inline, so that
 * `blend` is too. */
static inline void gd_resize_bilinear(float *out, const uint8_t *pixels, int width, int side,
                                      const gd_tap *rows, const gd_tap *columns, gd_blend *blend)
{
    enum { CHANNELS = 3 };

    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                const gd_tap *r = &rows[y], *k = &columns[x];
                const uint8_t *a = pixels + (int64_t)r->low * width * CHANNELS + c,
                              *b = pixels + (int64_t)r->high * width * CHANNELS + c;
                *out++ = blend(a[k->low * CHANNELS], a[k->high * CHANNELS], b[k->low * CHANNELS],
                               b[k->high * CHANNELS], k->share, r->share);
            }
}

#endif
