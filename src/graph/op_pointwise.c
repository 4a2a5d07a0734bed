/* SPDX-License-Identifier: MIT */
/* op_pointwise.c - operations element by element: SiLU, ReLU, sums, products, scaling, change of
 * type, a sum per channel. */
#include "graph/ops.h"

/* ---- SiLU: y = x * sigmoid(x) ---- */

static void silu_run(const gd_call *c)
{
    c->k->silu(&c->out, &c->in[0]);
}

static void silu_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] = gd_node_add(a->g, &gd_op_silu_grad, &(gd_attr){ 0 },
                        (gd_val[]){ a->dout, a->node->in[0] }, 2);
}

gd_val gd_silu(gd_graph *g, gd_val x)
{
    return gd_node_add(g, &gd_op_silu, &(gd_attr){ 0 }, &x, 1);
}

static gd_val silu_example(gd_graph *g, int k)
{
    static const int s[][4] = { { 1, 8, 8, 32 }, { 2, 1, 1, 10 }, { 3, 5, 7, 48 } };
    return gd_silu(g, example_input(g, 0, s[k][0], s[k][1], s[k][2], s[k][3]));
}

const gd_op gd_op_silu = { "silu",         infer_like_first,        silu_run,       silu_vjp,
                           .inplace = IN0, .example = silu_example, .n_examples = 3 };

static void silu_grad_run(const gd_call *c)
{
    c->k->silu_grad(&c->out, &c->in[0], &c->in[1]);
}

const gd_op gd_op_silu_grad = { "silu_grad", infer_all_equal, silu_grad_run, NULL, .inplace = IN0 };

/* ---- ReLU ---- */

static void relu_run(const gd_call *c)
{
    c->k->relu(&c->out, &c->in[0]);
}

static void relu_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] = gd_node_add(a->g, &gd_op_relu_grad, &(gd_attr){ 0 },
                        (gd_val[]){ a->dout, a->node->in[0] }, 2);
}

gd_val gd_relu(gd_graph *g, gd_val x)
{
    return gd_node_add(g, &gd_op_relu, &(gd_attr){ 0 }, &x, 1);
}

static gd_val relu_example(gd_graph *g, int k)
{
    return gd_relu(g, example_input(g, 0, 1 + k, 3, 5, k ? 17 : 64));
}

const gd_op gd_op_relu = { "relu",         infer_like_first,        relu_run,       relu_vjp,
                           .inplace = IN0, .example = relu_example, .n_examples = 2 };

static void relu_grad_run(const gd_call *c)
{
    c->k->relu_grad(&c->out, &c->in[0], &c->in[1]);
}

const gd_op gd_op_relu_grad = { "relu_grad", infer_all_equal, relu_grad_run, NULL, .inplace = IN0 };

/* ---- a + b ---- */

static void add_run(const gd_call *c)
{
    c->k->add(&c->out, &c->in[0], &c->in[1]);
}

static void add_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] = a->dout;
    dx[1] = a->dout;
}

gd_val gd_plus(gd_graph *g, gd_val a, gd_val b)
{
    return gd_node_add(g, &gd_op_add, &(gd_attr){ 0 }, (gd_val[]){ a, b }, 2);
}

static gd_val add_example(gd_graph *g, int k)
{
    gd_val a = example_input(g, 0, 1 + k, 4, 3, k ? 6 : 32),
           b = example_input(g, 1, 1 + k, 4, 3, k ? 6 : 32);
    return gd_plus(g, a, b);
}

const gd_op gd_op_add = { "add",          infer_all_equal,      add_run,
                          add_vjp,        .inplace = IN0 | IN1, .example = add_example,
                          .n_examples = 2 };

/* ---- a * b ---- */

static void mul_run(const gd_call *c)
{
    c->k->mul(&c->out, &c->in[0], &c->in[1]);
}

static void mul_vjp(const gd_adjoint *a, gd_val dx[])
{
    for (int k = 0; k < 2; k++)
        if (a->wanted[k])
            dx[k] = gd_times(a->g, a->dout, a->node->in[1 - k]);
}

gd_val gd_times(gd_graph *g, gd_val a, gd_val b)
{
    return gd_node_add(g, &gd_op_mul, &(gd_attr){ 0 }, (gd_val[]){ a, b }, 2);
}

static gd_val mul_example(gd_graph *g, int k)
{
    gd_val a = example_input(g, 0, 1 + k, 4, 3, k ? 6 : 32),
           b = example_input(g, 1, 1 + k, 4, 3, k ? 6 : 32);
    return gd_times(g, a, b);
}

const gd_op gd_op_mul = { "mul",          infer_all_equal,      mul_run,
                          mul_vjp,        .inplace = IN0 | IN1, .example = mul_example,
                          .n_examples = 2 };

/* ---- x * factor ---- */

static void scale_run(const gd_call *c)
{
    c->k->scale(&c->out, &c->in[0], c->attr->factor);
}

static void scale_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] = gd_scaled(a->g, a->dout, a->node->attr.factor);
}

gd_val gd_scaled(gd_graph *g, gd_val x, float factor)
{
    return gd_node_add(g, &gd_op_scale, &(gd_attr){ .factor = factor }, &x, 1);
}

static gd_val scale_example(gd_graph *g, int k)
{
    return gd_scaled(g, example_input(g, 0, 2, 3, 3, k ? 5 : 32), -0.75f);
}

const gd_op gd_op_scale = { "scale",        infer_like_first,         scale_run,      scale_vjp,
                            .inplace = IN0, .example = scale_example, .n_examples = 2 };

/* ---- dropout (attr: factor = probability, n = layer); keys: plain I32 [N,1,1,2] ---- */

static gd_status dropout_infer(gd_infer *c)
{
    if (c->in[1]->dim[0] != c->in[0]->dim[0] || c->in[1]->dim[3] != 2)
        return gd_fail(GD_EUSAGE, "dropout: keys %s do not fit %s", shape_text(c->in[1]),
                       shape_text(c->in[0]));
    return infer_like_first(c);
}

static void dropout_run(const gd_call *c)
{
    c->k->dropout(&c->out, &c->in[0], c->in[1].data, (uint32_t)c->attr->n, c->attr->factor);
}

static void dropout_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] =
        gd_node_add(a->g, &gd_op_dropout, &a->node->attr, (gd_val[]){ a->dout, a->node->in[1] }, 2);
}

gd_val gd_dropout(gd_graph *g, gd_val x, gd_val keys, int layer, float p)
{
    return gd_node_add(g, &gd_op_dropout, &(gd_attr){ .factor = p, .n = layer },
                       (gd_val[]){ x, keys }, 2);
}

static gd_val dropout_example(gd_graph *g, int k)
{
    gd_val keys = gd_input(g, "keys", (gd_type){ { 2, 1, 1, 2 }, GD_I32 }, GD_PLACE_PLAIN);
    return gd_dropout(g, example_input(g, 0, 2, 4, 3, k ? 6 : 32), keys, k, 0.3f);
}

const gd_op gd_op_dropout = { "dropout",      dropout_infer,  dropout_run,
                              dropout_vjp,    .inplace = IN0, .example = dropout_example,
                              .n_examples = 2 };

/* ---- change of type: passes.c puts these in front of bfloat16 convolutions and sets the output's
 * type ---- */

static void convert_run(const gd_call *c)
{
    c->k->convert(&c->out, &c->in[0]);
}

static void convert_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] = a->dout;
}

static gd_val convert_example(gd_graph *g, int k)
{
    gd_val x = example_input(g, 0, 1 + k, 4, 4, k ? 17 : 32);
    return gd_node_add(g, &gd_op_convert, &(gd_attr){ 0 }, &x, 1);
}

const gd_op gd_op_convert = { "convert",      infer_like_first, convert_run,
                              convert_vjp,    .bf16_out = 1,    .example = convert_example,
                              .n_examples = 2 };

/* ---- x[n,:,:,c] + e[n,c] ---- */

static gd_status add_channel_infer(gd_infer *c)
{
    const gd_type *x = c->in[0], *e = c->in[1];

    if (e->dim[3] != x->dim[3] || (e->dim[0] != x->dim[0] && e->dim[0] != 1) ||
        e->dim[1] * e->dim[2] != 1)
        return gd_fail(GD_EUSAGE, "a sum per channel: %s does not fit %s", shape_text(e),
                       shape_text(x));
    return infer_like_first(c);
}

static void add_channel_run(const gd_call *c)
{
    c->k->add_channel(&c->out, &c->in[0], &c->in[1]);
}

static void add_channel_vjp(const gd_adjoint *a, gd_val dx[])
{
    gd_attr attr = { .n = gd_type_of(a->g, a->node->in[1])->dim[0] == 1, .factor = 1 };

    dx[0] = a->dout;
    if (a->wanted[1])
        dx[1] = gd_node_add(a->g, &gd_op_sum_pixels, &attr, &a->dout, 1);
}

gd_val gd_plus_channel(gd_graph *g, gd_val x, gd_val e)
{
    return gd_node_add(g, &gd_op_add_channel, &(gd_attr){ 0 }, (gd_val[]){ x, e }, 2);
}

static gd_val add_channel_example(gd_graph *g, int k)
{
    gd_val x = example_input(g, 0, 2, 4, 5, k ? 6 : 48),
           e = example_input(g, 1, k ? 1 : 2, 1, 1, k ? 6 : 48);
    return gd_plus_channel(g, x, e);
}

const gd_op gd_op_add_channel = { "add_channel",   add_channel_infer,
                                  add_channel_run, add_channel_vjp,
                                  .inplace = IN0,  .example = add_channel_example,
                                  .n_examples = 2 };
