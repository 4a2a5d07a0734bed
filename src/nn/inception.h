/* SPDX-License-Identifier: MIT */
/* inception.h - the Inception network of 5 December 2015, whose features Frechet distances,
 * Inception Scores and precision / recall are measured in.  Source:
 * docs/reference/networks.md#inception; Szegedy et al. 2015, "Rethinking the Inception
 * Architecture".
 *
 * Not torchvision's inception_v3: means of SAME pooling divide by the taps inside the image, the
 * last block pools the maximum, images are resized by TensorFlow 1's bilinear and scaled to (v -
 * 128) / 128, and there are 1008 classes. */
#ifndef GD_NN_INCEPTION_H
#define GD_NN_INCEPTION_H

#include "graph/graph.h"

/* Features of one image: pool_3; the first 7 channels of mixed_6/conv as (y * 17 + x) * 7 + c; the
 * softmax of logits without bias */
enum { GD_INCEPTION_POOL = 2048, GD_INCEPTION_SPATIAL = 2023, GD_INCEPTION_CLASSES = 1008 };
enum { GD_INCEPTION_SIDE = 299 }; /* what images are resized to */

/* ---- inception_file.c: a file of weights, no network made yet ---- */

/* Recognised by content, whatever the container (io.h): TensorFlow's GraphDef (the authors'
 * classify_image_graph_def.pb), the state dict of pytorch-fid and torch-fidelity
 * (Conv2d_1a_3x3.conv.weight ..), that of the NVIDIA / OpenAI ports (layers.conv.weight ..), or our
 * own safetensors.  Every key and shape is checked: GD_EFORMAT with one table of what is missing or
 * of another shape; other keys are stepped over.  Batch normalisation is folded into weights and
 * biases when they are read, in double, then rounded: what is not finite then is GD_EFORMAT. */
typedef struct gd_inception_file gd_inception_file;
GD_CHECKED gd_status gd_inception_file_open(gd_inception_file **out, const char *path);
void gd_inception_file_close(gd_inception_file *file); /* NULL is fine */
/* Does the file hold keys of this network, be they too few?  false for what cannot be opened */
bool gd_is_inception_file(const char *path);
/* "GraphDef", "pytorch-fid", "NVIDIA port", "safetensors" */
const char *gd_inception_file_format(const gd_inception_file *file);
int64_t gd_inception_file_parameters(const gd_inception_file *file); /* after folding */
/* 32 hex digits: XXH3-128 of the folded weights as float32, each convolution's weights
 * [co][ci][h][w] and bias in the network's order, then the classes' [1008][2048]; the same for
 * every format. */
GD_CHECKED gd_status gd_inception_file_hash(const gd_inception_file *file, char text[33]);
/* Folded, by the network's own names ("mixed_6.tower.conv_1.weight", ".bias", "output.weight"), as
 * long as the file is open */
gd_weights gd_inception_file_weights(const gd_inception_file *file);
/* Made up: a function of the names, as gd_init_synthetic */
gd_weights gd_inception_synthetic(void);
/* Our own file of such weights: float32 safetensors, guided.kind "inception" */
GD_CHECKED gd_status gd_inception_write(const char *path, bool overwrite,
                                        const gd_weights *weights);

/* ---- inception.c: the network, ready to run ---- */

typedef struct gd_inception gd_inception;
/* From a file as above.  Images are height x width x 3 bytes, any size, or 0 x 0: the caller
 * resizes and scales them (gd_inception_run_scaled); `batch`: most images of one run of the
 * network. */
GD_CHECKED gd_status gd_inception_open(gd_inception **out, const char *path, int batch, int height,
                                       int width);
/* From any source of folded weights, asked before this returns */
GD_CHECKED gd_status gd_inception_make(gd_inception **out, const gd_weights *weights, int batch,
                                       int height, int width);
void gd_inception_close(gd_inception *net); /* NULL is fine */
/* pixels [n][height][width][3], any n -> pool [n][2048], spatial [n][2023] (may be NULL),
 * probabilities [n][1008] (may be NULL).  The result of an image depends neither on n, on `batch`,
 * on its position nor on the number of threads.  GD_EFAILED names the image, counted from 0 in this
 * call, whose features are not finite. */
GD_CHECKED gd_status gd_inception_run(gd_inception *net, int n, const uint8_t *pixels, float *pool,
                                      float *spatial, float *probabilities);
/* The same of x [n][3][299][299], which the caller resized and scaled, by a network of 0 x 0 */
GD_CHECKED gd_status gd_inception_run_scaled(gd_inception *net, int n, const float *x, float *pool,
                                             float *spatial, float *probabilities);
/* As gd_inception_file_format and _hash; "" and the same hash when made from other weights */
const char *gd_inception_format(const gd_inception *net);
gd_status gd_inception_hash(const gd_inception *net, char text[33]);
size_t gd_inception_bytes(const gd_inception *net); /* weights, activations, working space */
/* For profiles and benchmarks */
const gd_plan *gd_inception_plan(const gd_inception *net);
gd_exec *gd_inception_exec(gd_inception *net);

#endif
