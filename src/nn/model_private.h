/* SPDX-License-Identifier: MIT */
/* model_private.h - a model's inside, shared by model.c (which opens and makes it), model_save.c
 * and packed.c. */
#ifndef GD_NN_MODEL_PRIVATE_H
#define GD_NN_MODEL_PRIVATE_H

#include "nn/config_private.h"
#include "nn/nn.h"

struct gd_model {
    gd_arena *mem;
    gd_bundle *bundle; /* NULL: the caller's, or fresh weights */
    gd_weights source; /* the caller's */
    gd_model_config config;
    const char *path;
    char *assumed;
    gd_param_spec *param; /* in state_dict order */
    int n_param;
    const char **class_name; /* NULL: the file names none */
    int n_class_names;
    uint64_t seed; /* fresh weights */
    bool synthetic;
};

/* model.c: visit all parameters in order through one staging block */
typedef gd_status nn_visit(void *ctx, int i, const float *data, int64_t count);
GD_CHECKED gd_status nn_each_param(const gd_model *m, nn_visit *visit, void *ctx);

/* model_save.c: a model's description in a file of ours; classes NULL: the model's own */
enum { NN_MODEL_META = 4 };
GD_CHECKED gd_status nn_model_describe(const gd_model *m, gd_arena *mem, const char *const *classes,
                                       int n_classes, gd_meta meta[NN_MODEL_META], int *n);

/* packed.c: the packed weights of m for this plan, where they lie in the file; NULL: m is not
 * packed. GD_EMISMATCH: packed for another plan; the message does not name the file */
GD_CHECKED gd_status nn_packed_weights(const void **out, const gd_model *m, const gd_plan *plan,
                                       bool bf16);

#endif
