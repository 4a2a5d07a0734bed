/* SPDX-License-Identifier: MIT */
/* labels.c - the labels of a set without its images: those of an .npz, which is not read beside it,
 * else what the set itself has (data/data.h). */
#include "eval/lint.h"

#include "eval/eval.h"

#include <string.h>
#include <sys/stat.h>

enum { MOST_CLASSES = 1 << 20 };

bool gd_is_npz_file(const char *path)
{
    struct stat info;

    return gd_ends_with(path, ".npz") && stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

/* Numbers below 0, or odd ones, are no labels of classes: the set then has none. */
static gd_status take(gd_labels_of *out, const gd_bundle *b, const gd_array *a)
{
    int64_t *wide;
    bool fine = true;
    gd_status s;

    GD_TRY(gd_block_make(&wide, (size_t)out->count * sizeof *wide, "labels"));
    s = gd_bundle_read_i64(b, a, wide);
    if (s == GD_OK)
        s = gd_block_make(&out->label, (size_t)out->count * sizeof *out->label, "labels");
    for (int64_t i = 0; i < out->count && s == GD_OK; i++) {
        fine &= wide[i] >= 0 && wide[i] < MOST_CLASSES;
        out->label[i] = fine ? (int32_t)wide[i] : -1;
        out->classes = GD_MAX(out->classes, out->label[i] + 1);
    }
    gd_block_free(wide);
    if (s == GD_OK && !fine)
        gd_labels_free(out);
    return s;
}

static gd_status of_npz(gd_labels_of *out, const char *path)
{
    gd_bundle *bundle;
    gd_status s;

    GD_TRY(gd_bundle_open(&bundle, path));
    const gd_array *a = gd_bundle_find(bundle, gd_npz_label_name(bundle));
    s = a && gd_array_count(a) == out->count ? take(out, bundle, a) : GD_OK;
    gd_bundle_close(bundle);
    return s;
}

static gd_status of_set(gd_labels_of *out, const char *path)
{
    const gd_dataset_options o = { .labels = GD_LABELS_AUTO };
    gd_dataset *set;
    char line[256];
    gd_status s = GD_OK;

    GD_TRY(gd_dataset_open(&set, path, &o));
    if (gd_dataset_count(set) == out->count && gd_dataset_classes(set) > 1 &&
        gd_dataset_doubt(set, line, sizeof line) != GD_LABELS_REFUSED) {
        s = gd_block_make(&out->label, (size_t)out->count * sizeof *out->label, "labels");
        out->classes = s == GD_OK ? gd_dataset_classes(set) : 0;
    }
    for (int64_t i = 0; i < out->count && out->label; i++)
        out->label[i] = (int32_t)gd_dataset_label(set, i);
    gd_dataset_close(set);
    return s;
}

gd_status gd_labels_open(gd_labels_of *out, const char *path, int64_t count)
{
    *out = (gd_labels_of){ .count = count };
    if (!gd_path_exists(path) || count == 0) /* several files number their labels apart */
        return GD_OK;
    return gd_is_npz_file(path) ? of_npz(out, path) : of_set(out, path);
}

void gd_labels_free(gd_labels_of *labels)
{
    gd_block_free(labels->label);
    *labels = (gd_labels_of){ .count = labels->count };
}
