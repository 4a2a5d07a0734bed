/* SPDX-License-Identifier: MIT */
/* gif.c - the first frame of a GIF by giflib, to Pillow's bytes: on the logical screen, transparent
 * pixels in their palette's colour. */
#include "io/io_private.h"

#include <string.h>

static bool is_gif(const void *data, size_t bytes)
{
    return bytes >= 6 && (memcmp(data, "GIF87a", 6) == 0 || memcmp(data, "GIF89a", 6) == 0);
}

#ifdef GUIDED_GIF
#include <gif_lib.h>

enum { COLOURS = 256, FRAME_CONTROL = 0xf9, NONE = -1 };

typedef struct frame {
    gd_cursor c;
    gd_image *image;
    GifFileType *gif;
    int transparent; /* index, or NONE */
    uint8_t palette[COLOURS][3];
    GifPixelType *line; /* block: [width of the frame] */
} frame;

static int get_bytes(GifFileType *gif, GifByteType *to, int n)
{
    gd_cursor *c = gif->UserData;
    const int have = (int)GD_MIN((uint64_t)n, gd_cursor_left(c));

    memcpy(to, c->at, (size_t)have);
    c->at += have;
    return have;
}

static gd_status broken(const frame *f, int error)
{
    const char *text = GifErrorString(error);

    return gd_fail(error == D_GIF_ERR_NOT_ENOUGH_MEM ? GD_ENOMEM : GD_EFORMAT, "%s: GIF: %s",
                   f->c.file, text ? text : "damaged");
}

/* ---- up to the frame ---- */

static gd_status skip_extension(frame *f)
{
    GifByteType *block;
    int code;

    if (DGifGetExtension(f->gif, &code, &block) != GIF_OK)
        return broken(f, f->gif->Error);
    if (code == FRAME_CONTROL && block && block[0] >= 4)
        f->transparent = block[1] & 1 ? block[4] : NONE;
    while (block)
        if (DGifGetExtensionNext(f->gif, &block) != GIF_OK)
            return broken(f, f->gif->Error);
    return GD_OK;
}

static gd_status find_frame(frame *f)
{
    GifRecordType type = UNDEFINED_RECORD_TYPE;

    while (type != IMAGE_DESC_RECORD_TYPE) {
        if (DGifGetRecordType(f->gif, &type) != GIF_OK)
            return broken(f, f->gif->Error);
        if (type == TERMINATE_RECORD_TYPE)
            return gd_fail(GD_EFORMAT, "%s: GIF: holds no picture", f->c.file);
        if (type == EXTENSION_RECORD_TYPE)
            GD_TRY(skip_extension(f));
    }
    return DGifGetImageDesc(f->gif) == GIF_OK ? GD_OK : broken(f, f->gif->Error);
}

/* Without any palette indices are grey levels, and so are those beyond its end. */
static void read_palette(frame *f)
{
    const ColorMapObject *map = f->gif->Image.ColorMap ? f->gif->Image.ColorMap : f->gif->SColorMap;
    bool grey = true;

    for (int i = 0; i < COLOURS; i++)
        memset(f->palette[i], i, 3);
    for (int i = 0; map && i < GD_MIN(map->ColorCount, COLOURS); i++) {
        const GifColorType *c = &map->Colors[i];
        const uint8_t rgb[3] = { c->Red, c->Green, c->Blue };
        memcpy(f->palette[i], rgb, 3);
        grey &= c->Red == c->Green && c->Green == c->Blue;
    }
    f->image->channels = grey ? 1 : 3;
}

/* ---- its pixels ---- */

/* Row y of the frame as it is stored: interlaced ones come in four passes. */
static int row_of(const frame *f, int y)
{
    static const int first[] = { 0, 4, 2, 1 }, step[] = { 8, 8, 4, 2 };
    const int height = f->gif->Image.Height;

    if (!f->gif->Image.Interlace)
        return y;
    for (int pass = 0; pass < COUNT(first); pass++) {
        const int rows = height > first[pass] ? (height - first[pass] - 1) / step[pass] + 1 : 0;
        if (y < rows)
            return first[pass] + y * step[pass];
        y -= rows;
    }
    return height - 1;
}

static void put_pixels(const frame *f, int64_t at, const GifPixelType *index, int n)
{
    const int channels = f->image->channels;
    uint8_t *to = f->image->pixels + at * channels;

    for (int i = 0; i < n; i++, to += channels)
        memcpy(to, f->palette[index ? index[i] : GD_MAX(f->transparent, 0)], (size_t)channels);
}

static gd_status read_rows(frame *f)
{
    const GifImageDesc *d = &f->gif->Image;
    const gd_image *image = f->image;

    for (int64_t i = 0; i < (int64_t)image->width * image->height; i++)
        put_pixels(f, i, NULL, 1);
    for (int y = 0; y < d->Height; y++) {
        if (DGifGetLine(f->gif, f->line, d->Width) != GIF_OK)
            return broken(f, f->gif->Error);
        put_pixels(f, (int64_t)(d->Top + row_of(f, y)) * image->width + d->Left, f->line, d->Width);
    }
    return GD_OK;
}

static gd_status read_frame(frame *f)
{
    gd_image *image = f->image;

    GD_TRY(find_frame(f));
    const GifImageDesc *d = &f->gif->Image;
    image->width = GD_MAX(f->gif->SWidth, d->Left + d->Width);
    image->height = GD_MAX(f->gif->SHeight, d->Top + d->Height);
    if (d->Width < 1 || d->Height < 1 || d->Left < 0 || d->Top < 0)
        return gd_fail(GD_EFORMAT, "%s: GIF: a frame of %d x %d pixels", f->c.file, d->Width,
                       d->Height);
    GD_TRY(io_image_check(image, (size_t)(f->c.end - f->c.base), f->c.file));
    read_palette(f);
    image->had_alpha = f->transparent != NONE;
    GD_TRY(gd_block_make(&f->line, (size_t)d->Width, f->c.file));
    GD_TRY(gd_block_make(&image->pixels,
                         (size_t)image->width * (size_t)image->height * (size_t)image->channels,
                         f->c.file));
    return read_rows(f);
}

static gd_status decode_gif(gd_image *out, const void *data, size_t bytes, const char *name)
{
    const unsigned char *p = data;
    frame f = { .c = { p, p, p + bytes, name }, .image = out, .transparent = NONE };
    int error = 0;
    gd_status s;

    f.gif = DGifOpen(&f.c, get_bytes, &error);
    if (!f.gif)
        return broken(&f, error);
    s = read_frame(&f);
    gd_block_free(f.line);
    DGifCloseFile(f.gif, &error);
    return s;
}

#else

static gd_status decode_gif(gd_image *out, const void *data, size_t bytes, const char *name)
{
    (void)out, (void)data, (void)bytes;
    return io_not_built(name, "GIF", "giflib");
}

#endif

const io_image_format io_format_gif = { "GIF", { "gif" }, is_gif, decode_gif };
