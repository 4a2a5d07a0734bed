/* SPDX-License-Identifier: MIT */
/* jpeg.c - JPEG by libjpeg-turbo, to Pillow's bytes; a warning is an error. */
#include "io/io_private.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

/* A progressive file repeats its whole image for each scan. */
enum { MAX_SCANS = 500, FREE_SCANS = 20 };
static const int64_t max_scanned = (int64_t)1 << 31; /* pixels of all scans */

typedef struct reader {
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf failed;
    const char *name;
    gd_status status;
    gd_image *image;
    uint8_t *row; /* block: four-channel files */
} reader;

static void stop(j_common_ptr info)
{
    reader *r = info->client_data;
    char text[JMSG_LENGTH_MAX];

    info->err->format_message(info, text);
    if (info->err->msg_code == JERR_NO_BACKING_STORE) /* beyond max_memory_to_use */
        r->status = gd_fail(GD_EFORMAT,
                            "%s: a progressive JPEG of %u x %u pixels in too few bytes\n"
                            "hint: --max-pixels %lld reads it, if you trust its author",
                            r->name, r->jpeg.image_width, r->jpeg.image_height,
                            (long long)r->jpeg.image_width * r->jpeg.image_height);
    else
        r->status = gd_fail(info->err->msg_code == JERR_OUT_OF_MEMORY ? GD_ENOMEM : GD_EFORMAT,
                            "%s: %s", r->name, text);
    longjmp(r->failed, 1);
}

/* Level -1 is a warning: the data are damaged. */
static void message(j_common_ptr info, int level)
{
    if (level < 0)
        stop(info);
}

static void count_scans(j_common_ptr info)
{
    reader *r = info->client_data;

    const int64_t scans = r->jpeg.input_scan_number,
                  pixels = (int64_t)r->jpeg.image_width * r->jpeg.image_height;

    if (scans <= FREE_SCANS || (scans <= MAX_SCANS && scans * pixels <= max_scanned))
        return;
    r->status = gd_fail(GD_EFORMAT, "%s: more than %lld scans", r->name, (long long)scans - 1);
    longjmp(r->failed, 1);
}

static void choose_colours(reader *r)
{
    struct jpeg_decompress_struct *j = &r->jpeg;

    j->out_color_space = j->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE
                         : j->num_components == 4             ? JCS_CMYK
                                                              : JCS_RGB;
    r->image->width = (int)j->image_width;
    r->image->height = (int)j->image_height;
    r->image->channels = j->out_color_space == JCS_GRAYSCALE ? 1 : 3;
}

static gd_status make_room(reader *r)
{
    const gd_image *i = r->image;

    if (i->width > GD_MAX_IMAGE_SIDE || i->height > GD_MAX_IMAGE_SIDE)
        return gd_fail(GD_EFORMAT, "%s: %d x %d pixels", r->name, i->width, i->height);
    GD_TRY(gd_block_make(&r->image->pixels,
                         (size_t)i->width * (size_t)i->height * (size_t)i->channels, r->name));
    return gd_block_make(&r->row, (size_t)i->width * 4, r->name);
}

/* Leaves by longjmp on any error, with the status in r->status */
static void read_rows(reader *r)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    const size_t stride = (size_t)r->image->width * (size_t)r->image->channels;

    jpeg_start_decompress(j);
    while (j->output_scanline < j->output_height) {
        uint8_t *to = r->image->pixels + j->output_scanline * stride;
        JSAMPROW row = j->out_color_space == JCS_CMYK ? r->row : to;
        jpeg_read_scanlines(j, &row, 1);
        if (j->out_color_space == JCS_CMYK)
            /* files hold the inverse, as Adobe's do, whether they name Adobe or not */
            io_cmyk_to_rgb(to, r->row, r->image->width, true);
    }
    jpeg_finish_decompress(j);
}

static bool is_jpeg(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    return bytes > 3 && p[0] == 0xff && p[1] == 0xd8;
}

static gd_status decode_jpeg(gd_image *out, const void *data, size_t bytes, const char *name)
{
    reader r = { .name = name, .image = out };

    r.jpeg.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = stop;
    r.errors.emit_message = message;
    r.jpeg.client_data = &r;
    if (setjmp(r.failed) == 0) {
        jpeg_create_decompress(&r.jpeg);
        r.progress.progress_monitor = count_scans;
        r.jpeg.progress = &r.progress;
        jpeg_mem_src(&r.jpeg, data, bytes);
        jpeg_read_header(&r.jpeg, TRUE);
        choose_colours(&r);
        r.status = io_image_check(out, bytes, name);
        if (r.status == GD_OK)
            r.status = make_room(&r);
        r.jpeg.mem->max_memory_to_use =
            (long)GD_MIN(io_decoder_bytes(bytes), (uint64_t)INT64_MAX / 2);
        if (r.status == GD_OK)
            read_rows(&r);
    }
    jpeg_destroy_decompress(&r.jpeg);
    gd_block_free(r.row);
    return r.status;
}

const io_image_format io_format_jpeg = {
    "JPEG", { "jpg", "jpeg" }, is_jpeg, decode_jpeg, .lossy = true
};
