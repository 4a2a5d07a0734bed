/* SPDX-License-Identifier: MIT */
/* nn.h - the networks of the paper on the graph engine, and model files.
 *
 * A scope passed by value gives parameters their checkpoint names, so that the code reads like the
 * paper and a file loads strictly by name.  Source: docs/reference/networks.md. */
#ifndef GD_NN_H
#define GD_NN_H

#include "graph/graph.h"
#include "nn/config.h"

/* ---- layers.c: building blocks; x: [N,H,W,C] ---- */

#define NN_DROPOUT_KEYS "dropout_keys"

/* What the blocks of a family are called and how they differ from ADM's */
typedef struct nn_style {
    const char *norm0, *conv0, *embed, *norm1, *dropout, *conv1,
        *skip;                               /* residual block's layers */
    const char *attention_norm, *qkv, *proj; /* attention block's */
    int norm_groups,
        group_channels; /* of every norm: so many groups, of at least so many channels */
    float norm_epsilon;
    float block_scale;      /* both blocks' results are multiplied by it; 1: ADM */
    bool smooth_resampling; /* gd_upsample_smooth, gd_downsample_smooth */
    bool resampled_skip;    /* a block that resamples has a 1x1 skip whatever its widths */
    bool interleaved_heads; /* qkv's rows in the file are head, channel, (q, k, v) */
    int attention_rank;     /* dimensions of the weights of qkv and proj in the file */
} nn_style;

/* Parameters, and constants that stand among them in a file, as layers ask for them */
typedef struct nn_listing {
    gd_arena *mem;
    gd_param_spec *param, *constant; /* constants: the filters of resampling layers */
    int n_param, n_constant, cap_param, cap_constant;
} nn_listing;

typedef struct nn {
    gd_graph *g;
    const char *scope;     /* "input_blocks.1.0"; "" at the root */
    double dropout;        /* > 0: ResBlocks drop with this probability, by the input
                              NN_DROPOUT_KEYS: I32 [N,1,1,2], new ones for every step */
    const nn_style *style; /* NULL: ADM's */
    nn_listing *listing;   /* NULL: not asked for */
} nn;

typedef enum nn_resample { NN_SAME, NN_UP, NN_DOWN } nn_resample;

nn nn_at(nn m, const char *format, ...) GD_PRINTF(2, 3); /* the scope m.scope + "." + text */
gd_val nn_conv(nn m, gd_val x, int channels, int kernel, int stride);
gd_val nn_conv_padded(nn m, gd_val x, int channels, int kernel, int stride, int pad);
gd_val nn_conv_zero(nn m, gd_val x, int channels, int kernel); /* zero before it is trained */
/* 3x3 convolution of x padded by 2, then every second pixel through [1,3,3,1]: half the size */
gd_val nn_conv_smooth_down(nn m, gd_val x, int channels);
gd_val nn_linear(nn m, gd_val x, int channels);       /* [N,H,W,C], weights of two dimensions */
gd_val nn_linear_plain(nn m, gd_val x, int channels); /* without bias */
gd_val nn_norm(nn m, gd_val x, gd_val scale_shift);   /* GroupNorm32 */
/* emb: [N,1,1,E], already through SiLU */
gd_val nn_resblock(nn m, gd_val x, gd_val emb, int channels, nn_resample resample,
                   bool scale_shift_norm);
gd_val nn_attention_block(nn m, gd_val x, int heads, gd_head_order order);
gd_val nn_attention_pool(nn m, gd_val x, int heads,
                         int out_channels); /* [N,H,W,C] -> [N,1,1,out] */
/* Rows of a table [rows, channels] by labels [N,1,1,1] */
gd_val nn_embedding(nn m, gd_val labels, int rows, int channels);
/* Another parameter of the scope: 1-D, [1,1,1,channels] */
gd_val nn_vector(nn m, const char *name, int64_t channels, gd_init_rule init);
/* Something in the scope that files have and that is no parameter: for the listing only */
void nn_constant(nn m, const char *name, int rank, const int64_t *dim);
gd_val nn_upsample(nn m, gd_val x, bool conv, int channels);
gd_val nn_downsample(nn m, gd_val x, bool conv, int channels);

/* ---- unet.c: whole networks ---- */

typedef struct gd_net {
    gd_val augment;      /* [N,1,1,augment_dim] input "augment", when built with it */
    gd_val x;            /* [N,H,W,in] input "x" */
    gd_val t;            /* [N] input "t", float: the time that the schedule gives the network */
    gd_val y;            /* [N] input "y", int32 labels; none when not class-conditional */
    gd_val low_res;      /* input "low_res" of the super-resolution network */
    gd_val dropout_keys; /* when built for training with dropout */
    gd_val out;          /* [N,H,W,out] or logits [N,1,1,classes] */
} gd_net;

/* Sizes of one use of a network; the networks are fully convolutional but for the classifier's
 * attention pool. */
typedef struct gd_net_size {
    int n, h, w;
    int low_h, low_w; /* super-resolution only */
    bool augmented;   /* EDM: with the input "augment", which sampling leaves out */
} gd_net_size;

/* n images of the size that the network is made for */
gd_net_size gd_net_natural_size(const gd_net_config *config, int n);

void gd_net_build(gd_net *out, gd_graph *g, const gd_net_config *config, const gd_net_size *size,
                  bool training);
/* The classifier's guidance: gradient of sum log p(y|x_t) with respect to x; adds the input "y". */
gd_val gd_net_guidance(gd_net *net, gd_graph *g, int classes);

/* ---- model.c: a model file ---- */

/* A checkpoint opened and recognised; its weights are read when they are fetched */
typedef struct gd_model gd_model;
/* flags: [n_flags], or NULL and 0.  GD_EFORMAT, GD_EUSAGE: as guided_model_open */
GD_CHECKED gd_status gd_model_open(gd_model **out, const char *path, const gd_flag *flags,
                                   int n_flags);
void gd_model_close(gd_model *model); /* NULL is fine */
/* NULL where the file names no classes, or i is none of them */
const char *gd_model_class_name(const gd_model *model, int i);
/* 32 hex digits and a zero: XXH3-128 of the parameters as float32, whatever the container */
GD_CHECKED gd_status gd_model_hash(const gd_model *model, char text[33]);
/* Fresh weights: as PyTorch would initialise them from `seed`, or the synthetic rule of the
 * full-size reference cases. */
GD_CHECKED gd_status gd_model_create(gd_model **out, const gd_model_config *config, uint64_t seed,
                                     bool synthetic);
/* Parameters that the caller fetches, and keeps alive with the model */
GD_CHECKED gd_status gd_model_wrap(gd_model **out, const gd_model_config *config,
                                   const gd_weights *weights);

const gd_model_config *gd_model_get_config(const gd_model *m);
const char *gd_model_assumed(const gd_model *m); /* lines; "" when nothing was assumed */
const char *gd_model_path(const gd_model *m);    /* "" for gd_model_create */
int64_t gd_model_parameters(const gd_model *m);
int gd_model_class_count(const gd_model *m);
/* A parameter of this name and shape (dimensions of 1 aside) */
bool gd_model_has(const gd_model *m, const char *name, const gd_type *type);
/* The levels of GD_PRECOND_IDDPM as the file has them, else gd_edm_levels */
GD_CHECKED gd_status gd_model_levels(const gd_model *m, float levels[GD_EDM_LEVELS]);
/* Fetch parameters for gd_exec_make */
gd_weights gd_model_weights(const gd_model *m);

/* One image's network, from its plan without running it */
typedef struct gd_model_cost {
    double forward_macs, gradient_macs; /* gradient: a classifier's forward and input gradient */
    size_t weights_bytes, activations_bytes;
} gd_model_cost;
GD_CHECKED gd_status gd_model_get_cost(gd_model_cost *out, const gd_model *m, bool bf16);
GD_CHECKED gd_status gd_model_dump_graph(const gd_model *m, FILE *out);
/* Write safetensors with configuration, classes and hash (io.h), or, where the path ends in ".pt",
 * a state dict as torch.save does, which has no fields for them.  dtype GD_F32, GD_BF16 or GD_F16.
 * classes may be NULL: those of m. */
GD_CHECKED gd_status gd_model_save(const gd_model *m, const char *path, bool overwrite,
                                   gd_dtype dtype, const char *const *classes, int n_classes);

/* ---- diffusers_save.c ---- */

/* Write a folder (created) that diffusers' UNet2DModel loads: config.json, scheduler_config.json
 * and diffusion_pytorch_model.safetensors.  GD_EMISMATCH with the reason for a model that it cannot
 * express. */
GD_CHECKED gd_status gd_model_save_diffusers(const gd_model *m, const char *folder, bool overwrite);

/* ---- packed.c: weights as one plan wants them ---- */

/* Write safetensors with the weights as gd_runner_make wants them for images of the model's own
 * size, a classifier's for its gradient, in this precision on this machine: opened again they are
 * mapped and used where they lie.  classes: as gd_model_save's. */
GD_CHECKED gd_status gd_model_pack(const gd_model *m, const char *path, bool overwrite, bool bf16,
                                   const char *const *classes, int n_classes);
/* What such a file's weights are packed for, to be read; NULL: another file.  Parameters of a
 * packed model cannot be fetched. */
const char *gd_model_packed(const gd_model *m);

/* ---- training_file.c: which weights of a run ---- */

enum { GD_MAX_PATH = 4096 };
/* The checkpoints of a run's folder, "checkpoint-000000100.safetensors": their steps, newest first;
 * a block.  None: *n = 0. */
GD_CHECKED gd_status gd_run_steps(int64_t **steps, int *n, const char *folder);
void gd_run_path(char out[GD_MAX_PATH], const char *folder, int64_t step);
/* Path of the newest one whose hash is right; the others are named in the log. GD_EFORMAT: none. */
GD_CHECKED gd_status gd_run_newest(char out[GD_MAX_PATH], const char *folder);

/* ---- runner.c: a network ready to run ---- */

/* Graph, plan and executor of one model for one size; with guidance it computes the classifier's
 * gradient.  threads: that run it, at most. */
typedef struct gd_runner gd_runner;
GD_CHECKED gd_status gd_runner_make(gd_runner **out, const gd_model *m, const gd_net_size *size,
                                    bool guidance, bool bf16, int threads);
/* One whose runs can be followed by gd_runner_vjp; `recompute`: with less memory and more time. */
GD_CHECKED gd_status gd_runner_make_vjp(gd_runner **out, const gd_model *m, const gd_net_size *size,
                                        bool bf16, bool recompute, int threads);
/* Another one with the weights of `of`, which must outlive it: two threads may run the two at once.
 */
GD_CHECKED gd_status gd_runner_make_beside(gd_runner **out, const gd_runner *of);
void gd_runner_free(gd_runner *r);
size_t gd_runner_bytes(const gd_runner *r);
const gd_plan *gd_runner_plan(const gd_runner *r);
gd_exec *gd_runner_exec(const gd_runner *r);
/* x [N][C][H][W], t [N], y [N] or NULL, low_res or NULL -> out (the network's output, or the
 * gradient).  GD_EFAILED names the first node whose result is not finite. */
GD_CHECKED gd_status gd_runner_run(gd_runner *r, const float *x, const float *t, const int64_t *y,
                                   const float *low_res, float *out);
/* Of a runner with guidance: the classifier's output [N][classes] at the latest gd_runner_run */
void gd_runner_logits(const gd_runner *r, float *logits);
/* J^T cotangent with respect to x at the latest gd_runner_run, once; cotangent of the output's size
 * [N][out][H][W], gradient of x's.  GD_EFAILED when it is not finite. */
GD_CHECKED gd_status gd_runner_vjp(gd_runner *r, const float *cotangent, float *gradient);

#endif
