/* torch.c - torch.save's two containers: a zip of data.pkl and data/KEY, and the legacy stream of
 * five pickles (models.md 8). */
#include "io/io_private.h"

#include <string.h>

static gd_status check_bytes(io_storage *s, const char *file)
{
    uint64_t bytes;

    if (!gd_mul((uint64_t)s->count, gd_dtype_bytes(s->dtype), &bytes) || bytes != s->bytes)
        return gd_fail(GD_EFORMAT,
                       "%s: storage %.64s: %lld elements declared, %llu bytes in the file", file,
                       s->key, (long long)s->count, (unsigned long long)s->bytes);
    return GD_OK;
}

/* ---- zip ---- */

static gd_status find_pickle(io_zip *zip, char prefix[GD_MAX_NAME], int *index, const char *file)
{
    static const char suffix[] = "/data.pkl";

    for (int i = 0; i < io_zip_count(zip); i++) {
        const char *name = io_zip_name(zip, i);
        const size_t n = strlen(name);
        if (n < sizeof suffix || n >= GD_MAX_NAME ||
            strcmp(name + n - (sizeof suffix - 1), suffix) != 0)
            continue;
        memcpy(prefix, name, n - (sizeof suffix - 1));
        prefix[n - (sizeof suffix - 1)] = '\0';
        *index = i;
        return GD_OK;
    }
    return gd_fail(GD_EFORMAT, "%s: a zip without data.pkl: not a torch.save file", file);
}

static gd_status check_byte_order(io_zip *zip, const char *prefix, const char *file)
{
    char name[GD_MAX_NAME + 16];
    io_entry e;
    int i;

    snprintf(name, sizeof name, "%s/byteorder", prefix);
    i = io_zip_find(zip, name);
    if (i < 0)
        return GD_OK;
    GD_TRY(io_zip_entry(&e, zip, i));
    if (e.bytes >= 6 && memcmp(e.data, "little", 6) == 0)
        return GD_OK;
    return gd_fail(GD_EFORMAT, "%s: written on a big-endian machine, which is not supported", file);
}

static gd_status locate_storages(io_zip *zip, io_pickle *p, const char *prefix, const char *file)
{
    char name[GD_MAX_NAME + GD_MAX_PICKLE_STRING + 16];
    io_entry e;

    for (int i = 0; i < io_pickle_storages(p); i++) {
        io_storage *s = io_pickle_storage(p, i);
        snprintf(name, sizeof name, "%s/data/%s", prefix, s->key);
        const int index = io_zip_find(zip, name);
        if (index < 0)
            return gd_fail(GD_EFORMAT, "%s: storage %.64s is not in the archive", file, s->key);
        GD_TRY(io_zip_entry(&e, zip, index));
        s->data = e.data;
        s->bytes = e.bytes;
        GD_TRY(check_bytes(s, file));
    }
    return GD_OK;
}

static gd_status read_zip(gd_bundle *b, io_zip *zip)
{
    char prefix[GD_MAX_NAME];
    io_pickle *p;
    io_entry e;
    int index = -1;

    GD_TRY(find_pickle(zip, prefix, &index, b->path));
    GD_TRY(check_byte_order(zip, prefix, b->path));
    GD_TRY(io_zip_entry(&e, zip, index));
    gd_cursor c = { e.data, e.data, e.data + e.bytes, b->path };
    GD_TRY(io_pickle_read(&p, &c, b->mem));
    GD_TRY(locate_storages(zip, p, prefix, b->path));
    return io_pickle_tensors(p, b);
}

gd_status io_read_torch_zip(gd_bundle *b)
{
    io_zip *zip;
    gd_status s;

    b->format = "torch zip";
    GD_TRY(io_zip_open(&zip, b));
    s = read_zip(b, zip);
    io_zip_close(zip);
    return s;
}

/* ---- legacy: magic, protocol version, system information, the object, storage keys; then each
 * storage in that order ---- */

static gd_status read_prologue(gd_bundle *b, gd_cursor *c)
{
    enum { PROTOCOL_VERSION = 1001 };
    io_pickle *p;

    GD_TRY(io_pickle_read(&p, c, b->mem));
    if (!io_pickle_is_magic(p))
        return gd_fail(GD_EFORMAT, "%s: wrong magic number: not a torch.save file", b->path);
    GD_TRY(io_pickle_read(&p, c, b->mem));
    if (io_pickle_root(p)->kind != GD_PICKLE_INT || io_pickle_root(p)->integer != PROTOCOL_VERSION)
        return gd_fail(GD_EFORMAT, "%s: container version is not %d", b->path, PROTOCOL_VERSION);
    GD_TRY(io_pickle_read(&p, c, b->mem));
    return io_pickle_root(p)->kind == GD_PICKLE_DICT
               ? GD_OK
               : gd_fail(GD_EFORMAT, "%s: no system information", b->path);
}

static gd_status read_storage(gd_bundle *b, gd_cursor *c, io_pickle *p, const char *key)
{
    uint64_t count;

    for (int i = 0; i < io_pickle_storages(p); i++) {
        io_storage *s = io_pickle_storage(p, i);
        if (strcmp(s->key, key) != 0)
            continue;
        GD_TRY(gd_take_u64(c, &count));
        if (s->data || count > INT64_MAX || !gd_mul(count, gd_dtype_bytes(s->dtype), &s->bytes))
            return gd_fail(GD_EFORMAT, "%s: storage %.64s: impossible size or given twice", b->path,
                           key);
        GD_TRY(gd_take_bytes(c, &s->data, s->bytes));
        return check_bytes(s, b->path);
    }
    return gd_fail(GD_EFORMAT, "%s: storage %.64s belongs to no tensor", b->path, key);
}

gd_status io_read_torch_legacy(gd_bundle *b)
{
    gd_cursor c = { b->map.data, b->map.data, b->map.data + b->map.bytes, b->path };
    io_pickle *object, *keys;
    const gd_pickle_node *list;

    b->format = "torch legacy";
    GD_TRY(read_prologue(b, &c));
    GD_TRY(io_pickle_read(&object, &c, b->mem));
    GD_TRY(io_pickle_read(&keys, &c, b->mem));
    list = io_pickle_root(keys);
    if (list->kind != GD_PICKLE_LIST)
        return gd_fail(GD_EFORMAT, "%s: no list of storages", b->path);
    for (int i = 0; i < list->count; i++) {
        if (list->item[i]->kind != GD_PICKLE_STRING)
            return gd_fail(GD_EFORMAT, "%s: storage %d has no name", b->path, i);
        GD_TRY(read_storage(b, &c, object, list->item[i]->text));
    }
    for (int i = 0; i < io_pickle_storages(object); i++)
        if (!io_pickle_storage(object, i)->data)
            return gd_fail(GD_EFORMAT, "%s: storage %.64s is missing", b->path,
                           io_pickle_storage(object, i)->key);
    return io_pickle_tensors(object, b);
}
