/* SPDX-License-Identifier: MIT */
/* convnext.h - ConvNeXt V2 (Woo et al. 2023), in whose features sets of images are compared. */
#ifndef GD_NN_CONVNEXT_H
#define GD_NN_CONVNEXT_H

#include "nn/feature_net.h"

enum { GD_CONVNEXT_STAGES = 4, GD_CONVNEXT_IMAGE = 224 };

typedef struct gd_convnext_config {
    int depth[GD_CONVNEXT_STAGES], width[GD_CONVNEXT_STAGES];
    float last_epsilon; /* of the layer normalisation of the features */
} gd_convnext_config;

/* x [N,224,224,3] -> [N,1,1,width of the last stage]: means over the pixels, normalised */
gd_val gd_convnext_build(gd_graph *g, const void *config, int n, gd_val *x);

/* ---- convnext_file.c: a file of weights, no network made yet ---- */

typedef struct gd_convnext_file gd_convnext_file;
/* Told by its keys, in the names of the authors or of Hugging Face's transformers, with any prefix.
 * GD_EFORMAT: no such file, or a table of what is missing or of another shape. */
GD_CHECKED gd_status gd_convnext_file_open(gd_convnext_file **out, const char *path);
void gd_convnext_file_close(gd_convnext_file *file); /* NULL is fine */
/* Keys of ConvNeXt, be it of another version; false for what cannot be opened */
bool gd_is_convnext_file(const char *path);
/* As long as the file is open */
gd_feature_source gd_convnext_file_source(const gd_convnext_file *file);
const char *gd_convnext_file_format(const gd_convnext_file *file); /* "original", "transformers" */
const char *gd_convnext_file_name(const gd_convnext_file *file);   /* "ConvNeXt V2-B" */

#endif
