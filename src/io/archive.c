/* SPDX-License-Identifier: MIT */
/* archive.c - the members of a zip archive for several threads: libzip's handle is used by one at a
 * time. */
#include "io/io_private.h"

#include <pthread.h>
#include <string.h>

struct gd_archive {
    gd_arena *mem;
    gd_mapped map;
    const char *path;
    io_zip *zip;
    pthread_mutex_t lock;
};

gd_status gd_archive_open(gd_archive **out, const char *path)
{
    gd_arena *mem;
    gd_archive *a;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    a = gd_alloc(mem, sizeof *a);
    if (!a || !(a->path = gd_strdup(mem, path))) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    a->mem = mem;
    pthread_mutex_init(&a->lock, NULL);
    s = gd_map_file(&a->map, path);
    if (s == GD_OK)
        s = io_zip_open(&a->zip, &a->map, mem, a->path);
    if (s != GD_OK) {
        gd_archive_close(a);
        return s;
    }
    *out = a;
    return GD_OK;
}

void gd_archive_close(gd_archive *a)
{
    if (!a)
        return;
    io_zip_close(a->zip);
    gd_unmap(&a->map);
    pthread_mutex_destroy(&a->lock);
    gd_arena_free(a->mem);
}

int gd_archive_count(const gd_archive *a)
{
    return io_zip_count(a->zip);
}

const char *gd_archive_name(const gd_archive *a, int i)
{
    return io_zip_entry(a->zip, i)->name;
}

gd_status gd_archive_read(gd_archive *a, int i, void **out, size_t *bytes, uint64_t most)
{
    const io_entry *e = io_zip_entry(a->zip, i);
    gd_status s;

    *out = NULL;
    if (e->bytes > most)
        return gd_fail(GD_EFORMAT, "%s: %s: %llu bytes, at most %llu are read", a->path, e->name,
                       (unsigned long long)e->bytes, (unsigned long long)most);
    GD_TRY(gd_inflation_check(a->path, e->name, e->packed_bytes, e->bytes));
    *bytes = (size_t)e->bytes;
    GD_TRY(gd_block_make(out, GD_MAX(e->bytes, 1), e->name));
    pthread_mutex_lock(&a->lock);
    s = io_zip_read(a->zip, i, *out, e->bytes);
    pthread_mutex_unlock(&a->lock);
    if (e->packed) /* else the whole archive would be resident in the end */
        gd_unmap_pages(&a->map, (size_t)(e->packed - a->map.data), e->packed_bytes);
    if (s != GD_OK) {
        gd_context("%s: %s", a->path, e->name);
        gd_block_free(*out);
        *out = NULL;
    }
    return s;
}

void gd_archive_fingerprint(const gd_archive *a, int i, gd_hasher *hasher)
{
    const io_entry *e = io_zip_entry(a->zip, i);

    gd_hasher_add(hasher, e->name, strlen(e->name) + 1);
    gd_hasher_add(hasher, &e->bytes, sizeof e->bytes);
    gd_hasher_add(hasher, &e->crc, sizeof e->crc);
}
