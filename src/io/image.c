/* image.c - PNG, JPEG and WebP to pixels, with Pillow's conversions. */
#include "io/io_private.h"

#include <spng.h>
#include <string.h>

void gd_image_free(gd_image *image)
{
    gd_block_free(image->pixels);
    image->pixels = NULL;
}

/* ---- PNG ---- */

static bool is_grey(const struct spng_ihdr *h)
{
    return h->color_type == SPNG_COLOR_TYPE_GRAYSCALE ||
           h->color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA;
}

/* Pillow's 16-bit grey is an integer image, and becomes bytes by clipping, not by scaling */
static gd_status decode_grey16(gd_image *out, spng_ctx *ctx, const char *name)
{
    const size_t n = (size_t)out->width * (size_t)out->height;
    uint16_t *wide;
    int error;

    GD_TRY(gd_block_make((void **)&wide, n * sizeof *wide, name));
    error = spng_decode_image(ctx, wide, n * sizeof *wide, SPNG_FMT_RAW, 0);
    for (size_t i = 0; i < n && !error; i++) {
        const unsigned v = (unsigned)((wide[i] & 0xff) << 8 | wide[i] >> 8); /* big-endian */
        out->pixels[i] = (uint8_t)GD_MIN(v, 255u);
    }
    gd_block_free(wide);
    return error ? io_png_failed(name, error, GD_EFORMAT) : GD_OK;
}

static gd_status decode_pixels(gd_image *out, spng_ctx *ctx, const struct spng_ihdr *h,
                               const char *name)
{
    const bool grey16 = h->color_type == SPNG_COLOR_TYPE_GRAYSCALE && h->bit_depth == 16;
    const bool grey = h->color_type == SPNG_COLOR_TYPE_GRAYSCALE;
    const int format = grey ? SPNG_FMT_G8 : SPNG_FMT_RGB8;
    size_t bytes;
    int error;

    out->channels = grey ? 1 : 3;
    bytes = (size_t)out->width * (size_t)out->height * (size_t)out->channels;
    GD_TRY(gd_block_make((void **)&out->pixels, bytes, name));
    if (grey16)
        return decode_grey16(out, ctx, name);
    error = spng_decode_image(ctx, out->pixels, bytes, format, 0);
    if (error)
        return io_png_failed(name, error, GD_EFORMAT);
    if (is_grey(h) && !grey) { /* grey with alpha came as three equal channels */
        for (size_t i = 0; i < bytes / 3; i++)
            out->pixels[i] = out->pixels[3 * i];
        out->channels = 1;
    }
    return GD_OK;
}

static gd_status decode_png(gd_image *out, const void *data, size_t bytes, const char *name)
{
    enum { CHUNK_LIMIT = 16 << 20, CACHE_LIMIT = 32 << 20 };
    spng_ctx *ctx = spng_ctx_new(0);
    struct spng_ihdr h;
    gd_status s;
    int error;

    if (!ctx)
        return gd_fail(GD_ENOMEM, "%s: out of memory", name);
    error = spng_set_image_limits(ctx, GD_MAX_IMAGE_SIDE, GD_MAX_IMAGE_SIDE);
    if (!error)
        error = spng_set_chunk_limits(ctx, CHUNK_LIMIT, CACHE_LIMIT);
    if (!error)
        error = spng_set_png_buffer(ctx, data, bytes);
    if (!error)
        error = spng_get_ihdr(ctx, &h);
    if (error) {
        s = io_png_failed(name, error, GD_EFORMAT);
    } else {
        out->width = (int)h.width;
        out->height = (int)h.height;
        s = io_image_check(out, bytes, name);
        if (s == GD_OK)
            s = decode_pixels(out, ctx, &h, name);
    }
    spng_ctx_free(ctx);
    return s;
}

/* ---- all ---- */

/* ---- limits ---- */

enum { FREE_BYTES = 64 << 20, INFLATION = 32, RGB = 3 };
static const int64_t pillows_pixels = 178956970; /* Image.MAX_IMAGE_PIXELS twice: an error there */
static int64_t allowed_pixels;                   /* 0: as Pillow */

void gd_set_max_pixels(int64_t pixels)
{
    allowed_pixels = pixels;
}

/* Photographs of 0.75 bits for a pixel pass, a picture of one colour only while it is small. */
static bool may_become(uint64_t packed, uint64_t bytes)
{
    return bytes <= FREE_BYTES + packed * INFLATION || bytes / RGB <= (uint64_t)allowed_pixels;
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
                  most = GD_MAX(allowed_pixels, pillows_pixels);
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
    return FREE_BYTES + (uint64_t)bytes * INFLATION + 2 * RGB * (uint64_t)allowed_pixels;
}

static gd_status to_rgb(gd_image *image)
{
    const size_t n = (size_t)image->width * (size_t)image->height;
    uint8_t *rgb;

    GD_TRY(gd_block_make((void **)&rgb, 3 * n, "RGB image"));
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

gd_status gd_image_decode(gd_image *out, const void *data, size_t bytes, int channels,
                          const char *name)
{
    static const unsigned char png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    const unsigned char *p = data;
    gd_status s;

    *out = (gd_image){ 0 };
    if (bytes > 8 && memcmp(p, png, 8) == 0)
        s = decode_png(out, data, bytes, name);
    else if (bytes > 3 && p[0] == 0xff && p[1] == 0xd8)
        s = io_decode_jpeg(out, data, bytes, name);
    else if (io_is_webp(data, bytes))
        s = io_decode_webp(out, data, bytes, name);
    else
        s = gd_not_read(data, bytes, name, "neither PNG, JPEG nor WebP", NULL);
    if (s == GD_OK && bytes > 3 && p[0] == 0xff && p[1] == 0xd8)
        io_report_orientation(data, bytes, name);
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
