/* SPDX-License-Identifier: MIT */
/* data.h - images on disk: sets of them, their labels, the authors' crop, resize and order.
 * (docs/reference/training.md#images) */
#ifndef GD_DATA_H
#define GD_DATA_H

#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- resize.c, crop.c: Pillow's and the authors' arithmetic, to the bit ---- */

typedef enum gd_filter { GD_FILTER_BOX, GD_FILTER_BICUBIC, GD_FILTER_BILINEAR } gd_filter;
/* width, height >= 1; free out->pixels with gd_image_free */
GD_CHECKED gd_status gd_resize(gd_image *out, const gd_image *in, int width, int height,
                               gd_filter filter);
/* The same filter without rounding or cutting, [height][width][C] floats: what
 * torch.nn.functional.interpolate(.., antialias=True) makes of floats */
GD_CHECKED gd_status gd_resize_floats(float *out, const gd_image *in, int width, int height,
                                      gd_filter filter);
double gd_bicubic(double x); /* Pillow's filter: Keys 1981 with a = -1/2 */
/* The centre size x size pixels of the image shrunk, or enlarged, to a shorter side of `size` */
GD_CHECKED gd_status gd_crop_centre(gd_image *image, int size);
/* A random crop in three parts, so that whoever draws knows the ranges: a shorter side from *least
 * to *most, both possible; then x from 0 to width - size and y likewise */
void gd_crop_range(int size, int *least, int *most);
GD_CHECKED gd_status gd_crop_shrink(gd_image *image, int side);
GD_CHECKED gd_status gd_crop_cut(gd_image *image, int size, int x, int y);
/* Black around the image, as much as makes both sides at least `size` */
GD_CHECKED gd_status gd_crop_pad(gd_image *image, int size);
/* [height][width][C] bytes -> [C][height][width] of byte / 127.5 - 1, mirrored or not */
void gd_image_floats(float *out, const gd_image *image, bool flip);

/* dataset.c: n pixels of `channels` (1 or 3) bytes as `want`, grey to RGB and back as Pillow does
 */
void gd_convert_channels(uint8_t *out, int want, const uint8_t *in, int channels, size_t n);

/* ---- npz_check.c ---- */

/* The images of an .npz: arr_0, or, where there is none, the only array that has their shape. They
 * are [N,H,W,1 or 3] of bytes, or of other numbers that begin as whole ones
 * from 0 to 255 (gd_elements_read_u8 checks them all).  GD_EFORMAT with the remedy. */
GD_CHECKED gd_status gd_npz_images(const gd_array **out, gd_bundle *bundle);
bool gd_npz_has_images(const gd_bundle *bundle); /* some array that may be them */
/* Under which name its labels are, of those that people use (arr_1, label, labels, y, ..) */
const char *gd_npz_label_name(const gd_bundle *bundle);
/* A line names arrays of another name than arr_0 that are used, and those that are not */
void gd_npz_report(const gd_bundle *bundle, const gd_array *images);

/* ---- a set of images ---- */

typedef enum gd_labels {
    GD_LABELS_AUTO,
    GD_LABELS_FOLDER,
    GD_LABELS_NAME,
    GD_LABELS_NONE
} gd_labels;

/* "", "folder", "name", "none"; GD_EUSAGE otherwise */
GD_CHECKED gd_status gd_labels_read(gd_labels *out, const char *word);

typedef struct gd_dataset_options {
    gd_labels labels; /* AUTO: the set's own (dataset.json, arr_1, ..); else folders where every
                       * picture lies in one, else names */
    int channels;     /* 1 or 3: what images are converted to; 0: as they are */
    bool hidden;      /* hidden files of a folder count too, as they do to the authors\' loader */
} gd_dataset_options;

/* A folder tree or a zip of it (with dataset.json or without), .npz (arr_0, arr_1), an IDX file
 * (MNIST family, .gz too), an LMDB of LSUN. Immutable after opening: any number of threads may
 * read. */
typedef struct gd_dataset gd_dataset;

/* Somewhere in the folder: then it is a set of pictures, whatever else it holds. */
bool gd_folder_has_pictures(const char *path);

/* Lists the set; decodes nothing. options NULL: {0}. GD_EFORMAT if there is no image at all, the
 * labels do not fit, or the kind of `path` is unknown. Close with gd_dataset_close. */
GD_CHECKED gd_status gd_dataset_open(gd_dataset **out, const char *path,
                                     const gd_dataset_options *options);
void gd_dataset_close(gd_dataset *set);
int64_t gd_dataset_count(const gd_dataset *set);
int gd_dataset_classes(const gd_dataset *set);                   /* 0: no labels */
const char *gd_dataset_class_name(const gd_dataset *set, int c); /* NULL: numbers only */
int64_t gd_dataset_label(const gd_dataset *set, int64_t index);  /* -1: none */
/* What is odd about the labels of a set that is to have classes, as a line without the set's path:
 * one class, a class per picture, classes of one picture.  GD_LABELS_REFUSED where file names,
 * without an option that asks for it, give (nearly) every picture a class of its own. */
typedef enum gd_labels_doubt { GD_LABELS_FINE, GD_LABELS_ODD, GD_LABELS_REFUSED } gd_labels_doubt;
gd_labels_doubt gd_dataset_doubt(const gd_dataset *set, char *line, size_t size);
/* Labels by the order of these class names, a model's or another set's, instead of the set's own;
 * nothing where either has numbers only.  GD_EMISMATCH names a class that is not among them. */
GD_CHECKED gd_status gd_dataset_match_classes(gd_dataset *set, const char *const *name, int n);
/* Where image `index` lies, for messages: "photos/cat_3.png", "x.npz: image 17". */
void gd_dataset_name(const gd_dataset *set, int64_t index, char *out, size_t size);
/* Adds what tells this set from another without decoding it: names with sizes and times of files,
 * CRC-32 of zip members, the bytes of other files */
GD_CHECKED gd_status gd_dataset_fingerprint(const gd_dataset *set, gd_hasher *hasher);
/* Decodes an image at its own size; thread-safe. GD_EFORMAT names the image. */
GD_CHECKED gd_status gd_dataset_read(const gd_dataset *set, int64_t index, gd_image *out);

#endif
