/* SPDX-License-Identifier: MIT */
/* zip.c - the entries of an archive in memory, by libzip.
 *
 * libzip reads the archive through a source of ours, and so shows where an entry's bytes lie:
 * weights that are stored uncompressed are then used in place.  Before that every offset and size
 * is checked against the file, and no byte may belong to two entries. */
#define _GNU_SOURCE
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

#ifndef ZIP_ER_TRUNCATED_ZIP
#define ZIP_ER_TRUNCATED_ZIP ZIP_ER_NOZIP /* before libzip 1.11 the same */
#endif

enum {
    DIRECTORY_BYTES = 8 << 20, /* libzip holds about six times the directory that it reads */
    INFLATION = 1032,          /* of deflate at most */
    PIECE_BYTES = 1 << 18,
    DROP_BYTES = 16 << 20
};

struct io_zip {
    zip_t *zip;
    const gd_mapped *map;
    const char *file;
    zip_error_t error; /* of the source */
    uint64_t at, last,
        taken; /* the source's offset; where the last read began; bytes read in all */
    bool opening;
    io_entry *entry;
    int *by_name;
    int n;
};

static gd_status damaged(const io_zip *z, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: damaged zip: %s", z->file, what);
}

/* libzip's error: not every failure is the file's. */
static gd_status refused(const io_zip *z, const zip_error_t *error, const char *what)
{
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->file);
    return damaged(z, what);
}

/* ---- the source: the archive's bytes ---- */

static zip_int64_t source_read(io_zip *z, void *out, uint64_t bytes)
{
    const uint64_t n = z->at < z->map->bytes ? GD_MIN(bytes, z->map->bytes - z->at) : 0;

    z->taken += n;
    if (z->opening && z->taken > DIRECTORY_BYTES) {
        zip_error_set(&z->error, ZIP_ER_INCONS, 0);
        return -1;
    }
    if (n > 0)
        memcpy(out, z->map->data + z->at, n);
    z->last = z->at;
    z->at += n;
    return (zip_int64_t)n;
}

static zip_int64_t source(void *ctx, void *data, zip_uint64_t bytes, zip_source_cmd_t command)
{
    io_zip *z = ctx;
    zip_int64_t offset;

    switch (command) {
    case ZIP_SOURCE_OPEN:
        z->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return source_read(z, data, bytes);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_STAT:
        zip_stat_init(data);
        ((zip_stat_t *)data)->size = z->map->bytes;
        ((zip_stat_t *)data)->valid = ZIP_STAT_SIZE;
        return sizeof(zip_stat_t);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&z->error, data, bytes);
    case ZIP_SOURCE_SEEK:
        offset = zip_source_seek_compute_offset(z->at, z->map->bytes, data, bytes, &z->error);
        if (offset < 0)
            return -1;
        z->at = (uint64_t)offset;
        return 0;
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)z->at;
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_SEEKABLE;
    default:
        zip_error_set(&z->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* ---- the directory ---- */

/* Where the entry's packed bytes begin: one byte of them is read for that */
static gd_status find_place(io_zip *z, io_entry *e, int i)
{
    zip_file_t *f = zip_fopen_index(z->zip, (zip_uint64_t)i, ZIP_FL_COMPRESSED);
    unsigned char first;
    zip_int64_t n;

    if (!f)
        return refused(z, zip_get_error(z->zip), "an entry cannot be opened");
    z->last = z->map->bytes;
    n = e->packed_bytes > 0 ? zip_fread(f, &first, 1) : 0;
    zip_fclose(f);
    if (e->packed_bytes == 0)
        return GD_OK;
    if (n != 1 || z->last >= z->map->bytes || e->packed_bytes > z->map->bytes - z->last ||
        z->map->data[z->last] != first)
        return damaged(z, "an entry's bytes lie outside the file");
    e->packed = z->map->data + z->last;
    return GD_OK;
}

static gd_status read_entry(io_zip *z, int i)
{
    const zip_uint64_t need = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_CRC |
                              ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    io_entry *e = &z->entry[i];
    zip_stat_t info;
    uint64_t most;

    if (zip_stat_index(z->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW, &info) != 0 ||
        (info.valid & need) != need)
        return refused(z, zip_get_error(z->zip), "central directory");
    *e = (io_entry){ .name = info.name,
                     .packed_bytes = info.comp_size,
                     .bytes = info.size,
                     .crc = info.crc,
                     .deflated = info.comp_method == ZIP_CM_DEFLATE };
    if (!gd_is_text(e->name, strlen(e->name)))
        return damaged(z, "a name that is no text");
    if ((!e->deflated && info.comp_method != ZIP_CM_STORE) || info.encryption_method != ZIP_EM_NONE)
        return gd_fail(GD_EFORMAT, "%s: %.100s is encrypted or neither stored nor deflated",
                       z->file, e->name);
    if (!gd_mul(e->packed_bytes, INFLATION, &most) || e->packed_bytes > z->map->bytes ||
        (e->deflated ? e->bytes > most : e->bytes != e->packed_bytes))
        return damaged(z, "an entry's sizes are not possible");
    return find_place(z, e, i);
}

static int by_place(const void *x, const void *y)
{
    const io_entry *a = x, *b = y;
    return a->packed < b->packed ? -1 : a->packed > b->packed;
}

static gd_status check_overlap(io_zip *z, gd_arena *mem)
{
    io_entry *sorted = gd_alloc(mem, (size_t)GD_MAX(z->n, 1) * sizeof *sorted);

    if (!sorted)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->file);
    if (z->n > 0)
        memcpy(sorted, z->entry, (size_t)z->n * sizeof *sorted);
    qsort(sorted, (size_t)z->n, sizeof *sorted, by_place);
    for (int i = 1; i < z->n; i++)
        if (sorted[i - 1].packed &&
            sorted[i].packed < sorted[i - 1].packed + sorted[i - 1].packed_bytes)
            return damaged(z, "two entries overlap");
    return GD_OK;
}

static int by_name(const void *x, const void *y, void *entries)
{
    const io_entry *e = entries;
    return strcmp(e[*(const int *)x].name, e[*(const int *)y].name);
}

static gd_status sort_names(io_zip *z, gd_arena *mem)
{
    z->by_name = gd_alloc(mem, (size_t)GD_MAX(z->n, 1) * sizeof *z->by_name);
    if (!z->by_name)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->file);
    for (int i = 0; i < z->n; i++)
        z->by_name[i] = i;
    gd_sort(z->by_name, (size_t)z->n, sizeof *z->by_name, by_name, z->entry);
    for (int i = 1; i < z->n; i++)
        if (by_name(&z->by_name[i - 1], &z->by_name[i], z->entry) == 0)
            return damaged(z, "two entries of one name");
    return GD_OK;
}

static gd_status read_directory(io_zip *z, gd_arena *mem)
{
    const zip_int64_t n = zip_get_num_entries(z->zip, 0);

    if (n < 0 || n > GD_MAX_ZIP_ENTRIES)
        return damaged(z, "too many entries");
    z->n = (int)n;
    z->entry = gd_alloc(mem, (size_t)GD_MAX(n, 1) * sizeof *z->entry);
    if (!z->entry)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->file);
    for (int i = 0; i < z->n; i++)
        GD_TRY(read_entry(z, i));
    GD_TRY(check_overlap(z, mem));
    return sort_names(z, mem);
}

/* It begins as a zip: the directory, which is at the end, did not arrive. */
static gd_status cut_short(const io_zip *z)
{
    const gd_status s = damaged(z, "its directory, which is at the end of a zip, is missing");

    gd_detail("hint: a download or copy of %zu bytes that was cut short: make it again",
              z->map->bytes);
    return s;
}

static gd_status open_archive(io_zip *z)
{
    zip_error_t error;
    zip_source_t *from;
    gd_status s = GD_OK;

    zip_error_init(&error);
    from = zip_source_function_create(source, z, &error);
    z->opening = true;
    z->zip = from ? zip_open_from_source(from, ZIP_RDONLY, &error) : NULL;
    z->opening = false;
    if (!z->zip) {
        const int code = zip_error_code_zip(&error);
        s = refused(z, &error, zip_error_strerror(&error));
        if (code == ZIP_ER_NOZIP || code == ZIP_ER_TRUNCATED_ZIP)
            s = cut_short(z);
        zip_source_free(from);
    }
    zip_error_fini(&error);
    return s;
}

gd_status io_zip_open(io_zip **out, const gd_mapped *map, gd_arena *mem, const char *file)
{
    io_zip *z = gd_alloc(mem, sizeof *z);
    gd_status s;

    if (!z)
        return gd_fail(GD_ENOMEM, "%s: out of memory", file);
    z->map = map;
    z->file = file;
    zip_error_init(&z->error);
    s = open_archive(z);
    if (s == GD_OK)
        s = read_directory(z, mem);
    if (s != GD_OK) {
        io_zip_close(z);
        return s;
    }
    *out = z;
    return GD_OK;
}

void io_zip_close(io_zip *z)
{
    if (!z)
        return;
    if (z->zip)
        zip_discard(z->zip);
    zip_error_fini(&z->error);
}

int io_zip_count(const io_zip *z)
{
    return z->n;
}

const io_entry *io_zip_entry(const io_zip *z, int i)
{
    return &z->entry[i];
}

int io_zip_find(const io_zip *z, const char *name)
{
    for (int low = 0, high = z->n; low < high;) {
        const int middle = low + (high - low) / 2;
        const int order = strcmp(name, z->entry[z->by_name[middle]].name);
        if (order == 0)
            return z->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* ---- content ---- */

/* `bytes` bytes and, when they are the last, libzip's own check of CRC-32 and length at the end */
static bool read_content(zip_file_t *f, unsigned char *out, uint64_t bytes, bool to_end)
{
    uint64_t done = 0;
    unsigned char beyond;

    while (done < bytes) {
        const zip_int64_t n = zip_fread(f, out + done, bytes - done);
        if (n <= 0)
            return false;
        done += (uint64_t)n;
    }
    return !to_end || zip_fread(f, &beyond, 1) == 0;
}

static gd_status mismatch(const io_zip *z, int i)
{
    return damaged(z, z->entry[i].deflated
                          ? "an entry does not inflate to the size and checksum of the directory"
                          : "an entry does not match its checksum");
}

gd_status io_zip_read(io_zip *z, int i, void *out, uint64_t bytes)
{
    zip_file_t *f = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
    bool ok, memory;

    if (!f)
        return refused(z, zip_get_error(z->zip), "an entry cannot be opened");
    ok = bytes <= z->entry[i].bytes && read_content(f, out, bytes, bytes == z->entry[i].bytes);
    memory = zip_error_code_zip(zip_file_get_error(f)) == ZIP_ER_MEMORY;
    zip_fclose(f);
    if (!ok && memory)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->file);
    return ok ? GD_OK : mismatch(z, i);
}

/* In pieces, each read through libzip and equal to what lies in place; pages behind are let go
 * every DROP_BYTES. */
static bool stream(io_zip *z, const io_entry *e, zip_file_t *f, unsigned char *piece,
                   const gd_mapped *map)
{
    uint64_t dropped = 0;

    for (uint64_t done = 0; done < e->bytes; done += PIECE_BYTES) {
        const uint64_t n = GD_MIN((uint64_t)PIECE_BYTES, e->bytes - done);
        if (!read_content(f, piece, n, done + n == e->bytes) ||
            memcmp(piece, e->packed + done, n) != 0)
            return false;
        if (map && done + n - dropped >= DROP_BYTES) {
            gd_unmap_pages(map, (size_t)(e->packed - z->map->data) + dropped, done + n - dropped);
            dropped = done + n;
        }
    }
    return true;
}

gd_status io_zip_check(io_zip *z, int i, const gd_mapped *map)
{
    io_entry *e = &z->entry[i];
    zip_file_t *f;
    void *piece;
    bool ok;

    if (e->checked || e->bytes == 0)
        return GD_OK;
    GD_TRY(gd_block_make(&piece, GD_MIN((uint64_t)PIECE_BYTES, e->bytes), e->name));
    f = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
    if (!f) {
        gd_block_free(piece);
        return refused(z, zip_get_error(z->zip), "an entry cannot be opened");
    }
    ok = stream(z, e, f, piece, map);
    zip_fclose(f);
    gd_block_free(piece);
    e->checked = ok;
    return ok ? GD_OK : mismatch(z, i);
}

/* ---- a member in pieces ---- */

struct io_member {
    io_zip *zip;
    const io_entry *entry;
    const gd_mapped *map;
    zip_file_t *file;
    uint64_t kept; /* bytes of the archive whose pages may be resident: from here on */
};

static int number_of(const io_member *m)
{
    return (int)(m->entry - m->zip->entry);
}

gd_status io_member_open(io_member **out, io_zip *z, int i, const gd_mapped *map)
{
    io_member *m = calloc(1, sizeof *m);

    if (!m)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->file);
    *m = (io_member){ .zip = z, .entry = &z->entry[i], .map = map };
    m->kept = m->entry->packed ? (uint64_t)(m->entry->packed - z->map->data) : 0;
    m->file = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
    if (!m->file) {
        free(m);
        return mismatch(z, i);
    }
    *out = m;
    return GD_OK;
}

/* The source's offset is where libzip last read for this member. */
static void let_go(io_member *m)
{
    const uint64_t at = m->zip->at;

    if (!m->map || at < m->kept + DROP_BYTES)
        return;
    gd_unmap_pages(m->map, m->kept, at - m->kept);
    m->kept = at;
}

gd_status io_member_read(io_member *m, void *out, uint64_t bytes)
{
    if (!read_content(m->file, out, bytes, false))
        return mismatch(m->zip, number_of(m));
    let_go(m);
    return GD_OK;
}

gd_status io_member_end(io_member *m)
{
    return read_content(m->file, NULL, 0, true) ? GD_OK : mismatch(m->zip, number_of(m));
}

void io_member_close(io_member *m)
{
    if (!m)
        return;
    zip_fclose(m->file);
    free(m);
}
