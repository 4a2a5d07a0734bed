/* SPDX-License-Identifier: MIT */
/* tiff.c - the first picture of a TIFF by libtiff, to Pillow's bytes (TiffImagePlugin.py): 1 to 16
 * bits a sample, palettes, CMYK and JPEG inside; alpha is dropped, the orientation is applied. */
#include "io/io_private.h"

#include <stdarg.h>
#include <string.h>

static bool is_tiff(const void *data, size_t bytes)
{
    return bytes >= 4 && (memcmp(data, "II*\0", 4) == 0 || memcmp(data, "MM\0*", 4) == 0 ||
                          memcmp(data, "II+\0", 4) == 0 || memcmp(data, "MM\0+", 4) == 0);
}

#ifdef GUIDED_TIFF
#include <tiffio.h>

enum { MAX_SAMPLES = 8, COLOURS = 256 };

typedef struct picture {
    const char *name;
    const unsigned char *data; /* [bytes], read from `at` on */
    uint64_t bytes, at;
    gd_image *image;
    TIFF *tiff;
    uint16_t bits, samples, kind, planes, compression, orientation;
    uint16_t *map[3]; /* libtiff's: red, green, blue of a palette */
    bool premultiplied;
    uint8_t *pixels; /* block: [height][width][samples], the high bytes of 16 bits but of grey */
    char reason[200];
} picture;

/* ---- libtiff reads from memory, and its errors are ours ---- */

static tmsize_t get_bytes(thandle_t handle, void *to, tmsize_t n)
{
    picture *p = handle;
    const uint64_t have = p->at >= p->bytes || n < 0 ? 0 : GD_MIN((uint64_t)n, p->bytes - p->at);

    memcpy(to, p->data + (have ? p->at : 0), have);
    p->at += have;
    return (tmsize_t)have;
}

static tmsize_t put_nothing(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle, (void)from, (void)n;
    return 0;
}

static toff_t seek(thandle_t handle, toff_t offset, int whence)
{
    picture *p = handle;

    p->at = offset + (whence == SEEK_CUR ? p->at : whence == SEEK_END ? p->bytes : 0);
    return p->at;
}

static int close_nothing(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t size_of(thandle_t handle)
{
    return ((const picture *)handle)->bytes;
}

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list values)
{
    picture *p = user;

    (void)tiff, (void)module;
    if (!*p->reason) /* the first is the cause */
        vsnprintf(p->reason, sizeof p->reason, format, values);
    return 1;
}

/* Tags that libtiff does not know change no pixel. */
static int on_warning(TIFF *tiff, void *user, const char *module, const char *format,
                      va_list values)
{
    (void)tiff, (void)user, (void)module, (void)format, (void)values;
    return 1;
}

static gd_status broken(const picture *p)
{
    return gd_fail(GD_EFORMAT, "%s: TIFF: %s", p->name, *p->reason ? p->reason : "damaged");
}

static gd_status open_tiff(picture *p)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    const uint64_t most = io_decoder_bytes(p->bytes);

    if (!o)
        return gd_fail(GD_ENOMEM, "%s: out of memory", p->name);
    TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, p);
    TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, p);
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, (tmsize_t)GD_MIN(most, (uint64_t)INT64_MAX / 2));
    p->tiff = TIFFClientOpenExt(p->name, "rm", p, get_bytes, put_nothing, seek, close_nothing,
                                size_of, NULL, NULL, o);
    TIFFOpenOptionsFree(o);
    return p->tiff ? GD_OK : broken(p);
}

/* ---- which kinds ---- */

static gd_status not_read(const picture *p, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: TIFF: %s\nhint: convert it to PNG", p->name, what);
}

/* JPEG inside gives RGB; its other codings of colour are libtiff's own affair */
static gd_status check_jpeg(picture *p)
{
    if (p->compression == COMPRESSION_OJPEG)
        return not_read(p, "compressed by the old kind of JPEG");
    if (p->kind != PHOTOMETRIC_YCBCR)
        return GD_OK;
    if (p->compression != COMPRESSION_JPEG || p->planes != PLANARCONFIG_CONTIG)
        return not_read(p, "YCbCr without JPEG");
    TIFFSetField(p->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    p->kind = PHOTOMETRIC_RGB;
    return GD_OK;
}

static gd_status check_kind(picture *p)
{
    const bool grey = p->kind == PHOTOMETRIC_MINISWHITE || p->kind == PHOTOMETRIC_MINISBLACK;
    const int colours = p->kind == PHOTOMETRIC_SEPARATED ? 4 : p->kind == PHOTOMETRIC_RGB ? 3 : 1;

    if (!grey && colours == 1 && p->kind != PHOTOMETRIC_PALETTE)
        return not_read(p, "neither grey, RGB, CMYK nor a palette");
    if (p->samples < colours || p->samples > MAX_SAMPLES)
        return gd_fail(GD_EFORMAT, "%s: TIFF: %d samples a pixel", p->name, p->samples);
    if (p->bits != 8 && p->bits != 16 &&
        !(p->samples == 1 && (p->bits == 1 || p->bits == 2 || p->bits == 4)))
        return gd_fail(GD_EFORMAT,
                       "%s: TIFF: %d samples of %d bits a pixel\nhint: convert it to PNG", p->name,
                       p->samples, p->bits);
    if (p->bits == 16 && (p->kind == PHOTOMETRIC_MINISWHITE || p->kind == PHOTOMETRIC_PALETTE))
        return not_read(p, "16 bits of inverted grey, or of a palette");
    if (p->kind == PHOTOMETRIC_PALETTE &&
        !TIFFGetField(p->tiff, TIFFTAG_COLORMAP, &p->map[0], &p->map[1], &p->map[2]))
        return broken(p);
    return GD_OK;
}

static gd_status read_tags(picture *p)
{
    TIFF *t = p->tiff;
    uint32_t width = 0, height = 0;
    uint16_t format = SAMPLEFORMAT_UINT, n_extra = 0, *extra = NULL;

    TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &p->bits);
    TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &p->samples);
    TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &format);
    TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &p->planes);
    TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &p->compression);
    TIFFGetFieldDefaulted(t, TIFFTAG_ORIENTATION, &p->orientation);
    TIFFGetFieldDefaulted(t, TIFFTAG_EXTRASAMPLES, &n_extra, &extra);
    if (!TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &p->kind))
        p->kind = PHOTOMETRIC_MINISWHITE;
    if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX)
        return gd_fail(GD_EFORMAT, "%s: TIFF: %u x %u pixels", p->name, width, height);
    if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
        return not_read(p, "signed or floating-point samples");
    p->image->width = (int)width;
    p->image->height = (int)height;
    p->image->had_alpha = n_extra > 0 && extra[0] != EXTRASAMPLE_UNSPECIFIED;
    p->premultiplied = n_extra > 0 && extra[0] == EXTRASAMPLE_ASSOCALPHA && p->samples > 3;
    GD_TRY(check_jpeg(p));
    return check_kind(p);
}

/* ---- samples to bytes ---- */

/* 16 bits: of grey cut to 255, as all integer images of Pillow's; of colours the high byte */
static uint8_t byte_of(const picture *p, uint16_t v)
{
    if (p->kind == PHOTOMETRIC_MINISBLACK && p->samples == 1)
        return (uint8_t)GD_MIN(v, 255);
    return (uint8_t)(v >> 8);
}

/* n samples of `row` to every `step`-th byte; what is less than a byte is scaled, palettes aside */
static void spread(const picture *p, uint8_t *to, int step, const uint8_t *row, int64_t n)
{
    const int most = (1 << p->bits) - 1;

    for (int64_t i = 0; i < n; i++, to += step) {
        if (p->bits == 16) {
            uint16_t v;
            memcpy(&v, row + 2 * i, sizeof v);
            *to = byte_of(p, v);
        } else if (p->bits == 8) {
            *to = row[i];
        } else {
            const int v = io_bits(row, i, p->bits);
            *to = (uint8_t)(p->kind == PHOTOMETRIC_PALETTE ? v : v * (255 / most));
        }
    }
}

/* Where sample `plane` of a pixel goes */
static uint8_t *place_of(const picture *p, int64_t x, int64_t y, int plane)
{
    return p->pixels + (y * p->image->width + x) * p->samples + plane;
}

static void put_row(const picture *p, int64_t x, int64_t y, int plane, const uint8_t *row,
                    int64_t pixels)
{
    const bool apart = p->planes == PLANARCONFIG_SEPARATE;

    spread(p, place_of(p, x, y, plane), apart ? p->samples : 1, row,
           apart ? pixels : pixels * p->samples);
}

static int planes(const picture *p)
{
    return p->planes == PLANARCONFIG_SEPARATE ? p->samples : 1;
}

static gd_status read_strips(const picture *p, uint8_t *row)
{
    for (int plane = 0; plane < planes(p); plane++)
        for (int y = 0; y < p->image->height; y++) {
            if (TIFFReadScanline(p->tiff, row, (uint32_t)y, (uint16_t)plane) != 1)
                return broken(p);
            put_row(p, 0, y, plane, row, p->image->width);
        }
    return GD_OK;
}

static gd_status read_tiles(const picture *p, uint8_t *tile, int64_t wide, int64_t high)
{
    const int64_t width = p->image->width, height = p->image->height,
                  stride = TIFFTileRowSize64(p->tiff);

    for (int plane = 0; plane < planes(p); plane++)
        for (int64_t y = 0; y < height; y += high)
            for (int64_t x = 0; x < width; x += wide) {
                if (TIFFReadTile(p->tiff, tile, (uint32_t)x, (uint32_t)y, 0, (uint16_t)plane) < 0)
                    return broken(p);
                for (int64_t k = 0; k < GD_MIN(high, height - y); k++)
                    put_row(p, x, y + k, plane, tile + k * stride, GD_MIN(wide, width - x));
            }
    return GD_OK;
}

static gd_status read_samples(picture *p)
{
    const bool tiled = TIFFIsTiled(p->tiff);
    const int64_t per_pixel = (int64_t)p->bits * (planes(p) > 1 ? 1 : p->samples);
    uint32_t wide = (uint32_t)p->image->width, high = 1;
    uint8_t *piece;
    gd_status s;

    if (tiled && (!TIFFGetField(p->tiff, TIFFTAG_TILEWIDTH, &wide) ||
                  !TIFFGetField(p->tiff, TIFFTAG_TILELENGTH, &high)))
        return broken(p);
    const uint64_t bytes = tiled ? TIFFTileSize64(p->tiff) : TIFFScanlineSize64(p->tiff);
    const uint64_t row = tiled ? TIFFTileRowSize64(p->tiff) : bytes;
    if (wide < 1 || high < 1 || row < ((uint64_t)wide * (uint64_t)per_pixel + 7) / 8 ||
        bytes < row * high || bytes > io_decoder_bytes(p->bytes))
        return gd_fail(GD_EFORMAT, "%s: TIFF: rows of %llu bytes, pieces of %llu", p->name,
                       (unsigned long long)row, (unsigned long long)bytes);
    GD_TRY(gd_block_make(&piece, bytes, p->name));
    s = tiled ? read_tiles(p, piece, wide, high) : read_strips(p, piece);
    gd_block_free(piece);
    return s;
}

/* ---- bytes to an image ---- */

static void from_palette(const picture *p, uint8_t *rgb, int index)
{
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(p->map[c][index] >> 8);
}

/* Alpha last; Pillow divides by it */
static void from_premultiplied(uint8_t *rgb, const uint8_t *rgba)
{
    for (int c = 0; c < 3; c++)
        rgb[c] = rgba[3] == 0 ? 0 : (uint8_t)GD_MIN(rgba[c] * 255 / rgba[3], 255);
}

static void convert(const picture *p)
{
    const gd_image *image = p->image;
    const uint8_t *from = p->pixels;
    uint8_t *to = image->pixels;

    for (int64_t i = 0; i < (int64_t)image->width * image->height; i++) {
        if (p->kind == PHOTOMETRIC_PALETTE)
            from_palette(p, to, *from);
        else if (p->kind == PHOTOMETRIC_SEPARATED)
            io_cmyk_to_rgb(to, from, 1, false);
        else if (p->kind == PHOTOMETRIC_MINISWHITE)
            *to = (uint8_t)(255 - *from);
        else if (p->premultiplied)
            from_premultiplied(to, from);
        else
            memcpy(to, from, (size_t)image->channels);
        to += image->channels;
        from += p->samples;
    }
}

/* Orientations 2 to 8 of TIFF 6.0: which corner and side row 0 and column 0 lie at */
static gd_status orient(picture *p)
{
    gd_image *image = p->image;
    const int o = p->orientation, channels = image->channels, width = image->width,
              height = image->height;
    const bool turned = o >= 5;
    const int new_width = turned ? height : width, new_height = turned ? width : height;
    uint8_t *out;

    if (o < 2 || o > 8)
        return GD_OK;
    GD_TRY(gd_block_make(&out, (size_t)width * (size_t)height * (size_t)channels, p->name));
    for (int y = 0; y < new_height; y++)
        for (int x = 0; x < new_width; x++) {
            const bool flip_x = o == 2 || o == 3 || o == 7 || o == 8,
                       flip_y = o == 3 || o == 4 || o == 6 || o == 7;
            const int u = turned ? y : x, v = turned ? x : y;
            const int from_x = flip_x ? width - 1 - u : u, from_y = flip_y ? height - 1 - v : v;
            memcpy(out + ((size_t)y * (size_t)new_width + (size_t)x) * (size_t)channels,
                   image->pixels +
                       ((size_t)from_y * (size_t)width + (size_t)from_x) * (size_t)channels,
                   (size_t)channels);
        }
    gd_block_free(image->pixels);
    image->pixels = out;
    image->width = new_width;
    image->height = new_height;
    return GD_OK;
}

static gd_status decode(picture *p)
{
    gd_image *image = p->image;

    GD_TRY(open_tiff(p));
    GD_TRY(read_tags(p));
    GD_TRY(io_image_check(image, (size_t)p->bytes, p->name));
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    image->channels =
        p->kind == PHOTOMETRIC_MINISWHITE || p->kind == PHOTOMETRIC_MINISBLACK ? 1 : 3;
    GD_TRY(gd_block_make(&p->pixels, pixels * p->samples, p->name));
    GD_TRY(read_samples(p));
    GD_TRY(gd_block_make(&image->pixels, pixels * (size_t)image->channels, p->name));
    convert(p);
    return orient(p);
}

static gd_status decode_tiff(gd_image *out, const void *data, size_t bytes, const char *name)
{
    picture p = { .name = name, .data = data, .bytes = bytes, .image = out };
    const gd_status s = decode(&p);

    gd_block_free(p.pixels);
    if (p.tiff)
        TIFFClose(p.tiff);
    return s;
}

#else

static gd_status decode_tiff(gd_image *out, const void *data, size_t bytes, const char *name)
{
    (void)out, (void)data, (void)bytes;
    return io_not_built(name, "TIFF", "libtiff");
}

#endif

const io_image_format io_format_tiff = { "TIFF", { "tif", "tiff" }, is_tiff, decode_tiff };
