/* SPDX-License-Identifier: MIT */
/* png.c - PNG by libpng: encoding with text chunks, decoding with Pillow's conversions. */
#include "io/io_private.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* ---- libpng's errors as ours ---- */

/* What libpng's functions find behind their pointers, reading or writing */
typedef struct stream {
    const char *name; /* in messages */
    png_structp png;
    png_infop info;
    const unsigned char *in; /* reading: [in_bytes], `at` of them read */
    unsigned char *out;      /* writing: malloc, `at` of out_room bytes written */
    size_t in_bytes, out_room, at;
    bool reading, no_memory;
    char reason[160];
} stream;

static void on_error(png_structp png, png_const_charp text)
{
    stream *s = png_get_error_ptr(png);

    snprintf(s->reason, sizeof s->reason, "%s", text);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static png_voidp take(png_structp png, png_alloc_size_t bytes)
{
    void *p = malloc(bytes);

    if (!p)
        ((stream *)png_get_mem_ptr(png))->no_memory = true;
    return p;
}

static void give_back(png_structp png, png_voidp p)
{
    (void)png;
    free(p);
}

/* step(ctx), which libpng may leave by longjmp: it holds nothing of its own.  `otherwise`: the
 * status of an error that is not a lack of memory */
static gd_status run(stream *s, void (*step)(void *ctx), void *ctx, gd_status otherwise)
{
    if (setjmp(png_jmpbuf(s->png)) == 0) {
        step(ctx);
        return GD_OK;
    }
    if (s->no_memory)
        return gd_fail(GD_ENOMEM, "%s: out of memory", s->name);
    return gd_fail(otherwise, "%s: PNG: %s", s->name, s->reason);
}

static gd_status end(stream *s, gd_status status)
{
    if (s->png && s->reading)
        png_destroy_read_struct(&s->png, &s->info, NULL);
    else if (s->png)
        png_destroy_write_struct(&s->png, &s->info);
    free(s->out);
    return status;
}

/* ---- encoding ---- */

typedef struct encoding {
    stream *s;
    const uint8_t *pixels;
    int width, height, channels;
    png_text *texts;
    int n_texts;
} encoding;

static void put_bytes(png_structp png, png_bytep data, size_t bytes)
{
    stream *s = png_get_io_ptr(png);

    if (bytes > s->out_room - s->at) {
        const size_t room = s->out_room + s->out_room / 2 + bytes + 4096;
        unsigned char *grown = realloc(s->out, room);
        s->no_memory = !grown;
        if (!grown)
            png_error(png, "out of memory");
        s->out = grown;
        s->out_room = room;
    }
    memcpy(s->out + s->at, data, bytes);
    s->at += bytes;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static void encode(void *ctx)
{
    const encoding *e = ctx;
    const png_structp png = e->s->png;
    const png_infop info = e->s->info;

    png_set_write_fn(png, e->s, put_bytes, flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)e->width, (png_uint_32)e->height, 8,
                 e->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_text(png, info, e->texts, e->n_texts);
    png_write_info(png, info);
    for (int64_t y = 0; y < e->height; y++)
        png_write_row(png, e->pixels + y * e->width * e->channels);
    png_write_end(png, NULL);
}

static gd_status write_png(void **out, size_t *bytes, encoding *e)
{
    stream *s = e->s;

    s->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, s, on_error, on_warning, s, take,
                                       give_back);
    s->info = s->png ? png_create_info_struct(s->png) : NULL;
    if (!s->info)
        return gd_fail(GD_ENOMEM, "PNG: out of memory");
    GD_TRY(run(s, encode, e, GD_EFAILED));
    GD_TRY(gd_block_make(out, s->at, "PNG"));
    memcpy(*out, s->out, s->at);
    *bytes = s->at;
    return GD_OK;
}

gd_status gd_png_encode(void **out, size_t *bytes, const uint8_t *pixels, int width, int height,
                        int channels, const gd_text *texts, int n_texts)
{
    stream s = { .name = "picture" };
    encoding e = { &s, pixels, width, height, channels, NULL, n_texts };
    gd_status status;

    e.texts = calloc((size_t)GD_MAX(n_texts, 1), sizeof *e.texts);
    if (!e.texts)
        return gd_fail(GD_ENOMEM, "PNG: out of memory");
    for (int i = 0; i < n_texts; i++)
        e.texts[i] = (png_text){ .compression = PNG_ITXT_COMPRESSION_NONE, /* UTF-8 */
                                 .key = (char *)texts[i].key,
                                 .text = (char *)texts[i].value,
                                 .itxt_length = strlen(texts[i].value) };
    status = write_png(out, bytes, &e);
    free(e.texts);
    return end(&s, status);
}

/* ---- reading ---- */

static void get_bytes(png_structp png, png_bytep data, size_t bytes)
{
    stream *s = png_get_io_ptr(png);

    if (bytes > s->in_bytes - s->at)
        png_error(png, "the file is truncated");
    memcpy(data, s->in + s->at, bytes);
    s->at += bytes;
}

/* Chunks that change no pixel are skipped unread, so that none takes memory. */
static void limit_reading(void *ctx)
{
    stream *s = ctx;

    png_set_read_fn(s->png, s, get_bytes);
    png_set_benign_errors(s->png, 1); /* errors that hurt no pixel */
    png_set_keep_unknown_chunks(s->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(s->png, GD_MAX_IMAGE_SIDE, GD_MAX_IMAGE_SIDE);
    png_set_option(s->png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON); /* as Pillow: any window */
}

static gd_status begin_reading(stream *s, const void *data, size_t bytes, const char *name)
{
    *s = (stream){ .name = name, .in = data, .in_bytes = bytes, .reading = true };
    s->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, s, on_error, on_warning, s, take,
                                      give_back);
    s->info = s->png ? png_create_info_struct(s->png) : NULL;
    if (!s->info)
        return gd_fail(GD_ENOMEM, "%s: out of memory", name);
    return run(s, limit_reading, s, GD_EFORMAT);
}

/* ---- decoding ---- */

typedef struct decoding {
    stream *s;
    gd_image *image;
    bool grey16;
    uint8_t *rows; /* [height]: the image's, or 16-bit grey in big-endian order */
    size_t row_bytes;
} decoding;

static void read_head(void *ctx)
{
    const decoding *d = ctx;

    png_read_info(d->s->png, d->s->info);
}

/* Alpha is dropped, palettes are expanded, of 16-bit colours the high byte is left.  16-bit grey is
 * an integer image of Pillow's, and becomes bytes by clipping (clip_grey). */
static void set_conversions(decoding *d)
{
    const png_structp png = d->s->png;
    const int colours = png_get_color_type(png, d->s->info);

    d->grey16 = colours == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, d->s->info) == 16;
    d->image->channels = colours & PNG_COLOR_MASK_COLOR ? 3 : 1;
    if (colours == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    else if (colours == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    if (!d->grey16)
        png_set_strip_16(png);
    png_set_strip_alpha(png);
}

/* Of an interlaced picture each pass fills in its own pixels. */
static void read_rows(void *ctx)
{
    const decoding *d = ctx;
    const png_structp png = d->s->png;
    const int passes = png_set_interlace_handling(png);

    png_read_update_info(png, d->s->info);
    if (png_get_rowbytes(png, d->s->info) != d->row_bytes)
        png_error(png, "unknown kind of pixels");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < d->image->height; y++)
            png_read_row(png, d->rows + (size_t)y * d->row_bytes, NULL);
}

static void clip_grey(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[2 * i] ? 255 : from[2 * i + 1];
}

static gd_status decode(decoding *d)
{
    gd_image *image = d->image;
    stream *s = d->s;
    size_t pixels;
    void *wide = NULL;
    gd_status status;

    GD_TRY(run(s, read_head, d, GD_EFORMAT));
    image->width = (int)png_get_image_width(s->png, s->info);
    image->height = (int)png_get_image_height(s->png, s->info);
    GD_TRY(io_image_check(image, s->in_bytes, s->name));
    set_conversions(d);
    pixels = (size_t)image->width * (size_t)image->height;
    GD_TRY(gd_block_make(&image->pixels, pixels * (size_t)image->channels, s->name));
    if (d->grey16)
        GD_TRY(gd_block_make(&wide, 2 * pixels, s->name));
    d->rows = wide ? wide : image->pixels;
    d->row_bytes = (size_t)image->width * (size_t)(wide ? 2 : image->channels);
    status = run(s, read_rows, d, GD_EFORMAT);
    if (status == GD_OK && wide)
        clip_grey(image->pixels, wide, pixels);
    gd_block_free(wide);
    return status;
}

bool io_is_png(const void *data, size_t bytes)
{
    return bytes > 8 && png_sig_cmp(data, 0, 8) == 0;
}

static gd_status decode_png(gd_image *out, const void *data, size_t bytes, const char *name)
{
    stream s;
    decoding d = { .s = &s, .image = out };
    gd_status status = begin_reading(&s, data, bytes, name);

    if (status == GD_OK)
        status = decode(&d);
    return end(&s, status);
}

const io_image_format io_format_png = { "PNG", { "png" }, io_is_png, decode_png };
