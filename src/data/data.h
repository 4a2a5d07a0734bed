/* data.h - images on disk: sets of them, their labels, the authors' crop, resize and order.
 * (spec/training.md section 1) */
#ifndef GD_DATA_H
#define GD_DATA_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- one image ---- */

typedef struct gd_image {
    int width, height, channels;
    uint8_t *pixels; /* block: [height][width][channels] */
} gd_image;
void gd_image_free(gd_image *image);

/* ---- a set of images ---- */

typedef enum gd_labels {
    GD_LABELS_AUTO,
    GD_LABELS_FOLDER,
    GD_LABELS_NAME,
    GD_LABELS_NONE
} gd_labels;

typedef struct gd_dataset_options {
    gd_labels
        labels;   /* AUTO: the set's own; of a folder, sub-folders if there are any, else names */
    int channels; /* 1 or 3: what images are converted to; 0: as they are */
} gd_dataset_options;

/* A folder tree, .npz (arr_0, arr_1), a zip of images with dataset.json, an IDX file (MNIST family,
 * .gz too), an LMDB of LSUN. Immutable after opening: any number of threads may read. */
typedef struct gd_dataset gd_dataset;

/* Lists the set; decodes nothing. options NULL: {0}. GD_EFORMAT if there is no image at all, the
 * labels do not fit, or the kind of `path` is unknown. Close with gd_dataset_close. */
GD_CHECKED gd_status gd_dataset_open(gd_dataset **out, const char *path,
                                     const gd_dataset_options *options);
void gd_dataset_close(gd_dataset *set);
int64_t gd_dataset_count(const gd_dataset *set);
int gd_dataset_classes(const gd_dataset *set);                   /* 0: no labels */
const char *gd_dataset_class_name(const gd_dataset *set, int c); /* NULL: numbers only */
int64_t gd_dataset_label(const gd_dataset *set, int64_t index);  /* -1: none */
/* Where image `index` lies, for messages: "photos/cat_3.png", "x.npz: image 17". */
void gd_dataset_name(const gd_dataset *set, int64_t index, char *out, size_t size);
/* Decodes an image at its own size; thread-safe. GD_EFORMAT names the image. */
GD_CHECKED gd_status gd_dataset_read(const gd_dataset *set, int64_t index, gd_image *out);

#endif
