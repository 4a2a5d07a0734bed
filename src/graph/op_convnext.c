/* SPDX-License-Identifier: MIT */
/* op_convnext.c - steps of ConvNeXt V2: convolution of each channel by its own filter, global
 * response normalisation.  Inference only: they have no gradients. */
#include "graph/ops.h"

/* ---- depthwise: x, weights [kernel^2,C], bias (attr: kernel), padding kernel / 2 ---- */

static gd_status depthwise_infer(gd_infer *c)
{
    const gd_type *x = c->in[0], *w = c->in[1];
    const int64_t taps = (int64_t)c->attr->kernel * c->attr->kernel;

    if (c->attr->kernel % 2 == 0 || w->dim[0] != taps || w->dim[1] != x->dim[3] ||
        c->in[2]->dim[3] != x->dim[3])
        return gd_fail(GD_EUSAGE, "depthwise convolution: weights %s, bias %s for %s",
                       shape_text(w), shape_text(c->in[2]), shape_text(x));
    return infer_like_first(c);
}

static void depthwise_run(const gd_call *c)
{
    c->k->depthwise(&c->out, &c->in[0], c->in[1].data, c->in[2].data, c->attr->kernel);
}

static double depthwise_macs(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    (void)in;
    return (double)type_count(out) * attr->kernel * attr->kernel;
}

gd_val gd_depthwise(gd_graph *g, gd_val x, gd_val weight, gd_val bias, int kernel)
{
    return gd_node_add(g, &gd_op_depthwise, &(gd_attr){ .kernel = kernel },
                       (gd_val[]){ x, weight, bias }, 3);
}

static gd_val depthwise_example(gd_graph *g, int k)
{
    static const int s[][5] = { { 1, 9, 8, 32, 7 }, { 2, 3, 5, 20, 7 }, { 1, 4, 4, 48, 3 } };
    gd_val x = example_input(g, 0, s[k][0], s[k][1], s[k][2], s[k][3]);

    return gd_depthwise(g, x, gd_param(g, "weight", s[k][4] * s[k][4], s[k][3], 1, 1),
                        gd_param(g, "bias", 1, 1, 1, s[k][3]), s[k][4]);
}

const gd_op gd_op_depthwise = {
    "depthwise",    depthwise_infer,        depthwise_run,
    NULL,           .macs = depthwise_macs, .example = depthwise_example,
    .n_examples = 3
};

/* ---- global response normalisation: x, gamma, beta (attr: eps) ---- */

static gd_status response_infer(gd_infer *c)
{
    const int64_t channels = c->in[0]->dim[3];

    if (c->in[1]->dim[3] != channels || c->in[2]->dim[3] != channels)
        return gd_fail(GD_EUSAGE, "response norm: weight %s for %lld channels",
                       shape_text(c->in[1]), (long long)channels);
    return infer_like_first(c);
}

static size_t response_scratch(const gd_attr *attr, const gd_type *const in[], const gd_type *out)
{
    (void)attr;
    (void)in;
    return (size_t)(out->dim[0] * out->dim[3]) * sizeof(float);
}

static void response_run(const gd_call *c)
{
    c->k->response_norm(&c->out, &c->in[0], c->in[1].data, c->in[2].data, c->attr->eps, c->scratch);
}

gd_val gd_response_norm(gd_graph *g, gd_val x, gd_val gamma, gd_val beta, float eps)
{
    return gd_node_add(g, &gd_op_response_norm, &(gd_attr){ .eps = eps },
                       (gd_val[]){ x, gamma, beta }, 3);
}

static gd_val response_example(gd_graph *g, int k)
{
    static const int s[][4] = { { 2, 7, 6, 64 }, { 1, 1, 3, 10 }, { 3, 20, 17, 24 } };
    gd_val x = example_input(g, 0, s[k][0], s[k][1], s[k][2], s[k][3]);

    return gd_response_norm(g, x, gd_param(g, "gamma", 1, 1, 1, s[k][3]),
                            gd_param(g, "beta", 1, 1, 1, s[k][3]), 1e-6f);
}

const gd_op gd_op_response_norm = { "response_norm",
                                    response_infer,
                                    response_run,
                                    NULL,
                                    .scratch = response_scratch,
                                    .inplace = IN0,
                                    .example = response_example,
                                    .n_examples = 3 };
