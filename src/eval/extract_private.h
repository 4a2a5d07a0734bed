/* extract_private.h - what the kinds of networks share; for this folder alone. */
#ifndef GD_EVAL_EXTRACT_PRIVATE_H
#define GD_EVAL_EXTRACT_PRIVATE_H

#include "eval/eval.h"

/* Each kind keeps its own state behind the common head. */
struct gd_extractor {
    gd_extractor_shape shape;
    gd_status (*run)(gd_extractor *e, int n, const uint8_t *pixels, float *rows);
    gd_status (*hash)(const gd_extractor *e, char text[33]);
    void (*free)(gd_extractor *e);
};

#endif
