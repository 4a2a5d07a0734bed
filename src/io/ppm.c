/* SPDX-License-Identifier: MIT */
/* ppm.c - PBM, PGM and PPM, plain and binary, to Pillow's bytes (PpmImagePlugin.py): samples are
 * scaled to 255, those of PGM with more than 8 bits are cut there as all its integer images are. */
#include "io/io_private.h"

#include <math.h>
#include <string.h>

enum { MAX_DIGITS = 10, MAX_VALUE = 65535 };

typedef struct map {
    gd_cursor c;
    gd_image *image;
    int kind; /* of P1 to P6 */
    bool plain, bitmap;
    int most; /* the highest sample */
} map;

/* ---- text ---- */

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next byte that is no comment; -1 at the end.  A comment takes its line's end with it. */
static int next_byte(gd_cursor *c)
{
    if (c->at < c->end && *c->at == '#') {
        while (c->at < c->end && *c->at != '\n' && *c->at != '\r')
            c->at++;
        return c->at++ < c->end ? '\n' : -1;
    }
    return c->at < c->end ? *c->at++ : -1;
}

/* A number, and the one white space behind it */
static gd_status take_number(map *m, int *out)
{
    int64_t v = 0;
    int digits = 0, c;

    do
        c = next_byte(&m->c);
    while (is_space(c));
    for (; c >= '0' && c <= '9' && digits <= MAX_DIGITS; c = next_byte(&m->c), digits++)
        v = 10 * v + c - '0';
    if (digits == 0 || digits > MAX_DIGITS || v > INT32_MAX || (c >= 0 && !is_space(c)))
        return gd_fail(GD_EFORMAT, "%s: P%d: offset %lld: no number", m->c.file, m->kind,
                       (long long)(m->c.at - m->c.base));
    *out = (int)v;
    return GD_OK;
}

/* Of a plain bitmap: digits may touch each other */
static gd_status take_bit(map *m, int *out)
{
    int c;

    do
        c = next_byte(&m->c);
    while (is_space(c));
    if (c != '0' && c != '1')
        return gd_fail(GD_EFORMAT, "%s: P1: neither 0 nor 1 at offset %lld", m->c.file,
                       (long long)(m->c.at - m->c.base));
    *out = c - '0';
    return GD_OK;
}

/* ---- samples ---- */

/* Python's round: half to even */
static uint8_t to_byte(const map *m, int v)
{
    const bool cut = m->image->channels == 1 && m->most > 255;
    const double top = cut ? MAX_VALUE : 255;

    return (uint8_t)fmin(nearbyint((double)v / m->most * top), 255);
}

static gd_status read_plain(map *m, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int v;
        GD_TRY(m->bitmap ? take_bit(m, &v) : take_number(m, &v));
        if (v > m->most)
            return gd_fail(GD_EFORMAT, "%s: P%d: a sample of %d, the highest is %d", m->c.file,
                           m->kind, v, m->most);
        m->image->pixels[i] = m->bitmap ? (v ? 0 : 255) : to_byte(m, v);
    }
    return GD_OK;
}

static gd_status read_bits(map *m)
{
    const gd_image *image = m->image;
    const int stride = image->width / 8 + (image->width % 8 > 0);

    for (int y = 0; y < image->height; y++) {
        const unsigned char *row;
        GD_TRY(gd_take_bytes(&m->c, &row, (uint64_t)stride));
        for (int x = 0; x < image->width; x++)
            image->pixels[(size_t)y * (size_t)image->width + (size_t)x] =
                io_bits(row, x, 1) ? 0 : 255;
    }
    return GD_OK;
}

static gd_status read_binary(map *m, int64_t n)
{
    const int each = m->most > 255 ? 2 : 1;
    const unsigned char *p;

    GD_TRY(gd_take_bytes(&m->c, &p, (uint64_t)n * (unsigned)each));
    if (m->most == 255) {
        memcpy(m->image->pixels, p, (size_t)n);
        return GD_OK;
    }
    for (int64_t i = 0; i < n; i++)
        m->image->pixels[i] = to_byte(m, each == 2 ? p[2 * i] << 8 | p[2 * i + 1] : p[i]);
    return GD_OK;
}

/* ---- the file ---- */

static gd_status read_header(map *m)
{
    const unsigned char *magic;

    GD_TRY(gd_take_bytes(&m->c, &magic, 2));
    m->kind = magic[1] - '0';
    m->plain = m->kind <= 3;
    m->bitmap = m->kind == 1 || m->kind == 4;
    m->most = 1;
    GD_TRY(take_number(m, &m->image->width));
    GD_TRY(take_number(m, &m->image->height));
    if (!m->bitmap)
        GD_TRY(take_number(m, &m->most));
    if (m->image->width < 1 || m->image->height < 1 || m->most < 1 || m->most > MAX_VALUE)
        return gd_fail(GD_EFORMAT, "%s: P%d: %d x %d pixels up to %d", m->c.file, m->kind,
                       m->image->width, m->image->height, m->most);
    m->image->channels = m->kind == 3 || m->kind == 6 ? 3 : 1;
    return GD_OK;
}

static bool is_ppm(const void *data, size_t bytes)
{
    const unsigned char *p = data;

    return bytes > 8 && p[0] == 'P' && p[1] >= '1' && p[1] <= '6' &&
           (is_space(p[2]) || p[2] == '#');
}

static gd_status decode_ppm(gd_image *out, const void *data, size_t bytes, const char *name)
{
    const unsigned char *p = data;
    map m = { .c = { p, p, p + bytes, name }, .image = out };

    GD_TRY(read_header(&m));
    GD_TRY(io_image_check(out, bytes, name));
    const int64_t n = (int64_t)out->width * out->height * out->channels;
    GD_TRY(gd_block_make(&out->pixels, (size_t)n, name));
    if (m.plain)
        return read_plain(&m, n);
    return m.bitmap ? read_bits(&m) : read_binary(&m, n);
}

const io_image_format io_format_ppm = { "PPM", { "ppm", "pgm", "pbm", "pnm" }, is_ppm, decode_ppm };
