/* SPDX-License-Identifier: MIT */
/* png_text.c - the texts of a PNG file, found by walking over its chunks: pixels are neither
 * inflated nor copied.  PNG specification 1.2, 4.2.3 (tEXt, zTXt, iTXt). */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { TEXT_LIMIT = 16 << 20 /* bytes, inflated */, CHECKSUM = 4 };

struct gd_png {
    gd_mapped map;
    gd_arena *texts; /* those that were asked for */
    const char *path;
};

typedef struct chunk {
    const unsigned char *type; /* 4 letters; data and checksum follow */
    gd_cursor data;
} chunk;

static gd_status next_chunk(gd_cursor *c, chunk *out)
{
    const unsigned char *checksum;
    uint32_t n;

    GD_TRY(gd_take_u32(c, &n));
    GD_TRY(gd_take_bytes(c, &out->type, 4));
    n = __builtin_bswap32(n);
    out->data = *c;
    GD_TRY(gd_take_bytes(c, &out->data.at, n));
    out->data.base = c->base;
    out->data.end = c->at;
    return gd_take_bytes(c, &checksum, CHECKSUM);
}

static bool is(const chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

static gd_cursor chunks_of(const gd_png *png)
{
    const unsigned char *p = png->map.data;
    const size_t signature = 8;

    return (gd_cursor){ p, p + signature, p + png->map.bytes, png->path };
}

/* The file is a PNG that is not cut short: chunks up to IEND. */
static gd_status check(const gd_png *png)
{
    gd_cursor c;
    chunk k = { 0 };

    if (!io_is_png(png->map.data, png->map.bytes))
        return gd_fail(GD_EFORMAT, "%s: not a PNG file", png->path);
    c = chunks_of(png);
    do
        GD_TRY(next_chunk(&c, &k));
    while (!is(&k, "IEND"));
    return GD_OK;
}

gd_status gd_png_open(gd_png **out, const char *path)
{
    gd_png *png = calloc(1, sizeof *png);
    gd_status s = png ? gd_arena_make(&png->texts) : gd_fail(GD_ENOMEM, "%s: out of memory", path);

    if (s == GD_OK)
        s = gd_map_file(&png->map, path);
    if (s == GD_OK) {
        png->path = gd_strdup(png->texts, path);
        s = png->path ? check(png) : GD_ENOMEM;
    }
    if (s != GD_OK) {
        gd_png_close(png);
        return s;
    }
    *out = png;
    return GD_OK;
}

/* ---- one text ---- */

/* The string that ends with a zero byte: NULL when none does */
static const char *take_string(gd_cursor *c)
{
    const unsigned char *zero = memchr(c->at, 0, (size_t)gd_cursor_left(c));
    const char *text = (const char *)c->at;

    if (!zero)
        return NULL;
    c->at = zero + 1;
    return text;
}

static const char *inflated(gd_arena *texts, const gd_cursor *c)
{
    uLongf n = TEXT_LIMIT;
    Bytef *room = malloc(TEXT_LIMIT);
    char *text = NULL;

    if (room && uncompress(room, &n, c->at, (uLong)gd_cursor_left(c)) == Z_OK)
        text = gd_alloc(texts, n + 1);
    if (text)
        memcpy(text, room, n);
    free(room);
    return text;
}

static const char *copied(gd_arena *texts, const gd_cursor *c)
{
    const size_t n = (size_t)gd_cursor_left(c);
    char *text = n <= TEXT_LIMIT ? gd_alloc(texts, n + 1) : NULL;

    if (text)
        memcpy(text, c->at, n);
    return text;
}

/* NULL: of another keyword, or damaged */
static const char *text_of(const gd_png *png, const chunk *k, const char *key)
{
    gd_cursor c = k->data;
    const char *keyword = take_string(&c);
    const uLong found = crc32(0, k->type, (uInt)(4 + (k->data.end - k->data.at)));
    uint32_t expected;
    uint8_t packed = 0, method = 0;

    memcpy(&expected, k->data.end, CHECKSUM);
    if (!keyword || strcmp(keyword, key) != 0 || found != __builtin_bswap32(expected))
        return NULL;
    if (is(k, "zTXt"))
        return gd_take_u8(&c, &method) == GD_OK && method == 0 ? inflated(png->texts, &c) : NULL;
    if (is(k, "iTXt")) {
        if (gd_take_u8(&c, &packed) != GD_OK || gd_take_u8(&c, &method) != GD_OK || method != 0)
            return NULL;
        if (!take_string(&c) || !take_string(&c)) /* language, translated keyword */
            return NULL;
    }
    return packed ? inflated(png->texts, &c) : copied(png->texts, &c);
}

const char *gd_png_text(const gd_png *png, const char *key)
{
    gd_cursor c = chunks_of(png);
    const char *text = NULL;
    chunk k;

    while (!text && next_chunk(&c, &k) == GD_OK && !is(&k, "IEND"))
        if (is(&k, "tEXt") || is(&k, "zTXt") || is(&k, "iTXt"))
            text = text_of(png, &k, key);
    return text;
}

void gd_png_close(gd_png *png)
{
    if (!png)
        return;
    gd_arena_free(png->texts);
    gd_unmap(&png->map);
    free(png);
}
