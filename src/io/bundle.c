/* bundle.c - one file's named arrays, whichever container; gathering their elements. */
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

static gd_status read_archive(gd_bundle *b)
{
    GD_TRY(io_zip_open(&b->zip, &b->map, b->mem, b->path));
    if (is_torch(b->zip) && is_torchscript(b->zip)) {
        gd_status s = gd_fail(GD_EFORMAT,
                              "%s: a TorchScript archive: a program with its weights, "
                              "which is not run",
                              b->path);
        gd_detail("hint: in Python, torch.save(torch.jit.load(\"%s\", \"cpu\").state_dict(), "
                  "\"weights.pt\") writes the weights alone",
                  b->path);
        return s;
    }
    return is_torch(b->zip) ? io_read_torch_zip(b) : io_read_npz(b);
}

/* A text that begins with an empty line, as some pages do */
static bool is_blank(const unsigned char *p, size_t bytes)
{
    size_t i = 0;

    while (i < bytes && (p[i] == '\n' || p[i] == '\r' || p[i] == ' '))
        i++;
    return i < bytes && p[i] == '<';
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

static bool has_key(const gd_pickle_node *dict, const char *key)
{
    for (int i = 0; dict->kind == GD_PICKLE_DICT && i < dict->count; i++)
        if (dict->item[2 * i]->kind == GD_PICKLE_STRING &&
            strcmp(dict->item[2 * i]->text, key) == 0)
            return true;
    return false;
}

/* A state dict: a mapping from names to tensors */
static gd_status check_flat(const gd_bundle *b)
{
    const gd_pickle_node *root = b->root;

    if (!root)
        return GD_OK;
    if (has_key(root, "param_groups") && has_key(root, "state")) {
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

/* ---- reading ---- */

typedef void row_fn(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);

static const io_source *source_of(const gd_bundle *b, const gd_array *array)
{
    const gd_array *own = gd_bundle_find(b, array->name);
    return own ? &b->source[own - b->array] : NULL;
}

/* The array without its dimensions of size 1, whose strides mean nothing, and with those joined
 * that follow one another without a gap */
static gd_array join_dimensions(int64_t *stride, const gd_array *a, const io_source *s)
{
    gd_array joined = { .dtype = a->dtype };

    for (int i = 0; i < a->rank; i++) {
        const int last = joined.rank - 1;
        if (a->dim[i] == 1)
            continue;
        if (last >= 0 && stride[last] == s->stride[i] * a->dim[i]) {
            joined.dim[last] *= a->dim[i];
            stride[last] = s->stride[i];
            continue;
        }
        stride[joined.rank] = s->stride[i];
        joined.dim[joined.rank++] = a->dim[i];
    }
    if (joined.rank == 0) {
        stride[0] = 1;
        joined.dim[joined.rank++] = 1;
    }
    return joined;
}

/* Row by row of the last dimension; `out` has out_bytes for each element. */
static void gather(unsigned char *out, size_t out_bytes, row_fn *row_of, const gd_array *a,
                   const io_source *s, const unsigned char *storage)
{
    int64_t stride[GD_MAX_RANK], index[GD_MAX_RANK] = { 0 }, at = s->offset;
    const gd_array joined = join_dimensions(stride, a, s);
    const int64_t count = gd_array_count(&joined), row = joined.dim[joined.rank - 1];
    const int64_t step = stride[joined.rank - 1];

    for (int64_t done = 0; done < count; done += row) {
        row_of(out + (size_t)done * out_bytes, storage + (size_t)at * gd_dtype_bytes(a->dtype),
               a->dtype, row, step);
        for (int i = joined.rank - 2; i >= 0; i--) { /* the next index, like an odometer */
            at += stride[i];
            if (++index[i] < joined.dim[i])
                break;
            at -= stride[i] * joined.dim[i];
            index[i] = 0;
        }
    }
}

static gd_status read_deflated(const gd_bundle *b, unsigned char *out, size_t out_bytes,
                               row_fn *row_of, const gd_array *a, const io_source *s)
{
    const io_entry *e = io_zip_entry(b->zip, s->entry);
    const uint64_t bytes = e->bytes;
    void *block;
    gd_status status;

    GD_TRY(gd_inflation_check(b->path, a->name, e->packed_bytes, bytes));
    GD_TRY(gd_block_make(&block, bytes, a->name));
    status = io_zip_read(b->zip, s->entry, block, bytes);
    if (status == GD_OK)
        gather(out, out_bytes, row_of, a, s, (unsigned char *)block + s->skip);
    gd_block_free(block);
    return status;
}

/* The storage in this machine's byte order, in a block of its own */
static gd_status read_big_endian(const gd_bundle *b, unsigned char *out, size_t out_bytes,
                                 row_fn *row_of, const gd_array *a, const io_source *s)
{
    const uint64_t bytes = s->data ? s->storage_bytes : io_zip_entry(b->zip, s->entry)->bytes;
    unsigned char *block, *elements;
    gd_status status = GD_OK;

    GD_TRY(gd_block_make((void **)&block, bytes, a->name));
    if (s->data)
        memcpy(block, s->data, bytes);
    else
        status = io_zip_read(b->zip, s->entry, block, bytes);
    elements = s->data ? block : block + s->skip;
    if (status == GD_OK) {
        io_swap_bytes(elements, a->dtype, (int64_t)(s->storage_bytes / gd_dtype_bytes(a->dtype)));
        gather(out, out_bytes, row_of, a, s, elements);
    }
    gd_block_free(block);
    return status;
}

static gd_status read_array(const gd_bundle *b, const gd_array *a, void *out, size_t out_bytes,
                            row_fn *row_of)
{
    const io_source *s = source_of(b, a);

    if (!s)
        return gd_fail(GD_EUSAGE, "%s: has no %s", b->path, a->name);
    if (gd_array_count(a) == 0)
        return GD_OK;
    if (s->data && s->entry >= 0)
        GD_TRY(io_zip_check(b->zip, s->entry, b->borrowed ? NULL : &b->map));
    if (s->big_endian)
        return read_big_endian(b, out, out_bytes, row_of, a, s);
    if (!s->data)
        return read_deflated(b, out, out_bytes, row_of, a, s);
    gather(out, out_bytes, row_of, a, s, s->data);
    return GD_OK;
}

gd_status gd_bundle_read(const gd_bundle *b, const gd_array *array, void *out)
{
    return read_array(b, array, out, gd_dtype_bytes(array->dtype), io_copy_row);
}

gd_status gd_bundle_read_f32(const gd_bundle *b, const gd_array *array, float *out)
{
    return read_array(b, array, out, sizeof *out, io_widen_row);
}

gd_status gd_bundle_read_i64(const gd_bundle *b, const gd_array *array, int64_t *out)
{
    if (!io_is_integer(array->dtype))
        return gd_fail(GD_EFORMAT,
                       "%s: %s is %s, expected integers\nhint: save it again as "
                       ".astype(\"int64\")",
                       b->path, array->name, gd_dtype_name(array->dtype));
    return read_array(b, array, out, sizeof *out, io_integer_row);
}

const void *gd_bundle_view(const gd_bundle *b, const gd_array *array)
{
    const io_source *s = source_of(b, array);
    int64_t stride[GD_MAX_RANK];

    if (!s || !s->data || s->big_endian)
        return NULL;
    io_row_major(stride, array);
    for (int i = 0; i < array->rank; i++)
        if (array->dim[i] > 1 && s->stride[i] != stride[i])
            return NULL;
    return s->data + (size_t)s->offset * gd_dtype_bytes(array->dtype);
}

void gd_bundle_release(const gd_bundle *b, const gd_array *array)
{
    const io_source *s = source_of(b, array);
    const size_t width = gd_dtype_bytes(array->dtype);
    int64_t span = 1;

    if (!s || b->borrowed || !s->data || gd_array_count(array) == 0)
        return;
    for (int i = 0; i < array->rank; i++)
        span += (array->dim[i] - 1) * s->stride[i];
    gd_unmap_pages(&b->map, (size_t)(s->data - b->map.data) + (size_t)s->offset * width,
                   (size_t)span * width);
}
