/* SPDX-License-Identifier: MIT */
/* mask.c - which pixels are known: a PNG, a box, a random share. */
#include "restore/restore_private.h"

#include "io/io.h"

#include <math.h>
#include <string.h>

gd_status gd_mask_read(uint8_t *mask, int h, int w, const char *path)
{
    gd_image image;
    int64_t known = 0;

    GD_TRY(gd_image_open(&image, path, 1));
    const int mh = image.height, mw = image.width;
    for (int64_t i = 0; mh == h && mw == w && i < (int64_t)h * w; i++) {
        mask[i] = image.pixels[i] >= 128;
        known += mask[i];
    }
    gd_image_free(&image);
    if (mh != h || mw != w)
        return gd_fail(GD_EFORMAT, "%s: a mask of %dx%d for an image of %dx%d", path, mw, mh, w, h);
    if (known == 0)
        return gd_fail(GD_EFORMAT, "%s: no pixel is known (white is known, black is filled in)",
                       path);
    return GD_OK;
}

gd_status gd_mask_box(uint8_t *mask, int h, int w, int top, int left, int box_h, int box_w)
{
    if (top < 0 || left < 0 || top + box_h > h || left + box_w > w)
        return gd_fail(GD_EUSAGE, "a box of %dx%d at (%d, %d) is not inside an image of %dx%d",
                       box_w, box_h, left, top, w, h);
    memset(mask, 1, (size_t)h * (size_t)w);
    for (int i = top; i < top + box_h; i++)
        memset(mask + (int64_t)i * w + left, 0, (size_t)box_w);
    return GD_OK;
}

/* The first pixels of a random order (Knuth's selection sampling) */
void gd_mask_random(uint8_t *mask, int h, int w, double fraction, uint64_t seed)
{
    const int64_t n = (int64_t)h * w;
    int64_t unknown = llround(fraction * (double)n);

    for (int64_t i = 0; i < n; i++) {
        const bool take = gd_noise_below((uint32_t)(n - i), seed, (uint64_t)i, 1) < unknown;
        mask[i] = !take;
        unknown -= take;
    }
}
