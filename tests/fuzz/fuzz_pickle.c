/* SPDX-License-Identifier: MIT */
/* fuzz_pickle.c - the pickle machine, and the tensors of what it made over storages of zeros. */
#include "io/io_private.h"

#include <stdlib.h>

enum { STORAGE_BYTES = 1 << 12 };

static void name_tensors(io_pickle *p, gd_arena *mem)
{
    static const unsigned char zeros[STORAGE_BYTES];
    gd_bundle b = { .mem = mem, .path = "FILE" };

    for (int i = 0; i < io_pickle_storages(p); i++) {
        io_storage *s = io_pickle_storage(p, i);
        if (s->found) /* of a nested container: it has its data */
            continue;
        if (io_pickle_find_storage(p, s->key) != s)
            abort();
        s->data = zeros;
        s->bytes = sizeof zeros;
    }
    const gd_status s = io_pickle_tensors(p, &b);
    for (int i = 0; s == GD_OK && i < b.n; i++)
        if (gd_array_count(&b.array[i]) < 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gd_cursor c = { data, data, data + bytes, "FILE" };
    gd_arena *mem;
    io_pickle *p;

    if (gd_arena_make(&mem) != GD_OK)
        return 0;
    if (io_pickle_read(&p, &c, mem, 4 << 20) == GD_OK)
        name_tensors(p, mem);
    gd_arena_free(mem);
    return 0;
}
