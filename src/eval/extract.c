/* extract.c - features of images by a network: the 2015 Inception network's, or the activations of
 * a noisy classifier before its last projection, at t = 0. */
#include "eval/eval.h"

#include "data/data.h"
#include "nn/nn.h"

#include <math.h>

struct gd_extractor {
    gd_arena *mem;
    gd_extractor_shape shape;
    const gd_model *model;
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val features;
    float *x, *logits; /* blocks */
};

static gd_status build(gd_extractor *e)
{
    const gd_net_config *c = &gd_model_get_config(e->model)->net;
    const gd_net_size size = { 1, c->image_size, c->image_size, 0, 0 };
    const gd_weights weights = gd_model_weights(e->model);
    gd_val outputs[2];

    GD_TRY(gd_graph_make(&e->graph));
    gd_net_build(&e->net, e->graph, c, &size, false);
    GD_TRY(gd_graph_check(e->graph));
    /* the last node is the projection; what it reads are the features */
    e->features = e->graph->node[e->graph->value[e->net.out.id].node].in[0];
    outputs[0] = e->features;
    outputs[1] = e->net.out;
    gd_graph_optimise(e->graph, outputs, 2, false);
    GD_TRY(gd_plan_make(&e->plan, e->graph, outputs, 2));
    GD_TRY(gd_exec_make(&e->exec, e->plan, &weights));
    e->shape =
        (gd_extractor_shape){ gd_channels(e->graph, e->features), 0,
                              gd_channels(e->graph, e->net.out), c->in_channels, c->image_size };
    GD_TRY(gd_block_make((void **)&e->x,
                         (size_t)(c->in_channels * c->image_size * c->image_size) * sizeof *e->x,
                         "image"));
    return gd_block_make((void **)&e->logits, (size_t)e->shape.classes * sizeof *e->logits,
                         "logits");
}

gd_status gd_extractor_classifier(gd_extractor **out, const gd_model *m)
{
    gd_arena *mem;
    gd_extractor *e;
    gd_status s;

    if (gd_model_get_config(m)->net.kind != GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: no classifier: features come from one", gd_model_path(m));
    GD_TRY(gd_arena_make(&mem));
    e = gd_alloc(mem, sizeof *e);
    if (!e) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "features: out of memory");
    }
    e->mem = mem;
    e->model = m;
    s = build(e);
    if (s != GD_OK) {
        gd_extractor_free(e);
        return s;
    }
    *out = e;
    return GD_OK;
}

void gd_extractor_free(gd_extractor *e)
{
    if (!e)
        return;
    gd_exec_free(e->exec);
    gd_plan_free(e->plan);
    gd_graph_free(e->graph);
    gd_block_free(e->x);
    gd_block_free(e->logits);
    gd_arena_free(e->mem);
}

gd_extractor_shape gd_extractor_get_shape(const gd_extractor *e)
{
    return e->shape;
}

int gd_extractor_row(const gd_extractor_shape *s)
{
    return s->width + s->spatial + s->classes;
}

gd_status gd_extractor_hash(const gd_extractor *e, char text[33])
{
    return gd_model_hash(e->model, text);
}

static void softmax(float *p, const float *logits, int n)
{
    double most = logits[0], total = 0;

    for (int i = 1; i < n; i++)
        most = fmax(most, logits[i]);
    for (int i = 0; i < n; i++)
        total += exp(logits[i] - most);
    for (int i = 0; i < n; i++)
        p[i] = (float)(exp(logits[i] - most) / total);
}

gd_status gd_extractor_run(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    const gd_extractor_shape *s = &e->shape;
    const float t = 0;

    for (int i = 0; i < n; i++, rows += gd_extractor_row(s)) {
        const int64_t bytes = (int64_t)s->size * s->size * s->channels;
        const gd_image image = { s->size, s->size, s->channels, (uint8_t *)pixels + i * bytes };
        gd_image_floats(e->x, &image, false);
        gd_exec_put(e->exec, e->net.x, e->x);
        gd_exec_put(e->exec, e->net.t, &t);
        gd_exec_run(e->exec);
        gd_exec_get(e->exec, e->features, rows);
        gd_exec_get(e->exec, e->net.out, e->logits);
        softmax(rows + s->width, e->logits, s->classes);
    }
    return GD_OK;
}
