/* SPDX-License-Identifier: MIT */
/* cursor.c - the only code that takes integers out of untrusted bytes. */
#include "io/io.h"

uint64_t gd_cursor_offset(const gd_cursor *c)
{
    return (uint64_t)(c->at - c->base);
}

uint64_t gd_cursor_left(const gd_cursor *c)
{
    return (uint64_t)(c->end - c->at);
}

gd_status gd_take_bytes(gd_cursor *c, const unsigned char **out, uint64_t n)
{
    if (n > gd_cursor_left(c))
        return gd_fail(GD_EFORMAT, "%s: offset %llu: %llu bytes needed, %llu left", c->file,
                       (unsigned long long)gd_cursor_offset(c), (unsigned long long)n,
                       (unsigned long long)gd_cursor_left(c));
    *out = c->at;
    c->at += n;
    return GD_OK;
}

static gd_status take_integer(gd_cursor *c, uint64_t *out, int bytes)
{
    const unsigned char *p = NULL;

    GD_TRY(gd_take_bytes(c, &p, (uint64_t)bytes));
    *out = 0;
    for (int i = bytes - 1; i >= 0; i--)
        *out = *out << 8 | p[i];
    return GD_OK;
}

gd_status gd_take_u8(gd_cursor *c, uint8_t *out)
{
    uint64_t v;

    GD_TRY(take_integer(c, &v, 1));
    *out = (uint8_t)v;
    return GD_OK;
}

gd_status gd_take_u16(gd_cursor *c, uint16_t *out)
{
    uint64_t v;

    GD_TRY(take_integer(c, &v, 2));
    *out = (uint16_t)v;
    return GD_OK;
}

gd_status gd_take_u32(gd_cursor *c, uint32_t *out)
{
    uint64_t v;

    GD_TRY(take_integer(c, &v, 4));
    *out = (uint32_t)v;
    return GD_OK;
}

gd_status gd_take_u64(gd_cursor *c, uint64_t *out)
{
    return take_integer(c, out, 8);
}

gd_status gd_take_varint(gd_cursor *c, uint64_t *out)
{
    uint8_t byte = 0x80;

    *out = 0;
    for (int shift = 0; byte & 0x80; shift += 7) {
        GD_TRY(gd_take_u8(c, &byte));
        if (shift == 63 && byte > 1)
            return gd_fail(GD_EFORMAT, "%s: offset %llu: a number of more than 64 bits", c->file,
                           (unsigned long long)gd_cursor_offset(c));
        *out |= (uint64_t)(byte & 0x7f) << shift;
    }
    return GD_OK;
}
