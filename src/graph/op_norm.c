/* SPDX-License-Identifier: MIT */
/* op_norm.c - group normalisation with modulation and SiLU, and its gradients
 * (docs/reference/networks.md#layers).
 *
 *   u = (xhat * gamma + beta) * (1 + scale) + shift,   y = act(u),   xhat = (x - mean) * rstd
 *
 * attr: groups, eps (statistics), act.  aux: the statistics, because the gradient reads them too;
 * what flows back through them is part of norm_grad. */
#include "graph/ops.h"

/* [N,2,C] beside an activation's result */
static void infer_pairs(gd_infer *c, const gd_type *x)
{
    c->aux = plain_type(x->dim[0], 2, x->dim[3], 1);
    c->aux_place = GD_PLACE_PLAIN;
}

/* ---- forward: x, gamma, beta, modulation? ---- */

static gd_status infer(gd_infer *c)
{
    const gd_type *x = c->in[0], *mod = c->in[3];

    if (c->attr->groups < 1 || x->dim[3] % c->attr->groups != 0)
        return gd_fail(GD_EUSAGE, "group norm: %lld channels do not divide into %d groups",
                       (long long)x->dim[3], c->attr->groups);
    if (c->in[1]->dim[3] != x->dim[3] || c->in[2]->dim[3] != x->dim[3])
        return gd_fail(GD_EUSAGE, "group norm: weight %s for %lld channels", shape_text(c->in[1]),
                       (long long)x->dim[3]);
    if (mod && (mod->dim[0] != x->dim[0] || mod->dim[3] != 2 * x->dim[3]))
        return gd_fail(GD_EUSAGE, "group norm: scale and shift %s for %s", shape_text(mod),
                       shape_text(x));
    infer_pairs(c, x);
    return infer_like_first(c);
}

/* x, gamma, beta, modulation? from input k on */
static gd_norm norm_of(const gd_call *c, int k, float *stats)
{
    return (gd_norm){ .x = &c->in[k],
                      .stats = stats,
                      .groups = c->attr->groups,
                      .eps = c->attr->eps,
                      .gamma = c->in[k + 1].data,
                      .beta = c->in[k + 2].data,
                      .modulation = c->in[k + 3].data,
                      .mod_stride = c->in[k + 3].image,
                      .act = c->attr->act };
}

static void run(const gd_call *c)
{
    const gd_norm norm = norm_of(c, 0, c->aux.data);
    c->k->norm(&norm, &c->out);
}

static void vjp(const gd_adjoint *a, gd_val dx[])
{
    const gd_node *n = a->node;
    gd_attr attr = n->attr;
    gd_val data =
        gd_node_add(a->g, &gd_op_norm_grad, &attr,
                    (gd_val[]){ a->dout, n->aux, n->in[0], n->in[1], n->in[2], n->in[3] }, 6);
    gd_val sums = data.id ? a->g->node[a->g->value[data.id].node].aux : GD_NONE;

    if (a->wanted[0])
        dx[0] = data;
    for (int k = 1; k <= 2; k++)
        if (a->wanted[k]) {
            attr.c0 = k - 1;
            dx[k] =
                gd_node_add(a->g, &gd_op_norm_grad_affine, &attr, (gd_val[]){ sums, n->in[3] }, 2);
        }
    if (a->wanted[3])
        dx[3] = gd_node_add(a->g, &gd_op_norm_grad_modulation, &attr,
                            (gd_val[]){ sums, n->in[1], n->in[2] }, 3);
}

gd_val gd_group_norm(gd_graph *g, gd_val x, gd_val gamma, gd_val beta, gd_val scale_shift,
                     int groups, float eps)
{
    const gd_attr attr = { .groups = groups, .eps = eps, .act = GD_ACT_NONE };

    return gd_node_add(g, &gd_op_norm, &attr, (gd_val[]){ x, gamma, beta, scale_shift }, 4);
}

static gd_val example(gd_graph *g, int k)
{
    static const struct {
        int n, h, w, c, modulated, silu;
    } s[] = {
        { 1, 8, 8, 64, 0, 0 },
        { 2, 5, 3, 96, 1, 1 },
        { 3, 4, 4, 32, 0, 1 },
        { 2, 1, 1, 192, 1, 0 },
    };
    gd_val x = example_input(g, 0, s[k].n, s[k].h, s[k].w, s[k].c);
    gd_val gamma = gd_param(g, "gamma", 1, 1, 1, s[k].c),
           beta = gd_param(g, "beta", 1, 1, 1, s[k].c);
    gd_val mod = s[k].modulated ? example_input(g, 1, s[k].n, 1, 1, 2 * s[k].c) : GD_NONE;
    gd_val y = gd_group_norm(g, x, gamma, beta, mod, 32, 1e-5f);

    return s[k].silu ? gd_silu(g, y) : y;
}

const gd_op gd_op_norm = { "norm",         infer,           run,           vjp,
                           .inplace = IN0, .optional = IN3, .bf16_out = 1, .example = example,
                           .n_examples = 4 };

/* ---- gradient: dy, stats, x, gamma, beta, modulation? -> dx; aux: sums [N,2,C] ---- */

static gd_status grad_infer(gd_infer *c)
{
    infer_pairs(c, c->in[2]);
    return infer_like_first(c);
}

static void grad_run(const gd_call *c)
{
    const gd_norm norm = norm_of(c, 2, c->in[1].data);
    c->k->norm_grad(&norm, &c->out, &c->in[0], c->aux.data);
}

const gd_op gd_op_norm_grad = { "norm_grad",    grad_infer,         grad_run,     NULL,
                                .inplace = IN0, .optional = 1 << 5, .bf16_out = 1 };

/* ---- gradients of gamma (c0 = 0) and beta (c0 = 1): sums, modulation? -> [1,1,1,C] ---- */

static gd_status affine_infer(gd_infer *c)
{
    c->out = gd_act_type(1, 1, 1, c->in[0]->dim[2]);
    return GD_OK;
}

/* dgamma = sum_n (1 + scale) * sum du xhat;  dbeta = sum_n (1 + scale) * sum du */
static void affine_run(const gd_call *c)
{
    const int64_t n_images = c->in[0].n, channels = c->in[0].w;
    const float *sums = c->in[0].data, *mod = c->in[1].data;
    float *out = c->out.data;

    memset(out, 0, (size_t)c->out.image * sizeof *out);
    for (int64_t n = 0; n < n_images; n++) {
        const float *s = sums + (n * 2 + (c->attr->c0 == 0 ? 1 : 0)) * channels;
        for (int64_t i = 0; i < channels; i++)
            out[i] += s[i] * (mod ? 1.0f + mod[n * c->in[1].image + i] : 1.0f);
    }
}

const gd_op gd_op_norm_grad_affine = { "norm_grad_affine", affine_infer, affine_run, NULL,
                                       .optional = IN1 };

/* ---- gradient of scale and shift: sums, gamma, beta -> [N,1,1,2C] ---- */

static gd_status modulation_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[0]->dim[0], 1, 1, 2 * c->in[0]->dim[2]);
    return GD_OK;
}

/* dscale = gamma * sum du xhat + beta * sum du;  dshift = sum du */
static void modulation_run(const gd_call *c)
{
    const int64_t channels = c->in[0].w;
    const float *gamma = c->in[1].data, *beta = c->in[2].data;

    for (int64_t n = 0; n < c->in[0].n; n++) {
        const float *du = (const float *)c->in[0].data + n * 2 * channels, *du_xhat = du + channels;
        float *out = (float *)c->out.data + n * c->out.image;
        memset(out, 0, (size_t)c->out.image * sizeof *out);
        for (int64_t i = 0; i < channels; i++) {
            out[i] = gamma[i] * du_xhat[i] + beta[i] * du[i];
            out[channels + i] = du[i];
        }
    }
}

const gd_op gd_op_norm_grad_modulation = { "norm_grad_modulation", modulation_infer, modulation_run,
                                           NULL };
