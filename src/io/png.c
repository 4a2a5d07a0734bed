/* png.c - PNG by libspng: encoding with text chunks, decoding to RGB with limits. */
#include "io/io_private.h"

#include <spng.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_LIMIT = 16 << 20, CACHE_LIMIT = 32 << 20 };

gd_status io_png_failed(const char *name, int error, gd_status otherwise)
{
    const bool memory = error == SPNG_EMEM || error == SPNG_EZLIB_INIT;
    return gd_fail(memory ? GD_ENOMEM : otherwise, "%s: %s", name, spng_strerror(error));
}

static gd_status set_texts(spng_ctx *ctx, const gd_text *texts, int n)
{
    struct spng_text *list = calloc((size_t)GD_MAX(n, 1), sizeof *list);
    int error;

    if (!list)
        return gd_fail(GD_ENOMEM, "PNG: out of memory");
    for (int i = 0; i < n; i++) {
        list[i].type = SPNG_ITXT; /* UTF-8 */
        snprintf(list[i].keyword, sizeof list[i].keyword, "%s", texts[i].key);
        list[i].text = (char *)texts[i].value;
        list[i].length = strlen(texts[i].value);
        list[i].language_tag = "";
        list[i].translated_keyword = "";
    }
    error = n > 0 ? spng_set_text(ctx, list, (uint32_t)n) : 0;
    free(list);
    return error ? io_png_failed("PNG", error, GD_EFAILED) : GD_OK;
}

static gd_status encode(spng_ctx *ctx, void **out, size_t *bytes, const uint8_t *pixels, int width,
                        int height, int channels, const gd_text *texts, int n_texts)
{
    struct spng_ihdr header = { .width = (uint32_t)width,
                                .height = (uint32_t)height,
                                .bit_depth = 8,
                                .color_type = channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE
                                                            : SPNG_COLOR_TYPE_TRUECOLOR };
    int error = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
    void *buffer;

    if (!error)
        error = spng_set_ihdr(ctx, &header);
    if (error)
        return io_png_failed("PNG", error, GD_EFAILED);
    GD_TRY(set_texts(ctx, texts, n_texts));
    error = spng_encode_image(ctx, pixels, (size_t)width * (size_t)height * (size_t)channels,
                              SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    buffer = error ? NULL : spng_get_png_buffer(ctx, bytes, &error);
    if (!buffer)
        return io_png_failed("PNG", error, GD_EFAILED);
    gd_status s = gd_block_make(out, *bytes, "PNG");
    if (s == GD_OK)
        memcpy(*out, buffer, *bytes);
    free(buffer);
    return s;
}

gd_status gd_png_encode(void **out, size_t *bytes, const uint8_t *pixels, int width, int height,
                        int channels, const gd_text *texts, int n_texts)
{
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    gd_status s;

    if (!ctx)
        return gd_fail(GD_ENOMEM, "PNG: out of memory");
    s = encode(ctx, out, bytes, pixels, width, height, channels, texts, n_texts);
    spng_ctx_free(ctx);
    return s;
}

/* ---- decoding ---- */

struct gd_png {
    spng_ctx *ctx;
    gd_mapped map;
    uint8_t *pixels; /* block */
    struct spng_ihdr header;
    struct spng_text *text;
    uint32_t n_text;
};

static gd_status decode(gd_png *png, const char *path)
{
    size_t bytes;
    int error = spng_set_image_limits(png->ctx, GD_MAX_IMAGE_SIDE, GD_MAX_IMAGE_SIDE);

    if (!error)
        error = spng_set_chunk_limits(png->ctx, CHUNK_LIMIT, CACHE_LIMIT);
    if (!error)
        error = spng_set_png_buffer(png->ctx, png->map.data, png->map.bytes);
    if (!error)
        error = spng_get_ihdr(png->ctx, &png->header);
    if (!error)
        error = spng_decoded_image_size(png->ctx, SPNG_FMT_RGB8, &bytes);
    if (error)
        return io_png_failed(path, error, GD_EFORMAT);
    GD_TRY(io_image_check(
        &(gd_image){ .width = (int)png->header.width, .height = (int)png->header.height },
        png->map.bytes, path));
    GD_TRY(gd_block_make((void **)&png->pixels, bytes, path));
    error = spng_decode_image(png->ctx, png->pixels, bytes, SPNG_FMT_RGB8, 0);
    if (error)
        return io_png_failed(path, error, GD_EFORMAT);
    if (spng_get_text(png->ctx, NULL, &png->n_text) == 0 && png->n_text > 0) {
        png->text = calloc(png->n_text, sizeof *png->text);
        if (!png->text)
            return gd_fail(GD_ENOMEM, "%s: out of memory", path);
        if (spng_get_text(png->ctx, png->text, &png->n_text) != 0)
            return gd_fail(GD_EFORMAT, "%s: its texts cannot be read", path);
    }
    return GD_OK;
}

gd_status gd_png_open(gd_png **out, const char *path)
{
    gd_png *png = calloc(1, sizeof *png);
    gd_status s =
        png ? gd_map_file(&png->map, path) : gd_fail(GD_ENOMEM, "%s: out of memory", path);

    if (s == GD_OK) {
        png->ctx = spng_ctx_new(0);
        s = png->ctx ? decode(png, path) : gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    if (s != GD_OK) {
        gd_png_close(png);
        return s;
    }
    *out = png;
    return GD_OK;
}

int gd_png_width(const gd_png *png)
{
    return (int)png->header.width;
}

int gd_png_height(const gd_png *png)
{
    return (int)png->header.height;
}

const uint8_t *gd_png_pixels(const gd_png *png)
{
    return png->pixels;
}

const char *gd_png_text(const gd_png *png, const char *key)
{
    for (uint32_t i = 0; i < png->n_text; i++)
        if (strcmp(png->text[i].keyword, key) == 0)
            return png->text[i].text;
    return NULL;
}

void gd_png_close(gd_png *png)
{
    if (!png)
        return;
    spng_ctx_free(png->ctx);
    gd_block_free(png->pixels);
    gd_unmap(&png->map);
    free(png->text);
    free(png);
}
