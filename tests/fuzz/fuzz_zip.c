/* SPDX-License-Identifier: MIT */
/* fuzz_zip.c - archives: the directory, and every entry of reasonable size. */
#include "io/io_private.h"

#include <stdlib.h>

enum { MOST_BYTES = 1 << 16 };

static void read_entries(io_zip *zip)
{
    for (int i = 0; i < io_zip_count(zip); i++) {
        const io_entry *e = io_zip_entry(zip, i);
        if (io_zip_find(zip, e->name) != i)
            abort();
        if (e->bytes > MOST_BYTES)
            continue;
        void *out = malloc(e->bytes + 1);
        const gd_status s = io_zip_read(zip, i, out, e->bytes);
        if (!e->deflated && io_zip_check(zip, i, NULL) != s)
            abort();
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const gd_mapped map = { data, bytes };
    gd_arena *mem;
    io_zip *zip;

    if (gd_arena_make(&mem) != GD_OK)
        return 0;
    if (io_zip_open(&zip, &map, mem, "FILE") == GD_OK) {
        read_entries(zip);
        io_zip_close(zip);
    }
    gd_arena_free(mem);
    return 0;
}
