/* SPDX-License-Identifier: MIT */
/* op_tokens.c - what transformers of image tokens need: GELU, normalisation of each token, tokens
 * in front of the patches, attention of one learned query.  Features are taken with these, nothing
 * is trained through them: they have no gradients. */
#include "graph/ops.h"

#include <math.h>

/* ---- GELU (attr: gelu) ---- */

static void gelu_run(const gd_call *c)
{
    c->k->gelu(&c->out, &c->in[0], c->attr->gelu);
}

gd_val gd_gelu_of(gd_graph *g, gd_val x, gd_gelu kind)
{
    return gd_node_add(g, &gd_op_gelu, &(gd_attr){ .gelu = kind }, &x, 1);
}

static gd_val gelu_example(gd_graph *g, int k)
{
    return gd_gelu_of(g, example_input(g, 0, 1 + k, 3, 7, k ? 18 : 64), (gd_gelu)k);
}

const gd_op gd_op_gelu = { "gelu",         infer_like_first,        gelu_run,       NULL,
                           .inplace = IN0, .example = gelu_example, .n_examples = 3 };

/* ---- layer normalisation: x, gamma, beta (attr: eps) ---- */

static gd_status norm_infer(gd_infer *c)
{
    const int64_t channels = c->in[0]->dim[3];

    if (c->in[1]->dim[3] != channels || c->in[2]->dim[3] != channels)
        return gd_fail(GD_EUSAGE, "layer norm: weight %s for %lld channels", shape_text(c->in[1]),
                       (long long)channels);
    return infer_like_first(c);
}

static void norm_run(const gd_call *c)
{
    c->k->layer_norm(&c->out, &c->in[0], c->in[1].data, c->in[2].data, c->attr->eps);
}

gd_val gd_layer_norm(gd_graph *g, gd_val x, gd_val gamma, gd_val beta, float eps)
{
    return gd_node_add(g, &gd_op_layer_norm, &(gd_attr){ .eps = eps }, (gd_val[]){ x, gamma, beta },
                       3);
}

static gd_val norm_example(gd_graph *g, int k)
{
    static const int s[][4] = { { 2, 1, 17, 64 }, { 1, 1, 1, 10 }, { 3, 4, 5, 24 } };
    gd_val x = example_input(g, 0, s[k][0], s[k][1], s[k][2], s[k][3]);

    return gd_layer_norm(g, x, gd_param(g, "gamma", 1, 1, 1, s[k][3]),
                         gd_param(g, "beta", 1, 1, 1, s[k][3]), 1e-6f);
}

const gd_op gd_op_layer_norm = { "layer_norm",   norm_infer,     norm_run,
                                 NULL,           .inplace = IN0, .example = norm_example,
                                 .n_examples = 3 };

/* ---- tokens: x, table ---- */

static gd_status tokens_infer(gd_infer *c)
{
    const gd_type *x = c->in[0], *table = c->in[1];

    if (table->dim[1] != x->dim[3] || table->dim[0] < x->dim[1] * x->dim[2])
        return gd_fail(GD_EUSAGE, "tokens: table %s for patches %s", shape_text(table),
                       shape_text(x));
    c->out = gd_act_type(x->dim[0], 1, table->dim[0], x->dim[3]);
    return GD_OK;
}

static void tokens_run(const gd_call *c)
{
    const gd_view *x = &c->in[0], *out = &c->out;
    const float *table = c->in[1].data;
    const int64_t front = out->w - (int64_t)x->h * x->w;

    zero_view(out);
    for (int64_t n = 0; n < out->n; n++)
        for (int64_t t = 0; t < out->w; t++)
            for (int i = 0; i < out->c; i++)
                *at_element(out, n, i, t) =
                    table[t * out->c + i] + (t < front ? 0.0f : *at_element(x, n, i, t - front));
}

gd_val gd_tokens(gd_graph *g, gd_val x, gd_val table)
{
    return gd_node_add(g, &gd_op_tokens, &(gd_attr){ 0 }, (gd_val[]){ x, table }, 2);
}

static gd_val tokens_example(gd_graph *g, int k)
{
    const int channels = k ? 10 : 64;

    return gd_tokens(g, example_input(g, 0, 2, 3, 2 + k, channels),
                     gd_param(g, "table", k ? 9 : 11, channels, 1, 1));
}

const gd_op gd_op_tokens = {
    "tokens", tokens_infer, tokens_run, NULL, .example = tokens_example, .n_examples = 2
};

/* ---- attention of one query: query, keys and values (attr: heads) ---- */

static gd_status probe_infer(gd_infer *c)
{
    const gd_type *query = c->in[0], *kv = c->in[1];
    const int64_t channels = query->dim[3];

    if (kv->dim[3] != 2 * channels || c->attr->heads < 1 || channels % c->attr->heads != 0)
        return gd_fail(GD_EUSAGE,
                       "attention of a query: %lld channels, keys and values %s, %d heads",
                       (long long)channels, shape_text(kv), c->attr->heads);
    c->out = gd_act_type(kv->dim[0], 1, 1, channels);
    return GD_OK;
}

static size_t probe_scratch(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    (void)attr;
    (void)out;
    return (size_t)(in[1]->dim[1] * in[1]->dim[2]) * sizeof(double);
}

/* Weights of all tokens, their sum to be divided by */
static double probe_weights(double *weight, const gd_call *c, int64_t n, int first, int channels)
{
    const gd_view *kv = &c->in[1];
    const float *query = c->in[0].data;
    const int64_t tokens = (int64_t)kv->h * kv->w;
    double most = -INFINITY, sum = 0;

    for (int64_t t = 0; t < tokens; t++) {
        double score = 0;
        for (int i = first; i < first + channels; i++)
            score += (double)query[i] * (double)*at_element(kv, n, i, t);
        weight[t] = score / sqrt(channels);
        most = fmax(most, weight[t]);
    }
    for (int64_t t = 0; t < tokens; t++)
        sum += weight[t] = exp(weight[t] - most);
    return sum;
}

static void probe_run(const gd_call *c)
{
    const gd_view *kv = &c->in[1];
    const int channels = c->out.c / c->attr->heads;
    double *weight = c->scratch;

    zero_view(&c->out);
    for (int64_t n = 0; n < kv->n; n++)
        for (int first = 0; first < c->out.c; first += channels) {
            const double total = probe_weights(weight, c, n, first, channels);
            for (int i = first; i < first + channels; i++) {
                double sum = 0;
                for (int64_t t = 0; t < (int64_t)kv->h * kv->w; t++)
                    sum += weight[t] * (double)*at_element(kv, n, c->out.c + i, t);
                *at_element(&c->out, n, i, 0) = (float)(sum / total);
            }
        }
}

gd_val gd_probe(gd_graph *g, gd_val query, gd_val keys_values, int heads)
{
    return gd_node_add(g, &gd_op_probe, &(gd_attr){ .heads = heads },
                       (gd_val[]){ query, keys_values }, 2);
}

static gd_val probe_example(gd_graph *g, int k)
{
    const int channels = k ? 12 : 64;

    return gd_probe(g, gd_param(g, "query", 1, 1, 1, channels),
                    example_input(g, 0, 2, 1, 7, 2 * channels), 2 + k);
}

const gd_op gd_op_probe = { "probe",
                            probe_infer,
                            probe_run,
                            NULL,
                            .scratch = probe_scratch,
                            .example = probe_example,
                            .n_examples = 2 };
