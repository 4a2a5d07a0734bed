/* SPDX-License-Identifier: MIT */
/* bundle_read.c - gathering the elements of a file's arrays. */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>

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

    GD_TRY(gd_block_make(&block, bytes, a->name));
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
