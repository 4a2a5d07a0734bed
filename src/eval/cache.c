/* SPDX-License-Identifier: MIT */
/* cache.c - rows of features on disk, so that no image need be seen twice.
 *
 * While an evaluation runs, rows are appended to KEY.rows: a header of 64 bytes, then records of
 * one row and its hash.  Whatever kills the process, whole records stay and the next run goes on
 * behind them.  When all are there they become KEY.safetensors, whose hash is checked when it is
 * opened.  KEY tells network, dialect and images: a row's bits follow from it. */
#include "eval/eval.h"

#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { HEADER = 64, HASH = 32, PATH = 4096, PIECE_BYTES = 16 << 20 };

struct gd_cache {
    char whole[PATH], part[PATH];
    char key[33];
    int64_t count, done; /* rows in all; that are there */
    int width;           /* of a row */
    int fd;              /* of the part, locked; -1: the whole is there */
    gd_bundle *bundle;   /* of the whole */
    const gd_array *array;
    const float *view; /* its rows, where they lie in the file */
    int64_t let_go;    /* rows behind this one were released */
    unsigned char *record;
};

static size_t row_bytes(const gd_cache *c)
{
    return (size_t)c->width * sizeof(float);
}

static size_t record_bytes(const gd_cache *c)
{
    return row_bytes(c) + HASH;
}

static off_t place_of(const gd_cache *c, int64_t row)
{
    return (off_t)(HEADER + (size_t)row * record_bytes(c));
}

/* Of a row and its number, as 32 digits into the record behind the row */
static gd_status hash_row(const gd_cache *c, int64_t row, const void *data, char text[33])
{
    gd_hasher *h;

    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, c->key, sizeof c->key);
    gd_hasher_add(h, &row, sizeof row);
    gd_hasher_add(h, data, row_bytes(c));
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    return GD_OK;
}

/* ---- the whole ---- */

/* A damaged one is told and made again: it holds nothing that the images do not tell. */
static gd_status open_whole(gd_cache *c)
{
    gd_status s = gd_bundle_open(&c->bundle, c->whole);

    c->array = s == GD_OK ? gd_bundle_find(c->bundle, "rows") : NULL;
    if (c->array && c->array->dtype == GD_F32 && c->array->rank == 2 &&
        c->array->dim[0] == c->count && c->array->dim[1] == c->width)
        c->view = gd_bundle_view(c->bundle, c->array);
    if (c->view) {
        c->done = c->count;
        return GD_OK;
    }
    if (s == GD_OK)
        s = gd_fail(GD_EFORMAT, "%s: not the rows that its name says", c->whole);
    if (s == GD_ENOMEM)
        return s;
    gd_log(GD_LOG_NOTE, "%s; the features are made again", gd_error());
    gd_bundle_close(c->bundle);
    c->bundle = NULL;
    return GD_OK;
}

static gd_status write_whole(gd_cache *c)
{
    const gd_array array = { "rows", GD_F32, 2, { c->count, c->width } };
    const gd_meta meta = { "guided.features", c->key };
    gd_safetensors_writer *w;
    gd_status s = GD_OK;

    GD_TRY(gd_safetensors_begin(&w, c->whole, GD_OWN, &array, 1, &meta, 1));
    for (int64_t i = 0; i < c->count && s == GD_OK; i++) {
        s = gd_cache_read(c, i, 1, (float *)c->record);
        if (s == GD_OK)
            s = gd_safetensors_add(w, c->record, row_bytes(c));
    }
    if (s != GD_OK) {
        gd_safetensors_abort(w);
        return s;
    }
    return gd_safetensors_commit(w);
}

/* ---- the part ---- */

static gd_status put(gd_cache *c, off_t at, const void *data, size_t bytes)
{
    return gd_pwrite(c->fd, data, bytes, at) ? GD_OK : gd_fail_errno(errno, c->part);
}

/* Is record `row` there and whole?  Its row is then at the beginning of c->record. */
static gd_status take_record(gd_cache *c, int64_t row, bool *whole)
{
    char text[33];
    const ssize_t n = gd_pread(c->fd, c->record, record_bytes(c), place_of(c, row));

    if (n < 0)
        return gd_fail_errno(errno, c->part);
    *whole = (size_t)n == record_bytes(c);
    if (!*whole)
        return GD_OK;
    GD_TRY(hash_row(c, row, c->record, text));
    *whole = memcmp(c->record + row_bytes(c), text, HASH) == 0;
    return GD_OK;
}

static gd_status lock_part(gd_cache *c)
{
    c->fd = gd_open(c->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (c->fd < 0)
        return gd_fail_errno(errno, c->part);
    if (flock(c->fd, LOCK_EX | LOCK_NB) != 0)
        return gd_fail(GD_EFAILED,
                       "%s: another process is writing it\nhint: wait for it, or give another "
                       "--cache",
                       c->part);
    return GD_OK;
}

/* Whole records of an earlier run count; what stands behind them is written over. */
static gd_status open_part(gd_cache *c)
{
    char header[HEADER] = "", found[HEADER];
    bool whole = true;
    ssize_t n;

    GD_TRY(lock_part(c));
    snprintf(header, sizeof header, "guided.rows.1 %s", c->key);
    n = gd_pread(c->fd, found, sizeof found, 0);
    if (n < 0)
        return gd_fail_errno(errno, c->part);
    if (n != sizeof found || memcmp(found, header, sizeof found) != 0)
        return put(c, 0, header, sizeof header);
    while (c->done < c->count && whole) {
        GD_TRY(take_record(c, c->done, &whole));
        c->done += whole;
    }
    return GD_OK;
}

/* ---- both ---- */

static gd_status open_either(gd_cache *c, const char *folder)
{
    GD_TRY(gd_block_make(&c->record, record_bytes(c), "features"));
    if (gd_os.mkdir(folder, 0777) != 0 && errno != EEXIST)
        return gd_fail_errno(errno, folder);
    if (snprintf(c->whole, sizeof c->whole, "%s/%s.safetensors", folder, c->key) >= PATH)
        return gd_fail(GD_EUSAGE, "%s: too long a path", folder);
    snprintf(c->part, sizeof c->part, "%.4000s/%s.rows", folder, c->key);
    if (gd_path_exists(c->whole))
        GD_TRY(open_whole(c));
    return c->view ? GD_OK : open_part(c);
}

gd_status gd_cache_open(gd_cache **out, const char *folder, const char key[33], int64_t count,
                        int width)
{
    gd_cache *c = calloc(1, sizeof *c);
    gd_status s;

    if (!c)
        return gd_fail(GD_ENOMEM, "%s: out of memory", folder);
    c->fd = -1;
    c->count = count;
    c->width = width;
    memcpy(c->key, key, sizeof c->key);
    s = open_either(c, folder);
    if (s != GD_OK) {
        gd_cache_close(c);
        return s;
    }
    *out = c;
    return GD_OK;
}

void gd_cache_close(gd_cache *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        gd_os.close(c->fd);
    gd_bundle_close(c->bundle);
    gd_block_free(c->record);
    free(c);
}

int64_t gd_cache_done(const gd_cache *c)
{
    return c->done;
}

static gd_status read_record(gd_cache *c, int64_t row)
{
    bool whole;

    GD_TRY(take_record(c, row, &whole));
    return whole ? GD_OK
                 : gd_fail(GD_EIO, "%s: row %lld changed meanwhile", c->part, (long long)row);
}

gd_status gd_cache_read(gd_cache *c, int64_t first, int64_t n, float *rows)
{
    if (c->view) {
        memcpy(rows, c->view + first * c->width, (size_t)n * row_bytes(c));
        if ((size_t)(first + n - c->let_go) * row_bytes(c) < PIECE_BYTES)
            return GD_OK;
        gd_bundle_release(c->bundle, c->array);
        c->let_go = first + n;
        return GD_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        GD_TRY(read_record(c, first + i));
        memmove(rows + i * c->width, c->record, row_bytes(c));
    }
    return GD_OK;
}

gd_status gd_cache_add(gd_cache *c, int64_t n, const float *rows)
{
    char text[33];

    for (int64_t i = 0; i < n; i++) {
        memcpy(c->record, rows + i * c->width, row_bytes(c));
        GD_TRY(hash_row(c, c->done, c->record, text));
        memcpy(c->record + row_bytes(c), text, HASH);
        GD_TRY(put(c, place_of(c, c->done), c->record, record_bytes(c)));
        c->done++;
    }
    return GD_OK;
}

gd_status gd_cache_finish(gd_cache *c)
{
    if (c->view || c->done < c->count)
        return GD_OK;
    GD_TRY(write_whole(c));
    gd_os.unlink(c->part);
    return GD_OK;
}
