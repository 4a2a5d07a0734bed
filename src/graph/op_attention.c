/* SPDX-License-Identifier: MIT */
/* op_attention.c - multi-head attention (docs/reference/networks.md#attention) and the token
 * pooling of the classifier (#classifier). attr: heads, order, bf16.  Second output: log-sum-exp
 * [N,heads,T], which the gradient reads. */
#include "graph/ops.h"

static gd_status infer(gd_infer *c)
{
    const gd_type *qkv = c->in[0];
    const int64_t channels = qkv->dim[3] / 3;

    if (qkv->dim[3] % 3 != 0 || c->attr->heads < 1 || channels % c->attr->heads != 0)
        return gd_fail(GD_EUSAGE, "attention: %lld channels do not divide into q, k, v of %d heads",
                       (long long)qkv->dim[3], c->attr->heads);
    c->out = gd_act_type(qkv->dim[0], qkv->dim[1], qkv->dim[2], channels);
    c->aux = plain_type(qkv->dim[0], c->attr->heads, qkv->dim[1] * qkv->dim[2], 1);
    c->aux_place = GD_PLACE_PLAIN;
    return GD_OK;
}

static size_t scratch(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    (void)in;
    return gd_attention_scratch(attr->heads, (int)out->dim[3] / attr->heads,
                                (int)(out->dim[1] * out->dim[2]), false);
}

/* q.k and p.v: 2 T^2 C */
static double macs(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    const double tokens = (double)(out->dim[1] * out->dim[2]);

    (void)attr;
    (void)in;
    return 2.0 * tokens * tokens * (double)(out->dim[3] * out->dim[0]);
}

static void run(const gd_call *c)
{
    (c->attr->bf16 ? c->k->attention_bf16 : c->k->attention)(
        &c->out, c->aux.data, &c->in[0], c->attr->heads, c->attr->order, c->scratch);
}

static void vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_node *n = a->node;
    dx[0] = gd_node_add(a->g, &gd_op_attention_grad, &n->attr,
                        (gd_val[]){ a->dout, n->out, n->in[0], n->aux }, 4);
}

gd_val gd_attention(gd_graph *g, gd_val qkv, int heads, gd_head_order order)
{
    return gd_node_add(g, &gd_op_attention, &(gd_attr){ .heads = heads, .order = order }, &qkv, 1);
}

static gd_val example(gd_graph *g, int k)
{
    static const struct {
        int n, h, w, heads, ch;
        gd_head_order order;
    } s[] = {
        { 1, 8, 8, 2, 64, GD_HEADS_LEGACY }, { 2, 3, 3, 4, 16, GD_HEADS_NEW },
        { 1, 5, 7, 3, 8, GD_HEADS_NEW },     { 2, 1, 1, 2, 32, GD_HEADS_LEGACY },
        { 1, 4, 4, 1, 96, GD_HEADS_LEGACY }, { 1, 3, 2, 2, 5, GD_HEADS_LEGACY },
    };
    gd_val qkv = example_input(g, 0, s[k].n, s[k].h, s[k].w, 3 * s[k].heads * s[k].ch);
    return gd_attention(g, qkv, s[k].heads, s[k].order);
}

const gd_op gd_op_attention = { "attention",        infer,        run,           vjp,
                                .scratch = scratch, .macs = macs, .bf16_out = 1, .example = example,
                                .n_examples = 6 };

/* ---- gradient: dout, out, qkv, lse -> dqkv ---- */

static gd_status grad_infer(gd_infer *c)
{
    c->out = *c->in[2];
    return GD_OK;
}

static size_t grad_scratch(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    const int channels = (int)in[1]->dim[3];
    return gd_attention_scratch(attr->heads, channels / attr->heads,
                                (int)(out->dim[1] * out->dim[2]), true);
}

/* q.k again, dout.v, and the products for dq, dk, dv: five of T^2 C */
static double grad_macs(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    (void)out;
    return 2.5 * macs(attr, in, in[1]);
}

static void grad_run(const gd_call *c)
{
    (c->attr->bf16 ? c->k->attention_grad_bf16
                   : c->k->attention_grad)(&c->out, &c->in[0], &c->in[1], &c->in[2], c->in[3].data,
                                           c->attr->heads, c->attr->order, c->scratch);
}

const gd_op gd_op_attention_grad = { "attention_grad",        grad_infer,       grad_run, NULL,
                                     .scratch = grad_scratch, .macs = grad_macs };

/* ---- tokens of AttentionPool2d: [mean pixel, pixels] + positions ---- */

static gd_status pool_infer(gd_infer *c)
{
    const gd_type *x = c->in[0], *p = c->in[1];
    const int64_t tokens = x->dim[1] * x->dim[2] + 1;

    if (p->dim[0] != x->dim[3] || p->dim[1] != tokens)
        return gd_fail(GD_EUSAGE, "attention pool: positional embedding %s for input %s",
                       shape_text(p), shape_text(x));
    c->out = gd_act_type(x->dim[0], 1, tokens, x->dim[3]);
    return GD_OK;
}

static void pool_run(const gd_call *c)
{
    const gd_view *x = &c->in[0];
    const int64_t pixels = (int64_t)x->h * x->w;
    const float *position = c->in[1].data; /* [C][pixels + 1] */

    zero_view(&c->out);
    for (int n = 0; n < x->n; n++)
        for (int i = 0; i < x->c; i++) {
            const float *row = position + i * (pixels + 1);
            double sum = 0.0;
            for (int64_t p = 0; p < pixels; p++) {
                float v = *at_element(x, n, i, p);
                sum += v;
                *at_element(&c->out, n, i, p + 1) = v + row[p + 1];
            }
            *at_element(&c->out, n, i, 0) = (float)(sum / (double)pixels) + row[0];
        }
}

static void pool_vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_type *x = gd_type_of(a->g, a->node->in[0]);
    gd_attr attr = { .h = (int)x->dim[1], .w = (int)x->dim[2] };

    if (a->wanted[0])
        dx[0] = gd_node_add(a->g, &gd_op_pool_tokens_grad, &attr, &a->dout, 1);
    if (a->wanted[1])
        dx[1] = gd_node_add(a->g, &gd_op_positions_grad, &attr, &a->dout, 1);
}

gd_val gd_pool_tokens(gd_graph *g, gd_val x, gd_val positions)
{
    return gd_node_add(g, &gd_op_pool_tokens, &(gd_attr){ 0 }, (gd_val[]){ x, positions }, 2);
}

static gd_val pool_example(gd_graph *g, int k)
{
    const int channels = k ? 10 : 64, h = 2 + k, w = 3;
    gd_val x = example_input(g, 0, 2, h, w, channels);
    return gd_pool_tokens(g, x, gd_param(g, "positions", channels, h * w + 1, 1, 1));
}

const gd_op gd_op_pool_tokens = { "pool_tokens",           pool_infer,     pool_run, pool_vjp,
                                  .example = pool_example, .n_examples = 2 };

/* attr: h, w of x.  dx[p] = d[p + 1] + d[0] / pixels */
static gd_status pool_grad_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[0]->dim[0], c->attr->h, c->attr->w, c->in[0]->dim[3]);
    return GD_OK;
}

static void pool_grad_run(const gd_call *c)
{
    const gd_view *dx = &c->out;
    const int64_t pixels = (int64_t)dx->h * dx->w;

    zero_view(dx);
    for (int n = 0; n < dx->n; n++)
        for (int i = 0; i < dx->c; i++) {
            float mean = *at_element(&c->in[0], n, i, 0) / (float)pixels;
            for (int64_t p = 0; p < pixels; p++)
                *at_element(dx, n, i, p) = *at_element(&c->in[0], n, i, p + 1) + mean;
        }
}

const gd_op gd_op_pool_tokens_grad = { "pool_tokens_grad", pool_grad_infer, pool_grad_run, NULL };

/* Sum over images of the tokens' gradient, as the parameter [C, T] lies */
static gd_status positions_grad_infer(gd_infer *c)
{
    c->out = plain_type(c->in[0]->dim[3], c->in[0]->dim[2], 1, 1);
    c->out_place = GD_PLACE_PLAIN;
    return GD_OK;
}

static void positions_grad_run(const gd_call *c)
{
    const gd_view *d = &c->in[0];

    for (int i = 0; i < d->c; i++)
        for (int t = 0; t < d->w; t++) {
            double sum = 0.0;
            for (int n = 0; n < d->n; n++)
                sum += *at_element(d, n, i, t);
            ((float *)c->out.data)[(int64_t)i * d->w + t] = (float)sum;
        }
}

const gd_op gd_op_positions_grad = { "positions_grad", positions_grad_infer, positions_grad_run,
                                     NULL };
