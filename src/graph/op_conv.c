/* SPDX-License-Identifier: MIT */
/* op_conv.c - y = conv(x, w) + bias + residual, and its gradients.  A linear layer is a 1x1
 * convolution on one pixel. attr: kernel, stride, pad, kernel_w, pad_w, relu. The
 * residual is what passes.c found to be added to the result. */
#include "graph/ops.h"

static void fill(gd_conv_desc *d, gd_conv_pass pass, const gd_attr *attr, const gd_type *x, int co,
                 gd_dtype dtype)
{
    *d = (gd_conv_desc){ .pass = pass,
                         .n = (int)x->dim[0],
                         .h = (int)x->dim[1],
                         .w = (int)x->dim[2],
                         .ci = (int)x->dim[3],
                         .co = co,
                         .kernel = attr->kernel,
                         .stride = attr->stride,
                         .pad = attr->pad,
                         .kernel_w = attr->kernel_w,
                         .pad_w = attr->pad_w,
                         .dtype = dtype };
}

/* ---- forward: x, w, bias?, residual? ---- */

static void desc(gd_conv_desc *d, const gd_attr *attr, const gd_type *const in[],
                 const gd_type *out)
{
    fill(d, GD_CONV_FORWARD, attr, in[0], (int)out->dim[3], in[0]->dtype);
    d->bias = in[2] != NULL;
    d->accumulate = in[3] != NULL;
    d->relu = attr->relu;
}

static gd_status infer(gd_infer *c)
{
    const gd_type *x = c->in[0], *w = c->in[1];
    gd_conv_desc d;

    fill(&d, GD_CONV_FORWARD, c->attr, x, (int)w->dim[0], GD_F32);
    if (w->dim[1] != x->dim[3] || w->dim[2] != d.kernel || w->dim[3] != gd_conv_kernel_w(&d))
        return gd_fail(GD_EUSAGE, "convolution: weights %s do not fit input %s", shape_text(w),
                       shape_text(x));
    if (c->n_in > 2 && c->in[2] && c->in[2]->dim[3] != w->dim[0])
        return gd_fail(GD_EUSAGE, "convolution: bias %s for %lld channels", shape_text(c->in[2]),
                       (long long)w->dim[0]);
    if (d.h + 2 * d.pad < d.kernel || d.w + 2 * gd_conv_pad_w(&d) < gd_conv_kernel_w(&d))
        return gd_fail(GD_EUSAGE, "convolution: input %s is smaller than the kernel",
                       shape_text(x));
    c->out = gd_act_type(x->dim[0], gd_conv_out(d.h, &d), gd_conv_out_w(d.w, &d), w->dim[0]);
    return GD_OK;
}

static void run(const gd_call *c)
{
    gd_conv_run(c->conv);
}

static void vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_node *n = a->node;
    gd_attr attr = n->attr;
    const gd_type *x = gd_type_of(a->g, n->in[0]);
    gd_val dy = a->dout;

    attr.h = (int)x->dim[1];
    attr.w = (int)x->dim[2];
    if (attr.relu) /* y > 0 where what it was made from is */
        dy = gd_node_add(a->g, &gd_op_relu_grad, &(gd_attr){ 0 }, (gd_val[]){ dy, n->out }, 2);
    if (a->wanted[0])
        dx[0] = gd_node_add(a->g, &gd_op_conv_grad_data, &attr, (gd_val[]){ dy, n->in[1] }, 2);
    if (a->wanted[1])
        dx[1] = gd_node_add(a->g, &gd_op_conv_grad_weights, &attr, (gd_val[]){ n->in[0], dy }, 2);
    if (a->wanted[2])
        dx[2] = gd_node_add(a->g, &gd_op_sum_pixels, &(gd_attr){ .n = 1, .factor = 1 }, &dy, 1);
    if (a->wanted[3])
        dx[3] = dy;
}

gd_val gd_conv2d_padded(gd_graph *g, gd_val x, gd_val w, gd_val bias, int stride, int pad)
{
    gd_attr attr = { .kernel = (int)gd_type_of(g, w)->dim[2], .stride = stride, .pad = pad };

    return gd_node_add(g, &gd_op_conv, &attr, (gd_val[]){ x, w, bias, GD_NONE }, 4);
}

gd_val gd_conv2d(gd_graph *g, gd_val x, gd_val w, gd_val bias, int stride)
{
    return gd_conv2d_padded(g, x, w, bias, stride, (int)gd_type_of(g, w)->dim[2] / 2);
}

gd_val gd_conv2d_relu(gd_graph *g, gd_val x, gd_val w, gd_val bias, int stride, bool padded)
{
    const gd_type *t = gd_type_of(g, w);
    gd_attr attr = {
        .kernel = (int)t->dim[2], .kernel_w = (int)t->dim[3], .stride = stride, .relu = true
    };

    if (padded) {
        attr.pad = attr.kernel / 2;
        attr.pad_w = attr.kernel_w / 2;
    }
    if (attr.kernel == attr.kernel_w)
        attr.kernel_w = attr.pad_w = 0;
    return gd_node_add(g, &gd_op_conv, &attr, (gd_val[]){ x, w, bias, GD_NONE }, 4);
}

/* Finite differences want no result near 0: a large bias decides which channels are on. */
static gd_val relu_example(gd_graph *g, int k)
{
    static const struct {
        int n, h, w, ci, co, kh, kw, stride;
        bool padded;
    } s[] = { { 1, 5, 9, 16, 16, 1, 7, 1, true },
              { 2, 9, 4, 3, 20, 7, 1, 1, true },
              { 1, 3, 5, 32, 16, 1, 3, 1, true },
              { 1, 7, 6, 16, 17, 3, 3, 2, false } };
    gd_val x = example_input(g, 0, s[k].n, s[k].h, s[k].w, s[k].ci);
    gd_val w = gd_param(g, "weight", s[k].co, s[k].ci, s[k].kh, s[k].kw);
    gd_val bias = gd_scaled(g, gd_param(g, "bias", 1, 1, 1, s[k].co), 100);

    return gd_conv2d_relu(g, x, w, bias, s[k].stride, s[k].padded);
}

static gd_val example(gd_graph *g, int k)
{
    static const struct {
        int n, h, w, ci, co, kernel, stride, pad;
    } s[] = {
        { 1, 8, 8, 32, 64, 3, 1, 1 },   { 2, 5, 7, 3, 32, 3, 1, 1 },  { 1, 6, 6, 32, 6, 3, 1, 1 },
        { 2, 7, 5, 16, 16, 3, 2, 1 },   { 3, 4, 4, 48, 32, 1, 1, 0 }, { 2, 1, 1, 64, 10, 1, 1, 0 },
        { 1, 34, 32, 16, 32, 3, 1, 1 }, { 1, 5, 5, 8, 12, 3, 1, 1 },  { 1, 6, 4, 16, 32, 3, 1, 2 },
        { 2, 9, 7, 32, 32, 3, 2, 0 },   { 1, 8, 8, 3, 16, 3, 1, 2 },  { 1, 5, 6, 32, 16, 3, 1, 0 },
    };
    if (k >= COUNT(s))
        return relu_example(g, k - COUNT(s));
    gd_val x = example_input(g, 0, s[k].n, s[k].h, s[k].w, s[k].ci);
    gd_val w = gd_param(g, "weight", s[k].co, s[k].ci, s[k].kernel, s[k].kernel);
    gd_val bias = k == 4 ? GD_NONE : gd_param(g, "bias", 1, 1, 1, s[k].co);

    return gd_conv2d_padded(g, x, w, bias, s[k].stride, s[k].pad);
}

const gd_op gd_op_conv = { "conv",
                           infer,
                           run,
                           vjp,
                           .conv = desc,
                           .inplace = IN3,
                           .optional = IN2 | IN3,
                           .example = example,
                           .n_examples = 16 };

/* ---- gradient of the data: dy, w; attr.h, attr.w: the input's size ---- */

static void data_desc(gd_conv_desc *d, const gd_attr *attr, const gd_type *const in[],
                      const gd_type *out)
{
    fill(d, GD_CONV_GRAD_DATA, attr, out, (int)in[0]->dim[3], in[0]->dtype);
}

static gd_status data_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[0]->dim[0], c->attr->h, c->attr->w, c->in[1]->dim[1]);
    return GD_OK;
}

const gd_op gd_op_conv_grad_data = { "conv_grad_data", data_infer, run, NULL, .conv = data_desc };

/* ---- gradient of the weights: x, dy ---- */

static void weights_desc(gd_conv_desc *d, const gd_attr *attr, const gd_type *const in[],
                         const gd_type *out)
{
    fill(d, GD_CONV_GRAD_WEIGHTS, attr, in[0], (int)out->dim[0], in[0]->dtype);
}

static gd_status weights_infer(gd_infer *c)
{
    const int kernel = c->attr->kernel, kernel_w = c->attr->kernel_w;

    c->out = plain_type(c->in[1]->dim[3], c->in[0]->dim[3], kernel, kernel_w ? kernel_w : kernel);
    c->out_place = GD_PLACE_PLAIN;
    return GD_OK;
}

const gd_op gd_op_conv_grad_weights = { "conv_grad_weights", weights_infer, run, NULL,
                                        .conv = weights_desc };
