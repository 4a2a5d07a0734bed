/* npz.c - writing .npz as numpy does: a zip of stored .npy members, with a fixed date, so that
 * equal content gives equal bytes. libzip makes the archive in memory; gd_file makes it durable. */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { NPY_ALIGN = 64, NPY_MAGIC = 10, DOS_DATE_1980 = 0x21 };

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

/* Header and data of one member, malloc'ed: libzip frees it */
static unsigned char *npy_member(const gd_array *a, const void *data, size_t *bytes)
{
    const size_t payload = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
    unsigned char header[IO_NPY_HEADER], *out;
    const size_t n = io_npy_header(header, a);

    out = malloc(n + payload);
    if (!out)
        return NULL;
    memcpy(out, header, n);
    memcpy(out + n, data, payload);
    *bytes = n + payload;
    return out;
}

static gd_status add_member(zip_t *zip, const gd_array *a, const void *data)
{
    char name[GD_MAX_NAME + 8];
    size_t bytes = 0;
    unsigned char *member = npy_member(a, data, &bytes);
    zip_source_t *source = member ? zip_source_buffer(zip, member, bytes, 1) : NULL;
    zip_int64_t i = -1;

    snprintf(name, sizeof name, "%s.npy", a->name);
    if (source)
        i = zip_file_add(zip, name, source, 0);
    if (i < 0) {
        if (source)
            zip_source_free(source);
        else
            free(member);
        return gd_fail(GD_ENOMEM, "npz: %s cannot be added", name);
    }
    zip_set_file_compression(zip, (zip_uint64_t)i, ZIP_CM_STORE, 0);
    zip_file_set_dostime(zip, (zip_uint64_t)i, 0, DOS_DATE_1980, 0);
    return GD_OK;
}

/* The finished archive, from the source that it was written into */
static gd_status put_source(zip_source_t *source, const char *path, bool overwrite)
{
    zip_stat_t info;
    void *all;
    gd_status s;

    zip_stat_init(&info);
    if (zip_source_stat(source, &info) != 0 || zip_source_open(source) != 0)
        return gd_fail(GD_EFAILED, "%s: the archive cannot be made", path);
    s = gd_block_make(&all, (size_t)GD_MAX(info.size, 1), "npz");
    if (s == GD_OK && zip_source_read(source, all, info.size) != (zip_int64_t)info.size)
        s = gd_fail(GD_EFAILED, "%s: the archive cannot be made", path);
    if (s == GD_OK)
        s = gd_file_put(path, overwrite, all, (size_t)info.size);
    gd_block_free(all);
    zip_source_close(source);
    return s;
}

gd_status gd_npz_write(const char *path, bool overwrite, const gd_array *arrays,
                       const void *const *data, int n)
{
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, NULL) : NULL;
    gd_status s = GD_OK;

    if (!zip) {
        zip_source_free(source);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    zip_source_keep(source);
    for (int i = 0; i < n && s == GD_OK; i++)
        s = add_member(zip, &arrays[i], data[i]);
    if (s != GD_OK)
        zip_discard(zip);
    else if (zip_close(zip) != 0)
        s = gd_fail(GD_EFAILED, "%s: %s", path, zip_strerror(zip));
    if (s == GD_OK)
        s = put_source(source, path, overwrite);
    zip_source_free(source);
    return s;
}
