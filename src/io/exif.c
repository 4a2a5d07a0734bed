/* exif.c - the orientation that a camera wrote into a JPEG.  Pillow's Image.open, and so the
 * authors' loader, does not apply it, and neither do we; people should know. */
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

/* Segments up to the image's data; a cut or strange one ends the search */
static gd_status search(gd_cursor *c, int *orientation)
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
        gd_cursor inside = { segment + 6, segment + 6, segment + length - 2, c->file };
        return find_orientation(&inside, orientation);
    }
}

int io_exif_orientation(const void *jpeg, size_t bytes)
{
    const unsigned char *p = jpeg;
    gd_cursor c = { p, p, p + bytes, "EXIF" };
    int orientation = 1;

    if (search(&c, &orientation) != GD_OK || orientation < 1 || orientation > 8)
        return 1;
    return orientation;
}

void io_report_orientation(const void *jpeg, size_t bytes, const char *name)
{
    static atomic_flag reported = ATOMIC_FLAG_INIT;
    const int orientation = io_exif_orientation(jpeg, bytes);

    if (orientation > 1 && !atomic_flag_test_and_set(&reported))
        gd_log(
            GD_LOG_NOTE,
            "%s: lies on its side or is mirrored (EXIF orientation %d), which is not applied, as "
            "in the authors' program; further ones are not named",
            name, orientation);
}
