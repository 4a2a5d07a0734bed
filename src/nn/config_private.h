/* SPDX-License-Identifier: MIT */
/* config_private.h - what the files about configurations share; for this folder alone. */
#ifndef GD_NN_CONFIG_PRIVATE_H
#define GD_NN_CONFIG_PRIVATE_H

#include "nn/config.h"

enum {
    NN_MAX_CHANNELS = 1 << 16, /* of a layer: 16 times the widest published */
    NN_MAX_CLASSES = 1 << 20,
    NN_MAX_RES_BLOCKS = 32, /* per level: 8 times the deepest published */
    NN_MAX_IMAGE_CHANNELS = 64,
    NN_MAX_IMAGE_SIZE = 4096, /* of a network: 8 times the largest published */
    NN_MAX_STEPS = 1 << 20,
    NN_IMAGE_CLASSES = 1000, /* ImageNet's: what class_cond means to the authors */
    NN_POOL_FEATURES = 2048  /* hidden width of the spatial classifier heads */
};

/* GD_EUSAGE with the reason if no such network can be built. */
GD_CHECKED gd_status nn_config_check(const gd_model_config *config);

/* The preconditioner and the levels that all authors use */
void nn_sigma_defaults(gd_model_config *config, gd_precond precond);

/* GD_EUSAGE: `name` is outside min to max */
GD_CHECKED gd_status nn_check_range(const char *name, int value, int min, int max);

/* (int)(channel_mult[level] * model_channels), as the authors compute it */
int nn_level_channels(const gd_net_config *net, int level);

/* Whether the blocks of a level have attention */
bool nn_attends(const gd_net_config *net, int level);

/* The factor that gives exactly `width` again when multiplied and cut to an integer */
double nn_width_factor(int width, int model_channels);
/* Defaults of the training script of a project (index into nn_projects) for a kind */
void nn_script_defaults(gd_model_config *out, gd_net_kind kind, int project);

/* The authors' channel_mult for an image size; 0 levels where they have none. */
int nn_default_channel_mult(double mult[GD_MAX_LEVELS], gd_net_kind kind, int image_size);

/* by gd_net_kind, by gd_pool */
extern const char *const nn_kind_names[3];
extern const char *const nn_pool_names[4];

/* gd_flags_apply without its last check.  With `shapes_known` a changed image size leaves widths
 * and attention levels alone: they came from a file. */
GD_CHECKED gd_status nn_flags_set(gd_model_config *config, const gd_flag *flags, int n,
                                  bool shapes_known);
bool nn_flag_given(const gd_flag *flags, int n,
                   const char *name); /* with a value that is not empty */

/* One of the authors' flags that decide what a network of this kind computes */
bool nn_network_flag_given(const gd_flag *flags, int n, gd_net_kind kind);
/* A notice for each flag that a network of this kind does not take; what: its file or name */
void nn_report_unused(const gd_flag *flags, int n, gd_net_kind kind, const char *what);

/* ---- authors.c ---- */

extern const char *const nn_projects[2];
/* Whose script takes this line: index into nn_projects.  By the flag script_defaults, by flags that
 * only one project has, by the name of a published file (path may be NULL); guided-diffusion's
 * otherwise. */
int nn_project(const gd_flag *flags, int n, gd_net_kind kind, const char *path);
/* What shapes left open in *config becomes the default of the authors' script, all of which go to
 * *defaults; where one cannot be (an image_size whose widths the file does not have) the value
 * stays. */
void nn_take_defaults(gd_model_config *config, const char *path, const gd_flag *flags, int n,
                      gd_model_config *defaults);

/* ---- training_file.c ---- */

/* The bundle of a model file; of a run's folder or a training checkpoint, the weights that the flag
 * "ema" chooses, by their own names. */
GD_CHECKED gd_status nn_open_weights(gd_bundle **out, const char *path, const gd_flag *flags,
                                     int n_flags);

/* ---- packed.c: what such a file holds ---- */

#define NN_PACKED "packed" /* the array */
#define NN_PACKED_FOR "guided.packed"
#define NN_PACKED_LAYOUT "guided.layout"        /* gd_plan_layout */
#define NN_PACKED_HASH "guided.parameters_xxh3" /* gd_model_hash */

/* ---- nested.c ---- */

/* Any file of arrays; of a .pt with more in it than a state dict, that at `key` ("model", "a.b"),
 * or, where key is NULL, under the first of the keys people use, averages first.  A notice names
 * it. GD_EUSAGE: nothing at key. */
GD_CHECKED gd_status nn_open_state_dict(gd_bundle **out, const char *path, const char *key);

/* ---- prefixes.c ---- */

/* Take off what wrappers put before every name: "module." of DataParallel, ... */
GD_CHECKED gd_status nn_strip_prefixes(gd_bundle *bundle);

/* ---- recognise.c ---- */

/* The arrays of a file by name */
typedef struct nn_keys {
    const char *path;
    const gd_array **sorted;
    int n;
} nn_keys;
const char *nn_key_name(const nn_keys *keys, int i);
const gd_array *nn_key_find(const nn_keys *keys, const char *name); /* NULL if absent */

/* foreign.c: adds a line to the message of a failure if the names are those of a known network */
void nn_name_foreign(const nn_keys *keys);

#endif
