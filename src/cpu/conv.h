/* SPDX-License-Identifier: MIT */
/* conv.h - convolution: forward, gradient of the data, gradient of the weights.  A linear layer is
 * a 1x1 convolution on 1x1 pixels.
 *
 * A gd_conv is made once per shape ("before the first step"), packs weights once, and is bound to
 * buffers once; running it cannot fail and does not allocate.  The
 * engines are in cpu/conv, a file each; plain.c is the reference for GUIDED_ISA=c that the others
 * are tested against. */
#ifndef GD_CPU_CONV_H
#define GD_CPU_CONV_H

#include "cpu/cpu.h"

typedef enum gd_conv_pass { GD_CONV_FORWARD, GD_CONV_GRAD_DATA, GD_CONV_GRAD_WEIGHTS } gd_conv_pass;
typedef enum gd_conv_algo {
    GD_CONV_DIRECT,
    GD_CONV_WINOGRAD,        /* ours (winograd.inc, winograd_weights.inc) */
    GD_CONV_OUTER,           /* ours, gradients of weights (outer.inc) */
    GD_CONV_TILES,           /* ours, bfloat16 by AMX (tiles.inc) */
    GD_CONV_ONEDNN_WINOGRAD, /* never chosen: part of the floor that bench.h measures */
    GD_CONV_PLAIN
} gd_conv_algo;

/* y[n,o,:] = sum_i w[o,i,:,:] * x[n,i,:] + bias[o] (+ residual, when accumulate), then max(0, y)
 * with relu; zero padding, the same stride both ways. dtype: of the operands that are multiplied
 * (GD_F32 or GD_BF16); results are float32. */
typedef struct gd_conv_desc {
    gd_conv_pass pass;
    int n, ci, h, w; /* x: [n,ci,h,w] */
    int co, kernel, stride, pad;
    int kernel_w, pad_w; /* of a kernel that is not square: its columns and the padding left and
                            right, kernel and pad being its rows'; kernel_w 0: as kernel and pad */
    gd_dtype dtype;
    int threads;     /* that run it, at most; 0: gd_threads() when it is made */
    bool blocked;    /* activations are nChw16c, else nhwc */
    bool bias;       /* FORWARD only */
    bool accumulate; /* FORWARD only: add the residual */
    bool relu;       /* FORWARD only: last of all; a NaN may come out as 0 */
} gd_conv_desc;

/* Columns of the kernel, and padding left and right */
static inline int gd_conv_kernel_w(const gd_conv_desc *desc)
{
    return desc->kernel_w ? desc->kernel_w : desc->kernel;
}

static inline int gd_conv_pad_w(const gd_conv_desc *desc)
{
    return desc->kernel_w ? desc->pad_w : desc->pad;
}

int gd_conv_out(int height, const gd_conv_desc *desc); /* output height for an input height */
int gd_conv_out_w(int width, const gd_conv_desc *desc);
double gd_conv_macs(const gd_conv_desc *desc); /* multiply-adds of the direct algorithm, any pass */

/* Which algorithm a shape gets: a pure function of shape, ISA and GUIDED_CONV (auto,
 * direct), never of a timing.  Winograd: 3x3 stride 1 with channels in sixteens.  Outer: other
 * float32 gradients of weights with such channels. */
gd_conv_algo gd_conv_choose(const gd_conv_desc *desc);
/* The row of the table for the ISA in use: pixels of all images from which it chooses Winograd */
int gd_conv_winograd_pixels(gd_conv_pass pass, gd_dtype dtype);
const char *gd_conv_algo_name(gd_conv_algo algo);
/* The value of GUIDED_CONV: "auto" or "direct"; GD_EUSAGE for any other word. Checked by
 * gd_conv_make too. */
GD_CHECKED gd_status gd_conv_mode(const char **out);

typedef struct gd_conv gd_conv;
/* With the algorithm of gd_conv_choose.  GD_EUSAGE with
 * the shape in the message when no kernel can do it; GD_ENOMEM. */
GD_CHECKED gd_status gd_conv_make(gd_conv **out, const gd_conv_desc *desc);
/* With this algorithm or not at all: for measuring the floor. */
GD_CHECKED gd_status gd_conv_make_as(gd_conv **out, const gd_conv_desc *desc, gd_conv_algo algo);
void gd_conv_free(gd_conv *conv); /* NULL is fine */
gd_conv_algo gd_conv_algo_of(const gd_conv *conv);
const char *
gd_conv_kernel_name(const gd_conv *conv);          /* oneDNN's implementation string, or "plain" */
size_t gd_conv_weights_bytes(const gd_conv *conv); /* packed; for GRAD_WEIGHTS 0 */
size_t gd_conv_scratch_bytes(const gd_conv *conv);
/* packed <- weights [co][ci][kernel][kernel_w] float32 */
GD_CHECKED gd_status gd_conv_pack(const gd_conv *conv, void *packed, const float *weights);
/* The same in so many bands, each as many consecutive filters, by several threads in any order; 0:
 * only as a whole.  weights: of all bands; stream: past the caches */
int gd_conv_pack_bands(const gd_conv *conv);
void gd_conv_pack_band(const gd_conv *conv, void *packed, const float *weights, int band,
                       bool stream);

/* Adds a description of how packed weights lie: those that add the same may use each other's.
 * GD_EUSAGE: in no known order */
GD_CHECKED gd_status gd_conv_hash_layout(const gd_conv *conv, gd_hasher *hasher);

/* Buffers of one use.  FORWARD: x, weights (packed), bias, y, residual (float32 laid out as y; may
 * be y).  GRAD_DATA: y (= dy), weights, x (= dx). GRAD_WEIGHTS: x, y (= dy), dweights
 * [co][ci][kernel][kernel_w] float32.  scratch: gd_conv_scratch_bytes, 64-byte aligned, shared by
 * all. */
typedef struct gd_conv_buffers {
    void *x, *y, *weights, *scratch;
    const float *bias, *residual;
    float *dweights;
} gd_conv_buffers;
typedef struct gd_conv_call gd_conv_call;
GD_CHECKED gd_status gd_conv_bind(gd_conv_call **out, const gd_conv *conv,
                                  const gd_conv_buffers *buffers);
void gd_conv_run(const gd_conv_call *call);
void gd_conv_call_free(gd_conv_call *call); /* NULL is fine */

const char *gd_onednn_version(void); /* "2.6.3" */

/* peak.c: multiply-adds per second that all threads reach now in registers alone (x2 = FLOP/s),
 * float32 FMA or bfloat16 dot products; best of several short runs, about 50 ms. */
double gd_peak_macs(gd_dtype dtype);

#endif
