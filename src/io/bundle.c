/* bundle.c - the named arrays of one file: opening by content, finding, reading with strides. */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- building, used by the readers of each format ---- */

bool io_is_text(const unsigned char *text, uint64_t bytes)
{
    static const struct {
        unsigned char mask, lead;
        int more;
        uint32_t least;
    } form[] = { { 0x80, 0x00, 0, 0x20 }, { 0xe0, 0xc0, 1, 0x80 }, { 0xf0, 0xe0, 2, 0x800 }, { 0xf8, 0xf0, 3, 0x10000 } };

    for (uint64_t i = 0; i < bytes;) {
        int f = 0;
        while (f < COUNT(form) && (text[i] & form[f].mask) != form[f].lead)
            f++;
        if (f == COUNT(form) || (uint64_t)form[f].more >= bytes - i)
            return false;
        uint32_t code = text[i++] & (unsigned char)~form[f].mask;
        for (int k = 0; k < form[f].more; k++, i++) {
            if ((text[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (text[i] & 0x3f);
        }
        if (code < form[f].least || (code >= 0x7f && code < 0xa0) || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
    }
    return true;
}

gd_status io_count(int64_t *out, const gd_array *a, const char *file)
{
    uint64_t n = 1;
    bool empty = false;

    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] < 0)
            return gd_fail(GD_EFORMAT, "%s: %s: size %lld of dimension %d is negative", file, a->name, (long long)a->dim[i], i);
        empty = empty || a->dim[i] == 0;
        if (!gd_mul(n, (uint64_t)GD_MAX(a->dim[i], 1), &n) || n > INT64_MAX)
            return gd_fail(GD_EFORMAT, "%s: %s: the shape has more elements than memory could hold", file, a->name);
    }
    *out = empty ? 0 : (int64_t)n;
    return GD_OK;
}

/* io_count has passed, so the products cannot overflow. */
void io_row_major(int64_t *stride, const gd_array *a)
{
    int64_t step = 1;

    for (int i = a->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= GD_MAX(a->dim[i], 1);
    }
}

/* The last element's place + 1 lies inside the storage; of an empty array the first's does. */
static bool fits_storage(const gd_array *a, const io_source *s, int64_t count)
{
    const uint64_t elements = s->bytes / gd_dtype_bytes(a->dtype);
    uint64_t reach, last = (uint64_t)s->offset;

    if (s->offset < 0)
        return false;
    for (int i = 0; i < a->rank && count > 0; i++)
        if (s->stride[i] < 0 || !gd_mul((uint64_t)a->dim[i] - 1, (uint64_t)s->stride[i], &reach) || !gd_add(last, reach, &last))
            return false;
    return count > 0 ? last < elements : last <= elements;
}

static gd_status make_room(gd_bundle *b)
{
    const int capacity = GD_MAX(64, 2 * b->capacity);
    gd_array *array;
    io_source *source;

    if (b->n < b->capacity)
        return GD_OK;
    array = gd_alloc(b->mem, (size_t)capacity * sizeof *array);
    source = gd_alloc(b->mem, (size_t)capacity * sizeof *source);
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

gd_status io_add_array(gd_bundle *b, const gd_array *a, const io_source *s)
{
    const size_t length = strlen(a->name);
    int64_t count;
    uint64_t bytes;

    if (length > GD_MAX_NAME || !io_is_text((const unsigned char *)a->name, length))
        return gd_fail(GD_EFORMAT, "%s: the name of array %d is no UTF-8 text of at most %d bytes", b->path, b->n, GD_MAX_NAME);
    if (b->n == GD_MAX_ARRAYS)
        return gd_fail(GD_EFORMAT, "%s: more than %d arrays", b->path, GD_MAX_ARRAYS);
    GD_TRY(io_count(&count, a, b->path));
    if (!gd_mul((uint64_t)count, gd_dtype_bytes(a->dtype), &bytes) || bytes > INT64_MAX)
        return gd_fail(GD_EFORMAT, "%s: %s: the shape has more bytes than memory could hold", b->path, a->name);
    if (!fits_storage(a, s, count))
        return gd_fail(GD_EFORMAT, "%s: %s: its elements reach outside its storage of %llu bytes", b->path, a->name,
                       (unsigned long long)s->bytes);
    GD_TRY(make_room(b));
    b->array[b->n] = *a;
    b->source[b->n] = *s;
    b->array[b->n].name = gd_strdup(b->mem, a->name);
    if (!b->array[b->n].name)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    b->n++;
    return GD_OK;
}

/* ---- opening ---- */

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
    qsort_r(b->by_name, (size_t)b->n, sizeof *b->by_name, by_name, b->array);
    for (int i = 1; i < b->n; i++)
        if (by_name(&b->by_name[i - 1], &b->by_name[i], b->array) == 0)
            return gd_fail(GD_EFORMAT, "%s: two arrays are named %s", b->path, b->array[b->by_name[i]].name);
    return GD_OK;
}

static bool begins_with(const gd_mapped *map, size_t at, const char *bytes, size_t n)
{
    return map->bytes >= at + n && memcmp(map->data + at, bytes, n) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static gd_status read_archive(gd_bundle *b, const gd_pickle_node **root)
{
    GD_TRY(io_zip_open(&b->zip, &b->map, b->mem, b->path));
    for (int i = 0; i < io_zip_count(b->zip); i++)
        if (ends_with(io_zip_entry(b->zip, i)->name, "/data.pkl"))
            return io_read_torch_zip(b, root);
    if (root)
        return gd_fail(GD_EFORMAT, "%s: the archive has no data.pkl, so torch.save did not write it", b->path);
    return io_read_npz(b);
}

/* By content: PK = zip, 80 02 = pickle, a brace after eight bytes = safetensors */
static gd_status read_any(gd_bundle *b, const gd_pickle_node **root)
{
    if (b->map.bytes == 0)
        return gd_fail(GD_EFORMAT, "%s: the file is empty", b->path);
    if (begins_with(&b->map, 0, "PK", 2))
        return read_archive(b, root);
    if (begins_with(&b->map, 0, "\x80", 1))
        return io_read_torch_legacy(b, root);
    if (!root && begins_with(&b->map, 8, "{", 1))
        return io_read_safetensors(b);
    return gd_fail(GD_EFORMAT, "%s: not a %s file", b->path, root ? "torch.save" : "safetensors, PyTorch or npz");
}

/* On failure `map`, if owned, is unmapped. */
static gd_status open_map(gd_bundle **out, const gd_pickle_node **root, gd_mapped map, bool owns_map, const char *path)
{
    gd_arena *mem;
    gd_bundle *b;
    gd_status s = gd_arena_make(&mem);

    if (s != GD_OK) {
        if (owns_map)
            gd_unmap(&map);
        return s;
    }
    b = gd_alloc(mem, sizeof *b);
    if (!b) {
        if (owns_map)
            gd_unmap(&map);
        gd_arena_free(mem);
        return GD_ENOMEM;
    }
    *b = (gd_bundle){ .mem = mem, .map = map, .owns_map = owns_map, .path = gd_strdup(mem, path) };
    s = b->path ? read_any(b, root) : GD_ENOMEM;
    if (s == GD_OK)
        s = sort_names(b);
    if (s != GD_OK) {
        gd_bundle_close(b);
        return s;
    }
    *out = b;
    return GD_OK;
}

static gd_status open_file(gd_bundle **out, const gd_pickle_node **root, const char *path)
{
    gd_mapped map;

    GD_TRY(gd_map_file(&map, path));
    return open_map(out, root, map, true, path);
}

gd_status gd_bundle_open(gd_bundle **out, const char *path)
{
    return open_file(out, NULL, path);
}

gd_status gd_pickle_open(gd_bundle **out, const gd_pickle_node **root, const char *path)
{
    return open_file(out, root, path);
}

gd_status io_open_memory(gd_bundle **out, const gd_pickle_node **root, const void *data, size_t bytes, const char *name)
{
    return open_map(out, root, (gd_mapped){ data, bytes }, false, name);
}

void gd_bundle_close(gd_bundle *b)
{
    if (!b)
        return;
    io_zip_close(b->zip);
    if (b->owns_map)
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

int64_t gd_array_count(const gd_array *a)
{
    int64_t n = 1;

    for (int i = 0; i < a->rank; i++)
        n *= a->dim[i];
    return n;
}

/* ---- reading ---- */

typedef void copy_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);

/* Row by row of the last dimension; rows that follow one another without a gap become one. */
static void gather(unsigned char *out, size_t out_bytes, copy_row *copy, const gd_array *a, const io_source *s,
                   const unsigned char *storage)
{
    const int64_t count = gd_array_count(a);
    int64_t index[GD_MAX_RANK] = { 0 }, at = s->offset, row = 1, step = 1;
    int outer = a->rank;

    if (outer > 0) {
        row = a->dim[--outer];
        step = s->stride[outer];
    }
    while (outer > 0 && s->stride[outer - 1] == row * step)
        row *= a->dim[--outer];
    for (int64_t done = 0; done < count; done += row) {
        copy(out + (size_t)done * out_bytes, storage + (size_t)at * gd_dtype_bytes(a->dtype), a->dtype, row, step);
        for (int i = outer - 1; i >= 0; i--) { /* the next index, like an odometer */
            at += s->stride[i];
            if (++index[i] < a->dim[i])
                break;
            at -= s->stride[i] * a->dim[i];
            index[i] = 0;
        }
    }
}

static gd_status read_deflated(const gd_bundle *b, unsigned char *out, size_t out_bytes, copy_row *copy, const gd_array *a,
                               const io_source *s)
{
    void *block;
    gd_status status;

    GD_TRY(gd_block_make(&block, s->skip + s->bytes, a->name));
    status = io_zip_read(b->zip, s->entry, block, s->skip + s->bytes);
    if (status == GD_OK)
        gather(out, out_bytes, copy, a, s, (unsigned char *)block + s->skip);
    gd_block_free(block);
    return status;
}

static gd_status read_array(const gd_bundle *b, const gd_array *a, void *out, size_t out_bytes, copy_row *copy)
{
    const io_source *s = &b->source[a - b->array];

    if (gd_array_count(a) == 0)
        return GD_OK;
    if (!s->data)
        return read_deflated(b, out, out_bytes, copy, a, s);
    if (s->entry >= 0)
        GD_TRY(io_zip_check(b->zip, s->entry, b->owns_map));
    gather(out, out_bytes, copy, a, s, s->data);
    return GD_OK;
}

static void copy_as_float(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step)
{
    io_widen_row(out, in, dtype, n, step);
}

gd_status gd_bundle_read(const gd_bundle *b, const gd_array *a, void *out)
{
    return read_array(b, a, out, gd_dtype_bytes(a->dtype), io_copy_row);
}

gd_status gd_bundle_read_f32(const gd_bundle *b, const gd_array *a, float *out)
{
    return read_array(b, a, out, sizeof *out, copy_as_float);
}

void gd_bundle_release(const gd_bundle *b, const gd_array *a)
{
    const io_source *s = &b->source[a - b->array];
    const size_t width = gd_dtype_bytes(a->dtype);
    int64_t last = s->offset;

    if (!b->owns_map || !s->data || gd_array_count(a) == 0)
        return;
    for (int i = 0; i < a->rank; i++)
        last += (a->dim[i] - 1) * s->stride[i];
    gd_unmap_pages(&b->map, (size_t)(s->data - b->map.data) + (size_t)s->offset * width, (size_t)(last + 1 - s->offset) * width);
}
