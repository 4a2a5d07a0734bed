/* SPDX-License-Identifier: MIT */
/* torch_write.c - a torch.save file in one pass: a zip of stored entries, each with its CRC-32
 * behind it, data aligned to 64 bytes by a padding field as PyTorch does it
 * (docs/reference/networks.md#checkpoint-containers).  Every offset is known before the first byte
 * is written; zip64 where the file is that large. */
#include "io/io_private.h"

#include <string.h>
#include <zlib.h>

enum {
    DATA_ALIGN = 64,
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    DESCRIPTOR_BYTES = 16,
    OFFSET64_BYTES = 12,  /* the extra field of an offset beyond 4 GiB */
    PADDING_ID = 0x4246,  /* "FB", PyTorch's */
    SIZES_FOLLOW = 0x0808 /* general purpose bits: descriptor behind the data, UTF-8 names */
};

typedef struct entry {
    const char *name;
    uint64_t bytes, offset; /* of its header */
    unsigned padding;       /* bytes of the extra field */
    uint32_t crc;
} entry;

struct gd_torch_writer {
    gd_arena *mem;
    const char *path;
    gd_file *file;
    io_pickled pickle;
    entry *entry;
    int n, at;     /* the entry that takes bytes */
    uint64_t left; /* bytes that it still takes */
    uint64_t directory, directory_bytes;
};

static gd_status write_fields(gd_torch_writer *w, const io_fields *f)
{
    return gd_file_write(w->file, f->byte, f->n);
}

/* ---- layout ---- */

static gd_status add_entry(gd_torch_writer *w, const char *name, uint64_t bytes)
{
    if (bytes >= IO_MAX_32)
        return gd_fail(GD_EUSAGE, "%s: a tensor of %llu bytes is larger than .pt files hold here",
                       w->path, (unsigned long long)bytes);
    w->entry[w->n++] = (entry){ .name = gd_strdup(w->mem, name), .bytes = bytes };
    return w->entry[w->n - 1].name ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", w->path);
}

/* The names and their order are PyTorch's. */
static gd_status list_entries(gd_torch_writer *w)
{
    char name[48];
    uint64_t bytes;

    w->entry = gd_alloc(w->mem, (size_t)(w->pickle.n_tensor + 3) * sizeof *w->entry);
    if (!w->entry)
        return gd_fail(GD_ENOMEM, "%s: out of memory", w->path);
    GD_TRY(add_entry(w, "archive/data.pkl", w->pickle.n));
    GD_TRY(add_entry(w, "archive/byteorder", sizeof "little" - 1));
    for (int i = 0; i < w->pickle.n_tensor; i++) {
        const gd_array *a = w->pickle.tensor[i];
        int64_t count;
        GD_TRY(io_count(&count, a, w->path));
        if (!gd_mul((uint64_t)count, gd_dtype_bytes(a->dtype), &bytes))
            return gd_fail(GD_EUSAGE, "%s: %s: too large", w->path, a->name);
        snprintf(name, sizeof name, "archive/data/%d", i);
        GD_TRY(add_entry(w, name, bytes));
    }
    return add_entry(w, "archive/version", sizeof "3\n" - 1);
}

static uint64_t lay_out(gd_torch_writer *w)
{
    const unsigned field_header = 4;
    uint64_t at = 0;

    for (int i = 0; i < w->n; i++) {
        entry *e = &w->entry[i];
        const uint64_t data = at + LOCAL_BYTES + strlen(e->name) + field_header;
        e->offset = at;
        e->padding = field_header + (unsigned)((DATA_ALIGN - data % DATA_ALIGN) % DATA_ALIGN);
        at += LOCAL_BYTES + strlen(e->name) + e->padding + e->bytes + DESCRIPTOR_BYTES;
        w->directory_bytes +=
            CENTRAL_BYTES + strlen(e->name) + (e->offset >= IO_MAX_32 ? OFFSET64_BYTES : 0);
    }
    w->directory = at;
    at += w->directory_bytes;
    return at + (io_zip_is_large((uint64_t)w->n, at) ? IO_ZIP_END64 : 0) + IO_ZIP_END;
}

/* ---- entries ---- */

static gd_status begin_entry(gd_torch_writer *w)
{
    const entry *e = &w->entry[w->at];
    io_fields f = { .n = 0 };

    io_put(&f, 0x04034b50, 4);
    io_put(&f, IO_ZIP_VERSION, 2);
    io_put(&f, SIZES_FOLLOW, 2);
    io_put(&f, 0, 2); /* stored */
    io_put(&f, 0, 2);
    io_put(&f, IO_ZIP_DATE, 2);
    io_put(&f, 0, 4); /* CRC-32 and sizes: behind the data */
    io_put(&f, 0, 8);
    io_put(&f, strlen(e->name), 2);
    io_put(&f, e->padding, 2);
    GD_TRY(write_fields(w, &f));
    GD_TRY(gd_file_write(w->file, e->name, strlen(e->name)));
    f.n = 0;
    io_put(&f, PADDING_ID, 2);
    io_put(&f, e->padding - 4, 2);
    while (f.n < e->padding)
        io_put(&f, 'Z', 1);
    w->left = e->bytes;
    return write_fields(w, &f);
}

static gd_status end_entry(gd_torch_writer *w)
{
    const entry *e = &w->entry[w->at++];
    io_fields f = { .n = 0 };

    io_put(&f, 0x08074b50, 4);
    io_put(&f, e->crc, 4);
    io_put(&f, e->bytes, 4);
    io_put(&f, e->bytes, 4);
    return write_fields(w, &f);
}

/* Entries of no bytes are passed as soon as they are reached. */
static gd_status advance(gd_torch_writer *w)
{
    while (w->at < w->n && w->left == 0) {
        GD_TRY(end_entry(w));
        if (w->at < w->n)
            GD_TRY(begin_entry(w));
    }
    return GD_OK;
}

static gd_status add_bytes(gd_torch_writer *w, const void *data, uint64_t bytes)
{
    enum { PIECE = 1 << 30 }; /* zlib's lengths are 32-bit */
    const unsigned char *from = data;

    while (bytes > 0 && w->at < w->n) {
        entry *e = &w->entry[w->at];
        const uint64_t n = GD_MIN(GD_MIN(bytes, w->left), (uint64_t)PIECE);
        e->crc = (uint32_t)crc32(e->crc, from, (uInt)n);
        GD_TRY(gd_file_write(w->file, from, n));
        from += n;
        bytes -= n;
        w->left -= n;
        GD_TRY(advance(w));
    }
    return bytes == 0 ? GD_OK : gd_fail(GD_EFAILED, "%s: more data than announced", w->path);
}

/* ---- the directory ---- */

static gd_status write_central(gd_torch_writer *w, const entry *e)
{
    const bool far = e->offset >= IO_MAX_32;
    io_fields f = { .n = 0 };

    io_put(&f, 0x02014b50, 4);
    io_put(&f, far ? IO_ZIP_VERSION_64 : IO_ZIP_VERSION, 2);
    io_put(&f, far ? IO_ZIP_VERSION_64 : IO_ZIP_VERSION, 2);
    io_put(&f, SIZES_FOLLOW, 2);
    io_put(&f, 0, 2);
    io_put(&f, 0, 2);
    io_put(&f, IO_ZIP_DATE, 2);
    io_put(&f, e->crc, 4);
    io_put(&f, e->bytes, 4);
    io_put(&f, e->bytes, 4);
    io_put(&f, strlen(e->name), 2);
    io_put(&f, far ? OFFSET64_BYTES : 0, 2);
    io_put(&f, 0, 2);
    io_put(&f, 0, 8); /* disk, attributes */
    io_put(&f, far ? IO_MAX_32 : e->offset, 4);
    GD_TRY(write_fields(w, &f));
    GD_TRY(gd_file_write(w->file, e->name, strlen(e->name)));
    f.n = 0;
    if (far) {
        io_put(&f, 1, 2);
        io_put(&f, 8, 2);
        io_put(&f, e->offset, 8);
    }
    return write_fields(w, &f);
}

static gd_status write_directory(gd_torch_writer *w)
{
    io_fields f = { .n = 0 };

    for (int i = 0; i < w->n; i++)
        GD_TRY(write_central(w, &w->entry[i]));
    io_put_zip_end(&f, (uint64_t)w->n, w->directory, w->directory_bytes);
    return write_fields(w, &f);
}

/* ---- the whole ---- */

static gd_status begin(gd_torch_writer *w, gd_replace replace, const gd_pickle_node *root)
{
    GD_TRY(io_pickle_write(&w->pickle, w->mem, root));
    GD_TRY(list_entries(w));
    GD_TRY(gd_file_create(&w->file, w->path, replace, lay_out(w)));
    GD_TRY(begin_entry(w));
    GD_TRY(add_bytes(w, w->pickle.data, w->pickle.n));
    return add_bytes(w, "little", sizeof "little" - 1);
}

gd_status gd_torch_begin(gd_torch_writer **out, const char *path, gd_replace replace,
                         const gd_pickle_node *root)
{
    gd_arena *mem;
    gd_torch_writer *w;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    w = gd_alloc(mem, sizeof *w);
    if (!w || !(w->path = gd_strdup(mem, path))) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    w->mem = mem;
    s = begin(w, replace, root);
    if (s != GD_OK) {
        gd_torch_abort(w);
        return s;
    }
    *out = w;
    return GD_OK;
}

gd_status gd_torch_add(gd_torch_writer *w, const void *data, size_t bytes)
{
    return add_bytes(w, data, bytes);
}

gd_status gd_torch_commit(gd_torch_writer *w)
{
    gd_status s = w->at == w->n - 1 ? add_bytes(w, "3\n", sizeof "3\n" - 1)
                                    : gd_fail(GD_EFAILED, "%s: less data than announced", w->path);

    if (s == GD_OK)
        s = write_directory(w);
    if (s == GD_OK) {
        gd_file *file = w->file;
        w->file = NULL;
        s = gd_file_commit(file);
    }
    gd_torch_abort(w);
    return s;
}

void gd_torch_abort(gd_torch_writer *w)
{
    if (!w)
        return;
    gd_file_abort(w->file);
    gd_arena_free(w->mem);
}
