/* SPDX-License-Identifier: MIT */
/* graph.h - a network as a static list of nodes: build, check, differentiate, rewrite, lay out,
 * run.
 *
 * A graph is built once, every shape is checked while it is built, gradients are appended as
 * further nodes, passes rewrite it, a plan gives each value its offset in one arena, and an
 * executor runs the plan any number of times without allocating. Knows no diffusion and no files.
 */
#ifndef GD_GRAPH_H
#define GD_GRAPH_H

#include "cpu/conv.h"

enum { GD_MAX_IN = 8 };

/* Activations are [N,H,W,C] whatever their memory layout; parameters and small tables are row-major
 * ("plain"). */
typedef struct gd_type {
    int64_t dim[4];
    gd_dtype dtype;
} gd_type;

typedef struct gd_val {
    int32_t id;
} gd_val; /* 0 = none, or poisoned by an error */
#define GD_NONE ((gd_val){ 0 })

typedef enum gd_place {
    GD_PLACE_ACTIVATION, /* [N,H,W,C], nhwc or nChw16c as the plan decides */
    GD_PLACE_PLAIN,      /* row-major table: statistics, labels, gradients of parameters */
    GD_PLACE_PACKED      /* a convolution's weights in its own layout */
} gd_place;

typedef enum gd_role { GD_ROLE_NODE, GD_ROLE_INPUT, GD_ROLE_PARAM } gd_role;

typedef struct gd_value {
    gd_type type;
    gd_place place;
    gd_role role;
    const char *name; /* INPUT, PARAM: its name; otherwise the scope of the layer that made it */
    int node;         /* producer, -1 for inputs and parameters */
    int interleaved;  /* PARAM: heads of gd_param_interleaved; 0: rows as they are fetched */
} gd_value;

/* All attributes of operations; each op's file lists the fields it reads. */
typedef struct gd_attr {
    int kernel, stride, pad;      /* convolution and pooling */
    int kernel_w, pad_w;          /* of a kernel that is not square (gd_conv_desc) */
    bool relu;                    /* convolution: max(0, .) last of all */
    bool bf16;                    /* attention: products of bfloat16 */
    int groups, heads, c0, count; /* norms; attention; channel ranges */
    int h, w, n;                  /* sizes that do not follow from the inputs */
    float factor, eps;
    gd_act act;
    gd_gelu gelu;
    gd_head_order order;
    gd_resample_kind resample;
} gd_attr;

typedef struct gd_op gd_op;
typedef struct gd_graph gd_graph;

typedef struct gd_node {
    const gd_op *op;
    gd_attr attr;
    gd_val in[GD_MAX_IN];
    gd_val out, aux; /* aux: second output some ops have (attention's log-sum-exp) */
    const char *scope;
    uint8_t n_in;
} gd_node;

struct gd_graph {
    gd_arena *mem;
    gd_node *node;
    gd_value *value; /* value[0] is the poison */
    int n_node, n_value, cap_node, cap_value;
    gd_status first_error;
    char error[512];   /* of the first error, with the layer's name */
    const char *scope; /* given to new nodes */
};

/* ---- an operation: everything the engine knows about it ---- */

typedef struct gd_infer {
    const gd_attr *attr;
    const gd_type *in[GD_MAX_IN]; /* NULL where absent */
    int n_in;
    gd_type out, aux; /* to be filled; aux.dtype and dims 0 = none */
    gd_place out_place, aux_place;
} gd_infer;

/* What run gets: views where a value is an activation, pointers everywhere. Absent inputs have data
 * NULL. */
typedef struct gd_call {
    const gd_kernels *k;
    const gd_attr *attr;
    gd_view in[GD_MAX_IN], out, aux;
    void *scratch;
    gd_conv_call *conv;
} gd_call;

typedef struct gd_adjoint {
    gd_graph *g;
    const gd_node *node; /* copy: the graph's array may move while vjp appends */
    gd_val dout;
    bool wanted[GD_MAX_IN];
} gd_adjoint;

struct gd_op {
    const char *name;
    gd_status (*infer)(gd_infer *c); /* the only function that refuses a shape */
    void (*run)(const gd_call *c);   /* compute; cannot fail, allocate or lock */
    void (*vjp)(
        const gd_adjoint *a,
        gd_val dx[GD_MAX_IN]); /* append nodes; leave GD_NONE where not wanted or not defined */
    /* Convolutions only: what primitive they need */
    void (*conv)(gd_conv_desc *desc, const gd_attr *attr, const gd_type *const in[],
                 const gd_type *out);
    size_t (*scratch)(const gd_attr *attr, const gd_type *const in[], const gd_type *out);
    double (*macs)(const gd_attr *attr, const gd_type *const in[], const gd_type *out);
    uint8_t inplace;  /* bit i: the output may be input i's memory */
    bool joins;       /* the inputs one after another along the channels: may be parts of it */
    uint8_t optional; /* bit i: input i may be GD_NONE */
    uint8_t bf16_out; /* 1: can write bfloat16 when asked (passes set out.dtype) */
    /* Small graphs that exercise it: every generic test runs them all.  Returns the value to test.
     */
    gd_val (*example)(gd_graph *g, int k);
    int n_examples;
};

/* Every operation, for tests and printing. */
extern const gd_op *const gd_ops[];
extern const int gd_n_ops;

/* ---- build.c ---- */

GD_CHECKED gd_status gd_graph_make(gd_graph **out);
void gd_graph_free(gd_graph *g);
/* The first error met while building, with the layer's name. */
GD_CHECKED gd_status gd_graph_check(const gd_graph *g);
gd_val gd_input(gd_graph *g, const char *name, gd_type type, gd_place place);
/* The same name twice gives the same value (and must have the same shape). */
gd_val gd_param(gd_graph *g, const char *name, int64_t d0, int64_t d1, int64_t d2, int64_t d3);
/* A parameter of a qkv projection that is fetched with rows head * 3ch + channel * 3 + part, as
 * EDM's networks have them, and used as GD_HEADS_LEGACY: head * 3ch + part * ch + channel.  Its
 * gradient has the rows that are used. */
gd_val gd_param_interleaved(gd_graph *g, const char *name, int64_t d0, int64_t d1, int64_t d2,
                            int64_t d3, int heads);
gd_val gd_node_add(gd_graph *g, const gd_op *op, const gd_attr *attr, const gd_val *in, int n_in);
void gd_graph_fail(gd_graph *g, gd_status status, const char *format, ...) GD_PRINTF(3, 4);
gd_type gd_act_type(int64_t n, int64_t h, int64_t w, int64_t c);
const gd_type *gd_type_of(const gd_graph *g, gd_val v);
/* Types of a node's inputs; NULL where there is none */
void gd_input_types(const gd_graph *g, const gd_node *n, const gd_type *in[GD_MAX_IN]);
int gd_channels(const gd_graph *g, gd_val v);
gd_val gd_find_input(const gd_graph *g, const char *name); /* GD_NONE if absent */
/* One line per node: id, op, scope, shapes, attributes. */
void gd_graph_print(const gd_graph *g, FILE *out);

/* ---- operations (op_*.c) ---- */

/* w: [co,ci,k,k], bias [co] or none, residual like the output or none.  Padding k/2. */
gd_val gd_conv2d(gd_graph *g, gd_val x, gd_val w, gd_val bias, int stride);
/* With a padding of its own on all four sides */
gd_val gd_conv2d_padded(gd_graph *g, gd_val x, gd_val w, gd_val bias, int stride, int pad);
/* max(0, conv): w: [co,ci,kh,kw].  padded: by kh/2 and kw/2 (TensorFlow's SAME for odd kernels with
 * stride 1), else not at all (VALID).  A NaN may come out as 0. */
gd_val gd_conv2d_relu(gd_graph *g, gd_val x, gd_val w, gd_val bias, int stride, bool padded);
/* Statistics [N,2,C] and normalised, modulated, activated x. scale_shift: [N,1,1,2C] or none. */
gd_val gd_group_norm(gd_graph *g, gd_val x, gd_val gamma, gd_val beta, gd_val scale_shift,
                     int groups, float eps);
/* Each pixel over its channels; no gradient, as those of the next four */
gd_val gd_layer_norm(gd_graph *g, gd_val x, gd_val gamma, gd_val beta, float eps);
gd_val gd_gelu_of(gd_graph *g, gd_val x, gd_gelu kind);
/* A row of tokens: table [T,C], T at least the pixels of x; token t is row t of the table, and of
 * the last ones the pixels of x are added: [N,H,W,C] -> [N,1,T,C] */
gd_val gd_tokens(gd_graph *g, gd_val x, gd_val table);
/* Attention of one query, the same for all images: query [1,1,1,C], keys_values [N,H,W,2C] ->
 * [N,1,1,C] */
gd_val gd_probe(gd_graph *g, gd_val query, gd_val keys_values, int heads);
/* Each channel by its own filter: weight plain [kernel^2,C], padding kernel / 2; and ConvNeXt V2's
 * normalisation (gd_kernels.response_norm).  No gradients either. */
gd_val gd_depthwise(gd_graph *g, gd_val x, gd_val weight, gd_val bias, int kernel);
gd_val gd_response_norm(gd_graph *g, gd_val x, gd_val gamma, gd_val beta, float eps);
gd_val gd_silu(gd_graph *g, gd_val x);
gd_val gd_relu(gd_graph *g, gd_val x);
gd_val gd_plus(gd_graph *g, gd_val a, gd_val b);
gd_val gd_times(gd_graph *g, gd_val a,
                gd_val b); /* element by element, equal shapes (dropout masks) */
gd_val gd_scaled(gd_graph *g, gd_val x, float factor);
/* keys: plain I32 [N,1,1,2], new ones for every step; layer: its layer's number, p: of a zero */
gd_val gd_dropout(gd_graph *g, gd_val x, gd_val keys, int layer, float p);
gd_val gd_plus_channel(gd_graph *g, gd_val x, gd_val e); /* e: [N,1,1,C] over all pixels */
gd_val gd_mean_pixels(gd_graph *g, gd_val x);            /* [N,1,1,C] */
gd_val gd_upsample(gd_graph *g, gd_val x);               /* nearest, x2 */
gd_val gd_downsample(gd_graph *g, gd_val x);             /* 2x2 average */
/* With the filter [1,3,3,1] (x) [1,3,3,1] / 64, zeros outside: every second pixel of x padded by
 * `pad`, (H + 2 pad - 4) / 2 + 1 rows; its transpose times 4, 2 H rows */
gd_val gd_downsample_smooth(gd_graph *g, gd_val x, int pad);
gd_val gd_upsample_smooth(gd_graph *g, gd_val x);
/* h x w pixels, of which (top, left) is x's first; zeros outside x */
gd_val gd_frame(gd_graph *g, gd_val x, int top, int left, int h, int w);
gd_val gd_bilinear(gd_graph *g, gd_val x, int h, int w);
/* Bytes [N,H,W,3], plain U8, as an activation of h x w pixels in [-1, 1) (gd_kernels.resize_bytes);
 * no gradient */
gd_val gd_resize_bytes(gd_graph *g, gd_val pixels, int h, int w);
/* Square windows; padding as in gd_conv2d_relu, never counted in a mean */
gd_val gd_max_pool(gd_graph *g, gd_val x, int kernel, int stride, bool padded);
gd_val gd_mean_pool(gd_graph *g, gd_val x, int kernel, int stride, bool padded);
gd_val gd_concat(gd_graph *g, gd_val a, gd_val b);         /* channels */
gd_val gd_concat_all(gd_graph *g, const gd_val *x, int n); /* at most GD_MAX_IN */
gd_val gd_channel_range(gd_graph *g, gd_val x, int c0, int count);
gd_val gd_attention(gd_graph *g, gd_val qkv, int heads,
                    gd_head_order order); /* [N,H,W,3C] -> [N,H,W,C] */
gd_val gd_timestep_embedding(gd_graph *g, gd_val t, int dim,
                             float max_period); /* t: plain [N,1,1,1] -> [N,1,1,dim] */
/* The same with frequencies max_period^(-i / (dim / 2 - shift)), sines before cosines if sin_first
 */
gd_val gd_sinusoids(gd_graph *g, gd_val t, int dim, float max_period, int shift, bool sin_first);
/* [sin, cos](2 pi f t) for the frequencies f, [1,1,1,half] -> [N,1,1,2 half] */
gd_val gd_fourier_embedding(gd_graph *g, gd_val t, gd_val frequencies);
gd_val gd_lookup(gd_graph *g, gd_val table,
                 gd_val labels); /* table [K,E], labels plain I32 [N,1,1,1] -> [N,1,1,E] */
/* Prepend the mean pixel and add positions: [N,H,W,C], [C,H*W+1] -> [N,1,H*W+1,C] */
gd_val gd_pool_tokens(gd_graph *g, gd_val x, gd_val positions);
gd_val gd_first_pixel(gd_graph *g, gd_val x);               /* [N,H,W,C] -> [N,1,1,C] at pixel 0 */
gd_val gd_log_softmax(gd_graph *g, gd_val x);               /* [N,1,1,C] */
gd_val gd_one_hot(gd_graph *g, gd_val labels, int classes); /* [N,1,1,classes] */

/* ---- grad.c ---- */

/* Append nodes that compute the gradient of sum(y * dy) with respect to each of `wrt`; dy has y's
 * shape. out[i] is GD_NONE where y does not depend on wrt[i]. */
void gd_gradient(gd_graph *g, gd_val y, gd_val dy, const gd_val *wrt, gd_val *out, int n);

/* ---- passes.c ---- */

/* Rewrite in place, keeping what `outputs` need: dead code, SiLU into the norm before it, residual
 * sums into the convolution; with bf16 also conversions in front of convolutions, merged into the
 * op before them where it is their only reader. */
void gd_graph_optimise(gd_graph *g, const gd_val *outputs, int n_outputs, bool bf16);

/* ---- recompute.c ---- */

/* After gd_graph_optimise, for training: within each block of the network (scopes input_blocks.N,
 * middle_block, output_blocks.N) forget what the nodes up to `boundary` made and no other block
 * reads, and compute it again where a later node reads it.  Same bits, less memory, about one more
 * forward pass. */
void gd_graph_recompute(gd_graph *g, gd_val boundary, const gd_val *outputs, int n_outputs);

/* ---- plan.c ---- */

typedef struct gd_plan gd_plan;
/* Layouts, primitives, memory.  The graph must outlive the plan. outputs keep their memory until
 * the next run; inputs too.  threads: that run it, at most: what runs at once and working space
 * depend on it, results do not. */
GD_CHECKED gd_status gd_plan_make(gd_plan **out, const gd_graph *g, const gd_val *outputs,
                                  int n_outputs, int threads);
void gd_plan_free(gd_plan *plan);
size_t gd_plan_arena_bytes(const gd_plan *plan);   /* activations */
size_t gd_plan_scratch_bytes(const gd_plan *plan); /* the largest scratch of any step */
size_t gd_plan_weights_bytes(const gd_plan *plan); /* packed weights and resident parameters */
/* layout.c: 32 hex digits and a zero of the weights' layout, whatever their values, the
 * threads or the version of oneDNN.  GD_EUSAGE: in no order that could be stored. */
GD_CHECKED gd_status gd_plan_layout(const gd_plan *plan, char text[33]);
double gd_plan_macs(const gd_plan *plan);
int gd_plan_steps(const gd_plan *plan);
/* One notice (GD_LOG_DEBUG) for each step: shape, offset and bytes of its result, kernel, layer */
void gd_plan_log(const gd_plan *plan);
/* A line for each kind and shape of step, longest first: kernel, calls, milliseconds of one, share,
 * GFLOP/s or, where bytes decide, GB/s.  seconds: of every step (gd_exec_profile). */
GD_CHECKED gd_status gd_plan_print_times(const gd_plan *plan, const double *seconds, FILE *out);
/* Distinct convolutions of the plan with how often each runs: the kernel floor is timed from this.
 * Returns how many there are; fills at most `max`. */
int gd_plan_convs(const gd_plan *plan, gd_conv_desc *desc, int *count, int max);
double gd_plan_attention_macs(const gd_plan *plan);

/* ---- exec.c ---- */

/* Where parameters come from: fill dst with the named parameter, row-major float32 of `count`
 * elements. */
typedef struct gd_weights {
    gd_status (*fetch)(void *ctx, const char *name, const gd_type *type, float *dst);
    void *ctx;
} gd_weights;

typedef struct gd_exec gd_exec;
/* Allocates arena, scratch and weights (the only allocation), fetches and packs every parameter
 * once.  The plan must outlive it. */
GD_CHECKED gd_status gd_exec_make(gd_exec **out, const gd_plan *plan, const gd_weights *weights);
/* Another one with the weights of `of`, which must outlive it and get no others, and with memory of
 * its own: two threads may run the two at once. */
GD_CHECKED gd_status gd_exec_make_beside(gd_exec **out, const gd_exec *of);
/* With weights that gd_exec_weights of a plan of the same gd_plan_layout gave:
 * gd_plan_weights_bytes, at a multiple of 64, kept and only read.  No gd_exec_set_param. */
GD_CHECKED gd_status gd_exec_make_packed(gd_exec **out, const gd_plan *plan, const void *packed);
const void *gd_exec_weights(const gd_exec *exec);
void gd_exec_free(gd_exec *exec);
size_t gd_exec_bytes(const gd_exec *exec);
/* Inputs and outputs as plain arrays.  ACTIVATION values: [N][C][H][W] floats; PLAIN values: their
 * row-major content. */
void gd_exec_put(gd_exec *exec, gd_val input, const void *data);
void gd_exec_get(const gd_exec *exec, gd_val output, void *data);
/* Adds its multiply-adds, those of direct convolutions, to the counter of the settings under which
 * it was made, which must live as long. */
void gd_exec_run(gd_exec *exec);
/* In two parts, for training: the steps up to the one that makes `boundary`, and those after it,
 * which may read inputs put in between. */
void gd_exec_run_before(gd_exec *exec, gd_val boundary);
void gd_exec_run_after(gd_exec *exec, gd_val boundary);
/* A PLAIN output where it lies, valid until the next run */
const void *gd_exec_data(const gd_exec *exec, gd_val output);
/* New values of one parameter, row-major float32, packed again.  Several threads may set different
 * ones. */
GD_CHECKED gd_status gd_exec_set_param(gd_exec *exec, gd_val param, const float *data);
/* Parameters that can be set in parts have so many bands, equal runs of consecutive elements; 0:
 * only as a whole.  data: the whole parameter, of which one band is read; several threads may set
 * different bands. */
int gd_exec_bands(const gd_exec *exec, gd_val param);
void gd_exec_set_band(gd_exec *exec, gd_val param, const float *data, int band);
/* After a run that gave NaN or infinity: run again step by step and name the first node whose
 * output is not finite; "" if none. */
const char *gd_exec_probe(gd_exec *exec);
/* Time of every step, the least of several runs: fills seconds[gd_plan_steps]. */
void gd_exec_profile(gd_exec *exec, double *seconds);
/* Tests: fill the arena with NaN, so that a read of memory that no step wrote shows. */
void gd_exec_poison(gd_exec *exec);
/* Tests: fill the output of the k-th step that any executor runs from now (0: off) with `value`,
 * and the output of that step whenever it runs again. */
void gd_fail_node(uint64_t k, float value);
/* That step, as gd_exec_probe names it; "" before it ran */
const char *gd_failed_node(void);

#endif
