/* SPDX-License-Identifier: MIT */
/* op_shape.c - operations that move values: resampling, bilinear resize, channel ranges, one pixel
 * of many. */
#include "graph/ops.h"

/* ---- nearest x2 and 2x2 average (attr: resample, factor, h, w of the output) ---- */

static gd_status resample_infer(gd_infer *c)
{
    const gd_type *x = c->in[0];

    if (c->attr->h < 1 || c->attr->w < 1)
        return gd_fail(GD_EUSAGE, "resampling: input %s is too small", shape_text(x));
    c->out = gd_act_type(x->dim[0], c->attr->h, c->attr->w, x->dim[3]);
    return GD_OK;
}

static void resample_run(const gd_call *c)
{
    c->k->resample(&c->out, &c->in[0], c->attr->resample, c->attr->factor);
}

static gd_val resample(gd_graph *g, gd_val x, gd_resample_kind kind, int64_t h, int64_t w,
                       float factor)
{
    gd_attr attr = { .resample = kind, .h = (int)h, .w = (int)w, .factor = factor };
    return gd_node_add(g, &gd_op_resample, &attr, &x, 1);
}

/* The adjoint of copying a pixel to 2x2 is summing 2x2: four times the average; and the other way
 * round. */
static void resample_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    const float factor = a->node->attr.factor;

    if (a->node->attr.resample == GD_UP_NEAREST)
        dx[0] = resample(a->g, a->dout, GD_DOWN_AVERAGE, x->dim[1], x->dim[2], factor * 4);
    else
        dx[0] = resample(a->g, a->dout, GD_UP_NEAREST, x->dim[1], x->dim[2], factor / 4);
}

gd_val gd_upsample(gd_graph *g, gd_val x)
{
    const gd_type *t = gd_type_of(g, x);
    return resample(g, x, GD_UP_NEAREST, t->dim[1] * 2, t->dim[2] * 2, 1);
}

gd_val gd_downsample(gd_graph *g, gd_val x)
{
    const gd_type *t = gd_type_of(g, x);
    return resample(g, x, GD_DOWN_AVERAGE, t->dim[1] / 2, t->dim[2] / 2, 1);
}

static gd_val resample_example(gd_graph *g, int k)
{
    static const int s[][4] = { { 1, 4, 4, 32 }, { 2, 5, 7, 6 }, { 1, 6, 4, 48 }, { 2, 3, 5, 17 } };
    gd_val x = example_input(g, 0, s[k][0], s[k][1], s[k][2], s[k][3]);
    return k < 2 ? gd_upsample(g, x) : gd_downsample(g, x);
}

const gd_op gd_op_resample = { "resample",     resample_infer, resample_run,
                               resample_vjp,   .bf16_out = 1,  .example = resample_example,
                               .n_examples = 4 };

/* ---- bilinear, half-pixel centres (attr: h, w) ---- */

static void bilinear_run(const gd_call *c)
{
    c->k->bilinear(&c->out, &c->in[0]);
}

static void bilinear_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    gd_attr attr = { .h = (int)x->dim[1], .w = (int)x->dim[2] };

    dx[0] = gd_node_add(a->g, &gd_op_bilinear_grad, &attr, &a->dout, 1);
}

gd_val gd_bilinear(gd_graph *g, gd_val x, int h, int w)
{
    return gd_node_add(g, &gd_op_bilinear, &(gd_attr){ .h = h, .w = w }, &x, 1);
}

static gd_val bilinear_example(gd_graph *g, int k)
{
    gd_val x = example_input(g, 0, 1 + k, 3, 4, k ? 32 : 3);
    return gd_bilinear(g, x, k ? 5 : 12, k ? 9 : 16);
}

const gd_op gd_op_bilinear = {
    "bilinear",     resample_infer, bilinear_run, bilinear_vjp, .example = bilinear_example,
    .n_examples = 2
};

static void bilinear_grad_run(const gd_call *c)
{
    c->k->bilinear_grad(&c->out, &c->in[0]);
}

const gd_op gd_op_bilinear_grad = { "bilinear_grad", resample_infer, bilinear_grad_run, NULL };

/* ---- channels: concatenation, range, range put back among zeros (attr: c0, count) ---- */

static gd_status concat_infer(gd_infer *c)
{
    const gd_type *a = c->in[0];
    int64_t channels = a->dim[3];

    for (int k = 1; k < c->n_in; k++) {
        if (memcmp(a->dim, c->in[k]->dim, 3 * sizeof a->dim[0]) != 0)
            return gd_fail(GD_EUSAGE, "concatenation: %s and %s", shape_text(a),
                           shape_text(c->in[k]));
        channels += c->in[k]->dim[3];
    }
    c->out = gd_act_type(a->dim[0], a->dim[1], a->dim[2], channels);
    return GD_OK;
}

/* Pad lanes of the result exist only where its channel count is not a multiple of 16. */
static void zero_pad_lanes(const gd_view *v)
{
    if (v->c % 16 != 0 && gd_view_blocked(v))
        zero_view(v);
}

/* Made where it goes (memory.c) */
static bool is_part(const gd_view *out, int c0, const gd_view *in)
{
    return in->data == (float *)out->data + c0 / 16 * out->block;
}

static void concat_run(const gd_call *c)
{
    zero_pad_lanes(&c->out);
    for (int k = 0, c0 = 0; k < GD_MAX_IN && c->in[k].data; c0 += c->in[k++].c)
        if (!is_part(&c->out, c0, &c->in[k]))
            c->k->copy_channels(&c->out, c0, &c->in[k], 0, c->in[k].c);
}

static void concat_vjp(const gd_adjoint *a, gd_val dx[])
{
    gd_attr attr = { .c0 = 0 };

    for (int k = 0; k < a->node->n_in; k++, attr.c0 += attr.count) {
        attr.count = gd_channels(a->g, a->node->in[k]);
        if (a->wanted[k])
            dx[k] = gd_node_add(a->g, &gd_op_slice, &attr, &a->dout, 1);
    }
}

gd_val gd_concat_all(gd_graph *g, const gd_val *x, int n)
{
    return gd_node_add(g, &gd_op_concat, &(gd_attr){ 0 }, x, n);
}

gd_val gd_concat(gd_graph *g, gd_val a, gd_val b)
{
    return gd_concat_all(g, (gd_val[]){ a, b }, 2);
}

static gd_val concat_example(gd_graph *g, int k)
{
    static const int s[][2] = { { 32, 48 }, { 3, 3 }, { 17, 16 } };
    gd_val x[4];

    if (k == COUNT(s)) {
        for (int i = 0; i < COUNT(x); i++)
            x[i] = example_input(g, i, 2, 3, 4, 16 * (i + 1));
        return gd_concat_all(g, x, COUNT(x));
    }
    if (k > COUNT(s)) { /* of one image: parts of the result, one of them of another part too */
        const int side = k - COUNT(s);
        x[0] = gd_silu(g, example_input(g, 0, 1, side, side, 16));
        x[1] = gd_silu(g, example_input(g, 1, 1, side, side, 32));
        x[2] = gd_concat(g, x[1], x[0]);
        return gd_concat_all(g, (gd_val[]){ x[2], gd_silu(g, x[1]), x[0] }, 3);
    }
    x[0] = example_input(g, 0, 2, 3, 4, s[k][0]);
    x[1] = example_input(g, 1, 2, 3, 4, s[k][1]);
    return gd_concat(g, x[0], x[1]);
}

const gd_op gd_op_concat = { "concat",       concat_infer,  concat_run,
                             concat_vjp,     .joins = true, .example = concat_example,
                             .n_examples = 6 };

static gd_status slice_infer(gd_infer *c)
{
    const gd_type *x = c->in[0];

    if (c->attr->c0 < 0 || c->attr->count < 1 || c->attr->c0 + c->attr->count > x->dim[3])
        return gd_fail(GD_EUSAGE, "channels %d to %d of %s", c->attr->c0,
                       c->attr->c0 + c->attr->count, shape_text(x));
    c->out = gd_act_type(x->dim[0], x->dim[1], x->dim[2], c->attr->count);
    return GD_OK;
}

static void slice_run(const gd_call *c)
{
    zero_pad_lanes(&c->out);
    c->k->copy_channels(&c->out, 0, &c->in[0], c->attr->c0, c->attr->count);
}

static void slice_vjp(const gd_adjoint *a, gd_val dx[])
{
    gd_attr attr = { .c0 = a->node->attr.c0, .count = gd_channels(a->g, a->node->in[0]) };
    dx[0] = gd_node_add(a->g, &gd_op_pad_channels, &attr, &a->dout, 1);
}

gd_val gd_channel_range(gd_graph *g, gd_val x, int c0, int count)
{
    return gd_node_add(g, &gd_op_slice, &(gd_attr){ .c0 = c0, .count = count }, &x, 1);
}

static gd_val slice_example(gd_graph *g, int k)
{
    gd_val x = example_input(g, 0, 2, 3, 3, k ? 10 : 64);
    return gd_channel_range(g, x, k ? 3 : 16, k ? 5 : 32);
}

const gd_op gd_op_slice = {
    "slice", slice_infer, slice_run, slice_vjp, .example = slice_example, .n_examples = 2
};

static gd_status pad_channels_infer(gd_infer *c)
{
    const gd_type *x = c->in[0];
    c->out = gd_act_type(x->dim[0], x->dim[1], x->dim[2], c->attr->count);
    return GD_OK;
}

static void pad_channels_run(const gd_call *c)
{
    zero_view(&c->out);
    c->k->copy_channels(&c->out, c->attr->c0, &c->in[0], 0, c->in[0].c);
}

const gd_op gd_op_pad_channels = { "pad_channels", pad_channels_infer, pad_channels_run, NULL };

/* ---- pixel 0 ---- */

static gd_status first_pixel_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[0]->dim[0], 1, 1, c->in[0]->dim[3]);
    return GD_OK;
}

/* The gradient is the same copy, into a picture of zeros. */
static void first_pixel_run(const gd_call *c)
{
    zero_view(&c->out);
    for (int n = 0; n < c->out.n; n++)
        for (int i = 0; i < c->out.c; i++)
            *at_element(&c->out, n, i, 0) = *at_element(&c->in[0], n, i, 0);
}

static void first_pixel_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    gd_attr attr = { .h = (int)x->dim[1], .w = (int)x->dim[2] };
    dx[0] = gd_node_add(a->g, &gd_op_first_pixel_grad, &attr, &a->dout, 1);
}

gd_val gd_first_pixel(gd_graph *g, gd_val x)
{
    return gd_node_add(g, &gd_op_first_pixel, &(gd_attr){ 0 }, &x, 1);
}

static gd_val first_pixel_example(gd_graph *g, int k)
{
    return gd_first_pixel(g, example_input(g, 0, 1 + k, 1, 5, k ? 10 : 32));
}

const gd_op gd_op_first_pixel = { "first_pixel",
                                  first_pixel_infer,
                                  first_pixel_run,
                                  first_pixel_vjp,
                                  .example = first_pixel_example,
                                  .n_examples = 2 };

const gd_op gd_op_first_pixel_grad = { "first_pixel_grad", resample_infer, first_pixel_run, NULL };
