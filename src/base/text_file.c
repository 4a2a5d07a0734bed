/* SPDX-License-Identifier: MIT */
/* text_file.c - text files as other systems write them: byte order marks, line ends. */
#include "base/base.h"

#include <string.h>

size_t gd_byte_order_mark(const void *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

gd_status gd_text_check(const void *text, size_t bytes, const char *file)
{
    if (bytes < 2 || (memcmp(text, "\xff\xfe", 2) != 0 && memcmp(text, "\xfe\xff", 2) != 0))
        return GD_OK;
    return gd_fail(GD_EFORMAT, "%s: text in UTF-16\nhint: save it as UTF-8", file);
}

/* In place; returns the bytes left */
static size_t unify(char *text, size_t bytes)
{
    char *to = text;

    for (size_t i = gd_byte_order_mark(text, bytes); i < bytes; i++)
        if (text[i] != '\r' || i + 1 == bytes || text[i + 1] != '\n')
            *to++ = text[i] ? text[i] : ' ';
    return (size_t)(to - text);
}

gd_status gd_text_read(char **out, size_t *bytes, const char *path)
{
    gd_mapped map;
    gd_status s;

    *out = NULL;
    *bytes = 0;
    GD_TRY(gd_map_file(&map, path));
    s = gd_text_check(map.data, map.bytes, path);
    if (s == GD_OK)
        s = gd_block_make(out, map.bytes + 1, path);
    if (s == GD_OK && map.bytes > 0) {
        memcpy(*out, map.data, map.bytes);
        *bytes = unify(*out, map.bytes);
        (*out)[*bytes] = '\0';
    }
    gd_unmap(&map);
    return s;
}
