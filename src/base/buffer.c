/* SPDX-License-Identifier: MIT */
/* buffer.c - text that grows. */
#include "base/base.h"

#include <stdlib.h>

bool gd_buffer_reserve(gd_buffer *b, size_t more)
{
    const size_t wanted = b->n + more + 1;
    char *larger;

    if (b->failed || wanted <= b->room)
        return !b->failed;
    larger = realloc(b->data, 2 * wanted);
    if (!larger) {
        b->failed = true;
        return false;
    }
    b->data = larger;
    b->room = 2 * wanted;
    return true;
}

void gd_buffer_print(gd_buffer *b, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && gd_buffer_reserve(b, (size_t)n))
        b->n += (size_t)vsnprintf(b->data + b->n, b->room - b->n, format, again);
    va_end(again);
    va_end(args);
}
