/* SPDX-License-Identifier: MIT */
/* vit.h - Vision Transformers, in whose features sets of images are compared: DINOv2, CLIP's image
 * encoder, MAE, SigLIP2's image tower.
 *
 * Sources: Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words"; Oquab et al. 2023 (DINOv2) and
 * Darcet et al. 2023 (registers); Radford et al. 2021 (CLIP); He et al. 2021 (MAE); Tschannen et
 * al. 2025 (SigLIP 2). */
#ifndef GD_NN_VIT_H
#define GD_NN_VIT_H

#include "nn/feature_net.h"

typedef enum gd_vit_family { GD_VIT_DINOV2, GD_VIT_CLIP, GD_VIT_MAE, GD_VIT_SIGLIP } gd_vit_family;

/* What tells one network from another; all of it is found in a file's keys and shapes. */
typedef struct gd_vit_config {
    gd_vit_family family;
    int image, patch; /* sides, pixels */
    int width, depth, heads, mlp;
    int grid;         /* side of the file's position embedding, patches */
    bool class_token; /* the features are its last state; else a learned query attends to all */
    int registers;    /* further tokens without positions */
    bool norm_before; /* a layer normalisation after the embedding too */
    bool patch_bias;
    int projection; /* of the features, without bias; 0: none */
    gd_gelu gelu;
    float epsilon; /* of layer normalisation */
} gd_vit_config;

/* "DINOv2", "CLIP", "MAE", "SigLIP2" */
const char *gd_vit_family_name(gd_vit_family family);
int gd_vit_width(const gd_vit_config *config); /* numbers of an image's features */
/* "DINOv2 ViT-L/14", with "+ 4 registers" */
void gd_vit_name(const gd_vit_config *config, char *out, size_t size);

/* ---- vit_file.c: a file of weights, no network made yet ---- */

typedef struct gd_vit_file gd_vit_file;
/* Told by its keys, in the names of the authors or of Hugging Face's transformers, with any prefix,
 * in any container (io.h).  GD_EFORMAT: no such file, or a table of what is missing or of another
 * shape. */
GD_CHECKED gd_status gd_vit_file_open(gd_vit_file **out, const char *path);
void gd_vit_file_close(gd_vit_file *file); /* NULL is fine */
/* Does the file hold keys of such a network, be they too few?  false for what cannot be opened */
bool gd_is_vit_file(const char *path);
const gd_vit_config *gd_vit_file_config(const gd_vit_file *file);
/* CLIP's quick GELU is assumed: no configuration beside the file says which it is */
bool gd_vit_file_assumed(const gd_vit_file *file);
/* "original", "transformers", "open_clip" */
const char *gd_vit_file_format(const gd_vit_file *file);
int64_t gd_vit_file_parameters(const gd_vit_file *file); /* after folding */
/* The network, as long as the file is open: positions interpolated to the grid of
 * `image`, class token and registers in one table with them; layer scale folded into the layers
 * before it; q, k, v in one matrix.  GD_EFORMAT for what is not finite. */
gd_feature_source gd_vit_file_source(const gd_vit_file *file);

/* ---- vit.c ---- */

/* x [N,image,image,3] -> features [N,1,1,gd_vit_width]; config: a gd_vit_config */
gd_val gd_vit_build(gd_graph *g, const void *config, int n, gd_val *x);

#endif
