/* SPDX-License-Identifier: MIT */
/* op_reduce.c - sums and means over pixels, log-softmax over channels, one-hot labels. */
#include "graph/ops.h"

/* ---- factor * sum over pixels, per image (attr.n = 0) or over all images (attr.n = 1) ---- */

static gd_status sum_pixels_infer(gd_infer *c)
{
    c->out = gd_act_type(c->attr->n ? 1 : c->in[0]->dim[0], 1, 1, c->in[0]->dim[3]);
    return GD_OK;
}

static void sum_pixels_run(const gd_call *c)
{
    c->k->sum_pixels(&c->out, &c->in[0], c->attr->factor);
}

static void sum_pixels_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    gd_attr attr = { .n = (int)x->dim[0],
                     .h = (int)x->dim[1],
                     .w = (int)x->dim[2],
                     .factor = a->node->attr.factor };
    dx[0] = gd_node_add(a->g, &gd_op_spread_pixels, &attr, &a->dout, 1);
}

gd_val gd_mean_pixels(gd_graph *g, gd_val x)
{
    const gd_type *t = gd_type_of(g, x);
    gd_attr attr = { .n = 0, .factor = (float)(1.0 / (double)GD_MAX(t->dim[1] * t->dim[2], 1)) };
    return gd_node_add(g, &gd_op_sum_pixels, &attr, &x, 1);
}

static gd_val sum_pixels_example(gd_graph *g, int k)
{
    return gd_mean_pixels(g, example_input(g, 0, 2, 5, 4, k ? 10 : 48));
}

const gd_op gd_op_sum_pixels = {
    "sum_pixels",   sum_pixels_infer, sum_pixels_run, sum_pixels_vjp, .example = sum_pixels_example,
    .n_examples = 2
};

/* attr: n, h, w of the output */
static gd_status spread_pixels_infer(gd_infer *c)
{
    c->out = gd_act_type(c->attr->n, c->attr->h, c->attr->w, c->in[0]->dim[3]);
    return GD_OK;
}

static void spread_pixels_run(const gd_call *c)
{
    c->k->spread_pixels(&c->out, &c->in[0], c->attr->factor);
}

const gd_op gd_op_spread_pixels = { "spread_pixels", spread_pixels_infer, spread_pixels_run, NULL };

/* ---- log-softmax over the channels of [N,1,1,C] ---- */

static gd_status row_infer(gd_infer *c)
{
    if (c->in[0]->dim[1] * c->in[0]->dim[2] != 1)
        return gd_fail(GD_EUSAGE, "log-softmax: %s has more than one pixel", shape_text(c->in[0]));
    return infer_all_equal(c);
}

static void zero_tail(const gd_view *v)
{
    for (int n = 0; n < v->n; n++)
        for (int64_t i = v->c; i < v->image; i++)
            ((float *)v->data)[n * v->image + i] = 0.0f;
}

static void log_softmax_run(const gd_call *c)
{
    c->k->log_softmax(c->out.data, c->in[0].data, c->out.n, c->out.c, c->out.image);
    zero_tail(&c->out);
}

static void log_softmax_vjp(const gd_adjoint *a, gd_val dx[])
{
    dx[0] = gd_node_add(a->g, &gd_op_log_softmax_grad, &(gd_attr){ 0 },
                        (gd_val[]){ a->dout, a->node->out }, 2);
}

gd_val gd_log_softmax(gd_graph *g, gd_val x)
{
    return gd_node_add(g, &gd_op_log_softmax, &(gd_attr){ 0 }, &x, 1);
}

static gd_val log_softmax_example(gd_graph *g, int k)
{
    return gd_log_softmax(g, example_input(g, 0, 2, 1, 1, k ? 10 : 1000));
}

const gd_op gd_op_log_softmax = { "log_softmax",   row_infer,      log_softmax_run,
                                  log_softmax_vjp, .inplace = IN0, .example = log_softmax_example,
                                  .n_examples = 2 };

/* dy, y */
static void log_softmax_grad_run(const gd_call *c)
{
    c->k->log_softmax_grad(c->out.data, c->in[0].data, c->in[1].data, c->out.n, c->out.c,
                           c->out.image);
    zero_tail(&c->out);
}

const gd_op gd_op_log_softmax_grad = { "log_softmax_grad", row_infer, log_softmax_grad_run, NULL };

/* ---- labels -> [N,1,1,K] with 1 at the label (attr.count = K); a label outside [0,K) gives zeros
 * ---- */

static gd_status one_hot_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[0]->dim[0], 1, 1, c->attr->count);
    return GD_OK;
}

static void one_hot_run(const gd_call *c)
{
    const int32_t *label = c->in[0].data;

    zero_view(&c->out);
    for (int n = 0; n < c->out.n; n++)
        if (label[n] >= 0 && label[n] < c->out.c)
            *at_element(&c->out, n, label[n], 0) = 1.0f;
}

gd_val gd_one_hot(gd_graph *g, gd_val labels, int classes)
{
    return gd_node_add(g, &gd_op_one_hot, &(gd_attr){ .count = classes }, &labels, 1);
}

static gd_val one_hot_example(gd_graph *g, int k)
{
    gd_val labels = gd_input(g, "labels", (gd_type){ { 3, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
    return gd_one_hot(g, labels, k ? 10 : 32);
}

const gd_op gd_op_one_hot = {
    "one_hot", one_hot_infer, one_hot_run, NULL, .example = one_hot_example, .n_examples = 2
};
