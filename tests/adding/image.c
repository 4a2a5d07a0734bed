/* SPDX-License-Identifier: MIT */
/* "TOY", width, height, then grey bytes */
#include "io/io_private.h"

#include <string.h>

enum { HEADER = 5 };

static bool is_toy(const void *data, size_t bytes)
{
    return bytes > HEADER && memcmp(data, "TOY", 3) == 0;
}

static gd_status decode(gd_image *out, const void *data, size_t bytes, const char *name)
{
    const uint8_t *p = data;
    const size_t pixels = (size_t)p[3] * p[4];

    if (bytes != HEADER + pixels)
        return gd_fail(GD_EFORMAT, "%s: cut", name);
    *out = (gd_image){ p[3], p[4], 1, NULL };
    GD_TRY(gd_block_make(&out->pixels, pixels, "image"));
    memcpy(out->pixels, p + HEADER, pixels);
    return GD_OK;
}

const io_image_format io_format_toy = { "TOY", { "toy" }, is_toy, decode };
