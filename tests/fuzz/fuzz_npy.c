/* SPDX-License-Identifier: MIT */
/* fuzz_npy.c - .npy headers. */
#include "io/io_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gd_cursor c = { data, data, data + bytes, "FILE" };
    gd_array array = { .name = "x" };
    io_source source = { 0 };

    if (io_read_npy_header(&array, &source, &c) != GD_OK)
        return 0;
    if (array.rank > GD_MAX_RANK || gd_array_count(&array) < 0 || gd_cursor_offset(&c) > bytes)
        abort();
    return 0;
}
