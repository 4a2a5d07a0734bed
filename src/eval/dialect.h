/* SPDX-License-Identifier: MIT */
/* dialect.h - how published programs feed a picture to the 2015 network, and which of their numbers
 * are formed otherwise than by the ADM suite: a table, one file each. */
#ifndef GD_EVAL_DIALECT_H
#define GD_EVAL_DIALECT_H

#include "base/base.h"

typedef struct gd_dialect {
    const char *name;      /* of --dialect */
    const char *program;   /* whose numbers these are */
    const char *input;     /* resize and scaling, in a line */
    const char *statistic; /* what else differs from the ADM suite, in a line; "": nothing */
    /* Dialects of one word have the same features, bit for bit; part of the cache's key */
    const char *rows;
    /* One picture, [height][width][3] bytes -> [3][299][299] as the network takes it.  NULL: the
     * network resizes itself, as TensorFlow 1 does. */
    gd_status (*prepare)(float *out, const uint8_t *pixels, int height, int width);
    /* Score over 10 parts of a permutation, subsets of the kernel distance, precision and recall in
     * VGG16 features: as torch-fidelity draws and measures them */
    bool fidelity;
} gd_dialect;

extern const gd_dialect gd_dialect_adm, gd_dialect_pytorch_fid, gd_dialect_torch_fidelity,
    gd_dialect_clean_fid, gd_dialect_clean_fid_pytorch, gd_dialect_clean_fid_tensorflow,
    gd_dialect_edm;
/* Row i of the table; NULL behind the last */
const gd_dialect *gd_dialect_at(int i);
/* GD_EUSAGE with all names */
GD_CHECKED gd_status gd_dialect_read(const gd_dialect **out, const char *word);

/* dialect_half_pixel.c: bilinear between half-pixel centres without antialiasing, of bytes / 255,
 * [height][width][3] -> [3][299][299] */
void gd_resize_half_pixel(float *out, const uint8_t *pixels, int height, int width);

#endif
