/* SPDX-License-Identifier: MIT */
/* lint.h - what is odd about a set of images before anybody trusts a number that is measured on it:
 * every finding with a figure and an example. */
#ifndef GD_EVAL_LINT_H
#define GD_EVAL_LINT_H

#include "data/data.h"

typedef struct gd_lint_finding {
    const char *code;          /* "duplicates": stable, for programs */
    bool warning;              /* else a remark about a sound set */
    double figure;             /* what was measured; `text` says of what */
    int64_t example, example2; /* images, counted from 0; -1: none */
    char text[256];
} gd_lint_finding;

enum { GD_LINT_MOST = 24 };
typedef struct gd_lint {
    int64_t count;
    char hash[33]; /* of the sizes and pixels of all images, in their order */
    gd_lint_finding finding[GD_LINT_MOST];
    int n;
} gd_lint;

/* lint_image.c: what is kept of an image */
enum { GD_LINT_THUMB = 8, GD_LINT_PHASES = 8 };
typedef struct gd_lint_image {
    int width, height;
    bool alpha, lossy, grey, border;
    char hash[33];                                /* of size and pixels */
    uint8_t thumb[GD_LINT_THUMB * GD_LINT_THUMB]; /* means of grey blocks */
    uint64_t sign; /* bit k: thumb k is brighter than its right neighbour, round the row */
    uint8_t lowest, highest;
    float deviation; /* of grey */
    float fine;      /* energy of second differences at distance 1 / at distance 2 */
    float pairs[2];  /* share of equal neighbours at even and at odd positions */
} gd_lint_image;
/* Sums over the images of a set */
typedef struct gd_lint_sums {
    uint64_t level[256];                  /* how often each byte occurs */
    double phase[2][GD_LINT_PHASES];      /* second differences by column, by row, modulo 8, of
                                           * pictures that are not lossy */
    double channel[3], square[3], pixels; /* of colour images */
} gd_lint_sums;
/* Adds to sums, which may be NULL.  GD_ENOMEM only */
GD_CHECKED gd_status gd_lint_look(gd_lint_image *out, gd_lint_sums *sums, const gd_image *image);

/* lint_copies.c: copy[i]: an earlier image with the same pixels, or -1; near[i]: an earlier one
 * that differs by little more than rounding, or -1 */
GD_CHECKED gd_status gd_lint_copies(int32_t *copy, int32_t *near, const gd_lint_image *image,
                                    int64_t n);

/* labels.c: of every image; label NULL: the set has none, or they are odd */
typedef struct gd_labels_of {
    int64_t count;
    int classes;
    int32_t *label; /* block: [count] */
} gd_labels_of;
bool gd_is_npz_file(const char *path);
/* `count`: of the set's images; a set of another count, or of several files, has no labels */
GD_CHECKED gd_status gd_labels_open(gd_labels_of *out, const char *path, int64_t count);
void gd_labels_free(gd_labels_of *labels); /* zeroed is fine */

/* lint_set.c: the images of a set one after another, in their own channels and sizes; memory holds
 * a batch of them */
typedef struct gd_lint_set gd_lint_set;
GD_CHECKED gd_status gd_lint_set_open(gd_lint_set **out, const char *path);
void gd_lint_set_close(gd_lint_set *set); /* NULL is fine */
int64_t gd_lint_set_count(const gd_lint_set *set);
enum { GD_LINT_BATCH = 64 };
/* The next n <= GD_LINT_BATCH images, from `first` on: image[n], sums[n] (zeroed before) */
GD_CHECKED gd_status gd_lint_set_look(gd_lint_set *set, int64_t first, int64_t n,
                                      gd_lint_image *image, gd_lint_sums *sums);

/* lint.c.  ref: a set whose channels are compared; NULL: none.  tick after each image: another
 * status than GD_OK ends it. */
typedef struct gd_lint_options {
    const char *ref;
    void (*begin)(void *ctx, int64_t images); /* how many there are in all */
    gd_status (*tick)(void *ctx);
    void *ctx;
} gd_lint_options;
GD_CHECKED gd_status gd_lint_run(gd_lint *out, const char *path, const gd_lint_options *o);

/* lint_rules.c: the findings */
typedef struct gd_lint_evidence {
    const gd_labels_of *labels;
    const gd_lint_image *image; /* [count] */
    const int32_t *copy, *near;
    const gd_lint_sums *sums, *ref; /* ref may be NULL */
} gd_lint_evidence;
void gd_lint_judge(gd_lint *out, const gd_lint_evidence *e);

#endif
