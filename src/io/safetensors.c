/* SPDX-License-Identifier: MIT */
/* safetensors.c - u64 header length, a JSON object of names, raw data; reading strictly, writing
 * with our hashes.
 *
 * Our files carry guided.data_xxh3 (XXH3-128 of the data section) and guided.header_xxh3 (of the
 * header with both hashes blanked), so that any damaged bit is found. */
#define _GNU_SOURCE
#include "io/io_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_DIGITS = 32, HEADER_DEPTH = 4 };
static const char blank_hash[] = "00000000000000000000000000000000";
static const char data_key[] = "\"guided.data_xxh3\":\"",
                  header_key[] = "\"guided.header_xxh3\":\"";

/* ---- reading ---- */

static gd_status dtype_of(gd_dtype *out, const char *name, const char *file, const char *array)
{
    for (int d = GD_F32; d <= GD_BOOL; d++)
        if (strcmp(gd_dtype_name((gd_dtype)d), name) == 0) {
            *out = (gd_dtype)d;
            return GD_OK;
        }
    return gd_fail(GD_EFORMAT, "%s: %s: element type %s is not supported", file, array, name);
}

static gd_status read_shape(gd_array *a, json_t *shape, const char *file)
{
    if (!json_is_array(shape) || json_array_size(shape) > GD_MAX_RANK)
        return gd_fail(GD_EFORMAT, "%s: %s: shape is not a list of at most %d sizes", file, a->name,
                       GD_MAX_RANK);
    a->rank = (int)json_array_size(shape);
    for (int i = 0; i < a->rank; i++) {
        json_t *d = json_array_get(shape, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return gd_fail(GD_EFORMAT, "%s: %s: dimension %d is not a size", file, a->name, i);
        a->dim[i] = json_integer_value(d);
    }
    return GD_OK;
}

static gd_status read_entry(gd_bundle *b, const char *name, json_t *entry)
{
    json_t *dtype = json_object_get(entry, "dtype"),
           *offsets = json_object_get(entry, "data_offsets");
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    gd_array a = { .name = gd_strdup(b->mem, name) };
    io_source s = { .entry = -1 };
    int64_t count;
    uint64_t bytes;

    if (!a.name)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    if (!gd_is_text(name, strlen(name)))
        return gd_fail(GD_EFORMAT, "%s: a name with control characters", b->path);
    if (!json_is_object(entry) || json_object_size(entry) != 3 || !json_is_string(dtype) ||
        json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return gd_fail(GD_EFORMAT,
                       "%s: header entry %.100s: expected dtype, shape and data_offsets", b->path,
                       name);
    GD_TRY(dtype_of(&a.dtype, json_string_value(dtype), b->path, a.name));
    GD_TRY(read_shape(&a, json_object_get(entry, "shape"), b->path));
    GD_TRY(io_count(&count, &a, b->path));
    const int64_t from = json_integer_value(begin), to = json_integer_value(end);
    if (!gd_mul((uint64_t)count, gd_dtype_bytes(a.dtype), &bytes) || from < 0 || to < from ||
        (uint64_t)(to - from) != bytes || (uint64_t)to > b->data_bytes)
        return gd_fail(
            GD_EFORMAT,
            "%s: %s: data_offsets [%lld, %lld] do not fit its shape in %llu bytes of data", b->path,
            a.name, (long long)from, (long long)to, (unsigned long long)b->data_bytes);
    s.data = b->data + from;
    s.storage_bytes = bytes;
    io_row_major(s.stride, &a);
    return io_add_array(b, &a, &s);
}

static gd_status read_metadata(gd_bundle *b, json_t *meta)
{
    const char *key;
    json_t *value;

    if (!json_is_object(meta))
        return gd_fail(GD_EFORMAT, "%s: __metadata__ is not an object", b->path);
    b->meta = gd_alloc(b->mem, (json_object_size(meta) + 1) * sizeof *b->meta);
    if (!b->meta)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return gd_fail(GD_EFORMAT, "%s: __metadata__ has a value that is not a text", b->path);
        b->meta[b->n_meta++] =
            (gd_meta){ gd_strdup(b->mem, key), gd_strdup(b->mem, json_string_value(value)) };
        if (!b->meta[b->n_meta - 1].key || !b->meta[b->n_meta - 1].value)
            return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    }
    return GD_OK;
}

static int by_address(const void *a, const void *b)
{
    const io_source *x = a, *y = b;

    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->storage_bytes < y->storage_bytes ? -1 : x->storage_bytes > y->storage_bytes;
}

/* No holes, no overlaps: the arrays' bytes are the data section, each byte once */
static gd_status check_cover(gd_bundle *b)
{
    io_source *sorted = gd_alloc(b->mem, (size_t)GD_MAX(b->n, 1) * sizeof *sorted);
    const unsigned char *at = b->data;

    if (!sorted)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    if (b->n > 0)
        memcpy(sorted, b->source, (size_t)b->n * sizeof *sorted);
    qsort(sorted, (size_t)b->n, sizeof *sorted, by_address);
    for (int i = 0; i < b->n; i++) {
        if (sorted[i].data != at)
            return gd_fail(GD_EFORMAT,
                           "%s: data has a hole or an overlap at byte %llu of the data section",
                           b->path, (unsigned long long)(at - b->data));
        at += sorted[i].storage_bytes;
    }
    if (at != b->data + b->data_bytes)
        return gd_fail(GD_EFORMAT, "%s: %llu bytes after the last array", b->path,
                       (unsigned long long)(b->data + b->data_bytes - at));
    return GD_OK;
}

static gd_status read_header(gd_bundle *b, json_t *header)
{
    const char *name;
    json_t *entry;

    if (!json_is_object(header) || json_object_size(header) > GD_MAX_ARRAYS + 1)
        return gd_fail(GD_EFORMAT, "%s: the header is not an object of at most %d arrays", b->path,
                       GD_MAX_ARRAYS);
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            GD_TRY(read_metadata(b, entry));
        else
            GD_TRY(read_entry(b, name, entry));
    }
    return check_cover(b);
}

/* The 32 digits after `key` in a header, or NULL */
static char *hash_place(char *header, uint64_t bytes, const char *key)
{
    const size_t length = strlen(key);
    char *at = memmem(header, bytes, key, length);

    return at && (uint64_t)(at - header) + length + HASH_DIGITS < bytes ? at + length : NULL;
}

static gd_status check_hash(const gd_bundle *b, gd_hasher *hasher, const char *key,
                            const char *what)
{
    const char *stored = gd_bundle_meta(b, key);
    char text[33];

    gd_hasher_text(hasher, text);
    if (stored && strcmp(stored, text) == 0)
        return GD_OK;
    return gd_fail(GD_EFORMAT, "%s: damaged: %s does not match its hash (%s %.32s, computed %s)",
                   b->path, what, key,
                   stored && gd_is_text(stored, strlen(stored)) ? stored : "missing", text);
}

/* The header with both hashes blanked */
static gd_status check_own_header(const gd_bundle *b, const unsigned char *text, uint64_t bytes)
{
    gd_hasher *hasher;
    void *copy;
    char *place;
    gd_status s;

    GD_TRY(gd_block_make(&copy, bytes, "header"));
    memcpy(copy, text, bytes);
    if ((place = hash_place(copy, bytes, data_key)))
        memcpy(place, blank_hash, HASH_DIGITS);
    if ((place = hash_place(copy, bytes, header_key)))
        memcpy(place, blank_hash, HASH_DIGITS);
    s = gd_hasher_make(&hasher);
    if (s == GD_OK) {
        gd_hasher_add(hasher, copy, bytes);
        s = check_hash(b, hasher, "guided.header_xxh3", "the header");
        gd_hasher_free(hasher);
    }
    gd_block_free(copy);
    if (s == GD_EFORMAT)
        gd_detail("hint: if another program wrote it, remove the guided.* keys of __metadata__");
    return s;
}

/* In pieces whose pages are let go, so that a big file is not held */
static gd_status check_data(const gd_bundle *b)
{
    enum { PIECE = 16 << 20 };
    const size_t before = (size_t)(b->data - b->map.data);
    gd_hasher *hasher;
    gd_status s;

    GD_TRY(gd_hasher_make(&hasher));
    for (uint64_t at = 0; at < b->data_bytes; at += PIECE) {
        const size_t n = (size_t)GD_MIN((uint64_t)PIECE, b->data_bytes - at);
        gd_hasher_add(hasher, b->data + at, n);
        if (!b->borrowed)
            gd_unmap_pages(&b->map, before + at, n);
    }
    s = check_hash(b, hasher, "guided.data_xxh3", "the data");
    gd_hasher_free(hasher);
    return s;
}

gd_status gd_bundle_verify(const gd_bundle *b, bool *checked)
{
    *checked = gd_bundle_meta(b, "guided.data_xxh3") != NULL;
    return *checked ? check_data(b) : GD_OK;
}

const char *gd_bundle_f32_hash(const gd_bundle *b)
{
    const char *hash = gd_bundle_meta(b, "guided.data_xxh3");
    const unsigned char *at = b->data;

    for (int i = 0; hash && i < b->n; i++) {
        if (b->array[i].dtype != GD_F32 || gd_bundle_view(b, &b->array[i]) != at)
            return NULL;
        at += (size_t)gd_array_count(&b->array[i]) * sizeof(float);
    }
    return hash && at == b->data + b->data_bytes ? hash : NULL;
}

gd_status io_read_safetensors(gd_bundle *b)
{
    gd_cursor c = { b->map.data, b->map.data, b->map.data + b->map.bytes, b->path };
    const unsigned char *text;
    uint64_t bytes;
    json_t *header;
    bool checked;
    gd_status s;

    b->format = "safetensors";
    GD_TRY(gd_take_u64(&c, &bytes));
    if (bytes > GD_MAX_HEADER_BYTES)
        return gd_fail(GD_EFORMAT, "%s: a header of %llu bytes is not possible", b->path,
                       (unsigned long long)bytes);
    GD_TRY(gd_take_bytes(&c, &text, bytes));
    b->data = c.at;
    b->data_bytes = gd_cursor_left(&c);
    GD_TRY(gd_json_parse(&header, (const char *)text, bytes, HEADER_DEPTH, b->path));
    s = read_header(b, header);
    json_decref(header);
    if (s != GD_OK || !memmem(text, bytes, "\"guided.", 8))
        return s;
    GD_TRY(check_own_header(b, text, bytes)); /* whatever mentions us must be whole */
    return gd_bundle_verify(b, &checked);
}

/* ---- writing ---- */

struct gd_safetensors_writer {
    gd_file *file;
    gd_hasher *hasher;
    char *header; /* block: u64 length, then the text */
    uint64_t header_bytes, expected, written;
    const char *path;
    gd_arena *mem;
};

static json_t *entry_of(const gd_array *a, uint64_t from, uint64_t to)
{
    json_t *shape = json_array();

    for (int i = 0; i < a->rank; i++)
        if (json_array_append_new(shape, json_integer(a->dim[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", gd_dtype_name(a->dtype), "shape", shape,
                     "data_offsets", (json_int_t)from, (json_int_t)to);
}

static gd_status add_metadata(json_t *header, const gd_meta *meta, int n, const char *path)
{
    json_t *m = json_object();

    if (json_object_set_new(header, "__metadata__", m) != 0)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    for (int i = 0; i < n; i++)
        if (json_object_set_new(m, meta[i].key, json_string(meta[i].value)) != 0)
            return gd_fail(GD_EUSAGE, "%s: metadata %d is no UTF-8 text", path, i);
    if (json_object_set_new(m, "guided.data_xxh3", json_string(blank_hash)) != 0 ||
        json_object_set_new(m, "guided.header_xxh3", json_string(blank_hash)) != 0)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    return GD_OK;
}

/* What the reader would refuse is not written. */
static gd_status add_arrays(json_t *header, const gd_array *arrays, int n, uint64_t *data_bytes,
                            const char *path)
{
    int64_t count;
    uint64_t bytes, end;

    if (n > GD_MAX_ARRAYS)
        return gd_fail(GD_EUSAGE, "%s: more than %d arrays", path, GD_MAX_ARRAYS);
    *data_bytes = 0;
    for (int i = 0; i < n; i++) {
        const gd_array *a = &arrays[i];
        const size_t length = strlen(a->name);
        if (length > GD_MAX_NAME || !gd_is_text(a->name, length) ||
            json_object_get(header, a->name))
            return gd_fail(GD_EUSAGE, "%s: array %d: name taken, too long or no text", path, i);
        GD_TRY(io_count(&count, a, path));
        if (!gd_mul((uint64_t)count, gd_dtype_bytes(a->dtype), &bytes) ||
            !gd_add(*data_bytes, bytes, &end) || end > INT64_MAX)
            return gd_fail(GD_EUSAGE, "%s: %s: too large", path, a->name);
        if (json_object_set_new(header, a->name, entry_of(a, *data_bytes, end)) != 0)
            return gd_fail(GD_ENOMEM, "%s: out of memory", path);
        *data_bytes = end;
    }
    return GD_OK;
}

/* Length, text, and spaces up to a multiple of 64, so that data lies aligned in the file */
static gd_status lay_out_header(gd_safetensors_writer *w, const char *text)
{
    const uint64_t length = strlen(text), padded = (8 + length + 63) / 64 * 64 - 8;

    GD_TRY(gd_block_make(&w->header, 8 + padded, "header"));
    memset(w->header, ' ', 8 + padded);
    for (int i = 0; i < 8; i++)
        w->header[i] = (char)(padded >> (8 * i));
    memcpy(w->header + 8, text, length);
    w->header_bytes = 8 + padded;
    return GD_OK;
}

static gd_status make_header(gd_safetensors_writer *w, const gd_array *arrays, int n_arrays,
                             const gd_meta *meta, int n_meta)
{
    json_t *header = json_object();
    char *text = NULL;
    gd_status s = add_metadata(header, meta, n_meta, w->path);

    if (s == GD_OK)
        s = add_arrays(header, arrays, n_arrays, &w->expected, w->path);
    if (s == GD_OK) {
        text = json_dumps(header, JSON_COMPACT | JSON_ENSURE_ASCII);
        s = text ? lay_out_header(w, text) : gd_fail(GD_ENOMEM, "%s: out of memory", w->path);
    }
    json_decref(header);
    free(text);
    return s;
}

static gd_status begin(gd_safetensors_writer *w, const char *path, gd_replace replace,
                       const gd_array *arrays, int n_arrays, const gd_meta *meta, int n_meta)
{
    GD_TRY(make_header(w, arrays, n_arrays, meta, n_meta));
    GD_TRY(gd_hasher_make(&w->hasher));
    GD_TRY(gd_file_create(&w->file, path, replace, w->header_bytes + w->expected));
    return gd_file_write(w->file, w->header, w->header_bytes);
}

gd_status gd_safetensors_begin(gd_safetensors_writer **out, const char *path, gd_replace replace,
                               const gd_array *arrays, int n_arrays, const gd_meta *meta,
                               int n_meta)
{
    gd_arena *mem;
    gd_safetensors_writer *w;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    w = gd_alloc(mem, sizeof *w);
    if (!w) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    w->mem = mem;
    w->path = gd_strdup(mem, path);
    s = w->path ? begin(w, path, replace, arrays, n_arrays, meta, n_meta)
                : gd_fail(GD_ENOMEM, "%s: out of memory", path);
    if (s != GD_OK) {
        gd_safetensors_abort(w);
        return s;
    }
    *out = w;
    return GD_OK;
}

gd_status gd_safetensors_add(gd_safetensors_writer *w, const void *data, size_t bytes)
{
    w->written += bytes;
    gd_hasher_add(w->hasher, data, bytes);
    return gd_file_write(w->file, data, bytes);
}

static void set_hash(gd_safetensors_writer *w, const char *key, const char text[33])
{
    memcpy(hash_place(w->header + 8, w->header_bytes - 8, key), text, HASH_DIGITS);
}

/* The header's hash is of its text with blank hashes, which is what the block still holds. */
static gd_status finish(gd_safetensors_writer *w)
{
    char data_text[33], header_text[33];
    gd_hasher *hasher;

    if (w->written != w->expected)
        return gd_fail(GD_EFAILED, "%s: %llu bytes of data given, %llu announced", w->path,
                       (unsigned long long)w->written, (unsigned long long)w->expected);
    gd_hasher_text(w->hasher, data_text);
    GD_TRY(gd_hasher_make(&hasher));
    gd_hasher_add(hasher, w->header + 8, w->header_bytes - 8);
    gd_hasher_text(hasher, header_text);
    gd_hasher_free(hasher);
    set_hash(w, data_key, data_text);
    set_hash(w, header_key, header_text);
    return gd_file_write_at(w->file, 0, w->header, w->header_bytes);
}

gd_status gd_safetensors_commit(gd_safetensors_writer *w)
{
    gd_status s = finish(w);

    if (s == GD_OK) {
        gd_file *file = w->file;
        w->file = NULL;
        s = gd_file_commit(file);
    }
    gd_safetensors_abort(w);
    return s;
}

void gd_safetensors_abort(gd_safetensors_writer *w)
{
    if (!w)
        return;
    gd_file_abort(w->file);
    if (w->hasher)
        gd_hasher_free(w->hasher);
    if (w->header)
        gd_block_free(w->header);
    gd_arena_free(w->mem);
}
