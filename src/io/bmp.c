/* SPDX-License-Identifier: MIT */
/* bmp.c - Windows and OS/2 bitmaps, uncompressed, to Pillow's bytes (BmpImagePlugin.py): palettes
 * are expanded, bits 5 or 6 wide are widened to 8, alpha is dropped. */
#include "io/io_private.h"

#include <string.h>

enum { RAW = 0, BITFIELDS = 3, PALETTE = 256, FILE_HEADER = 14, CORE_HEADER = 12 };

typedef struct bitmap {
    gd_cursor c;
    gd_image *image;
    uint32_t header, offset, compression, colours, mask[4]; /* red, green, blue, alpha */
    uint16_t bits;
    bool upside_down; /* rows from the bottom up, as most files have them */
    uint8_t palette[PALETTE][3];
} bitmap;

/* ---- the headers ---- */

static gd_status read_core(bitmap *b)
{
    uint16_t width, height, planes;

    GD_TRY(gd_take_u16(&b->c, &width));
    GD_TRY(gd_take_u16(&b->c, &height));
    GD_TRY(gd_take_u16(&b->c, &planes));
    GD_TRY(gd_take_u16(&b->c, &b->bits));
    b->image->width = width;
    b->image->height = height;
    b->upside_down = true;
    return GD_OK;
}

/* Behind the last field of 40 bytes, inside a larger header or after this one */
static gd_status read_masks(bitmap *b)
{
    for (int i = 0; i < (b->header >= 56 ? 4 : 3); i++)
        GD_TRY(gd_take_u32(&b->c, &b->mask[i]));
    return GD_OK;
}

static gd_status read_info(bitmap *b)
{
    const unsigned char *rest;
    uint32_t width, height;
    uint16_t planes;

    GD_TRY(gd_take_u32(&b->c, &width));
    GD_TRY(gd_take_u32(&b->c, &height));
    GD_TRY(gd_take_u16(&b->c, &planes));
    GD_TRY(gd_take_u16(&b->c, &b->bits));
    GD_TRY(gd_take_u32(&b->c, &b->compression));
    GD_TRY(gd_take_bytes(&b->c, &rest, 12)); /* size of the data, pixels per metre */
    GD_TRY(gd_take_u32(&b->c, &b->colours));
    GD_TRY(gd_take_bytes(&b->c, &rest, 4));
    b->upside_down = height <= INT32_MAX;
    if (!b->upside_down)
        height = 0 - height;
    if (width > INT32_MAX || height > INT32_MAX)
        return gd_fail(GD_EFORMAT, "%s: BMP: %u x %u pixels", b->c.file, width, height);
    b->image->width = (int)width;
    b->image->height = (int)height;
    return b->compression == BITFIELDS ? read_masks(b) : GD_OK;
}

static bool known_header(uint32_t bytes)
{
    static const uint32_t sizes[] = { CORE_HEADER, 40, 52, 56, 64, 108, 124 };

    for (int i = 0; i < COUNT(sizes); i++)
        if (bytes == sizes[i])
            return true;
    return false;
}

static gd_status read_headers(bitmap *b)
{
    const unsigned char *rest;

    GD_TRY(gd_take_bytes(&b->c, &rest, 10)); /* BM, size of the file, reserved */
    GD_TRY(gd_take_u32(&b->c, &b->offset));
    GD_TRY(gd_take_u32(&b->c, &b->header));
    if (!known_header(b->header))
        return gd_fail(GD_EFORMAT, "%s: BMP: a header of %u bytes", b->c.file, b->header);
    GD_TRY(b->header == CORE_HEADER ? read_core(b) : read_info(b));
    const uint64_t behind = FILE_HEADER + (uint64_t)b->header;
    if (gd_cursor_offset(&b->c) < behind)
        GD_TRY(gd_take_bytes(&b->c, &rest, behind - gd_cursor_offset(&b->c)));
    return GD_OK;
}

/* ---- the palette ---- */

/* Colours that the file does not give are grey, as Pillow's are. */
static gd_status read_palette(bitmap *b)
{
    const int entry = b->header == CORE_HEADER ? 3 : 4;
    const unsigned char *p;
    bool grey = true;

    if (b->colours == 0)
        b->colours = 1u << b->bits;
    if (b->colours > PALETTE)
        return gd_fail(GD_EFORMAT, "%s: BMP: a palette of %u colours", b->c.file, b->colours);
    for (int i = 0; i < PALETTE; i++)
        memset(b->palette[i], i, 3);
    GD_TRY(gd_take_bytes(&b->c, &p, (uint64_t)b->colours * (unsigned)entry));
    for (uint32_t i = 0; i < b->colours; i++, p += entry) {
        const uint8_t rgb[3] = { p[2], p[1], p[0] };
        memcpy(b->palette[i], rgb, 3);
        grey &= p[0] == p[1] && p[1] == p[2];
    }
    b->image->channels = grey ? 1 : 3;
    /* some writers count the palette's bytes twice; Pillow reads such files */
    if (b->offset == FILE_HEADER + b->header)
        b->offset += 4 * b->colours;
    return GD_OK;
}

/* ---- rows ---- */

static int width_of(uint32_t mask)
{
    return __builtin_popcount(mask);
}

/* The field of `mask` as a byte, as Pillow widens it */
static uint8_t field(uint32_t v, uint32_t mask)
{
    const uint32_t most = (1u << width_of(mask)) - 1, x = (v & mask) >> __builtin_ctz(mask);

    return (uint8_t)(x * 255 / most);
}

static void row_of_indices(const bitmap *b, uint8_t *to, const unsigned char *row)
{
    const int channels = b->image->channels;

    for (int x = 0; x < b->image->width; x++) {
        const uint8_t *colour = b->palette[io_bits(row, x, b->bits)];
        memcpy(to + (size_t)x * (size_t)channels, colour, (size_t)channels);
    }
}

static void row_of_colours(const bitmap *b, uint8_t *to, const unsigned char *row)
{
    const int step = b->bits / 8;

    for (int x = 0; x < b->image->width; x++, row += step) {
        uint32_t v = 0;
        for (int k = step - 1; k >= 0; k--)
            v = v << 8 | row[k];
        for (int c = 0; c < 3; c++)
            *to++ = field(v, b->mask[c]);
    }
}

static gd_status read_rows(bitmap *b)
{
    const gd_image *image = b->image;
    const uint64_t bits = (uint64_t)image->width * b->bits, stride = (bits + 31) / 32 * 4;
    const size_t row = (size_t)image->width * (size_t)image->channels;
    const uint64_t there = (uint64_t)(b->c.end - b->c.base);
    const unsigned char *data;

    /* of the last row no more than its pixels, as Pillow */
    if (b->offset + stride * (uint64_t)(image->height - 1) + (bits + 7) / 8 > there)
        return gd_fail(GD_EFORMAT, "%s: BMP: ends before its last row", b->c.file);
    data = b->c.base + b->offset;
    for (int y = 0; y < image->height; y++, data += stride) {
        const int at = b->upside_down ? image->height - 1 - y : y;
        uint8_t *to = image->pixels + (size_t)at * row;
        if (b->bits <= 8)
            row_of_indices(b, to, data);
        else
            row_of_colours(b, to, data);
    }
    return GD_OK;
}

/* ---- which layouts ---- */

static bool is_field(uint32_t mask)
{
    return mask && width_of(mask) <= 8 && mask >> __builtin_ctz(mask) == (1u << width_of(mask)) - 1;
}

static gd_status choose_masks(bitmap *b)
{
    static const uint32_t thin[3] = { 0x7c00, 0x3e0, 0x1f }, wide[3] = { 0xff0000, 0xff00, 0xff };
    const bool none = !b->mask[0] && !b->mask[1] && !b->mask[2];

    if (b->compression == RAW || none)
        memcpy(b->mask, b->bits == 16 ? thin : wide, sizeof thin);
    b->image->had_alpha = b->compression == BITFIELDS && b->bits == 32 && (b->mask[3] || none);
    b->image->channels = 3;
    for (int c = 0; c < 3; c++)
        if (!is_field(b->mask[c]) || (b->bits < 32 && b->mask[c] >> b->bits))
            return gd_fail(GD_EFORMAT, "%s: BMP: a colour of the bits %08x", b->c.file, b->mask[c]);
    return GD_OK;
}

static gd_status check_kind(const bitmap *b)
{
    const int bits = b->bits;
    const bool indices = bits == 1 || bits == 4 || bits == 8,
               colours = bits == 16 || bits == 24 || bits == 32;

    if (b->compression != RAW && !(b->compression == BITFIELDS && colours))
        return gd_fail(GD_EFORMAT,
                       "%s: BMP: compressed (kind %u)\nhint: only uncompressed ones are read; "
                       "convert it to PNG",
                       b->c.file, b->compression);
    if (!indices && !colours)
        return gd_fail(GD_EFORMAT, "%s: BMP: %d bits a pixel", b->c.file, bits);
    if (b->image->width < 1 || b->image->height < 1)
        return gd_fail(GD_EFORMAT, "%s: BMP: %d x %d pixels", b->c.file, b->image->width,
                       b->image->height);
    return GD_OK;
}

static bool is_bmp(const void *data, size_t bytes)
{
    const unsigned char *p = data;

    return bytes > FILE_HEADER + CORE_HEADER && p[0] == 'B' && p[1] == 'M' && p[15] == 0 &&
           p[16] == 0 && p[17] == 0;
}

static gd_status decode_bmp(gd_image *out, const void *data, size_t bytes, const char *name)
{
    const unsigned char *p = data;
    bitmap b = { .c = { p, p, p + bytes, name }, .image = out };

    GD_TRY(read_headers(&b));
    GD_TRY(check_kind(&b));
    GD_TRY(io_image_check(out, bytes, name));
    GD_TRY(b.bits <= 8 ? read_palette(&b) : choose_masks(&b));
    GD_TRY(gd_block_make(&out->pixels,
                         (size_t)out->width * (size_t)out->height * (size_t)out->channels, name));
    return read_rows(&b);
}

const io_image_format io_format_bmp = { "BMP", { "bmp" }, is_bmp, decode_bmp };
