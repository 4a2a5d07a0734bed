/* SPDX-License-Identifier: MIT */
/* op_embed.c - the timestep's sinusoids and rows of a table by label
 * (docs/reference/networks.md#layers). */
#include "graph/ops.h"

#include <math.h>

/* ---- t [N] -> [N,1,1,dim] (attr: count = dim, factor = max_period, c0 = shift, n = sin_first)
 * ----
 */

static gd_status timestep_infer(gd_infer *c)
{
    const int least = 2 * (1 + c->attr->c0);

    if (c->attr->count < least)
        return gd_fail(GD_EUSAGE, "timestep embedding: dimension %d is below %d", c->attr->count,
                       least);
    c->out = gd_act_type(c->in[0]->dim[0], 1, 1, c->attr->count);
    return GD_OK;
}

/* As PyTorch computes it in float32 */
static void sinusoids(float *out, float t, const gd_attr *attr)
{
    const int half = attr->count / 2;
    float *sines = out + (attr->n ? 0 : half), *cosines = out + (attr->n ? half : 0);

    for (int i = 0; i < half; i++) {
        const float exponent = -logf(attr->factor) * (float)i / (float)(half - attr->c0);
        sines[i] = sinf(t * expf(exponent));
        cosines[i] = cosf(t * expf(exponent));
    }
}

static void timestep_run(const gd_call *c)
{
    const float *t = c->in[0].data;
    const bool plain = c->attr->c0 == 0 && c->attr->n == 0;

    zero_view(&c->out);
    for (int n = 0; n < c->out.n && !plain; n++)
        sinusoids((float *)c->out.data + n * c->out.image, t[n], c->attr);
    for (int n = 0; n < c->out.n && plain; n++)
        c->k->timestep_embedding((float *)c->out.data + n * c->out.image, t + n, 1, c->attr->count,
                                 c->attr->factor);
}

gd_val gd_timestep_embedding(gd_graph *g, gd_val t, int dim, float max_period)
{
    return gd_node_add(g, &gd_op_timestep_embedding,
                       &(gd_attr){ .count = dim, .factor = max_period }, &t, 1);
}

gd_val gd_sinusoids(gd_graph *g, gd_val t, int dim, float max_period, int shift, bool sin_first)
{
    const gd_attr attr = { .count = dim, .factor = max_period, .c0 = shift, .n = sin_first };

    return gd_node_add(g, &gd_op_timestep_embedding, &attr, &t, 1);
}

static gd_val timestep_example(gd_graph *g, int k)
{
    gd_val t = gd_input(g, "t", (gd_type){ { 2, 1, 1, 1 }, GD_F32 }, GD_PLACE_PLAIN);
    return gd_sinusoids(g, t, k == 1 ? 33 : 64, 10000, k > 1, k == 3);
}

const gd_op gd_op_timestep_embedding = {
    "timestep_embedding",        timestep_infer, timestep_run, NULL,
    .example = timestep_example, .n_examples = 4
};

/* ---- t [N], frequencies [1,1,1,half] -> [N,1,1,2 half]: sines, then cosines ---- */

static gd_status fourier_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[0]->dim[0], 1, 1, 2 * c->in[1]->dim[3]);
    return GD_OK;
}

static void fourier_run(const gd_call *c)
{
    const float *t = c->in[0].data, *frequency = c->in[1].data;
    const float two_pi = (float)(2 * M_PI);
    const int half = c->out.c / 2;

    zero_view(&c->out);
    for (int n = 0; n < c->out.n; n++) {
        float *out = (float *)c->out.data + n * c->out.image;
        for (int i = 0; i < half; i++) {
            const float angle = t[n] * (two_pi * frequency[i]);
            out[i] = sinf(angle);
            out[half + i] = cosf(angle);
        }
    }
}

gd_val gd_fourier_embedding(gd_graph *g, gd_val t, gd_val frequencies)
{
    return gd_node_add(g, &gd_op_fourier_embedding, &(gd_attr){ 0 }, (gd_val[]){ t, frequencies },
                       2);
}

static gd_val fourier_example(gd_graph *g, int k)
{
    gd_val t = gd_input(g, "t", (gd_type){ { 3, 1, 1, 1 }, GD_F32 }, GD_PLACE_PLAIN);
    gd_val f = gd_input(g, "f", (gd_type){ { 1, 1, 1, k ? 5 : 32 }, GD_F32 }, GD_PLACE_PLAIN);
    return gd_fourier_embedding(g, t, f);
}

const gd_op gd_op_fourier_embedding = {
    "fourier_embedding",        fourier_infer,  fourier_run, NULL,
    .example = fourier_example, .n_examples = 2
};

/* ---- table [K,E], labels [N] -> [N,1,1,E]; a label outside the table gives zeros ---- */

static gd_status lookup_infer(gd_infer *c)
{
    c->out = gd_act_type(c->in[1]->dim[0], 1, 1, c->in[0]->dim[1]);
    return GD_OK;
}

static void lookup_run(const gd_call *c)
{
    const int64_t rows = c->in[0].n, width = c->out.c;
    const int32_t *label = c->in[1].data;

    zero_view(&c->out);
    for (int n = 0; n < c->out.n; n++)
        if (label[n] >= 0 && label[n] < rows)
            memcpy((float *)c->out.data + n * c->out.image,
                   (const float *)c->in[0].data + label[n] * width, (size_t)width * sizeof(float));
}

static void lookup_vjp(const gd_adjoint *a, gd_val dx[])
{
    gd_attr attr = { .count = (int)gd_type_of(a->g, a->node->in[0])->dim[0] };

    if (a->wanted[0])
        dx[0] =
            gd_node_add(a->g, &gd_op_lookup_grad, &attr, (gd_val[]){ a->dout, a->node->in[1] }, 2);
}

gd_val gd_lookup(gd_graph *g, gd_val table, gd_val labels)
{
    return gd_node_add(g, &gd_op_lookup, &(gd_attr){ 0 }, (gd_val[]){ table, labels }, 2);
}

static gd_val lookup_example(gd_graph *g, int k)
{
    gd_val labels = gd_input(g, "labels", (gd_type){ { 3, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
    return gd_lookup(g, gd_param(g, "table", k ? 7 : 10, k ? 20 : 64, 1, 1), labels);
}

const gd_op gd_op_lookup = {
    "lookup", lookup_infer, lookup_run, lookup_vjp, .example = lookup_example, .n_examples = 2
};

/* dy, labels -> [count,E]: rows of equal labels are summed */
static gd_status lookup_grad_infer(gd_infer *c)
{
    c->out = plain_type(c->attr->count, c->in[0]->dim[3], 1, 1);
    c->out_place = GD_PLACE_PLAIN;
    return GD_OK;
}

static void lookup_grad_run(const gd_call *c)
{
    const int64_t width = c->in[0].c;
    const int32_t *label = c->in[1].data;

    memset(c->out.data, 0, (size_t)(c->out.n * width) * sizeof(float));
    for (int n = 0; n < c->in[0].n; n++)
        for (int64_t i = 0; i < width && label[n] >= 0 && label[n] < c->out.n; i++)
            ((float *)c->out.data)[label[n] * width + i] +=
                ((const float *)c->in[0].data)[n * c->in[0].image + i];
}

const gd_op gd_op_lookup_grad = { "lookup_grad", lookup_grad_infer, lookup_grad_run, NULL };
