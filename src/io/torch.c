/* SPDX-License-Identifier: MIT */
/* torch.c - torch.save's two containers: a zip of data.pkl and data/KEY, and the legacy stream of
 * five pickles (docs/reference/networks.md#checkpoint-containers). */
#include "io/io_private.h"

#include <string.h>

/* What values may hold: a megabyte is much for what comes before and after the object. */
enum { OBJECT_BYTES = 32 << 20, KEYS_BYTES = 12 << 20, PROLOGUE_BYTES = 1 << 20 };

static gd_status check_bytes(io_storage *s, const char *file)
{
    uint64_t bytes;

    if (!gd_mul((uint64_t)s->count, gd_dtype_bytes(s->dtype), &bytes) || bytes != s->bytes)
        return gd_fail(GD_EFORMAT, "%s: storage %s: %lld elements declared, %llu bytes in the file",
                       file, s->key, (long long)s->count, (unsigned long long)s->bytes);
    return GD_OK;
}

/* ---- zip ---- */

static gd_status find_pickle(int *index, char prefix[GD_MAX_NAME], const io_zip *zip,
                             const char *file)
{
    static const char suffix[] = "/data.pkl";
    const size_t tail = sizeof suffix - 1;

    *index = -1;
    for (int i = 0; i < io_zip_count(zip); i++) {
        const char *name = io_zip_entry(zip, i)->name;
        const size_t n = strlen(name);
        if (n <= tail || n >= GD_MAX_NAME || strcmp(name + n - tail, suffix) != 0)
            continue;
        if (*index >= 0)
            return gd_fail(GD_EFORMAT, "%s: two data.pkl: not a torch.save file", file);
        memcpy(prefix, name, n - tail);
        prefix[n - tail] = '\0';
        *index = i;
    }
    return *index >= 0
               ? GD_OK
               : gd_fail(GD_EFORMAT, "%s: a zip without data.pkl: not a torch.save file", file);
}

static gd_status check_byte_order(io_zip *zip, const char *prefix, const char *file)
{
    char name[GD_MAX_NAME + 16], order[6];
    int i;

    snprintf(name, sizeof name, "%s/byteorder", prefix);
    i = io_zip_find(zip, name);
    if (i < 0)
        return GD_OK;
    if (io_zip_entry(zip, i)->bytes == sizeof order) {
        GD_TRY(io_zip_read(zip, i, order, sizeof order));
        if (memcmp(order, "little", sizeof order) == 0)
            return GD_OK;
    }
    return gd_fail(GD_EFORMAT, "%s: not written on a little-endian machine, which is not supported",
                   file);
}

static gd_status locate_storages(io_zip *zip, io_pickle *p, const char *prefix, const char *file)
{
    char name[GD_MAX_NAME + 96];

    for (int i = 0; i < io_pickle_storages(p); i++) {
        io_storage *s = io_pickle_storage(p, i);
        snprintf(name, sizeof name, "%s/data/%s", prefix, s->key);
        s->entry = io_zip_find(zip, name);
        if (s->entry < 0)
            return gd_fail(GD_EFORMAT, "%s: storage %s is not in the archive", file, s->key);
        const io_entry *e = io_zip_entry(zip, s->entry);
        s->data = e->deflated ? NULL : e->packed;
        s->bytes = e->bytes;
        GD_TRY(check_bytes(s, file));
    }
    return GD_OK;
}

/* The pickle in place, or inflated for as long as the bundle lives */
static gd_status open_pickle(gd_cursor *c, gd_bundle *b, int index)
{
    const io_entry *e = io_zip_entry(b->zip, index);
    const unsigned char *data = e->packed;
    void *inflated;

    if (e->deflated) {
        if (e->bytes > OBJECT_BYTES)
            return gd_fail(GD_EFORMAT, "%s: a deflated pickle of %llu bytes", b->path,
                           (unsigned long long)e->bytes);
        data = inflated = gd_alloc(b->mem, e->bytes);
        if (!inflated)
            return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
        GD_TRY(io_zip_read(b->zip, index, inflated, e->bytes));
    } else {
        GD_TRY(io_zip_check(b->zip, index, NULL));
    }
    *c = (gd_cursor){ data, data, e->bytes > 0 ? data + e->bytes : data, b->path };
    return GD_OK;
}

gd_status io_read_torch_pickle(io_pickle **out, gd_bundle *b, io_pickle_reader *read)
{
    char prefix[GD_MAX_NAME];
    gd_cursor c;
    int index;

    GD_TRY(find_pickle(&index, prefix, b->zip, b->path));
    GD_TRY(check_byte_order(b->zip, prefix, b->path));
    GD_TRY(open_pickle(&c, b, index));
    GD_TRY(read(out, &c, b->mem, OBJECT_BYTES));
    return locate_storages(b->zip, *out, prefix, b->path);
}

gd_status io_read_torch_zip(gd_bundle *b)
{
    io_pickle *p;

    b->format = "torch zip";
    GD_TRY(io_read_torch_pickle(&p, b, io_pickle_read));
    return io_pickle_tensors(p, b);
}

/* ---- legacy: magic, protocol version, system information, the object, storage keys; then each
 * storage in that order ---- */

static gd_status check_system(const gd_pickle_node *info, const char *file)
{
    if (info->kind != GD_PICKLE_DICT)
        return gd_fail(GD_EFORMAT, "%s: no system information", file);
    for (int i = 0; i < info->count; i++) {
        const gd_pickle_node *key = info->item[2 * i], *value = info->item[2 * i + 1];
        if (key->kind == GD_PICKLE_STRING && strcmp(key->text, "little_endian") == 0 &&
            (value->kind != GD_PICKLE_BOOL || !value->integer))
            return gd_fail(GD_EFORMAT,
                           "%s: not written on a little-endian machine, which is not supported",
                           file);
    }
    return GD_OK;
}

static gd_status read_prologue(gd_cursor *c, gd_arena *mem)
{
    enum { PROTOCOL_VERSION = 1001 };
    io_pickle *p;

    GD_TRY(io_pickle_read(&p, c, mem, PROLOGUE_BYTES));
    if (!io_pickle_is_magic(p))
        return gd_fail(GD_EFORMAT, "%s: wrong magic number: not a torch.save file", c->file);
    GD_TRY(io_pickle_read(&p, c, mem, PROLOGUE_BYTES));
    if (io_pickle_root(p)->kind != GD_PICKLE_INT || io_pickle_root(p)->integer != PROTOCOL_VERSION)
        return gd_fail(GD_EFORMAT, "%s: container version is not %d", c->file, PROTOCOL_VERSION);
    GD_TRY(io_pickle_read(&p, c, mem, PROLOGUE_BYTES));
    return check_system(io_pickle_root(p), c->file);
}

static gd_status read_storage(gd_bundle *b, gd_cursor *c, io_pickle *p, const char *key)
{
    io_storage *s = io_pickle_find_storage(p, key);
    uint64_t count;

    if (!s)
        return gd_fail(GD_EFORMAT, "%s: storage %.64s belongs to no tensor", b->path, key);
    GD_TRY(gd_take_u64(c, &count));
    if (s->found || count != (uint64_t)s->count)
        return gd_fail(GD_EFORMAT, "%s: storage %s: given twice, or %llu elements and not %lld",
                       b->path, key, (unsigned long long)count, (long long)s->count);
    if (!gd_mul(count, gd_dtype_bytes(s->dtype), &s->bytes))
        return gd_fail(GD_EFORMAT, "%s: storage %s: impossible size", b->path, key);
    GD_TRY(gd_take_bytes(c, &s->data, s->bytes));
    s->found = true;
    return GD_OK;
}

static gd_status read_storages(gd_bundle *b, gd_cursor *c, io_pickle *object,
                               const gd_pickle_node *keys)
{
    if (keys->kind != GD_PICKLE_LIST)
        return gd_fail(GD_EFORMAT, "%s: no list of storages", b->path);
    for (int i = 0; i < keys->count; i++) {
        if (keys->item[i]->kind != GD_PICKLE_STRING)
            return gd_fail(GD_EFORMAT, "%s: storage %d has no name", b->path, i);
        GD_TRY(read_storage(b, c, object, keys->item[i]->text));
    }
    for (int i = 0; i < io_pickle_storages(object); i++)
        if (!io_pickle_storage(object, i)->found)
            return gd_fail(GD_EFORMAT, "%s: storage %s is missing", b->path,
                           io_pickle_storage(object, i)->key);
    if (gd_cursor_left(c) > 0)
        return gd_fail(GD_EFORMAT, "%s: offset %llu: %llu bytes after the last storage", b->path,
                       (unsigned long long)gd_cursor_offset(c),
                       (unsigned long long)gd_cursor_left(c));
    return GD_OK;
}

gd_status io_read_torch_legacy(gd_bundle *b)
{
    gd_cursor c = { b->map.data, b->map.data, b->map.data + b->map.bytes, b->path };
    io_pickle *object, *keys;

    b->format = "torch legacy";
    GD_TRY(read_prologue(&c, b->mem));
    GD_TRY(io_pickle_read(&object, &c, b->mem, OBJECT_BYTES));
    GD_TRY(io_pickle_read(&keys, &c, b->mem, KEYS_BYTES));
    GD_TRY(read_storages(b, &c, object, io_pickle_root(keys)));
    return io_pickle_tensors(object, b);
}

/* ---- a legacy container of one storage, as pickle.dump writes a tensor's data ---- */

static gd_status read_nested(io_storage *out, gd_cursor *c, gd_arena *mem)
{
    const gd_pickle_node *root;
    io_pickle *keys;
    uint64_t count;

    GD_TRY(read_prologue(c, mem));
    GD_TRY(io_pickle_read_storage(out, c, mem, PROLOGUE_BYTES));
    GD_TRY(io_pickle_read(&keys, c, mem, PROLOGUE_BYTES));
    root = io_pickle_root(keys);
    if (root->kind != GD_PICKLE_LIST || root->count != 1 ||
        root->item[0]->kind != GD_PICKLE_STRING || strcmp(root->item[0]->text, out->key) != 0)
        return gd_fail(GD_EFORMAT, "%s: nested container: not one storage", c->file);
    GD_TRY(gd_take_u64(c, &count));
    if (count != (uint64_t)out->count || !gd_mul(count, gd_dtype_bytes(out->dtype), &out->bytes) ||
        out->bytes != gd_cursor_left(c))
        return gd_fail(GD_EFORMAT,
                       "%s: nested container: %llu elements of %lld, %llu bytes are left", c->file,
                       (unsigned long long)count, (long long)out->count,
                       (unsigned long long)gd_cursor_left(c));
    out->key = ""; /* died with mem */
    out->entry = -1;
    out->found = true;
    return gd_take_bytes(c, &out->data, out->bytes);
}

gd_status io_read_nested_storage(io_storage *out, gd_cursor *c)
{
    gd_arena *mem;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    s = read_nested(out, c, mem);
    gd_arena_free(mem);
    return s;
}
