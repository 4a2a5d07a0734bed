/* webp.c - WebP by libwebp, to Pillow's bytes: alpha is dropped, an animation is refused. */
#include "io/io_private.h"

#include <string.h>
#include <webp/decode.h>

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

static gd_status decode_webp(gd_image *out, const void *data, size_t bytes, const char *name)
{
    const int channels = 3;
    WebPBitstreamFeatures info;
    const VP8StatusCode code = WebPGetFeatures(data, bytes, &info);
    size_t pixels;

    if (code != VP8_STATUS_OK)
        return gd_fail(GD_EFORMAT, "%s: %s", name, reason(code));
    if (info.has_animation)
        return gd_fail(GD_EFORMAT, "%s: an animation, not an image", name);
    *out = (gd_image){ info.width, info.height, channels, NULL };
    GD_TRY(io_image_check(out, bytes, name));
    pixels = (size_t)info.width * (size_t)info.height;
    GD_TRY(gd_block_make((void **)&out->pixels, pixels * channels, name));
    if (!WebPDecodeRGBInto(data, bytes, out->pixels, pixels * channels, info.width * channels))
        return gd_fail(GD_EFORMAT, "%s: damaged WebP", name);
    return GD_OK;
}

const io_image_format io_format_webp = { "WebP", { "webp" }, is_webp, decode_webp };
