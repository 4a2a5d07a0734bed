/* SPDX-License-Identifier: MIT */
/* npz_writer.c - .npz in pieces: stored members, whose CRC-32 is filled in behind them; zip64 where
 * 4 GiB do not suffice (PKWARE's APPNOTE 6.3.3, sections 4.3 and 4.5.3). */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    MAX_MEMBERS = 64,
    LOCAL_CRC = 14, /* its offset in a local header */
    EXTRA_64 = 1
};

typedef struct member {
    char name[GD_MAX_NAME + 8];
    uint64_t at, bytes; /* of the local header; of header and elements */
    uint32_t crc;
} member;

struct gd_npz_writer {
    gd_file *file;
    member member[MAX_MEMBERS];
    int n;
    uint64_t at, left; /* bytes written; that the array under way still lacks */
};

/* ---- records ---- */

static void put_text(io_fields *r, const char *text)
{
    memcpy(r->byte + r->n, text, strlen(text));
    r->n += strlen(text);
}

static gd_status write_bytes(gd_npz_writer *w, const void *data, size_t bytes)
{
    w->at += bytes;
    return gd_file_write(w->file, data, bytes);
}

static bool is_large(const member *m)
{
    return m->bytes >= IO_MAX_32 || m->at >= IO_MAX_32;
}

/* What local header and directory have in common: from the version that is needed to the lengths */
static void put_facts(io_fields *r, const member *m, bool large, int extra_bytes)
{
    const uint64_t bytes = large ? IO_MAX_32 : m->bytes;

    io_put(r, large ? IO_ZIP_VERSION_64 : IO_ZIP_VERSION, 2);
    io_put(r, 0, 2); /* flags */
    io_put(r, 0, 2); /* stored */
    io_put(r, 0, 2); /* time */
    io_put(r, IO_ZIP_DATE, 2);
    io_put(r, m->crc, 4);
    io_put(r, bytes, 4);
    io_put(r, bytes, 4);
    io_put(r, strlen(m->name), 2);
    io_put(r, (uint64_t)extra_bytes, 2);
}

static gd_status write_local(gd_npz_writer *w, const member *m)
{
    const bool large = m->bytes >= IO_MAX_32;
    io_fields r = { .n = 0 };

    io_put(&r, 0x04034b50, 4);
    put_facts(&r, m, large, large ? 20 : 0);
    put_text(&r, m->name);
    if (large) {
        io_put(&r, EXTRA_64, 2);
        io_put(&r, 16, 2);
        io_put(&r, m->bytes, 8);
        io_put(&r, m->bytes, 8);
    }
    return write_bytes(w, r.byte, r.n);
}

static gd_status write_entry(gd_npz_writer *w, const member *m)
{
    const bool large = is_large(m);
    io_fields r = { .n = 0 };

    io_put(&r, 0x02014b50, 4);
    io_put(&r, large ? IO_ZIP_VERSION_64 : IO_ZIP_VERSION, 2);
    put_facts(&r, m, large, large ? 28 : 0);
    io_put(&r, 0, 2); /* comment */
    io_put(&r, 0, 2); /* disk */
    io_put(&r, 0, 2); /* attributes */
    io_put(&r, 0, 4);
    io_put(&r, large ? IO_MAX_32 : m->at, 4);
    put_text(&r, m->name);
    if (large) {
        io_put(&r, EXTRA_64, 2);
        io_put(&r, 24, 2);
        io_put(&r, m->bytes, 8);
        io_put(&r, m->bytes, 8);
        io_put(&r, m->at, 8);
    }
    return write_bytes(w, r.byte, r.n);
}

static gd_status write_end(gd_npz_writer *w, uint64_t directory)
{
    io_fields r = { .n = 0 };

    io_put_zip_end(&r, (uint64_t)w->n, directory, w->at - directory);
    return write_bytes(w, r.byte, r.n);
}

/* ---- the writer ---- */

gd_status gd_npz_begin(gd_npz_writer **out, const char *path, gd_replace replace,
                       uint64_t expected_bytes)
{
    gd_npz_writer *w = calloc(1, sizeof *w);
    gd_status s;

    if (!w)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    s = gd_file_create(&w->file, path, replace, expected_bytes);
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
    io_fields r = { .n = 0 };

    if (w->n == 0)
        return GD_OK;
    const member *m = &w->member[w->n - 1];
    if (w->left > 0)
        return gd_fail(GD_EUSAGE, "npz: %s lacks %llu bytes", m->name, (unsigned long long)w->left);
    io_put(&r, m->crc, 4);
    return gd_file_write_at(w->file, m->at + LOCAL_CRC, r.byte, r.n);
}

gd_status gd_npz_array(gd_npz_writer *w, const gd_array *a)
{
    unsigned char header[IO_NPY_HEADER];
    const size_t bytes = io_npy_header(header, a);
    member *m;

    GD_TRY(end_member(w));
    if (w->n == MAX_MEMBERS || strlen(a->name) > GD_MAX_NAME)
        return gd_fail(GD_EUSAGE, "npz: more than %d arrays, or too long a name", MAX_MEMBERS);
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
