/* SPDX-License-Identifier: MIT */
/* npy_file.c - a .npy file by itself: measurements, masks of deviations, latents. */
#include "io/io_private.h"

#include <math.h>
#include <string.h>

gd_status gd_npy_write(const char *path, gd_replace replace, const gd_array *array,
                       const void *data)
{
    unsigned char header[IO_NPY_HEADER];
    const size_t bytes = (size_t)gd_array_count(array) * gd_dtype_bytes(array->dtype),
                 before = io_npy_header(header, array);
    gd_file *file;
    gd_status s;

    GD_TRY(gd_file_create(&file, path, replace, before + bytes));
    s = gd_file_write(file, header, before);
    if (s == GD_OK)
        s = gd_file_write(file, data, bytes);
    if (s == GD_OK)
        return gd_file_commit(file);
    gd_file_abort(file);
    return s;
}

static double element(const unsigned char *data, gd_dtype dtype, int64_t i)
{
    float single;
    double wide;

    if (dtype == GD_U8)
        return data[i];
    if (dtype == GD_F64) {
        memcpy(&wide, data + i * (int64_t)sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&single, data + i * (int64_t)sizeof single, sizeof single);
    return single;
}

static gd_status check(const gd_array *array, const io_source *source, const gd_cursor *c)
{
    int64_t row_major[GD_MAX_RANK];

    if (array->dtype != GD_F32 && array->dtype != GD_F64 && array->dtype != GD_U8)
        return gd_fail(GD_EFORMAT, "%s: elements of type %s; save float32, float64 or bytes",
                       c->file, gd_dtype_name(array->dtype));
    io_row_major(row_major, array);
    for (int i = 0; i < array->rank; i++)
        if (array->dim[i] > 1 && row_major[i] != source->stride[i])
            return gd_fail(GD_EFORMAT, "%s: in Fortran order; save it in C order", c->file);
    if (gd_cursor_left(c) != source->storage_bytes)
        return gd_fail(GD_EFORMAT, "%s: %llu bytes of data, %llu by its shape", c->file,
                       (unsigned long long)gd_cursor_left(c),
                       (unsigned long long)source->storage_bytes);
    return GD_OK;
}

static gd_status read_mapped(double **out, gd_array *array, const gd_mapped *map, const char *path)
{
    gd_cursor c = { map->data, map->data, map->data + map->bytes, path };
    io_source source = { 0 };

    *array = (gd_array){ .name = path };
    GD_TRY(io_read_npy_header(array, &source, &c));
    GD_TRY(check(array, &source, &c));
    const int64_t n = gd_array_count(array);
    GD_TRY(gd_block_make(out, (size_t)n * sizeof **out + 1, path));
    for (int64_t i = 0; i < n; i++) {
        (*out)[i] = element(c.at, array->dtype, i);
        if (!isfinite((*out)[i])) {
            gd_block_free(*out);
            *out = NULL;
            return gd_fail(GD_EFORMAT, "%s: element %lld is not finite", path, (long long)i);
        }
    }
    return GD_OK;
}

gd_status gd_npy_read(double **out, gd_array *array, const char *path)
{
    gd_mapped map;
    gd_status s;

    *out = NULL;
    GD_TRY(gd_map_file(&map, path));
    s = read_mapped(out, array, &map, path);
    gd_unmap(&map);
    return s;
}
