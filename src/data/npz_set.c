/* SPDX-License-Identifier: MIT */
/* npz_set.c - the authors' sample files: arr_0 uint8 [N,H,W,C], arr_1 labels; other names as
 * npz_check.c finds them. */
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

static gd_status read_labels(gd_dataset *set, const gd_bundle *b)
{
    const char *name = gd_npz_label_name(b);
    const gd_array *a;
    int64_t *labels;
    gd_status s;

    if (set->options.labels == GD_LABELS_NONE ||
        (!gd_bundle_find(b, name) && !gd_bundle_refuses(b, name)))
        return GD_OK;
    GD_TRY(gd_bundle_need(&a, b, name));
    if (gd_array_count(a) != set->count)
        return gd_fail(GD_EFORMAT, "%s: %s has %lld labels for %lld images", set->path, name,
                       (long long)gd_array_count(a), (long long)set->count);
    GD_TRY(gd_block_make(&labels, GD_MAX((size_t)set->count, 1) * sizeof *labels, "labels"));
    s = gd_bundle_read_i64(b, a, labels);
    if (s == GD_OK)
        s = data_label_by_number(set, labels);
    gd_block_free(labels);
    return s;
}

/* Where they do not lie in the file as bytes in their order */
static gd_status make_pixels(npz *z, const char *path)
{
    const int64_t n = gd_array_count(z->images);
    gd_elements *elements;
    gd_status s;

    GD_TRY(gd_block_make(&z->block, (size_t)n, path));
    GD_TRY(gd_elements_open(&elements, z->bundle, z->images));
    s = gd_elements_read_u8(elements, z->block, n);
    gd_elements_close(elements);
    z->pixels = z->block;
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
    GD_TRY(gd_npz_images(&z->images, z->bundle));
    gd_npz_report(z->bundle, z->images);
    set->count = z->images->dim[0];
    if (z->images->dtype == GD_U8)
        z->pixels = gd_bundle_view(z->bundle, z->images);
    if (!z->pixels && set->count > 0)
        GD_TRY(make_pixels(z, set->path));
    return read_labels(set, z->bundle);
}
