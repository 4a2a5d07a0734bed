/* SPDX-License-Identifier: MIT */
/* idx.c - the IDX files of the MNIST family, gzipped or not; labels lie beside the images under the
 * usual names: ...-images-idx3-ubyte, ...-labels-idx1-ubyte, or with Kaggle's ".idx3". */
#include "data/data_private.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAX_BYTES = 1 << 30 };

typedef struct idx {
    unsigned char *bytes; /* block: the file, inflated */
    size_t n;
    const uint8_t *pixels;
    int width, height, channels;
} idx;

/* ---- the bytes ---- */

/* All members of the file, one after another, as far as there is room */
static int inflate_members(z_stream *z)
{
    for (;;) {
        const int error = inflate(z, Z_NO_FLUSH);
        if (error != Z_STREAM_END || z->avail_in == 0)
            return error;
        if (*z->next_in == 0) /* padding, as of tapes */
            return error;
        inflateReset(z);
        if (z->avail_out == 0)
            return Z_OK;
    }
}

/* Bytes of the IDX file that begins with these n; 0: it is none */
static uint64_t announced(const unsigned char *head, size_t n)
{
    const size_t rank = n > 4 ? head[3] : 0, at = 4;
    uint64_t bytes = 1;

    if (rank < 1 || rank > 4 || n < at + 4 * rank)
        return 0;
    for (size_t i = 0; i < rank; i++) {
        const unsigned char *p = head + at + 4 * i;
        const uint64_t size =
            (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
        if (!gd_mul(bytes, size, &bytes))
            return 0;
    }
    return gd_add(bytes, at + 4 * rank, &bytes) ? bytes : 0;
}

/* The header first: it says how much there will be, and that must be plausible. */
static gd_status inflate_all(unsigned char **out, size_t *n, const gd_mapped *map, const char *path)
{
    enum { HEAD = 20 };
    unsigned char head[HEAD];
    z_stream z = { .next_in = (unsigned char *)map->data,
                   .avail_in = (unsigned)map->bytes,
                   .next_out = head,
                   .avail_out = HEAD };
    uint64_t bytes;
    int error;
    gd_status s;

    if (map->bytes > MAX_BYTES)
        return gd_fail(GD_EFORMAT, "%s: more than %d MiB", path, MAX_BYTES >> 20);
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return gd_fail(GD_ENOMEM, "%s: no memory to inflate it", path);
    error = inflate_members(&z);
    *n = HEAD - z.avail_out;
    bytes = GD_MAX(announced(head, *n), (uint64_t)HEAD) + 1; /* a byte more than announced shows */
    s = bytes > MAX_BYTES ? gd_fail(GD_EFORMAT, "%s: more than %d MiB", path, MAX_BYTES >> 20)
                          : gd_inflation_check(path, "gzip", map->bytes, bytes);
    if (s == GD_OK)
        s = gd_block_make(out, bytes, path);
    if (s == GD_OK) {
        memcpy(*out, head, *n);
        z.next_out = *out + *n;
        z.avail_out = (unsigned)(bytes - *n);
        if (error == Z_OK)
            error = inflate_members(&z);
        *n = bytes - z.avail_out;
    }
    inflateEnd(&z);
    GD_TRY(s);
    return error == Z_STREAM_END || (error == Z_OK && *n == bytes)
               ? GD_OK
               : gd_fail(GD_EFORMAT, "%s: damaged or cut short gzip", path);
}

static gd_status read_bytes(unsigned char **out, size_t *n, const char *path)
{
    gd_mapped map;
    gd_status s = GD_OK;

    *out = NULL;
    *n = 0;
    GD_TRY(gd_map_file(&map, path));
    if (map.bytes > 2 && map.data[0] == 0x1f && map.data[1] == 0x8b) {
        s = inflate_all(out, n, &map, path);
    } else {
        s = gd_block_make(out, GD_MAX(map.bytes, 1), path);
        if (s == GD_OK && map.bytes > 0)
            memcpy(*out, map.data, map.bytes);
        *n = map.bytes;
    }
    gd_unmap(&map);
    return s;
}

/* ---- the header: 0, 0, type, rank, then big-endian sizes ---- */

static uint32_t big_endian(uint32_t v)
{
    return __builtin_bswap32(v);
}

/* Sizes of an array of bytes; what follows is exactly as long. */
static gd_status read_header(gd_cursor *c, int least_rank, int most_rank, int64_t dim[4], int *rank)
{
    uint32_t magic, size;
    uint64_t count = 1;

    GD_TRY(gd_take_u32(c, &magic));
    magic = big_endian(magic);
    *rank = (int)(magic & 0xff);
    if (magic >> 8 != 8 || *rank < least_rank || *rank > most_rank)
        return gd_fail(GD_EFORMAT, "%s: no IDX file of bytes with rank %d to %d", c->file,
                       least_rank, most_rank);
    for (int i = 0; i < *rank; i++) {
        GD_TRY(gd_take_u32(c, &size));
        dim[i] = big_endian(size);
        if (!gd_mul(count, (uint64_t)dim[i], &count))
            return gd_fail(GD_EFORMAT, "%s: impossible sizes", c->file);
    }
    if (count != gd_cursor_left(c))
        return gd_fail(GD_EFORMAT, "%s: %llu bytes announced, %llu follow", c->file,
                       (unsigned long long)count, (unsigned long long)gd_cursor_left(c));
    return GD_OK;
}

/* ---- labels ---- */

/* "images-idx3" or "images.idx3" (Kaggle) at `at`; *sep is what stands between */
static bool is_images_word(const char *at, char *sep)
{
    *sep = strncmp(at, "images", 6) == 0 ? at[6] : '\0';
    return (*sep == '-' || *sep == '.' || *sep == '_') && strncmp(at + 7, "idx", 3) == 0 &&
           (at[10] == '3' || at[10] == '4');
}

/* The path with "labels-idx1" for "images-idx3", in its folders too (Kaggle packs each file into a
 * folder of its name) or from `from` on only.  false: not named so */
static bool rename_path(char out[4096], const char *path, const char *from)
{
    size_t n = 0;
    bool found = false;
    char sep;

    for (const char *at = path; *at && n + 12 < 4096;) {
        if (at >= from && is_images_word(at, &sep)) {
            n += (size_t)snprintf(out + n, 4096 - n, "labels%cidx1", sep);
            at += 11;
            found = true;
        } else {
            out[n++] = *at++;
        }
    }
    out[n] = '\0';
    return found;
}

/* With or without ".gz" */
static bool is_there(char path[4096])
{
    const size_t n = strlen(path);

    if (gd_path_exists(path))
        return true;
    if (n > 3 && strcmp(path + n - 3, ".gz") == 0)
        path[n - 3] = '\0';
    else if (n + 4 < 4096)
        strcpy(path + n, ".gz");
    return gd_path_exists(path);
}

/* false: the images are not named so, or there are no labels */
static bool labels_path(char out[4096], const char *path)
{
    const char *slash = strrchr(path, '/');

    return (rename_path(out, path, slash ? slash : path) && is_there(out)) ||
           (rename_path(out, path, path) && is_there(out));
}

static gd_status take_labels(gd_dataset *set, gd_cursor *c)
{
    const unsigned char *bytes;
    int64_t dim[4], *labels;
    gd_status s;
    int rank;

    GD_TRY(read_header(c, 1, 1, dim, &rank));
    if (dim[0] != set->count)
        return gd_fail(GD_EFORMAT, "%s: %lld labels for %lld images", c->file, (long long)dim[0],
                       (long long)set->count);
    GD_TRY(gd_take_bytes(c, &bytes, (uint64_t)dim[0]));
    GD_TRY(gd_block_make(&labels, GD_MAX((size_t)dim[0], 1) * sizeof *labels, "labels"));
    for (int64_t i = 0; i < dim[0]; i++)
        labels[i] = bytes[i];
    s = data_label_by_number(set, labels);
    gd_block_free(labels);
    return s;
}

static gd_status read_labels(gd_dataset *set)
{
    char path[4096];
    unsigned char *bytes;
    size_t n;
    gd_status s;

    if (set->options.labels == GD_LABELS_NONE || !labels_path(path, set->path))
        return GD_OK;
    s = read_bytes(&bytes, &n, path);
    if (s == GD_OK) {
        gd_cursor c = { bytes, bytes, bytes + n, path };
        s = take_labels(set, &c);
    }
    gd_block_free(bytes);
    return s;
}

/* ---- images ---- */

static void name_of(const gd_dataset *set, int64_t i, char *out, size_t size)
{
    snprintf(out, size, "%s: image %lld", set->path, (long long)i);
}

static gd_status read_image(const gd_dataset *set, int64_t i, gd_image *out)
{
    const idx *x = set->state;

    return data_copy_image(out, set, x->pixels + i * x->width * x->height * x->channels, x->width,
                           x->height, x->channels);
}

static void close_idx(gd_dataset *set)
{
    gd_block_free(((idx *)set->state)->bytes);
}

static bool is_idx(const gd_mapped *map)
{
    return data_begins_with(map, "\x1f\x8b", 2) || data_begins_with(map, "\0\0\x08\x03", 4) ||
           data_begins_with(map, "\0\0\x08\x04", 4);
}

static gd_status open_idx(gd_dataset *set)
{
    static const data_kind kind = { read_image, name_of, close_idx };
    idx *x = gd_alloc(set->mem, sizeof *x);
    int64_t dim[4] = { 0, 0, 0, 1 };
    int rank;

    if (!x)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = x;
    GD_TRY(read_bytes(&x->bytes, &x->n, set->path));
    gd_cursor c = { x->bytes, x->bytes, x->bytes + x->n, set->path };
    GD_TRY(read_header(&c, 3, 4, dim, &rank));
    if (dim[1] < 1 || dim[2] < 1 || dim[1] > GD_MAX_IMAGE_SIDE || dim[2] > GD_MAX_IMAGE_SIDE ||
        (dim[3] != 1 && dim[3] != 3))
        return gd_fail(GD_EFORMAT, "%s: images of %lld x %lld x %lld", set->path, (long long)dim[1],
                       (long long)dim[2], (long long)dim[3]);
    x->pixels = c.at;
    x->height = (int)dim[1];
    x->width = (int)dim[2];
    x->channels = (int)dim[3];
    set->count = dim[0];
    return read_labels(set);
}

const data_format data_format_idx = { "an IDX file of the MNIST family", is_idx, open_idx };
