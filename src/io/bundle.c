/* bundle.c - one file's named arrays, whichever container; gathering their elements. */
#define _GNU_SOURCE
#include "io/io_private.h"

#include <string.h>

enum {
    EXPANSION = 16,
    EXPANSION_FREE = 1 << 20
}; /* a view may repeat its storage this often, or hold this many elements */

gd_status io_count(int64_t *out, const gd_array *array, const char *file)
{
    uint64_t n = 1;

    for (int i = 0; i < array->rank; i++)
        if (array->dim[i] < 0 || !gd_mul(n, (uint64_t)array->dim[i], &n) || n > INT64_MAX / 16)
            return gd_fail(GD_EFORMAT, "%s: %s: a shape this large is not possible", file,
                           array->name);
    *out = (int64_t)n;
    return GD_OK;
}

int64_t gd_array_count(const gd_array *array)
{
    int64_t n = 1;

    for (int i = 0; i < array->rank; i++)
        n *= array->dim[i];
    return n;
}

/* The last element a view touches lies inside its storage. */
static gd_status check_extent(const gd_array *a, const io_source *s, int64_t count,
                              const char *file)
{
    const uint64_t held = s->storage_bytes / gd_dtype_bytes(a->dtype);
    uint64_t last = (uint64_t)s->offset, step;

    if (s->offset < 0)
        return gd_fail(GD_EFORMAT, "%s: %s: negative offset", file, a->name);
    for (int i = 0; i < a->rank && count > 0; i++)
        if (s->stride[i] < 0 || !gd_mul((uint64_t)a->dim[i] - 1, (uint64_t)s->stride[i], &step) ||
            !gd_add(last, step, &last))
            return gd_fail(GD_EFORMAT, "%s: %s: impossible stride", file, a->name);
    if (count > 0 && last >= held)
        return gd_fail(GD_EFORMAT, "%s: %s: reaches element %llu of a storage of %llu", file,
                       a->name, (unsigned long long)last, (unsigned long long)held);
    if ((uint64_t)count > EXPANSION_FREE && (uint64_t)count / EXPANSION > held)
        return gd_fail(GD_EFORMAT, "%s: %s: %lld elements expanded from %llu", file, a->name,
                       (long long)count, (unsigned long long)held);
    return GD_OK;
}

static gd_status grow(gd_bundle *b)
{
    const int capacity = b->capacity ? 2 * b->capacity : 64;
    gd_array *array = gd_alloc(b->mem, (size_t)capacity * sizeof *array);
    io_source *source = gd_alloc(b->mem, (size_t)capacity * sizeof *source);

    if (!array || !source)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    if (b->n > 0) {
        memcpy(array, b->array, (size_t)b->n * sizeof *array);
        memcpy(source, b->source, (size_t)b->n * sizeof *source);
    }
    b->array = array;
    b->source = source;
    b->capacity = capacity;
    return GD_OK;
}

gd_status io_add_array(gd_bundle *b, const gd_array *array, const io_source *source)
{
    int64_t count;

    if (b->n >= GD_MAX_ARRAYS)
        return gd_fail(GD_EFORMAT, "%s: more than %d arrays", b->path, GD_MAX_ARRAYS);
    GD_TRY(io_count(&count, array, b->path));
    GD_TRY(check_extent(array, source, count, b->path));
    if (b->n == b->capacity)
        GD_TRY(grow(b));
    b->array[b->n] = *array;
    b->source[b->n++] = *source;
    return GD_OK;
}

/* ---- opening ---- */

static const unsigned char legacy_magic[] = { 0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46 };

static gd_status read_container(gd_bundle *b)
{
    const unsigned char *p = b->map.data;

    if (b->map.bytes < 8)
        return gd_fail(GD_EFORMAT, "%s: %zu bytes are no model file (.safetensors or .pt)", b->path,
                       b->map.bytes);
    if (memcmp(p, "PK\3\4", 4) == 0)
        return io_read_torch_zip(b);
    if (memcmp(p, legacy_magic, sizeof legacy_magic) == 0)
        return io_read_torch_legacy(b);
    if (b->map.bytes > 9 && p[8] == '{')
        return io_read_safetensors(b);
    return gd_fail(GD_EFORMAT, "%s: neither safetensors nor a torch.save file (zip or legacy)",
                   b->path);
}

/* A state dict: a mapping from names to tensors */
static gd_status check_flat(const gd_bundle *b)
{
    const gd_pickle_node *root = b->root;

    if (!root)
        return GD_OK;
    if (root->kind != GD_PICKLE_DICT || root->count == 0)
        return gd_fail(GD_EFORMAT, "%s: holds no state dict (a mapping from names to tensors)",
                       b->path);
    for (int i = 0; i < root->count; i++) {
        const gd_pickle_node *key = root->item[2 * i], *value = root->item[2 * i + 1];
        if (key->kind != GD_PICKLE_STRING)
            return gd_fail(GD_EFORMAT,
                           "%s: entry %d of the state dict has a key that is not a name", b->path,
                           i);
        if (value->kind != GD_PICKLE_TENSOR)
            return gd_fail(GD_EFORMAT, "%s: %s is not a tensor: not a plain state dict", b->path,
                           key->text);
    }
    return GD_OK;
}

static gd_status open_map(gd_bundle **out, const gd_mapped *map, const char *path, bool flat)
{
    gd_arena *mem;
    gd_bundle *b;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    b = gd_alloc(mem, sizeof *b);
    if (!b || !(b->path = gd_strdup(mem, path))) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    b->mem = mem;
    b->map = *map;
    s = read_container(b);
    if (s == GD_OK && flat)
        s = check_flat(b);
    if (s != GD_OK) {
        b->map = (gd_mapped){ 0 }; /* still the caller's */
        gd_bundle_close(b);
        return s;
    }
    *out = b;
    return GD_OK;
}

static gd_status open_file(gd_bundle **out, const char *path, bool flat)
{
    gd_mapped map;
    gd_status s;

    GD_TRY(gd_map_file(&map, path));
    s = open_map(out, &map, path, flat);
    if (s != GD_OK)
        gd_unmap(&map);
    return s;
}

gd_status io_bundle_open_memory(gd_bundle **out, const void *data, size_t bytes, const char *name,
                                bool flat)
{
    const gd_mapped map = { data, bytes };
    gd_status s = open_map(out, &map, name, flat);

    if (s == GD_OK)
        (*out)->borrowed = true;
    return s;
}

gd_status gd_bundle_open(gd_bundle **out, const char *path)
{
    return open_file(out, path, true);
}

gd_status gd_pickle_open(gd_bundle **out, const gd_pickle_node **root, const char *path)
{
    GD_TRY(open_file(out, path, false));
    *root = (*out)->root;
    if (*root)
        return GD_OK;
    gd_bundle_close(*out);
    return gd_fail(GD_EFORMAT, "%s: not a torch.save file", path);
}

void gd_bundle_close(gd_bundle *b)
{
    if (!b)
        return;
    if (!b->borrowed)
        gd_unmap(&b->map);
    gd_arena_free(b->mem);
}

/* ---- reading ---- */

const char *gd_bundle_path(const gd_bundle *b)
{
    return b->path;
}

const char *gd_bundle_format(const gd_bundle *b)
{
    return b->format;
}

int gd_bundle_count(const gd_bundle *b)
{
    return b->n;
}

const gd_array *gd_bundle_array(const gd_bundle *b, int i)
{
    return &b->array[i];
}

const gd_array *gd_bundle_find(const gd_bundle *b, const char *name)
{
    for (int i = 0; i < b->n; i++)
        if (strcmp(b->array[i].name, name) == 0)
            return &b->array[i];
    return NULL;
}

const char *gd_bundle_meta(const gd_bundle *b, const char *key)
{
    for (int i = 0; i < b->n_meta; i++)
        if (strcmp(b->meta[i].key, key) == 0)
            return b->meta[i].value;
    return NULL;
}

static const io_source *source_of(const gd_bundle *b, const gd_array *array)
{
    for (int i = 0; i < b->n; i++)
        if (strcmp(b->array[i].name, array->name) == 0)
            return &b->source[i];
    return NULL;
}

static bool contiguous(const gd_array *a, const io_source *s)
{
    int64_t step = 1;

    for (int i = a->rank - 1; i >= 0; step *= a->dim[i], i--)
        if (a->dim[i] != 1 && s->stride[i] != step)
            return false;
    return true;
}

gd_status gd_bundle_read(const gd_bundle *b, const gd_array *array, void *out)
{
    const io_source *s = source_of(b, array);
    const size_t size = gd_dtype_bytes(array->dtype);
    const int64_t count = gd_array_count(array);
    int64_t index[GD_MAX_RANK] = { 0 };
    unsigned char *to = out;

    if (!s)
        return gd_fail(GD_EUSAGE, "%s: has no %s", b->path, array->name);
    if (count == 0)
        return GD_OK;
    if (contiguous(array, s)) {
        memcpy(out, s->data + (size_t)s->offset * size, (size_t)count * size);
        return GD_OK;
    }
    for (int64_t i = 0; i < count; i++, to += size) {
        int64_t at = s->offset;
        for (int d = 0; d < array->rank; d++)
            at += index[d] * s->stride[d];
        memcpy(to, s->data + (size_t)at * size, size);
        for (int d = array->rank - 1; d >= 0 && ++index[d] == array->dim[d]; d--)
            index[d] = 0;
    }
    return GD_OK;
}

void gd_bundle_release(const gd_bundle *b, const gd_array *array)
{
    const io_source *s = source_of(b, array);

    if (s && !b->borrowed && s->data >= b->map.data && s->data < b->map.data + b->map.bytes)
        gd_unmap_pages(&b->map,
                       (size_t)(s->data - b->map.data) +
                           (size_t)s->offset * gd_dtype_bytes(array->dtype),
                       (size_t)gd_array_count(array) * gd_dtype_bytes(array->dtype));
}
