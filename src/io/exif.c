/* SPDX-License-Identifier: MIT */
/* exif.c - the orientation that a camera wrote into a JPEG, PNG or WebP.  Pillow's Image.open, and
 * so the authors' loader, does not apply it, and neither do we; people should know. */
#include "io/io_private.h"

#include <stdatomic.h>
#include <string.h>

enum { MARKER = 0xff, START_OF_SCAN = 0xda, APP1 = 0xe1, ORIENTATION = 0x0112, MAX_ENTRIES = 512 };

static gd_status take_big_u16(gd_cursor *c, bool big, uint16_t *out)
{
    GD_TRY(gd_take_u16(c, out));
    *out = big ? __builtin_bswap16(*out) : *out;
    return GD_OK;
}

/* The first directory of the TIFF structure behind "Exif\0\0" */
static gd_status find_orientation(gd_cursor *c, int *orientation)
{
    const unsigned char *head, *rest;
    uint16_t n, tag, value;
    uint32_t offset;

    GD_TRY(gd_take_bytes(c, &head, 4));
    const bool big = memcmp(head, "MM\0*", 4) == 0;
    if (!big && memcmp(head, "II*\0", 4) != 0)
        return GD_OK;
    GD_TRY(gd_take_u32(c, &offset));
    offset = big ? __builtin_bswap32(offset) : offset;
    if (offset < 8)
        return GD_OK;
    GD_TRY(gd_take_bytes(c, &rest, offset - 8));
    GD_TRY(take_big_u16(c, big, &n));
    for (int i = 0; i < GD_MIN(n, MAX_ENTRIES); i++) {
        GD_TRY(take_big_u16(c, big, &tag));
        GD_TRY(gd_take_bytes(c, &rest, 6)); /* type and count */
        GD_TRY(take_big_u16(c, big, &value));
        GD_TRY(gd_take_bytes(c, &rest, 2));
        if (tag == ORIENTATION)
            *orientation = value;
    }
    return GD_OK;
}

/* Behind "Exif\0\0", which some files leave out */
static gd_status look_into(const unsigned char *data, size_t bytes, const char *file,
                           int *orientation)
{
    const size_t skipped = bytes >= 6 && memcmp(data, "Exif\0", 6) == 0 ? 6 : 0;
    gd_cursor inside = { data + skipped, data + skipped, data + bytes, file };

    return find_orientation(&inside, orientation);
}

/* Of a PNG the chunk eXIf, of a WebP the chunk EXIF: names and lengths change places, and so do the
 * orders of bytes */
static gd_status search_chunks(gd_cursor *c, bool png, int *orientation)
{
    enum { PNG_HEAD = 8, WEBP_HEAD = 12, NAME = 4, CHECK = 4 };
    const unsigned char *chunk, *name;
    uint32_t length;

    GD_TRY(gd_take_bytes(c, &chunk, png ? PNG_HEAD : WEBP_HEAD));
    for (;;) {
        if (png) {
            GD_TRY(gd_take_u32(c, &length));
            length = __builtin_bswap32(length);
        }
        GD_TRY(gd_take_bytes(c, &name, NAME));
        if (!png)
            GD_TRY(gd_take_u32(c, &length));
        GD_TRY(gd_take_bytes(c, &chunk, length));
        if (memcmp(name, png ? "eXIf" : "EXIF", NAME) == 0)
            return look_into(chunk, length, c->file, orientation);
        GD_TRY(gd_take_bytes(c, &name, png ? CHECK : length % 2));
    }
}

/* Segments up to the image's data; a cut or strange one ends the search */
static gd_status search_jpeg(gd_cursor *c, int *orientation)
{
    const unsigned char *segment;
    uint8_t mark, kind;
    uint16_t length;

    GD_TRY(gd_take_bytes(c, &segment, 2));
    for (;;) {
        GD_TRY(gd_take_u8(c, &mark));
        GD_TRY(gd_take_u8(c, &kind));
        if (mark != MARKER || kind == START_OF_SCAN)
            return GD_OK;
        GD_TRY(take_big_u16(c, true, &length));
        if (length < 2)
            return GD_OK;
        GD_TRY(gd_take_bytes(c, &segment, length - 2u));
        if (kind != APP1 || length < 8 || memcmp(segment, "Exif\0", 6) != 0)
            continue;
        return look_into(segment, length - 2u, c->file, orientation);
    }
}

static gd_status search(gd_cursor *c, int *orientation)
{
    const io_image_format *format = io_image_format_of(c->base, gd_cursor_left(c));

    if (format == &io_format_jpeg)
        return search_jpeg(c, orientation);
    if (format == &io_format_png || format == &io_format_webp)
        return search_chunks(c, format == &io_format_png, orientation);
    return GD_OK;
}

int io_exif_orientation(const void *file, size_t bytes)
{
    const unsigned char *p = file;
    gd_cursor c = { p, p, p + bytes, "EXIF" };
    int orientation = 1;

    if (search(&c, &orientation) != GD_OK || orientation < 1 || orientation > 8)
        return 1;
    return orientation;
}

void io_report_orientation(const void *file, size_t bytes, const char *name)
{
    static atomic_flag reported = ATOMIC_FLAG_INIT;
    const int orientation = io_exif_orientation(file, bytes);

    if (orientation > 1 && !atomic_flag_test_and_set(&reported))
        gd_log(
            GD_LOG_NOTE,
            "%s: lies on its side or is mirrored (EXIF orientation %d), which is not applied, as "
            "in the authors' program; further ones are not named",
            name, orientation);
}
