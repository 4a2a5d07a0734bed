/* SPDX-License-Identifier: MIT */
/* kind_layers.c - the building blocks alone, forward and backward. */
#include "golden.h"
#include "train/train.h"
#include "graph/ops.h"

#include <stdlib.h>
#include <string.h>

/* One layer under test: inputs x (and emb), output y, gradients of sum(y * cotangent) */
typedef struct layer {
    golden *g;
    golden_graph u;
    gd_val x, emb, mask, y, cotangent;
    char suffix[16], prefix[16]; /* ".2", "model2" */
    golden_gradients d;
} layer;

/* A tensor [N,C,H,W], [N,C,T] or [N,C] as an activation [N,H,W,C] */
static gd_type activation_of(const gd_array *a)
{
    const int64_t n = a->rank > 1 ? a->dim[0] : 1, c = a->rank > 1 ? a->dim[1] : a->dim[0];

    return gd_act_type(n, a->rank > 3 ? a->dim[2] : 1,
                       a->rank > 3    ? a->dim[3]
                       : a->rank == 3 ? a->dim[2]
                                      : 1,
                       c);
}

static gd_val add_input(layer *l, const char *name)
{
    const gd_array *a = golden_find(l->g, "in.%s%s", name, l->suffix);

    if (!a)
        return GD_NONE;
    return gd_input(l->u.graph, name, activation_of(a), GD_PLACE_ACTIVATION);
}

static bool begin(layer *l, golden *g, int i)
{
    *l = (layer){ .g = g };
    snprintf(l->suffix, sizeof l->suffix, ".%d", i);
    snprintf(l->prefix, sizeof l->prefix, "model%d", i);
    if (!golden_find(g, "in.x%s", l->suffix)) {
        golden_fail(g, "no input in.x%s", l->suffix);
        return false;
    }
    if (gd_graph_make(&l->u.graph) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    l->x = add_input(l, "x");
    l->emb = add_input(l, "emb");
    return true;
}

static void put(layer *l, gd_val v, const char *name)
{
    if (v.id)
        gd_exec_put(l->u.exec, v, golden_f32(l->g, NULL, "in.%s%s", name, l->suffix));
}

/* Kept elements are divided by 1 - p, dropped ones are 0 */
static void put_mask(layer *l)
{
    const float p = (float)golden_number(l->g, l->g->config, "dropout", 0);
    int64_t n;
    float *mask = golden_f32(l->g, &n, "in.mask");

    for (int64_t i = 0; i < n; i++)
        mask[i] /= 1 - p;
    gd_exec_put(l->u.exec, l->mask, mask);
}

static void finish(layer *l)
{
    golden *g = l->g;
    golden_weights source = { g, l->prefix };
    const gd_weights w = golden_source(&source);
    gd_val outputs[GOLDEN_MAX_GRADIENTS + 1];
    char name[32];

    if (gd_graph_check(l->u.graph) == GD_OK) {
        l->cotangent =
            gd_input(l->u.graph, "cotangent", *gd_type_of(l->u.graph, l->y), GD_PLACE_ACTIVATION);
        l->d.prefix = l->prefix;
        l->d.input_suffix = l->suffix;
        golden_gradients_of(g, &l->u, &l->d, l->y, l->cotangent);
    }
    outputs[0] = l->y;
    memcpy(outputs + 1, l->d.of, (size_t)l->d.n * sizeof *outputs);
    if (golden_plan(g, &l->u, outputs, l->d.n + 1, &w)) {
        put(l, l->x, "x");
        put(l, l->emb, "emb");
        put(l, l->cotangent, "cotangent");
        if (l->mask.id)
            put_mask(l);
        gd_exec_run(l->u.exec);
        snprintf(name, sizeof name, "out.y%s", l->suffix);
        golden_compare(g, name, golden_get(g, &l->u, l->y, 1), golden_count(&l->u, l->y));
        golden_compare_gradients(g, &l->u, &l->d, 1);
    }
    golden_release(&l->u);
}

void golden_silu(golden *g)
{
    static layer l;

    golden_reads_all(g);
    for (int i = 0; golden_find(g, "in.x.%d", i) && begin(&l, g, i); i++) {
        l.y = gd_silu(l.u.graph, l.x);
        finish(&l);
    }
}

/* ---- by type ---- */

static nn root_of(const layer *l)
{
    return (nn){ .g = l->u.graph, .scope = "" };
}

static void group_norm(layer *l, json_t *c)
{
    golden_require(l->g, c, "groups", 32);
    golden_require(l->g, c, "eps", 1e-5);
    golden_remarks(l->g, c, "channels input_mean input_std");
    l->y = nn_norm(root_of(l), l->x, GD_NONE);
}

static void attention(layer *l, json_t *c)
{
    const char *type = golden_text(l->g, c, "type", "");

    golden_remarks(l->g, c, "head_channels length gain");
    l->y = gd_attention(l->u.graph, l->x, golden_get_int(l->g, c, "num_heads", 1),
                        strstr(type, "Legacy") ? GD_HEADS_LEGACY : GD_HEADS_NEW);
}

/* Without out_channels, as many as x has */
static int channels_of(layer *l, json_t *c)
{
    const int channels = golden_get_int(l->g, c, "channels", gd_channels(l->u.graph, l->x));

    golden_require(l->g, c, "dims", 2);
    if (channels != gd_channels(l->u.graph, l->x))
        golden_fail(l->g, "x has %d channels, not %d", gd_channels(l->u.graph, l->x), channels);
    return golden_get_int(l->g, c, "out_channels", channels);
}

static void upsample(layer *l, json_t *c)
{
    l->y = nn_upsample(root_of(l), l->x, golden_get_bool(l->g, c, "use_conv", false),
                       channels_of(l, c));
}

static void downsample(layer *l, json_t *c)
{
    l->y = nn_downsample(root_of(l), l->x, golden_get_bool(l->g, c, "use_conv", false),
                         channels_of(l, c));
}

static void attention_pool(layer *l, json_t *c)
{
    const int channels = golden_get_int(l->g, c, "embed_dim", 0);

    golden_remarks(l->g, c, "spacial_dim");
    l->y = nn_attention_pool(root_of(l), l->x,
                             channels / golden_get_int(l->g, c, "num_heads_channels", 1),
                             golden_get_int(l->g, c, "output_dim", channels));
}

static void attention_block(layer *l, json_t *c)
{
    const int width = golden_get_int(l->g, c, "num_head_channels", -1),
              heads = golden_get_int(l->g, c, "num_heads", 1);

    golden_remarks(l->g, c, "use_checkpoint");
    l->y = nn_attention_block(root_of(l), l->x, width > 0 ? channels_of(l, c) / width : heads,
                              golden_get_bool(l->g, c, "use_new_attention_order", false)
                                  ? GD_HEADS_NEW
                                  : GD_HEADS_LEGACY);
    channels_of(l, c);
}

static gd_val resized(nn m, gd_val x, nn_resample kind)
{
    return kind == NN_UP ? gd_upsample(m.g, x) : kind == NN_DOWN ? gd_downsample(m.g, x) : x;
}

/* A residual block whose skip connection is a 3x3 convolution.  No network has it, so nn_resblock
 * does not know it. */
static gd_val resblock_conv_skip(nn m, gd_val x, gd_val emb, int channels, nn_resample kind,
                                 bool scale_shift)
{
    gd_val h = gd_silu(m.g, nn_norm(nn_at(m, "in_layers.0"), x, GD_NONE));
    gd_val e = nn_linear(nn_at(m, "emb_layers.1"), emb, scale_shift ? 2 * channels : channels);

    h = nn_conv(nn_at(m, "in_layers.2"), resized(m, h, kind), channels, 3, 1);
    if (!scale_shift)
        h = gd_plus_channel(m.g, h, e);
    h = gd_silu(m.g, nn_norm(nn_at(m, "out_layers.0"), h, scale_shift ? e : GD_NONE));
    h = nn_conv(nn_at(m, "out_layers.3"), h, channels, 3, 1);
    x = nn_conv(nn_at(m, "skip_connection"), resized(m, x, kind), channels, 3, 1);
    return gd_plus(m.g, x, h);
}

/* use_conv only matters where the channels change: otherwise the skip connection is the identity */
static void resblock(layer *l, json_t *c)
{
    golden *g = l->g;
    const int channels = channels_of(l, c);
    const bool up = golden_get_bool(g, c, "up", false), down = golden_get_bool(g, c, "down", false),
               scale_shift = golden_get_bool(g, c, "use_scale_shift_norm", false),
               conv = golden_get_bool(g, c, "use_conv", false);
    const nn_resample kind = up ? NN_UP : down ? NN_DOWN : NN_SAME;
    const gd_val emb = gd_silu(l->u.graph, l->emb); /* the authors' emb_layers begin with it */
    nn m = root_of(l);

    golden_remarks(g, c, "emb_channels use_checkpoint");
    m.dropout = golden_number(g, c, "dropout", 0);
    l->y = conv && channels != gd_channels(l->u.graph, l->x)
               ? resblock_conv_skip(m, l->x, emb, channels, kind, scale_shift)
               : nn_resblock(m, l->x, emb, channels, kind, scale_shift);
}

static const struct {
    const char *type;
    void (*build)(layer *l, json_t *c);
} types[] = {
    { "GroupNorm32", group_norm },         { "QKVAttention", attention },
    { "QKVAttentionLegacy", attention },   { "Upsample", upsample },
    { "Downsample", downsample },          { "AttentionPool2d", attention_pool },
    { "AttentionBlock", attention_block }, { "ResBlock", resblock },
};

void golden_layer(golden *g)
{
    static layer l;
    json_t *list = golden_at(g, g->config, "layers"), *c;
    size_t i;

    golden_reads_all(g);
    json_array_foreach(list, i, c)
    {
        const char *type = golden_text(g, c, "type", "(none)");
        int k = 0;
        while (k < COUNT(types) && strcmp(types[k].type, type) != 0)
            k++;
        if (k == COUNT(types)) {
            golden_fail(g, "layer %s is not known", type);
            continue;
        }
        if (!begin(&l, g, (int)i))
            return;
        types[k].build(&l, c);
        finish(&l);
    }
}

/* The drawn mask becomes an input */
static void use_stored_mask(layer *l)
{
    gd_graph *graph = l->u.graph;

    for (int i = 0; i < graph->n_node; i++) {
        gd_node *n = &graph->node[i];
        if (n->op != &gd_op_dropout)
            continue;
        l->mask = gd_input(graph, "mask", *gd_type_of(graph, n->out), GD_PLACE_ACTIVATION);
        n->op = &gd_op_mul;
        n->in[1] = l->mask;
    }
}

void golden_resblock_dropout(golden *g)
{
    static layer l;

    golden_reads_all(g);
    if (!begin(&l, g, 0))
        return;
    snprintf(l.prefix, sizeof l.prefix, "model");
    golden_remarks(g, g->config, "type");
    resblock(&l, g->config);
    use_stored_mask(&l);
    finish(&l);
}

/* What low-resolution images are made with: no graph has it, and nothing differentiates it.  It is
 * linear, so its gradient is found from what it makes of each pixel alone. */
static void area_average(golden *g, size_t i, const gd_array *shape, int h, int w)
{
    const int height = (int)shape->dim[2], width = (int)shape->dim[3];
    const int64_t planes = shape->dim[0] * shape->dim[1], full = (int64_t)height * width,
                  low = (int64_t)h * w;
    const float *x = golden_f32(g, NULL, "in.x.%zu", i),
                *dy = golden_f32(g, NULL, "in.cotangent.%zu", i);
    float *y = golden_alloc(g, (size_t)(planes * low) * sizeof *y),
          *dx = golden_alloc(g, (size_t)(planes * full) * sizeof *dx),
          *one = golden_alloc(g, (size_t)full * sizeof *one),
          *of_one = golden_alloc(g, (size_t)low * sizeof *of_one);

    gd_area_average(y, x, (int)planes, height, width, h, w);
    golden_compare(g, gd_sprintf(g->mem, "out.y.%zu", i), y, planes * low);
    for (int64_t p = 0; dy && p < full; p++) {
        one[p] = 1;
        gd_area_average(of_one, one, 1, height, width, h, w);
        one[p] = 0;
        for (int64_t k = 0; k < planes * low; k++)
            dx[k / low * full + p] += of_one[k % low] * dy[k];
    }
    if (dy)
        golden_compare(g, gd_sprintf(g->mem, "grad.in.x.%zu", i), dx, planes * full);
}

void golden_interpolate(golden *g)
{
    static const char *const modes[] = { "bilinear", "area" };
    static layer l;
    json_t *runs = golden_at(g, g->config, "runs"), *run;
    size_t i;

    golden_reads_all(g);
    json_array_foreach(runs, i, run)
    {
        json_t *size = golden_at(g, run, "size");
        const gd_array *x = golden_find(g, "in.x.%zu", i);
        const int mode = golden_word(g, run, "mode", modes, COUNT(modes), -1),
                  h = (int)json_integer_value(json_array_get(size, 0)),
                  w = (int)json_integer_value(json_array_get(size, 1));
        golden_remarks(g, run, "shape");
        if (!x || x->rank != 4 || h < 1 || w < 1) {
            golden_fail(g, "run %zu: no images in.x.%zu, or no size", i, i);
            return;
        }
        if (mode == 1) {
            area_average(g, i, x, h, w);
            continue;
        }
        if (!begin(&l, g, (int)i))
            return;
        l.y = gd_bilinear(l.u.graph, l.x, h, w);
        finish(&l);
    }
}

void golden_timestep_embedding(golden *g)
{
    static const char *const inputs[] = { "t", "ti" };
    json_t *runs = golden_at(g, g->config, "runs"), *run;
    char name[64];
    size_t i;

    golden_reads_all(g);
    for (int k = 0; k < COUNT(inputs); k++) {
        int64_t n;
        const float *t = golden_f32(g, &n, "in.%s", inputs[k]);
        json_array_foreach(runs, i, run)
        {
            const int dim = golden_get_int(g, run, "dim", 0);
            const float period = (float)golden_number(g, run, "max_period", 10000);
            float *out = golden_alloc(g, (size_t)n * (size_t)dim * sizeof *out);
            gd_kernels_get()->timestep_embedding(out, t, (int)n, dim, period);
            snprintf(name, sizeof name, "out.%s.%zu", inputs[k], i);
            golden_compare(g, name, out, n * dim);
        }
    }
}
