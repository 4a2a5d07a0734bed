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
    const float p = (float)json_number_value(json_object_get(l->g->config, "dropout"));
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
    (void)c;
    l->y = nn_norm(root_of(l), l->x, GD_NONE);
}

static void attention(layer *l, json_t *c)
{
    const char *type = json_string_value(json_object_get(c, "type"));

    l->y = gd_attention(l->u.graph, l->x, golden_int(c, "num_heads", 1),
                        strstr(type, "Legacy") ? GD_HEADS_LEGACY : GD_HEADS_NEW);
}

static void upsample(layer *l, json_t *c)
{
    l->y = nn_upsample(root_of(l), l->x, golden_bool(c, "use_conv", false),
                       golden_int(c, "out_channels", 0));
}

static void downsample(layer *l, json_t *c)
{
    l->y = nn_downsample(root_of(l), l->x, golden_bool(c, "use_conv", false),
                         golden_int(c, "out_channels", 0));
}

static void attention_pool(layer *l, json_t *c)
{
    const int channels = golden_int(c, "embed_dim", 0);

    l->y = nn_attention_pool(root_of(l), l->x, channels / golden_int(c, "num_heads_channels", 1),
                             golden_int(c, "output_dim", channels));
}

static void attention_block(layer *l, json_t *c)
{
    const int heads = json_object_get(c, "num_head_channels")
                          ? golden_int(c, "channels", 0) / golden_int(c, "num_head_channels", 1)
                          : golden_int(c, "num_heads", 1);

    l->y = nn_attention_block(root_of(l), l->x, heads,
                              golden_bool(c, "use_new_attention_order", false) ? GD_HEADS_NEW
                                                                               : GD_HEADS_LEGACY);
}

/* A residual block whose skip connection is a 3x3 convolution.  No network has it, so nn_resblock
 * does not know it. */
static gd_val resblock_conv_skip(nn m, gd_val x, gd_val emb, int channels)
{
    gd_val h = gd_silu(m.g, nn_norm(nn_at(m, "in_layers.0"), x, GD_NONE));

    h = nn_conv(nn_at(m, "in_layers.2"), h, channels, 3, 1);
    h = gd_plus_channel(m.g, h, nn_linear(nn_at(m, "emb_layers.1"), emb, channels));
    h = gd_silu(m.g, nn_norm(nn_at(m, "out_layers.0"), h, GD_NONE));
    h = nn_conv(nn_at(m, "out_layers.3"), h, channels, 3, 1);
    return gd_plus(m.g, nn_conv(nn_at(m, "skip_connection"), x, channels, 3, 1), h);
}

static void resblock(layer *l, json_t *c)
{
    const int channels = golden_int(c, "out_channels", golden_int(c, "channels", 0));
    const nn_resample kind = golden_bool(c, "up", false)     ? NN_UP
                             : golden_bool(c, "down", false) ? NN_DOWN
                                                             : NN_SAME;
    const gd_val emb = gd_silu(l->u.graph, l->emb); /* the authors' emb_layers begin with it */
    nn m = root_of(l);

    m.dropout = json_number_value(json_object_get(c, "dropout"));
    l->y = golden_bool(c, "use_conv", false)
               ? resblock_conv_skip(m, l->x, emb, channels)
               : nn_resblock(m, l->x, emb, channels, kind,
                             golden_bool(c, "use_scale_shift_norm", false));
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
    json_t *list = json_object_get(g->config, "layers"), *c;
    size_t i;

    json_array_foreach(list, i, c)
    {
        const char *type = json_string_value(json_object_get(c, "type"));
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

    if (!begin(&l, g, 0))
        return;
    snprintf(l.prefix, sizeof l.prefix, "model");
    resblock(&l, g->config);
    use_stored_mask(&l);
    finish(&l);
}

/* What low-resolution images are made with, against the same as two-fold averages on the graph,
 * which have a gradient */
static void area_average(golden *g, layer *l, size_t i, json_t *shape, int small)
{
    const int channels = (int)json_integer_value(json_array_get(shape, 1)),
              size = (int)json_integer_value(json_array_get(shape, 2));
    const int64_t n = json_integer_value(json_array_get(shape, 0)), image = channels * size * size,
                  low = channels * small * small;
    const float *x = golden_f32(g, NULL, "in.x.%zu", i);
    float *out = golden_alloc(g, (size_t)(n * low) * sizeof *out);
    char name[32];

    for (int64_t k = 0; k < n; k++)
        gd_area_average(out + k * low, x + k * image, channels, size, small);
    snprintf(name, sizeof name, "out.y.%zu", i);
    golden_compare(g, name, out, n * low);
    l->y = l->x;
    for (int s = size; s > small; s /= 2)
        l->y = gd_downsample(l->u.graph, l->y);
}

static void leave_out(golden *g, size_t i, const char *why)
{
    char name[32];

    snprintf(name, sizeof name, "out.y.%zu", i);
    golden_leave_out(g, name, why);
    snprintf(name, sizeof name, "grad.in.x.%zu", i);
    golden_leave_out(g, name, why);
}

void golden_interpolate(golden *g)
{
    static layer l;
    json_t *runs = json_object_get(g->config, "runs"), *run;
    size_t i;

    json_array_foreach(runs, i, run)
    {
        json_t *size = json_object_get(run, "size"), *shape = json_object_get(run, "shape");
        const bool bilinear =
            strcmp(json_string_value(json_object_get(run, "mode")), "bilinear") == 0;
        const int h = (int)json_integer_value(json_array_get(size, 0)),
                  w = (int)json_integer_value(json_array_get(size, 1));
        if (!bilinear && json_integer_value(json_array_get(shape, 2)) % h != 0) {
            leave_out(g, i, "sizes that are no multiple are refused in training");
            continue;
        }
        if (!begin(&l, g, (int)i))
            return;
        if (bilinear)
            l.y = gd_bilinear(l.u.graph, l.x, h, w);
        else
            area_average(g, &l, i, shape, h);
        finish(&l);
    }
}

void golden_timestep_embedding(golden *g)
{
    static const char *const inputs[] = { "t", "ti" };
    json_t *runs = json_object_get(g->config, "runs"), *run;
    char name[64];
    size_t i;

    for (int k = 0; k < COUNT(inputs); k++) {
        int64_t n;
        const float *t = golden_f32(g, &n, "in.%s", inputs[k]);
        json_array_foreach(runs, i, run)
        {
            const int dim = golden_int(run, "dim", 0);
            const float period = (float)golden_int(run, "max_period", 10000);
            float *out = golden_alloc(g, (size_t)n * (size_t)dim * sizeof *out);
            gd_kernels_get()->timestep_embedding(out, t, (int)n, dim, period);
            snprintf(name, sizeof name, "out.%s.%zu", inputs[k], i);
            golden_compare(g, name, out, n * dim);
        }
    }
}
