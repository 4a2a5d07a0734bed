/* SPDX-License-Identifier: MIT */
/* ops.h - for the op_*.c files: what they share. */
#ifndef GD_GRAPH_OPS_H
#define GD_GRAPH_OPS_H

#include "graph/graph.h"

#include <string.h>

#define IN0 1
#define IN1 2
#define IN2 4
#define IN3 8

/* It would indent this list anew each time. */
/* clang-format off */
#define OP_TABLE(X)                                                                                \
    X(conv)                                                                                        \
    X(conv_grad_data)                                                                              \
    X(conv_grad_weights)                                                                           \
    X(norm)                                                                                        \
    X(norm_grad) X(norm_grad_affine) X(norm_grad_modulation) X(silu) X(silu_grad) X(relu)          \
        X(relu_grad) X(add) X(mul) X(scale) X(convert) X(add_channel) X(sum_pixels)                \
            X(spread_pixels) X(resample) X(bilinear) X(bilinear_grad) X(concat) X(slice)           \
                X(pad_channels) X(attention) X(attention_grad) X(timestep_embedding) X(lookup)     \
                    X(lookup_grad) X(pool_tokens) X(pool_tokens_grad) X(positions_grad)            \
                        X(first_pixel) X(first_pixel_grad) X(log_softmax) X(log_softmax_grad)      \
                            X(one_hot) X(dropout) X(resize_bytes) X(max_pool) X(max_pool_grad)     \
                                X(mean_pool) X(mean_pool_grad) X(fourier_embedding)                \
                                    X(filter) X(frame) X(gelu) X(layer_norm) X(tokens)         \
                                        X(probe) X(depthwise) X(response_norm)

/* clang-format on */

#define DECLARE_OP(name) extern const gd_op gd_op_##name;
OP_TABLE(DECLARE_OP)
#undef DECLARE_OP

static inline int64_t type_count(const gd_type *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

static inline bool same_shape(const gd_type *a, const gd_type *b)
{
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

static inline gd_type plain_type(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (gd_type){ { a, b, c, d }, GD_F32 };
}

/* "2x8x8x32" in one of four turns of a thread's buffer: for messages */
const char *shape_text(const gd_type *t);

/* Element (n, c, pixel) of a float32 activation: for the small operations that run element by
 * element */
static inline float *at_element(const gd_view *v, int64_t n, int64_t c, int64_t pixel)
{
    return (float *)v->data + n * v->image + c / 16 * v->block + pixel * v->pixel + c % 16;
}

/* Zero a whole activation, pad lanes included */
static inline void zero_view(const gd_view *v)
{
    memset(v->data, 0, (size_t)(v->n * v->image) * sizeof(float));
}

/* For examples (their values are random, at least 0.1 away from 0): an activation input named "x0",
 * "x1", ... of this shape */
gd_val example_input(gd_graph *g, int i, int64_t n, int64_t h, int64_t w, int64_t c);

/* Output like input 0 */
gd_status infer_like_first(gd_infer *c);
/* Output like input 0; all inputs of one shape */
gd_status infer_all_equal(gd_infer *c);

#endif
