/* SPDX-License-Identifier: MIT */
/* bundle.c - one file's named arrays, whichever container. */
#define _GNU_SOURCE
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>

/* A view may repeat its storage this often, or hold this many elements. */
enum { EXPANSION = 16, EXPANSION_FREE = 1 << 20 };

bool gd_is_text(const void *text, uint64_t bytes)
{
    static const struct {
        unsigned char mask, lead;
        int more;
        uint32_t least; /* shorter forms exist for what is below */
    } form[] = { { 0x80, 0x00, 0, 0x20 },
                 { 0xe0, 0xc0, 1, 0x80 },
                 { 0xf0, 0xe0, 2, 0x800 },
                 { 0xf8, 0xf0, 3, 0x10000 } };
    const unsigned char *p = text;

    for (uint64_t i = 0; i < bytes;) {
        int f = 0;
        while (f < COUNT(form) && (p[i] & form[f].mask) != form[f].lead)
            f++;
        if (f == COUNT(form) || (uint64_t)form[f].more >= bytes - i)
            return false;
        uint32_t code = p[i++] & (~form[f].mask & 0xffu);
        for (int k = 0; k < form[f].more; k++, i++) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i] & 0x3f);
        }
        if (code < form[f].least || (code >= 0x7f && code < 0xa0) || code > 0x10ffff ||
            (code >= 0xd800 && code < 0xe000))
            return false;
    }
    return true;
}

gd_status io_count(int64_t *out, const gd_array *array, const char *file)
{
    uint64_t n = 1;
    bool empty = false;

    for (int i = 0; i < array->rank; i++) {
        const int64_t size = array->dim[i];
        empty = empty || size == 0;
        if (size < 0 || !gd_mul(n, (uint64_t)GD_MAX(size, 1), &n) || n > INT64_MAX / 16)
            return gd_fail(GD_EFORMAT, "%s: %s: size %lld of dimension %d is not possible", file,
                           array->name, (long long)size, i);
    }
    *out = empty ? 0 : (int64_t)n;
    return GD_OK;
}

void io_row_major(int64_t *stride, const gd_array *array)
{
    int64_t step = 1;

    for (int i = array->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= GD_MAX(array->dim[i], 1);
    }
}

bool gd_array_has_shape(const gd_array *a, const int64_t *dim, int rank)
{
    int skip = 0;

    while (a->rank - skip > rank && a->dim[skip] == 1)
        skip++;
    return a->rank - skip == rank && memcmp(a->dim + skip, dim, (size_t)rank * sizeof *dim) == 0;
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

    if (s->offset < 0 || last > held)
        return gd_fail(GD_EFORMAT, "%s: %s: offset %lld in a storage of %llu", file, a->name,
                       (long long)s->offset, (unsigned long long)held);
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
    const size_t length = strlen(array->name);
    int64_t count;

    if (b->n >= GD_MAX_ARRAYS)
        return gd_fail(GD_EFORMAT, "%s: more than %d arrays", b->path, GD_MAX_ARRAYS);
    if (length > GD_MAX_NAME || !gd_is_text(array->name, length))
        return gd_fail(GD_EFORMAT, "%s: the name of array %d is no text of at most %d bytes",
                       b->path, b->n, GD_MAX_NAME);
    GD_TRY(io_count(&count, array, b->path));
    GD_TRY(check_extent(array, source, count, b->path));
    if (b->n == b->capacity)
        GD_TRY(grow(b));
    b->array[b->n] = *array;
    b->source[b->n++] = *source;
    return GD_OK;
}

/* ---- opening ---- */

static bool is_torch(const io_zip *zip)
{
    static const char suffix[] = "/data.pkl";

    for (int i = 0; i < io_zip_count(zip); i++) {
        const char *name = io_zip_entry(zip, i)->name;
        const size_t n = strlen(name);
        if (n >= sizeof suffix && strcmp(name + n - (sizeof suffix - 1), suffix) == 0)
            return true;
    }
    return false;
}

/* torch.jit.save: a program beside its weights, whose classes are the program's */
static bool is_torchscript(const io_zip *zip)
{
    for (int i = 0; i < io_zip_count(zip); i++) {
        const char *slash = strchr(io_zip_entry(zip, i)->name, '/');
        if (slash && (strncmp(slash, "/code/", 6) == 0 || strcmp(slash, "/constants.pkl") == 0))
            return true;
    }
    return false;
}

static bool fits(const gd_array *a, const gd_array *known)
{
    for (int i = 0; a->rank == known->rank && i < a->rank; i++)
        if (known->dim[i] != 0 && known->dim[i] != a->dim[i])
            return false;
    return a->rank == known->rank;
}

/* Networks that are published as TorchScript alone: an array of each, with its shape; 0: any side
 */
static bool is_known_script(const gd_bundle *b)
{
    static const gd_array known[] = {
        { "output.weight", .rank = 2,
          .dim = { 1008, 2048 } },               /* NVIDIA's inception-2015-12-05.pt */
        { "visual.class_embedding", .rank = 1 }, /* OpenAI's ViT-L-14-336px.pt, .. */
    };

    for (int i = 0; i < b->n; i++)
        for (int k = 0; k < COUNT(known); k++)
            if (strcmp(b->array[i].name, known[k].name) == 0 && fits(&b->array[i], &known[k]))
                return true;
    return false;
}

/* Its weights are read as those of any pickle, its program is not looked at. */
static gd_status read_script(gd_bundle *b)
{
    gd_status s = io_read_torchscript(b);

    if (s == GD_ENOMEM || (s == GD_OK && is_known_script(b)))
        return s;
    s = gd_fail(GD_EFORMAT,
                "%s: a TorchScript archive: a program with its weights, which is not run", b->path);
    gd_detail("hint: in Python, torch.save(torch.jit.load(\"%s\", \"cpu\").state_dict(), "
              "\"weights.pt\") writes the weights alone",
              b->path);
    return s;
}

static gd_status read_archive(gd_bundle *b)
{
    GD_TRY(io_zip_open(&b->zip, &b->map, b->mem, b->path));
    if (is_torch(b->zip) && is_torchscript(b->zip))
        return read_script(b);
    return is_torch(b->zip) ? io_read_torch_zip(b) : io_read_npz(b);
}

/* A page that begins with an empty line.  A GraphDef's first node may have the length '<', and then
 * begins with the field of its name. */
static bool is_blank(const unsigned char *p, size_t bytes)
{
    size_t i = 0;

    while (i < bytes && (p[i] == '\n' || p[i] == '\r' || p[i] == ' '))
        i++;
    return i + 1 < bytes && p[i] == '<' && p[i + 1] > ' ';
}

static gd_status read_container(gd_bundle *b)
{
    const unsigned char *p = b->map.data;

    if (b->map.bytes < 8)
        return gd_not_read(p, b->map.bytes, b->path, "too short for a file of arrays", NULL);
    if (memcmp(p, "PK\3\4", 4) == 0)
        return read_archive(b);
    /* before the pickle: a header's length may begin with a pickle's first byte */
    if (b->map.bytes > 9 && p[8] == '{')
        return io_read_safetensors(b);
    if (p[0] == 0x80) /* torch.save's begins with a number of ten bytes */
        return p[2] == 0x8a && p[3] == 10 ? io_read_torch_legacy(b) : io_read_network_pickle(b);
    if (p[0] == 0x0a && !is_blank(p, b->map.bytes)) /* the field "node" */
        return io_read_graphdef(b);
    return gd_not_read(p, b->map.bytes, b->path,
                       "neither safetensors, a torch.save file (zip or legacy), npz nor GraphDef",
                       NULL);
}

/* A state dict: a mapping from names to tensors */
static gd_status check_flat(const gd_bundle *b)
{
    const gd_pickle_node *root = b->root;

    if (!root)
        return GD_OK;
    if (gd_pickle_get(root, "param_groups") && gd_pickle_get(root, "state")) {
        gd_status s = gd_fail(GD_EFORMAT, "%s: an optimiser's state, not a model", b->path);
        gd_detail("hint: the weights are in modelNNNNNN.pt or ema_RATE_NNNNNN.pt beside it");
        return s;
    }
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
            return gd_fail(GD_EFORMAT, "%s: %.512s is not a tensor: not a plain state dict",
                           b->path, key->text);
    }
    return GD_OK;
}

static int by_name(const void *x, const void *y, void *arrays)
{
    const gd_array *array = arrays;
    return strcmp(array[*(const int *)x].name, array[*(const int *)y].name);
}

static gd_status sort_names(gd_bundle *b)
{
    b->by_name = gd_alloc(b->mem, (size_t)GD_MAX(b->n, 1) * sizeof *b->by_name);
    if (!b->by_name)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    for (int i = 0; i < b->n; i++)
        b->by_name[i] = i;
    gd_sort(b->by_name, (size_t)b->n, sizeof *b->by_name, by_name, b->array);
    for (int i = 1; i < b->n; i++)
        if (by_name(&b->by_name[i - 1], &b->by_name[i], b->array) == 0)
            return gd_fail(GD_EFORMAT, "%s: two arrays are named %s", b->path,
                           b->array[b->by_name[i]].name);
    return GD_OK;
}

gd_status gd_bundle_select(gd_bundle *b, const char *prefix)
{
    const size_t length = strlen(prefix);
    int n = 0;

    for (int i = 0; i < b->n; i++) {
        if (strncmp(b->array[i].name, prefix, length) != 0)
            continue;
        b->array[n] = b->array[i];
        b->array[n].name += length;
        b->source[n++] = b->source[i];
    }
    if (n == 0)
        return gd_fail(GD_EUSAGE, "%s: holds no arrays named %s...", b->path, prefix);
    b->n = n;
    return sort_names(b);
}

gd_status gd_bundle_replace(gd_bundle *b, const char *old, const char *new)
{
    for (int i = 0; i < b->n; i++) {
        const char *name = b->array[i].name, *at = strstr(name, old);
        if (!at)
            continue;
        b->array[i].name =
            gd_sprintf(b->mem, "%.*s%s%s", (int)(at - name), name, new, at + strlen(old));
        if (!b->array[i].name)
            return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    }
    return sort_names(b);
}

gd_status gd_bundle_add_meta(gd_bundle *b, const char *key, const void *text, size_t bytes)
{
    gd_meta *meta = gd_alloc(b->mem, (size_t)(b->n_meta + 1) * sizeof *meta);
    char *value = gd_alloc(b->mem, bytes + 1);

    if (!meta || !value)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    memcpy(value, text, bytes);
    if (b->n_meta > 0)
        memcpy(meta, b->meta, (size_t)b->n_meta * sizeof *meta);
    meta[b->n_meta++] = (gd_meta){ key, value };
    b->meta = meta;
    return GD_OK;
}

gd_status gd_bundle_strip(gd_bundle *b, const char *prefix)
{
    const size_t length = strlen(prefix);

    for (int i = 0; i < b->n; i++)
        if (strncmp(b->array[i].name, prefix, length) == 0)
            b->array[i].name += length;
    return sort_names(b);
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
    if (s == GD_OK)
        s = sort_names(b);
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

gd_status gd_bundle_open_tree(gd_bundle **out, const gd_pickle_node **root, const char *path)
{
    GD_TRY(open_file(out, path, false));
    *root = (*out)->root;
    return GD_OK;
}

gd_status gd_pickle_open(gd_bundle **out, const gd_pickle_node **root, const char *path)
{
    GD_TRY(open_file(out, path, false));
    *root = (*out)->root;
    if (*root)
        return GD_OK;
    gd_bundle_close(*out);
    *out = NULL;
    return gd_fail(GD_EFORMAT, "%s: not a torch.save file", path);
}

void gd_bundle_close(gd_bundle *b)
{
    if (!b)
        return;
    io_zip_close(b->zip);
    if (!b->borrowed)
        gd_unmap(&b->map);
    gd_arena_free(b->mem);
}

/* ---- asking ---- */

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
    for (int low = 0, high = b->n; low < high;) {
        const int middle = low + (high - low) / 2;
        const gd_array *a = &b->array[b->by_name[middle]];
        const int order = strcmp(name, a->name);
        if (order == 0)
            return a;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *gd_bundle_meta(const gd_bundle *b, const char *key)
{
    for (int i = 0; i < b->n_meta; i++)
        if (strcmp(b->meta[i].key, key) == 0)
            return b->meta[i].value;
    return NULL;
}
