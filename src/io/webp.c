/* SPDX-License-Identifier: MIT */
/* webp.c - WebP by libwebp, to Pillow's bytes: alpha is dropped, of an animation the first frame
 * counts, on its canvas. */
#include "io/io_private.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

enum { CHANNELS = 3, WITH_ALPHA = 4 };

static const char *reason(VP8StatusCode code)
{
    return code == VP8_STATUS_NOT_ENOUGH_DATA       ? "ends too early"
           : code == VP8_STATUS_UNSUPPORTED_FEATURE ? "a kind of WebP that is not supported"
                                                    : "damaged WebP";
}

static bool is_webp(const void *data, size_t bytes)
{
    const char *p = data;
    return bytes > 12 && memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "WEBP", 4) == 0;
}

static gd_status damaged(const char *name)
{
    return gd_fail(GD_EFORMAT, "%s: damaged WebP", name);
}

/* The canvas of the first frame, which the decoder owns */
static gd_status take_frame(gd_image *out, WebPAnimDecoder *decoder, const char *name)
{
    const size_t pixels = (size_t)out->width * (size_t)out->height;
    uint8_t *canvas;
    int time;

    if (!WebPAnimDecoderGetNext(decoder, &canvas, &time))
        return damaged(name);
    for (size_t i = 0; i < pixels; i++)
        memcpy(out->pixels + i * CHANNELS, canvas + i * WITH_ALPHA, CHANNELS);
    return GD_OK;
}

static gd_status decode_animation(gd_image *out, const WebPData *file, const char *name)
{
    WebPAnimDecoder *decoder;
    WebPAnimDecoderOptions o;
    WebPAnimInfo info;
    gd_status s;

    if (!WebPAnimDecoderOptionsInit(&o))
        return gd_fail(GD_EFAILED, "libwebpdemux is of another version than its header");
    o.color_mode = MODE_RGBA;
    decoder = WebPAnimDecoderNew(file, &o);
    if (!decoder)
        return damaged(name);
    s = WebPAnimDecoderGetInfo(decoder, &info) && info.canvas_width == (uint32_t)out->width &&
                info.canvas_height == (uint32_t)out->height
            ? take_frame(out, decoder, name)
            : damaged(name);
    WebPAnimDecoderDelete(decoder);
    return s;
}

static gd_status decode_webp(gd_image *out, const void *data, size_t bytes, const char *name)
{
    WebPBitstreamFeatures info;
    const VP8StatusCode code = WebPGetFeatures(data, bytes, &info);
    size_t pixels;

    if (code != VP8_STATUS_OK)
        return gd_fail(GD_EFORMAT, "%s: %s", name, reason(code));
    *out = (gd_image){ info.width, info.height, CHANNELS, NULL, .had_alpha = info.has_alpha };
    GD_TRY(io_image_check(out, bytes, name));
    pixels = (size_t)info.width * (size_t)info.height;
    GD_TRY(gd_block_make(&out->pixels, pixels * CHANNELS, name));
    if (info.has_animation)
        return decode_animation(out, &(WebPData){ data, bytes }, name);
    if (!WebPDecodeRGBInto(data, bytes, out->pixels, pixels * CHANNELS, info.width * CHANNELS))
        return damaged(name);
    return GD_OK;
}

const io_image_format io_format_webp = { "WebP", { "webp" }, is_webp, decode_webp, .lossy = true };
