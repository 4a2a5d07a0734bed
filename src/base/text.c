/* SPDX-License-Identifier: MIT */
/* text.c - text that comes from files and names: what a terminal may be given of it, and a form of
 * any bytes that JSON can hold. */
#include "base/base.h"

#include <string.h>

/* Bytes of the UTF-8 character at `text`, *point its number; 0: none begins there */
static size_t decode(uint32_t *point, const unsigned char *text, size_t bytes)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char c = text[0];
    const size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (n == 0 || n > bytes)
        return 0;
    *point = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (text[i] & 0x3f);
    }
    return *point < least[n] || *point > 0x10ffff || (*point >= 0xd800 && *point < 0xe000) ? 0 : n;
}

/* Controls (C0, DEL, C1), marks that turn the direction of writing (Unicode's Bidi_Control), ends
 * of lines and paragraphs, invisible tags */
static bool steers_terminal(uint32_t p)
{
    return p < 0x20 || (p >= 0x7f && p < 0xa0) || p == 0x61c || p == 0x200e || p == 0x200f ||
           (p >= 0x2028 && p <= 0x202e) || (p >= 0x2066 && p <= 0x2069) ||
           (p >= 0xfff9 && p <= 0xfffb) || (p >= 0xe0000 && p <= 0xe007f);
}

static bool begins_escape(const char *text, size_t bytes)
{
    return bytes >= 2 && text[0] == '\\' && text[1] == 'x';
}

size_t gd_escape(char *out, size_t size, const char *text, size_t bytes, const char *allowed)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes;) {
        uint32_t point = 0;
        size_t n = decode(&point, (const unsigned char *)text + i, bytes - i);
        const bool plain =
            n > 0 && (allowed ? !steers_terminal(point) || (text[i] && strchr(allowed, text[i]))
                              : !steers_terminal(point) && !begins_escape(text + i, bytes - i));
        n = GD_MAX(n, (size_t)1);
        if (used + (plain ? n : 4 * n) + 1 > size)
            break;
        for (size_t k = 0; k < n; k++)
            if (plain)
                out[used++] = text[i + k];
            else
                used += (size_t)snprintf(out + used, 5, "\\x%02X", (unsigned char)text[i + k]);
        i += n;
    }
    out[used] = '\0';
    return used;
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void gd_unescape(char *text)
{
    char *to = text;

    for (const char *at = text; *at;) {
        if (at[0] == '\\' && at[1] == 'x' && hex_of(at[2]) >= 0 && hex_of(at[3]) >= 0 &&
            hex_of(at[2]) + hex_of(at[3]) > 0) {
            *to++ = (char)(hex_of(at[2]) << 4 | hex_of(at[3]));
            at += 4;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
}

char *gd_escaped(gd_arena *arena, const char *text)
{
    const size_t bytes = strlen(text), size = 4 * bytes + 1;
    char *out = gd_alloc(arena, size);

    if (out)
        gd_escape(out, size, text, bytes, NULL);
    return out;
}
