/* SPDX-License-Identifier: MIT */
/* op_filter.c - resampling by 2 with the filter [1,3,3,1] (Karras et al. 2022, appendix F.2), and
 * pixels moved in a frame of zeros.  Each of the two is its own adjoint with other numbers. */
#include "graph/ops.h"

enum { TAPS = 4 };
static const float tap[TAPS] = { 0.125f, 0.375f, 0.375f, 0.125f };

/* 16 channels of one pixel, or those that remain in nhwc; lanes beyond C are read and written as
 * zeros where they exist */
static int lanes_of(const gd_view *v, int block)
{
    return gd_view_blocked(v) ? 16 : GD_MIN(16, v->c - 16 * block);
}

/* A row of the output: image, block of channels, row */
typedef struct row {
    const gd_call *c;
    float *out;
    const float *image; /* the block's first pixel in x */
    int y, lanes;
} row;

static row row_at(const gd_call *c, int64_t i)
{
    const gd_view *out = &c->out, *x = &c->in[0];
    const int blocks = (out->c + 15) / 16, block = (int)(i / out->h % blocks);
    const int y = (int)(i % out->h);
    const int64_t n = i / out->h / blocks;

    return (row){ .c = c,
                  .out = (float *)out->data + n * out->image + block * out->block +
                         (int64_t)y * out->w * out->pixel,
                  .image = (const float *)x->data + n * x->image + block * x->block,
                  .y = y,
                  .lanes = lanes_of(out, block) };
}

static void each_row(const gd_call *c, void (*run)(void *ctx, int64_t i))
{
    gd_par((int64_t)c->out.n * ((c->out.c + 15) / 16) * c->out.h, run, (void *)c);
}

/* NULL outside x */
static const float *pixel_at(const row *r, int y, int x)
{
    const gd_view *v = &r->c->in[0];

    return y >= 0 && y < v->h && x >= 0 && x < v->w ? r->image + ((int64_t)y * v->w + x) * v->pixel
                                                    : NULL;
}

static void add_scaled(float sum[16], const float *x, float factor, int lanes)
{
    if (x)
        for (int l = 0; l < lanes; l++)
            sum[l] += factor * x[l];
}

/* ---- filter (attr: stride 2 down or 1 up, pad, factor; h, w of the output) ---- */

static gd_status filter_infer(gd_infer *c)
{
    const gd_type *x = c->in[0];

    if (c->attr->h < 1 || c->attr->w < 1)
        return gd_fail(GD_EUSAGE, "resampling: input %s is too small", shape_text(x));
    c->out = gd_act_type(x->dim[0], c->attr->h, c->attr->w, x->dim[3]);
    return GD_OK;
}

/* out[y][x] = sum over taps of in[2y + a - pad][2x + b - pad] */
static void down_row(void *ctx, int64_t i)
{
    const row r = row_at(ctx, i);
    const gd_attr *attr = r.c->attr;

    for (int x = 0; x < r.c->out.w; x++) {
        float sum[16] = { 0 };
        for (int a = 0; a < TAPS; a++)
            for (int b = 0; b < TAPS; b++)
                add_scaled(sum, pixel_at(&r, 2 * r.y + a - attr->pad, 2 * x + b - attr->pad),
                           attr->factor * tap[a] * tap[b], r.lanes);
        memcpy(r.out + x * r.c->out.pixel, sum, (size_t)r.lanes * sizeof *sum);
    }
}

/* out[y][x] = sum over the taps with 2i + a - pad = y, 2j + b - pad = x of in[i][j] */
static void up_row(void *ctx, int64_t i)
{
    const row r = row_at(ctx, i);
    const gd_attr *attr = r.c->attr;

    for (int x = 0; x < r.c->out.w; x++) {
        float sum[16] = { 0 };
        for (int a = (r.y + attr->pad) % 2; a < TAPS; a += 2)
            for (int b = (x + attr->pad) % 2; b < TAPS; b += 2)
                if (r.y + attr->pad >= a && x + attr->pad >= b)
                    add_scaled(sum,
                               pixel_at(&r, (r.y + attr->pad - a) / 2, (x + attr->pad - b) / 2),
                               attr->factor * tap[a] * tap[b], r.lanes);
        memcpy(r.out + x * r.c->out.pixel, sum, (size_t)r.lanes * sizeof *sum);
    }
}

static void filter_run(const gd_call *c)
{
    each_row(c, c->attr->stride == 2 ? down_row : up_row);
}

static gd_val filter(gd_graph *g, gd_val x, int stride, int pad, float factor, int64_t h, int64_t w)
{
    const gd_attr attr = {
        .stride = stride, .pad = pad, .factor = factor, .h = (int)h, .w = (int)w
    };
    return gd_node_add(g, &gd_op_filter, &attr, &x, 1);
}

static void filter_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    const gd_attr *attr = &a->node->attr;

    dx[0] = filter(a->g, a->dout, 3 - attr->stride, attr->pad, attr->factor, x->dim[1], x->dim[2]);
}

gd_val gd_downsample_smooth(gd_graph *g, gd_val x, int pad)
{
    const gd_type *t = gd_type_of(g, x);
    return filter(g, x, 2, pad, 1, (t->dim[1] + 2 * pad - TAPS) / 2 + 1,
                  (t->dim[2] + 2 * pad - TAPS) / 2 + 1);
}

gd_val gd_upsample_smooth(gd_graph *g, gd_val x)
{
    const gd_type *t = gd_type_of(g, x);
    return filter(g, x, 1, 1, 4, 2 * t->dim[1], 2 * t->dim[2]);
}

static gd_val filter_example(gd_graph *g, int k)
{
    static const int s[][4] = {
        { 1, 4, 6, 32 }, { 2, 8, 4, 10 }, { 1, 3, 5, 48 }, { 2, 4, 2, 17 }
    };
    gd_val x = example_input(g, 0, s[k][0], s[k][1], s[k][2], s[k][3]);
    return k < 2 ? gd_downsample_smooth(g, x, 1 - k) : gd_upsample_smooth(g, x);
}

const gd_op gd_op_filter = {
    "filter", filter_infer, filter_run, filter_vjp, .example = filter_example, .n_examples = 4
};

/* ---- frame (attr: h, w of the output, pad, pad_w: where x's first pixel goes) ---- */

static void frame_row(void *ctx, int64_t i)
{
    const row r = row_at(ctx, i);
    const size_t bytes = (size_t)r.lanes * sizeof(float);

    for (int x = 0; x < r.c->out.w; x++) {
        const float *from = pixel_at(&r, r.y - r.c->attr->pad, x - r.c->attr->pad_w);
        float *to = r.out + x * r.c->out.pixel;
        if (from)
            memcpy(to, from, bytes);
        else
            memset(to, 0, bytes);
    }
}

static void frame_run(const gd_call *c)
{
    each_row(c, frame_row);
}

gd_val gd_frame(gd_graph *g, gd_val x, int top, int left, int h, int w)
{
    const gd_attr attr = { .pad = top, .pad_w = left, .h = h, .w = w };
    return gd_node_add(g, &gd_op_frame, &attr, &x, 1);
}

static void frame_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    const gd_attr *attr = &a->node->attr;

    dx[0] = gd_frame(a->g, a->dout, -attr->pad, -attr->pad_w, (int)x->dim[1], (int)x->dim[2]);
}

static gd_val frame_example(gd_graph *g, int k)
{
    gd_val x = example_input(g, 0, 1 + k, 4, 3, k ? 19 : 32);
    return k ? gd_frame(g, x, 1, -1, 6, 2) : gd_frame(g, x, 0, 0, 5, 4);
}

const gd_op gd_op_frame = {
    "frame", filter_infer, frame_run, frame_vjp, .example = frame_example, .n_examples = 2
};
