/* SPDX-License-Identifier: MIT */
/* cpu.h - kernels on pointers and sizes.  Knows no graph.  Sees base only.
 *
 * What oneDNN does not have (or not well) is written once over float lanes (kernels/vec.h,
 * *.inc) and compiled once per ISA (kernels/isa_*.c); gd_kernels is the table of the ISA in
 * use.  Convolutions are in conv.h; matrix products and reorders are oneDNN's, behind
 * conv/onednn.c.
 *
 * Bits: results never depend on the number of threads.  Pointwise kernels, norms, resampling and
 * softmax give the same bits on every ISA (no FMA contraction, own exp/log); attention and SiLU
 * agree within rounding. */
#ifndef GD_CPU_H
#define GD_CPU_H

#include "base/base.h"

/* ---- select.c: which ISA ---- */

typedef enum gd_isa {
    GD_ISA_C,
    GD_ISA_NEON,
    GD_ISA_SSE41,
    GD_ISA_AVX2,
    GD_ISA_AVX512,
    GD_ISA_AVX512_BF16,
    GD_ISA_AVX512_AMX
} gd_isa;
/* The best this machine has, or what GUIDED_ISA (a name of the table in select.c) forces; decided
 * at the first call. gd_isa_force is for tests and the command (GD_EUSAGE when the machine lacks
 * it): before the first plan only. */
gd_isa gd_isa_used(void);
const char *gd_isa_name(gd_isa isa);
enum { GD_ISA_NAMES = 128 };
void gd_isa_names(char list[GD_ISA_NAMES]); /* of this architecture, with commas, in rising order */
/* GD_EUSAGE: GUIDED_ISA is none of gd_isa_names. More than the machine has is no error: the
 * machine's best is used. Asked wherever a convolution is made. */
GD_CHECKED gd_status gd_isa_check(void);
GD_CHECKED gd_status gd_isa_force(const char *name);

/* ---- activations ---- */

/* [N][C][H*W] of float32 or bfloat16 in one of two layouts, which differ by strides only (in
 * elements): element (n, c, p) is at n * image + (c / 16) * block + p * pixel + c % 16 nhwc: pixel
 * = C,  block = 16,       image = H*W*C nChw16c: pixel = 16, block = 16 * H*W, image = ceil(C/16) *
 * 16 * H*W; lanes beyond C exist and hold zeros, always. In nhwc the lanes beyond C in the last
 * block of 16 belong to the next pixel: read and written by partial vectors only. */
typedef struct gd_view {
    void *data;
    gd_dtype dtype; /* GD_F32 or GD_BF16 */
    int n, c, h, w;
    int64_t pixel, block, image;
} gd_view;

static inline bool gd_view_blocked(const gd_view *v)
{
    return v->pixel == 16 && v->block != 16;
}

typedef enum gd_act { GD_ACT_NONE, GD_ACT_SILU } gd_act;
/* x Phi(x), Phi the normal distribution: by the error function; x / (1 + e^(-1.702 x)); by tanh
 * (Hendrycks & Gimpel 2016) */
typedef enum gd_gelu { GD_GELU_EXACT, GD_GELU_QUICK, GD_GELU_TANH } gd_gelu;
typedef enum gd_resample_kind { GD_UP_NEAREST, GD_DOWN_AVERAGE } gd_resample_kind;
/* Head layout of the 3C rows of qkv (docs/reference/networks.md#attention): legacy h*3ch + p*ch +
 * c; new p*C + h*ch +
 * c */
typedef enum gd_head_order { GD_HEADS_LEGACY, GD_HEADS_NEW } gd_head_order;

/* A square window that moves over rows and columns; pad < kernel */
typedef struct gd_window {
    int kernel, stride, pad;
} gd_window;

/* AdamW with betas, eps and decoupled weight decay, then the averages of the new parameters
 * (docs/reference/training.md#updates).  rest = 1 - beta, rounded from double.  decay = 1 - lr *
 * weight_decay, step = lr / (1 - beta1^k), root = sqrt(1 - beta2^k) at update k = 1, 2, .. */
enum { GD_MAX_EMA = 4 };
typedef struct gd_adamw {
    float beta1, rest1, beta2, rest2, eps, decay, step, root;
    int n_ema;
    float ema_rate[GD_MAX_EMA], ema_rest[GD_MAX_EMA];
} gd_adamw;
typedef struct gd_adamw_state {
    float *p, *m, *v, *ema[GD_MAX_EMA];
    const float *gradient;
} gd_adamw_state;

/* Jobs of the convolutions' kernels (cpu/kernels/conv_jobs.h) */
typedef struct gd_winograd gd_winograd;
typedef struct gd_winograd_packing gd_winograd_packing;
typedef struct gd_winograd_weights gd_winograd_weights;
typedef struct gd_blocks_packing gd_blocks_packing;
typedef struct gd_outer gd_outer;
typedef struct gd_tiles gd_tiles;

/* Group normalisation of x, C divisible by groups (docs/reference/networks.md#layers) */
typedef struct gd_norm {
    const gd_view *x;
    /* [N][2][C]: mean, and 1 / sqrt(biased variance + eps), of the channel's group; accurate for
     * |mean| >> sigma */
    float *stats;
    int groups;
    float eps;
    const float *gamma, *beta; /* [C] */
    const float *modulation;   /* NULL, or [N] rows of {scale[C], shift[C]} */
    int64_t mod_stride;        /* floats */
    gd_act act;
} gd_norm;

/* Any kernel parallelises by itself with gd_par, bounds fixed by shape.  y is written whole (pad
 * lanes as zeros); y may be x (same strides) where noted.  All views of one call have the same
 * layout.  bfloat16 is possible for y of convert, norm, resample and attention, dx of
 * norm_grad, and for x of convert; all other views are float32. */
typedef struct gd_kernels {
    /* ---- element by element; y may be a or b ---- */
    void (*silu)(const gd_view *y, const gd_view *x);
    void (*silu_grad)(const gd_view *dx, const gd_view *dy,
                      const gd_view *x); /* dy * s * (1 + x (1 - s)), s = sigmoid(x) */
    void (*relu)(const gd_view *y, const gd_view *x);
    void (*gelu)(const gd_view *y, const gd_view *x, gd_gelu kind);
    void (*relu_grad)(const gd_view *dx, const gd_view *dy, const gd_view *x); /* dy where x > 0 */
    void (*add)(const gd_view *y, const gd_view *a, const gd_view *b);
    void (*mul)(const gd_view *y, const gd_view *a, const gd_view *b);
    void (*scale)(const gd_view *y, const gd_view *x, float factor);
    /* copy with change of layout and dtype */
    void (*convert)(const gd_view *y, const gd_view *x);
    /* y[:, y_c0 : y_c0+count] = x[:, x_c0 : x_c0+count]; other channels of y untouched; fast where
     * all are multiples of 16 */
    void (*copy_channels)(const gd_view *y, int y_c0, const gd_view *x, int x_c0, int count);

    /* ---- per channel ---- */
    /* y[n,c,p] = x[n,c,p] + e[n,c]; e is a view with h = w = 1, n = x's n or 1; y may be x */
    void (*add_channel)(const gd_view *y, const gd_view *x, const gd_view *e);
    /* e[n,c] = factor * sum over p of x[n,c,p]; with e->n == 1 and x->n > 1 also summed over n.  e:
     * h = w = 1, float32 */
    void (*sum_pixels)(const gd_view *e, const gd_view *x, float factor);
    /* y[n,c,p] = factor * e[n,c] for all p */
    void (*spread_pixels)(const gd_view *y, const gd_view *e, float factor);

    /* ---- group normalisation ---- */
    /* Statistics, from chunks' shifted sums in double in an order fixed by shape; then y = act(u),
     * u = ((x - mean) * rstd * gamma + beta) * (1 + scale) + shift.  y may be x when dtypes and
     * strides agree. */
    void (*norm)(const gd_norm *norm, const gd_view *y);
    /* From stats, with du = dy * act'(u), xhat = (x - mean) * rstd: sums[n][0][c] = sum_p du,
     * sums[n][1][c] = sum_p du * xhat, [N][2][C] floats; then dx = rstd * (A du - m1 - xhat * m2),
     * A = gamma (1 + scale), m1 = mean over the group of A du, m2 = of A du xhat.  dx may be dy. */
    void (*norm_grad)(const gd_norm *norm, const gd_view *dx, const gd_view *dy, float *sums);

    /* Layer normalisation of each pixel over its channels (Ba et al. 2016): y = (x - mean) *
     * rstd * gamma + beta, biased variance; gamma, beta: [C].  y may be x. */
    void (*layer_norm)(const gd_view *y, const gd_view *x, const float *gamma, const float *beta,
                       float eps);

    /* Each channel by its own filter, stride 1, zeros outside x; weight: [kernel^2][C] */
    void (*depthwise)(const gd_view *y, const gd_view *x, const float *weight, const float *bias,
                      int kernel);
    /* Global response normalisation (Woo et al. 2023): y = gamma x g / (mean of g over the channels
     * + eps) + beta + x, g a channel's length over the pixels; scratch: [N][C].  y may be x. */
    void (*response_norm)(const gd_view *y, const gd_view *x, const float *gamma, const float *beta,
                          float eps, float *scratch);

    /* ---- resampling ---- */
    /* UP_NEAREST: y[.., i, j] = factor * x[.., i/2, j/2], zero where i/2 or j/2 is outside x
     * (adjoint of an odd-sized average). DOWN_AVERAGE: y[i,j] = factor * (sum of x's 2x2 block) /
     * 4, y h = x h / 2 rounded down. */
    void (*resample)(const gd_view *y, const gd_view *x, gd_resample_kind kind, float factor);
    /* bilinear, align_corners = false (docs/reference/networks.md#upsampler), any sizes; and its
     * adjoint (dx = sum of weights * dy) */
    void (*bilinear)(const gd_view *y, const gd_view *x);
    void (*bilinear_grad)(const gd_view *dx, const gd_view *dy);

    /* y = (v - 128) / 128 with v of x, [y->n][h][w][y->c] bytes, at most 16 channels, resized to
     * y's size by TensorFlow 1's bilinear: output i samples i * in / out, without half pixels and
     * without antialiasing (docs/reference/evaluation.md#features) */
    void (*resize_bytes)(const gd_view *y, const uint8_t *x, int h, int w);

    /* ---- pooling: under each position of the window, taps outside x not counted ---- */
    void (*max_pool)(const gd_view *y, const gd_view *x, gd_window window); /* NaN where one is */
    /* dy to the first of the largest; x: what was pooled */
    void (*max_pool_grad)(const gd_view *dx, const gd_view *dy, const gd_view *x, gd_window window);
    void (*mean_pool)(const gd_view *y, const gd_view *x, gd_window window);
    void (*mean_pool_grad)(const gd_view *dx, const gd_view *dy, gd_window window);

    /* ---- attention (docs/reference/networks.md#attention) ---- */
    /* out[n, h*ch + c, t] = sum_s softmax_s(q.k / sqrt(ch)) v[c, s]; qkv has 3C channels, C =
     * out->c, T = h*w, ch = C / heads, any ch >= 1.  No T x T matrix: tiles with running maximum
     * and sum.  lse: [N][heads][T] log-sum-exp for the backward, may be NULL.  scratch:
     * gd_attention_scratch() bytes, 64-byte aligned. */
    void (*attention)(const gd_view *out, float *lse, const gd_view *qkv, int heads,
                      gd_head_order order, void *scratch);
    void (*attention_grad)(const gd_view *dqkv, const gd_view *dout, const gd_view *out,
                           const gd_view *qkv, const float *lse, int heads, gd_head_order order,
                           void *scratch);
    /* The same with factors rounded to bfloat16, where the ISA multiplies that */
    void (*attention_bf16)(const gd_view *out, float *lse, const gd_view *qkv, int heads,
                           gd_head_order order, void *scratch);
    void (*attention_grad_bf16)(const gd_view *dqkv, const gd_view *dout, const gd_view *out,
                                const gd_view *qkv, const float *lse, int heads,
                                gd_head_order order, void *scratch);

    /* ---- 3x3 convolution ---- */
    void (*winograd)(const gd_winograd *job);
    /* One of co / GD_BAND bands; several threads may pack different ones. */
    void (*winograd_pack)(const gd_winograd_packing *job, int band);
    void (*blocks_pack)(const gd_blocks_packing *job, int band);
    void (*winograd_weights)(const gd_winograd_weights *job);
    void (*outer_weights)(const gd_outer *job);
    void (*tiles_run)(const gd_tiles *job); /* NULL but for GD_ISA_AVX512_AMX, as the next */
    /* packed <- filters [co][ci][taps], taps 1 or 9; backward_data: the filters of backward data,
     * which has ci channels out.  packed: taps * channels in, rounded up to 32, * channels out */
    void (*tiles_pack)(uint16_t *packed, const float *filters, int co, int ci, int taps,
                       bool backward_data);

    /* ---- small ---- */
    /* out[n][dim] = cos(t f_i).., sin(t f_i).., 0 if dim is odd; f_i = exp(-ln(max_period) i /
     * half) in float (docs/reference/networks.md#layers) */
    void (*timestep_embedding)(float *out, const float *t, int n, int dim, float max_period);
    /* rows of [n][c] floats, row stride `stride`; y may be x */
    void (*log_softmax)(float *y, const float *x, int n, int c, int64_t stride);
    void (*log_softmax_grad)(float *dx, const float *dy, const float *y, int n, int c,
                             int64_t stride); /* dy - exp(y) sum dy */

    /* ---- training ---- */
    /* y = x / (1 - p) or 0, with probability p; which is a function of key[n][2], layer, channel
     * and pixel, so that the gradient is the same call.  y may be x. */
    void (*dropout)(const gd_view *y, const gd_view *x, const uint32_t *key, uint32_t layer,
                    float p);
    /* On the calling thread */
    void (*adamw)(const gd_adamw *rule, const gd_adamw_state *state, int64_t count);
    /* The sum of squares in double, in an order fixed by count, on the calling thread */
    double (*square_sum)(const float *x, int64_t count);
} gd_kernels;

/* The table of gd_isa_used(); gd_kernels_of is for tests that compare ISAs (NULL when the machine
 * lacks it). */
const gd_kernels *gd_kernels_get(void);
const gd_kernels *gd_kernels_of(gd_isa isa);
/* Bytes of scratch that attention / attention_grad need for one image; images are done one after
 * another. */
size_t gd_attention_scratch(int heads, int head_channels, int tokens, bool backward);

#endif
