/* SPDX-License-Identifier: MIT */
/* extract_private.h - what the kinds of networks share; for this folder alone. */
#ifndef GD_EVAL_EXTRACT_PRIVATE_H
#define GD_EVAL_EXTRACT_PRIVATE_H

#include "eval/eval.h"

/* Each kind keeps its own state behind the common head. */
struct gd_extractor {
    gd_extractor_shape shape;
    gd_status (*run)(gd_extractor *e, int n, const uint8_t *pixels, float *rows);
    gd_status (*hash)(const gd_extractor *e, char text[33]);
    const char *(*format)(const gd_extractor *e);             /* of the file of weights */
    void (*set_size)(gd_extractor *e, int height, int width); /* NULL: made for one size */
    void (*free)(gd_extractor *e);
};

#endif
