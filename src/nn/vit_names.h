/* SPDX-License-Identifier: MIT */
/* vit_names.h - for the files that read a Vision Transformer's weights. */
#ifndef GD_NN_VIT_NAMES_H
#define GD_NN_VIT_NAMES_H

#include "nn/vit.h"

#include "io/io.h"

/* The keys of one way of naming.  A layer's are followed by "weight" and "bias"; of a block they
 * stand behind `block`.  NULL: the network has no such thing. */
typedef struct vit_naming {
    const char *format;
    gd_vit_family family;
    const char *patch, *class_token, *registers, *positions;
    const char *norm_before, *norm, *projection;
    const char *block;
    const char *norm1, *qkv, *q, *k, *v, *proj, *scale1, *norm2, *fc1, *fc2, *scale2;
} vit_naming;

struct gd_vit_file {
    gd_bundle *bundle;
    const vit_naming *names;
    char prefix[GD_MAX_NAME]; /* before every key */
    int copies;               /* networks side by side in the file: one is wanted */
    gd_vit_config config;
    bool assumed;    /* the activation: nothing says which */
    gd_graph *graph; /* for one image: its parameters are the list of what is needed */
};

/* ---- vit_names.c ---- */

typedef struct vit_key {
    char text[2 * GD_MAX_NAME];
} vit_key;

/* An array of the file, of this shape but for ones in front */
typedef struct vit_source {
    vit_key key;
    int rank;
    int64_t dim[4];
} vit_source;

/* Finds names and prefix of the file; false: in none of the ways that are known */
bool vit_choose_names(gd_vit_file *f);
/* An array by the name of the table; NULL: absent, or no name */
const gd_array *vit_find(const gd_vit_file *f, const char *name);
/* The layer `leaf` of block i; suffix: "weight", "bias", or "" where `leaf` is a whole name */
const gd_array *vit_find_in_block(const gd_vit_file *f, int i, const char *leaf,
                                  const char *suffix);
/* The arrays that make a parameter of the network; how many, at most VIT_MAX_SOURCES */
enum { VIT_MAX_SOURCES = 3 };
int vit_sources(const gd_vit_file *f, const char *name, const gd_type *type, vit_source *out);

/* ---- vit_folder.c ---- */

/* Activation and heads from config.json (open_clip_config.json) beside the weights, if it is of a
 * network of this width; false: the activation is not said */
bool vit_read_folder(gd_vit_config *config, const char *format, const char *path);

/* ---- vit_positions.c ---- */

/* Position embedding [grid][grid][width] -> [side][side][width], bicubic as DINOv2 does it with
 * torch.nn.functional.interpolate: with antialiasing (a = -0.5), or without (a = -0.75) and by the
 * scale (side + 0.1) / grid, the authors' "historical kludge". */
void vit_interpolate_positions(float *out, int side, const float *in, int grid, int width,
                               bool antialias);

#endif
