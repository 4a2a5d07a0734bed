/* npz_writer.c - .npz in pieces: stored members, whose CRC-32 is filled in behind them; zip64 where
 * 4 GiB do not suffice (PKWARE's APPNOTE 6.3.3, sections 4.3 and 4.5.3). */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    MOST_MEMBERS = 64,
    VERSION = 20,
    VERSION_64 = 45,
    DATE_1980 = 0x21,
    LOCAL_CRC = 14, /* its place in a local header */
    EXTRA_64 = 1,
    RECORD = 512 + GD_MAX_NAME
};
static const uint64_t most_32 = 0xffffffff;

typedef struct member {
    char name[GD_MAX_NAME + 8];
    uint64_t at, bytes; /* of the local header; of header and elements */
    uint32_t crc;
} member;

struct gd_npz_writer {
    gd_file *file;
    member member[MOST_MEMBERS];
    int n;
    uint64_t at, left; /* bytes written; that the array under way still lacks */
};

/* ---- little-endian records ---- */

typedef struct record {
    unsigned char data[RECORD];
    size_t n;
} record;

static void put(record *r, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        r->data[r->n++] = (unsigned char)(value >> 8 * i);
}

static void put_text(record *r, const char *text)
{
    memcpy(r->data + r->n, text, strlen(text));
    r->n += strlen(text);
}

static gd_status write_bytes(gd_npz_writer *w, const void *data, size_t bytes)
{
    w->at += bytes;
    return gd_file_write(w->file, data, bytes);
}

static bool is_large(const member *m)
{
    return m->bytes >= most_32 || m->at >= most_32;
}

/* What local header and directory have in common: from the version that is needed to the lengths */
static void put_facts(record *r, const member *m, bool large, int extra_bytes)
{
    const uint64_t bytes = large ? most_32 : m->bytes;

    put(r, large ? VERSION_64 : VERSION, 2);
    put(r, 0, 2); /* flags */
    put(r, 0, 2); /* stored */
    put(r, 0, 2); /* time */
    put(r, DATE_1980, 2);
    put(r, m->crc, 4);
    put(r, bytes, 4);
    put(r, bytes, 4);
    put(r, strlen(m->name), 2);
    put(r, (uint64_t)extra_bytes, 2);
}

static gd_status write_local(gd_npz_writer *w, const member *m)
{
    const bool large = m->bytes >= most_32;
    record r = { .n = 0 };

    put(&r, 0x04034b50, 4);
    put_facts(&r, m, large, large ? 20 : 0);
    put_text(&r, m->name);
    if (large) {
        put(&r, EXTRA_64, 2);
        put(&r, 16, 2);
        put(&r, m->bytes, 8);
        put(&r, m->bytes, 8);
    }
    return write_bytes(w, r.data, r.n);
}

static gd_status write_entry(gd_npz_writer *w, const member *m)
{
    const bool large = is_large(m);
    record r = { .n = 0 };

    put(&r, 0x02014b50, 4);
    put(&r, large ? VERSION_64 : VERSION, 2);
    put_facts(&r, m, large, large ? 28 : 0);
    put(&r, 0, 2); /* comment */
    put(&r, 0, 2); /* disk */
    put(&r, 0, 2); /* attributes */
    put(&r, 0, 4);
    put(&r, large ? most_32 : m->at, 4);
    put_text(&r, m->name);
    if (large) {
        put(&r, EXTRA_64, 2);
        put(&r, 24, 2);
        put(&r, m->bytes, 8);
        put(&r, m->bytes, 8);
        put(&r, m->at, 8);
    }
    return write_bytes(w, r.data, r.n);
}

static gd_status write_end(gd_npz_writer *w, uint64_t directory)
{
    const uint64_t bytes = w->at - directory, end = w->at;
    const bool large = end >= most_32;
    record r = { .n = 0 };

    if (large) {
        put(&r, 0x06064b50, 4); /* zip64 end of the directory */
        put(&r, 44, 8);
        put(&r, VERSION_64, 2);
        put(&r, VERSION_64, 2);
        put(&r, 0, 8); /* disks */
        put(&r, (uint64_t)w->n, 8);
        put(&r, (uint64_t)w->n, 8);
        put(&r, bytes, 8);
        put(&r, directory, 8);
        put(&r, 0x07064b50, 4); /* and where it is */
        put(&r, 0, 4);
        put(&r, end, 8);
        put(&r, 1, 4);
    }
    put(&r, 0x06054b50, 4);
    put(&r, 0, 4); /* disks */
    put(&r, (uint64_t)w->n, 2);
    put(&r, (uint64_t)w->n, 2);
    put(&r, bytes, 4);
    put(&r, large ? most_32 : directory, 4);
    put(&r, 0, 2); /* comment */
    return write_bytes(w, r.data, r.n);
}

/* ---- the writer ---- */

gd_status gd_npz_begin(gd_npz_writer **out, const char *path, bool overwrite,
                       uint64_t expected_bytes)
{
    gd_npz_writer *w = calloc(1, sizeof *w);
    gd_status s;

    if (!w)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    s = gd_file_create(&w->file, path, overwrite, expected_bytes);
    if (s != GD_OK) {
        free(w);
        return s;
    }
    *out = w;
    return GD_OK;
}

/* The CRC-32 of the member that ends here goes into its header. */
static gd_status end_member(gd_npz_writer *w)
{
    record r = { .n = 0 };

    if (w->n == 0)
        return GD_OK;
    const member *m = &w->member[w->n - 1];
    if (w->left > 0)
        return gd_fail(GD_EUSAGE, "npz: %s lacks %llu bytes", m->name, (unsigned long long)w->left);
    put(&r, m->crc, 4);
    return gd_file_write_at(w->file, m->at + LOCAL_CRC, r.data, r.n);
}

gd_status gd_npz_array(gd_npz_writer *w, const gd_array *a)
{
    unsigned char header[IO_NPY_HEADER];
    const size_t bytes = io_npy_header(header, a);
    member *m;

    GD_TRY(end_member(w));
    if (w->n == MOST_MEMBERS || strlen(a->name) > GD_MAX_NAME)
        return gd_fail(GD_EUSAGE, "npz: more than %d arrays, or too long a name", MOST_MEMBERS);
    m = &w->member[w->n++];
    w->left = (uint64_t)gd_array_count(a) * gd_dtype_bytes(a->dtype) + bytes;
    *m = (member){ .at = w->at, .bytes = w->left };
    snprintf(m->name, sizeof m->name, "%s.npy", a->name);
    GD_TRY(write_local(w, m));
    return gd_npz_add(w, header, bytes);
}

gd_status gd_npz_add(gd_npz_writer *w, const void *data, size_t bytes)
{
    if (w->n == 0 || bytes > w->left)
        return gd_fail(GD_EUSAGE, "npz: more bytes than the array has");
    member *m = &w->member[w->n - 1];
    m->crc = (uint32_t)crc32_z(m->crc, data, bytes);
    w->left -= bytes;
    return write_bytes(w, data, bytes);
}

static gd_status finish(gd_npz_writer *w)
{
    GD_TRY(end_member(w));
    const uint64_t directory = w->at;
    for (int i = 0; i < w->n; i++)
        GD_TRY(write_entry(w, &w->member[i]));
    return write_end(w, directory);
}

gd_status gd_npz_commit(gd_npz_writer *w)
{
    gd_status s = finish(w);

    if (s == GD_OK)
        s = gd_file_commit(w->file);
    else
        gd_file_abort(w->file);
    free(w);
    return s;
}

void gd_npz_abort(gd_npz_writer *w)
{
    if (!w)
        return;
    gd_file_abort(w->file);
    free(w);
}
