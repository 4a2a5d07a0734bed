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

/* lint.c.  ref: sums of a reference set, for the order of channels; NULL: none.  tick: images done;
 * another status than GD_OK ends it. */
typedef struct gd_lint_options {
    gd_dataset *ref;
    gd_status (*tick)(void *ctx);
    void *ctx;
} gd_lint_options;
GD_CHECKED gd_status gd_lint_run(gd_lint *out, gd_dataset *set, const gd_lint_options *o);

/* lint_rules.c: the findings */
typedef struct gd_lint_evidence {
    const gd_dataset *set;
    const gd_lint_image *image; /* [count] */
    const int32_t *copy, *near;
    const gd_lint_sums *sums, *ref; /* ref may be NULL */
} gd_lint_evidence;
void gd_lint_judge(gd_lint *out, const gd_lint_evidence *e);

#endif
