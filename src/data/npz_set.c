/* npz_set.c - the authors' sample files: arr_0 uint8 [N,H,W,C], arr_1 labels. */
#include "data/data_private.h"

#include <string.h>

typedef struct npz {
    gd_bundle *bundle;
    const gd_array *images;
    const uint8_t *pixels; /* in the file, or in `block` */
    void *block;
} npz;

static void name_of(const gd_dataset *set, int64_t i, char *out, size_t size)
{
    snprintf(out, size, "%s: image %lld", set->path, (long long)i);
}

static gd_status read_image(const gd_dataset *set, int64_t i, gd_image *out)
{
    const npz *z = set->state;
    const int64_t *d = z->images->dim;

    return data_copy_image(out, set, z->pixels + i * d[1] * d[2] * d[3], (int)d[2], (int)d[1],
                           (int)d[3]);
}

static void close_npz(gd_dataset *set)
{
    npz *z = set->state;

    gd_block_free(z->block);
    gd_bundle_close(z->bundle);
}

static gd_status check_images(const gd_dataset *set, const gd_array *a)
{
    if (!a)
        return gd_fail(GD_EFORMAT, "%s: has no arr_0\nhint: images are arr_0, labels arr_1",
                       set->path);
    if (a->dtype != GD_U8)
        return gd_fail(GD_EFORMAT,
                       "%s: arr_0 is %s, expected U8\nhint: values from 0 to 255; floats in [0,1] "
                       "or [-1,1] must be scaled first",
                       set->path, gd_dtype_name(a->dtype));
    if (a->rank != 4 || (a->dim[3] != 1 && a->dim[3] != 3))
        return gd_fail(GD_EFORMAT, "%s: arr_0 has rank %d, expected [N,H,W,3] or [N,H,W,1]",
                       set->path, a->rank);
    if (a->dim[1] < 1 || a->dim[2] < 1 || a->dim[1] > GD_MAX_IMAGE_SIDE ||
        a->dim[2] > GD_MAX_IMAGE_SIDE)
        return gd_fail(GD_EFORMAT, "%s: arr_0: images of %lld x %lld", set->path,
                       (long long)a->dim[1], (long long)a->dim[2]);
    return GD_OK;
}

static gd_status read_labels(gd_dataset *set, const gd_bundle *b)
{
    const gd_array *a = gd_bundle_find(b, "arr_1");
    int64_t *labels;
    gd_status s;

    if (!a || set->options.labels == GD_LABELS_NONE)
        return GD_OK;
    if (gd_array_count(a) != set->count || a->dtype != GD_I64)
        return gd_fail(GD_EFORMAT, "%s: arr_1 has %lld labels of %s for %lld images, expected I64",
                       set->path, (long long)gd_array_count(a), gd_dtype_name(a->dtype),
                       (long long)set->count);
    GD_TRY(
        gd_block_make((void **)&labels, GD_MAX((size_t)set->count, 1) * sizeof *labels, "labels"));
    s = gd_bundle_read(b, a, labels);
    if (s == GD_OK)
        s = data_label_by_number(set, labels);
    gd_block_free(labels);
    return s;
}

gd_status data_open_npz(gd_dataset *set)
{
    static const data_kind kind = { read_image, name_of, close_npz };
    npz *z = gd_alloc(set->mem, sizeof *z);

    if (!z)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = z;
    GD_TRY(gd_bundle_open(&z->bundle, set->path));
    z->images = gd_bundle_find(z->bundle, "arr_0");
    GD_TRY(check_images(set, z->images));
    set->count = z->images->dim[0];
    z->pixels = gd_bundle_view(z->bundle, z->images);
    if (!z->pixels && set->count > 0) {
        GD_TRY(gd_block_make(&z->block, (size_t)gd_array_count(z->images), set->path));
        GD_TRY(gd_bundle_read(z->bundle, z->images, z->block));
        z->pixels = z->block;
    }
    return read_labels(set, z->bundle);
}
