/* SPDX-License-Identifier: MIT */
/* op_pool.c - the largest and the mean value under a square window, and their gradients (attr:
 * kernel, stride, pad; gradients: h, w of the input); bytes as activations (attr: h, w). */
#include "graph/ops.h"

static gd_window window_of(const gd_attr *attr)
{
    return (gd_window){ attr->kernel, attr->stride, attr->pad };
}

static int64_t positions(int64_t size, const gd_attr *attr)
{
    return (size + 2 * attr->pad - attr->kernel) / attr->stride + 1;
}

static gd_status pool_infer(gd_infer *c)
{
    const gd_type *x = c->in[0];
    const gd_attr *a = c->attr;

    if (a->pad >= a->kernel || x->dim[1] + 2 * a->pad < a->kernel ||
        x->dim[2] + 2 * a->pad < a->kernel)
        return gd_fail(GD_EUSAGE, "pooling: input %s is smaller than the window of %d",
                       shape_text(x), a->kernel);
    c->out = gd_act_type(x->dim[0], positions(x->dim[1], a), positions(x->dim[2], a), x->dim[3]);
    return GD_OK;
}

static gd_val pool(gd_graph *g, const gd_op *op, gd_val x, int kernel, int stride, bool padded)
{
    gd_attr attr = { .kernel = kernel, .stride = stride, .pad = padded ? kernel / 2 : 0 };
    return gd_node_add(g, op, &attr, &x, 1);
}

static gd_attr grad_attr(const gd_adjoint *a)
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    gd_attr attr = a->node->attr;

    attr.h = (int)x->dim[1];
    attr.w = (int)x->dim[2];
    return attr;
}

static gd_status grad_infer(gd_infer *c)
{
    const gd_type *dy = c->in[0];
    c->out = gd_act_type(dy->dim[0], c->attr->h, c->attr->w, dy->dim[3]);
    return GD_OK;
}

static const struct {
    int n, h, w, c, kernel, stride;
    bool padded;
} example[] = { { 1, 7, 7, 32, 3, 2, false },
                { 2, 5, 4, 17, 3, 1, true },
                { 1, 6, 9, 48, 2, 2, false },
                { 2, 3, 3, 3, 3, 2, true } };

/* ---- the largest ---- */

static void max_pool_run(const gd_call *c)
{
    c->k->max_pool(&c->out, &c->in[0], window_of(c->attr));
}

static void max_pool_vjp(const gd_adjoint *a, gd_val dx[])
{
    gd_attr attr = grad_attr(a);
    dx[0] =
        gd_node_add(a->g, &gd_op_max_pool_grad, &attr, (gd_val[]){ a->dout, a->node->in[0] }, 2);
}

gd_val gd_max_pool(gd_graph *g, gd_val x, int kernel, int stride, bool padded)
{
    return pool(g, &gd_op_max_pool, x, kernel, stride, padded);
}

/* Finite differences want each window's largest to stay the largest: bytes, all different in the
 * test and never moved, weigh far more than x. */
static gd_val max_pool_example(gd_graph *g, int k)
{
    static const int inputs[] = { 1, 6, 8, 1 };
    const int n = example[k].n, h = example[k].h, w = example[k].w;
    const gd_type type = { { n, h, w, 3 }, GD_U8 };
    gd_val part[GD_MAX_IN], pixels, x;

    for (int i = 0; i < inputs[k]; i++) {
        pixels = gd_input(g, gd_sprintf(g->mem, "pixels%d", i), type, GD_PLACE_PLAIN);
        part[i] = gd_scaled(g, gd_resize_bytes(g, pixels, h, w), 320);
    }
    x = gd_plus(g, gd_concat_all(g, part, inputs[k]), example_input(g, 0, n, h, w, 3 * inputs[k]));
    return gd_max_pool(g, x, example[k].kernel, example[k].stride, example[k].padded);
}

const gd_op gd_op_max_pool = { "max_pool",
                               pool_infer,
                               max_pool_run,
                               max_pool_vjp,
                               .example = max_pool_example,
                               .n_examples = COUNT(example) };

static void max_pool_grad_run(const gd_call *c)
{
    c->k->max_pool_grad(&c->out, &c->in[0], &c->in[1], window_of(c->attr));
}

const gd_op gd_op_max_pool_grad = { "max_pool_grad", grad_infer, max_pool_grad_run, NULL };

/* ---- the mean ---- */

static void mean_pool_run(const gd_call *c)
{
    c->k->mean_pool(&c->out, &c->in[0], window_of(c->attr));
}

static void mean_pool_vjp(const gd_adjoint *a, gd_val dx[])
{
    gd_attr attr = grad_attr(a);
    dx[0] = gd_node_add(a->g, &gd_op_mean_pool_grad, &attr, &a->dout, 1);
}

gd_val gd_mean_pool(gd_graph *g, gd_val x, int kernel, int stride, bool padded)
{
    return pool(g, &gd_op_mean_pool, x, kernel, stride, padded);
}

static gd_val mean_pool_example(gd_graph *g, int k)
{
    gd_val x = example_input(g, 0, example[k].n, example[k].h, example[k].w, example[k].c);
    return gd_mean_pool(g, x, example[k].kernel, example[k].stride, example[k].padded);
}

const gd_op gd_op_mean_pool = { "mean_pool",
                                pool_infer,
                                mean_pool_run,
                                mean_pool_vjp,
                                .example = mean_pool_example,
                                .n_examples = COUNT(example) };

static void mean_pool_grad_run(const gd_call *c)
{
    c->k->mean_pool_grad(&c->out, &c->in[0], window_of(c->attr));
}

const gd_op gd_op_mean_pool_grad = { "mean_pool_grad", grad_infer, mean_pool_grad_run, NULL };

/* ---- bytes; no gradient ---- */

static gd_status resize_bytes_infer(gd_infer *c)
{
    const gd_type *x = c->in[0];

    if (x->dtype != GD_U8 || x->dim[3] != 3)
        return gd_fail(GD_EUSAGE, "resize_bytes: %s %s is no RGB image of bytes", shape_text(x),
                       gd_dtype_name(x->dtype));
    c->out = gd_act_type(x->dim[0], c->attr->h, c->attr->w, 3);
    return GD_OK;
}

static void resize_bytes_run(const gd_call *c)
{
    c->k->resize_bytes(&c->out, c->in[0].data, c->in[0].h, c->in[0].w);
}

gd_val gd_resize_bytes(gd_graph *g, gd_val pixels, int h, int w)
{
    return gd_node_add(g, &gd_op_resize_bytes, &(gd_attr){ .h = h, .w = w }, &pixels, 1);
}

static gd_val resize_bytes_example(gd_graph *g, int k)
{
    const gd_type type = { { 1 + k, 5, 4 + k, 3 }, GD_U8 };
    gd_val pixels = gd_input(g, "pixels", type, GD_PLACE_PLAIN);

    return gd_resize_bytes(g, pixels, k ? 3 : 9, k ? 7 : 11);
}

const gd_op gd_op_resize_bytes = {
    "resize_bytes", resize_bytes_infer, resize_bytes_run, NULL, .example = resize_bytes_example,
    .n_examples = 2
};
