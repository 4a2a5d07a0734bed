/* kinds.h - networks beside the 2015 one whose features sets are compared in: a table, one file
 * each.  A kind is recognised by the keys of its weights. */
#ifndef GD_EVAL_KINDS_H
#define GD_EVAL_KINDS_H

#include "eval/eval.h"

typedef struct gd_feature_kind {
    const char *name;                          /* "VGG16", as reports print it */
    bool (*matches)(const gd_bundle *weights); /* by keys and shapes; no message */
    /* For images of height x width; `batch`: most images of one run.  GD_EFORMAT with a table of
     * what is missing. */
    gd_status (*open)(gd_extractor **out, const char *path, int batch, int height, int width);
} gd_feature_kind;

/* The kind of a file of weights; NULL: none of the table, or it cannot be opened */
const gd_feature_kind *gd_feature_kind_of(const char *path);
/* "VGG16, ..": all that there are */
void gd_feature_kind_names(char *out, size_t size);

extern const gd_feature_kind gd_kind_vgg16; /* kind_vgg16.c */

#endif
