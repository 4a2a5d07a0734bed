/* SPDX-License-Identifier: MIT */
/* npz.c - the .npy header of an array, as numpy writes it; an .npz of arrays that are in memory. */
#include "io/io_private.h"

#include <string.h>

enum { NPY_ALIGN = 64, NPY_MAGIC = 10 };

static const char *npy_type(gd_dtype dtype)
{
    switch (dtype) {
    case GD_U8:
        return "|u1";
    case GD_I64:
        return "<i8";
    case GD_F64:
        return "<f8";
    default:
        return "<f4";
    }
}

size_t io_npy_header(unsigned char out[IO_NPY_HEADER], const gd_array *a)
{
    char shape[256] = "", header[IO_NPY_HEADER];
    size_t used = 0, total;

    for (int i = 0; i < a->rank; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%lld%s", (long long)a->dim[i],
                                 a->rank == 1      ? ","
                                 : i + 1 < a->rank ? ", "
                                                   : "");
    used = (size_t)snprintf(header, sizeof header,
                            "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                            npy_type(a->dtype), shape);
    total = (NPY_MAGIC + used + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    memset(out, ' ', total);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (unsigned char)(total - NPY_MAGIC);
    out[9] = (unsigned char)((total - NPY_MAGIC) >> 8);
    memcpy(out + NPY_MAGIC, header, used);
    out[total - 1] = '\n';
    return total;
}

static gd_status write_arrays(gd_npz_writer *w, const gd_array *arrays, const void *const *data,
                              int n)
{
    for (int i = 0; i < n; i++) {
        GD_TRY(gd_npz_array(w, &arrays[i]));
        GD_TRY(gd_npz_add(w, data[i],
                          (size_t)gd_array_count(&arrays[i]) * gd_dtype_bytes(arrays[i].dtype)));
    }
    return GD_OK;
}

gd_status gd_npz_write(const char *path, gd_replace replace, const gd_array *arrays,
                       const void *const *data, int n)
{
    uint64_t bytes = 0;
    gd_npz_writer *w;
    gd_status s;

    for (int i = 0; i < n; i++)
        bytes += (uint64_t)gd_array_count(&arrays[i]) * gd_dtype_bytes(arrays[i].dtype);
    GD_TRY(gd_npz_begin(&w, path, replace, bytes));
    s = write_arrays(w, arrays, data, n);
    if (s == GD_OK)
        return gd_npz_commit(w);
    gd_npz_abort(w);
    return s;
}
