/* SPDX-License-Identifier: MIT */
/* image.c - pictures to pixels, with Pillow's conversions. */
#include "io/io_private.h"

#include <string.h>

void gd_image_free(gd_image *image)
{
    gd_block_free(image->pixels);
    image->pixels = NULL;
}

/* ---- limits ---- */

enum { FREE_BYTES = 64 << 20, INFLATION = 32, RGB = 3 };
static const int64_t pillows_pixels = 178956970; /* Image.MAX_IMAGE_PIXELS twice: an error there */

/* What the caller allows, 0: as Pillow */
static int64_t allowed_pixels(void)
{
    return gd_used_settings() ? gd_used_settings()->max_pixels : 0;
}

/* Photographs of 0.75 bits for a pixel pass, a picture of one colour only while it is small. */
static bool may_become(uint64_t packed, uint64_t bytes)
{
    return bytes <= FREE_BYTES + packed * INFLATION || bytes / RGB <= (uint64_t)allowed_pixels();
}

gd_status gd_inflation_check(const char *file, const char *name, uint64_t packed, uint64_t bytes)
{
    if (may_become(packed, bytes))
        return GD_OK;
    return gd_fail(GD_EFORMAT,
                   "%s: %.200s: %llu bytes that become %llu\n"
                   "hint: --max-pixels %llu reads it, if you trust its author",
                   file, name, (unsigned long long)packed, (unsigned long long)bytes,
                   (unsigned long long)bytes / RGB + 1);
}

gd_status io_image_check(const gd_image *image, size_t bytes, const char *name)
{
    const int64_t pixels = (int64_t)image->width * image->height,
                  most = GD_MAX(allowed_pixels(), pillows_pixels);
    const uint64_t packed = bytes;

    if (pixels <= most && may_become(packed, (uint64_t)pixels * RGB))
        return GD_OK;
    return gd_fail(GD_EFORMAT,
                   "%s: %d x %d pixels in %zu bytes\n"
                   "hint: --max-pixels %lld reads it, if you trust its author",
                   name, image->width, image->height, bytes, (long long)pixels);
}

uint64_t io_decoder_bytes(size_t bytes)
{
    return FREE_BYTES + (uint64_t)bytes * INFLATION + 2 * RGB * (uint64_t)allowed_pixels();
}

static gd_status to_rgb(gd_image *image)
{
    const size_t n = (size_t)image->width * (size_t)image->height;
    uint8_t *rgb;

    GD_TRY(gd_block_make(&rgb, 3 * n, "RGB image"));
    for (size_t i = 0; i < n; i++)
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = image->pixels[i];
    gd_block_free(image->pixels);
    image->pixels = rgb;
    image->channels = 3;
    return GD_OK;
}

/* Pillow's L: ITU-R 601-2 luma in 16-bit fixed point */
static void to_grey(gd_image *image)
{
    const size_t n = (size_t)image->width * (size_t)image->height;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        image->pixels[i] = (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000) >> 16);
    }
    image->channels = 1;
}

void io_cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, int width, bool inverted)
{
    for (int i = 0; i < width; i++, cmyk += 4) {
        const int flip = inverted ? 255 : 0, light = 255 - (cmyk[3] ^ flip);
        for (int c = 0; c < 3; c++) {
            const int product = (cmyk[c] ^ flip) * light + 128;
            *rgb++ = (uint8_t)(light - (((product >> 8) + product) >> 8));
        }
    }
}

/* Colour types 4 and 6, or a tRNS chunk, which stands before the pixels.  Of a PNG that was
 * decoded: its chunks are in order. */
static bool png_has_alpha(const unsigned char *p, size_t bytes)
{
    enum { SIGNATURE = 8, HEADER = 8, CHECK = 4, COLOUR_TYPE = 25, ALPHA = 4 };

    if (p[COLOUR_TYPE] & ALPHA)
        return true;
    for (size_t at = SIGNATURE; at + HEADER <= bytes;) {
        const size_t length = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 |
                              (size_t)p[at + 2] << 8 | (size_t)p[at + 3];
        if (memcmp(p + at + 4, "tRNS", 4) == 0)
            return true;
        if (memcmp(p + at + 4, "IDAT", 4) == 0 || length > bytes - at - HEADER)
            return false;
        at += HEADER + length + CHECK;
    }
    return false;
}

static gd_status unknown(const void *data, size_t bytes, const char *name)
{
    char formats[GD_IMAGE_FORMATS];

    gd_image_formats(formats);
    return gd_not_read(data, bytes, name, "no picture of a kind that is known", formats);
}

gd_status io_not_built(const char *name, const char *format, const char *library)
{
    return gd_fail(GD_EFORMAT,
                   "%s: a %s picture, and this program was built without %s\n"
                   "hint: convert it to PNG",
                   name, format, library);
}

gd_status gd_image_decode(gd_image *out, const void *data, size_t bytes, int channels,
                          const char *name)
{
    const io_image_format *format = io_image_format_of(data, bytes);
    gd_status s;

    *out = (gd_image){ 0 };
    if (format)
        s = format->decode(out, data, bytes, name);
    else
        s = unknown(data, bytes, name);
    if (s == GD_OK && io_is_png(data, bytes))
        out->had_alpha = png_has_alpha(data, bytes);
    if (s == GD_OK) {
        out->lossy = format->lossy;
        io_report_orientation(data, bytes, name);
    }
    if (s == GD_OK && channels == 3 && out->channels == 1)
        s = to_rgb(out);
    else if (s == GD_OK && channels == 1 && out->channels == 3)
        to_grey(out);
    if (s != GD_OK)
        gd_image_free(out);
    return s;
}

gd_status gd_image_open(gd_image *out, const char *path, int channels)
{
    gd_mapped map;
    gd_status s;

    GD_TRY(gd_map_file(&map, path));
    s = gd_image_decode(out, map.data, map.bytes, channels, path);
    gd_unmap(&map);
    return s;
}
