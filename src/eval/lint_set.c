/* SPDX-License-Identifier: MIT */
/* lint_set.c - where lint's images come from: an .npz is streamed, others are decoded one by one.
 */
#include "eval/eval.h"
#include "eval/lint.h"

#include <stdlib.h>

struct gd_lint_set {
    gd_images *images; /* of an .npz; else NULL */
    int channels;
    uint8_t *pixels; /* block: [GD_LINT_BATCH][height][width][channels] of these */
    gd_dataset *set; /* of others */
};

static gd_status open_npz(gd_lint_set *s, const char *path)
{
    gd_images_options o = { .grey = true };
    const gd_array *array;
    gd_bundle *bundle;
    gd_status status;

    GD_TRY(gd_bundle_open(&bundle, path));
    status = gd_npz_images(&array, bundle);
    if (status == GD_OK)
        s->channels = o.channels = (int)array->dim[3];
    gd_bundle_close(bundle);
    GD_TRY(status);
    GD_TRY(gd_images_open(&s->images, path, &o));
    return gd_block_make(&s->pixels,
                         (size_t)GD_LINT_BATCH * (size_t)gd_images_height(s->images) *
                             (size_t)gd_images_width(s->images) * (size_t)s->channels,
                         "images");
}

gd_status gd_lint_set_open(gd_lint_set **out, const char *path)
{
    const gd_dataset_options none = { .labels = GD_LABELS_NONE };
    gd_lint_set *s = calloc(1, sizeof *s);
    gd_status status;

    if (!s)
        return gd_fail(GD_ENOMEM, "lint: out of memory");
    status = gd_is_npz_file(path) ? open_npz(s, path) : gd_dataset_open(&s->set, path, &none);
    if (status != GD_OK) {
        gd_lint_set_close(s);
        return status;
    }
    *out = s;
    return GD_OK;
}

void gd_lint_set_close(gd_lint_set *s)
{
    if (!s)
        return;
    gd_images_close(s->images);
    gd_dataset_close(s->set);
    gd_block_free(s->pixels);
    free(s);
}

int64_t gd_lint_set_count(const gd_lint_set *s)
{
    return s->images ? gd_images_count(s->images) : gd_dataset_count(s->set);
}

typedef struct look {
    const gd_lint_set *set;
    int64_t first;
    gd_lint_image *image;
    gd_lint_sums *sums;
    gd_status status[GD_LINT_BATCH];
} look;

static gd_status look_at_one(const look *l, int64_t i)
{
    const gd_lint_set *s = l->set;
    gd_image image = { 0 };
    gd_status status;

    if (s->images) {
        const int height = gd_images_height(s->images), width = gd_images_width(s->images);
        image =
            (gd_image){ width, height, s->channels, s->pixels + i * height * width * s->channels };
        return gd_lint_look(&l->image[i], &l->sums[i], &image);
    }
    GD_TRY(gd_dataset_read(s->set, l->first + i, &image));
    status = gd_lint_look(&l->image[i], &l->sums[i], &image);
    gd_image_free(&image);
    return status;
}

static void look_in_parallel(void *ctx, int64_t i)
{
    look *l = ctx;
    l->status[i] = look_at_one(l, i);
}

gd_status gd_lint_set_look(gd_lint_set *set, int64_t first, int64_t n, gd_lint_image *image,
                           gd_lint_sums *sums)
{
    look l = { .set = set, .first = first, .image = image, .sums = sums };

    if (set->images)
        GD_TRY(gd_images_read(set->images, n, set->pixels));
    gd_par(n, look_in_parallel, &l);
    for (int64_t i = 0; i < n; i++)
        if (l.status[i] != GD_OK) /* the message was another thread's */
            GD_TRY(look_at_one(&l, i));
    return GD_OK;
}
