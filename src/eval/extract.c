/* extract.c - features of a noisy classifier: the activations before its last projection, at t = 0,
 * and its logits. */
#include "eval/eval.h"
#include "nn/nn.h"

struct gd_extractor {
    gd_arena *mem;
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val features;
};

static gd_status build(gd_extractor *e, const gd_model *m)
{
    const gd_net_config *c = &gd_model_get_config(m)->net;
    const gd_net_size size = { 1, c->image_size, c->image_size, 0, 0 };
    const gd_weights weights = gd_model_weights(m);
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
    return gd_exec_make(&e->exec, e->plan, &weights);
}

gd_status gd_extractor_make(gd_extractor **out, const gd_model *m)
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
    s = build(e, m);
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
    gd_arena_free(e->mem);
}

int gd_extractor_width(const gd_extractor *e)
{
    return gd_channels(e->graph, e->features);
}

int gd_extractor_classes(const gd_extractor *e)
{
    return gd_channels(e->graph, e->net.out);
}

void gd_extractor_run(gd_extractor *e, const float *x, float *features, float *logits)
{
    const float t = 0;

    gd_exec_put(e->exec, e->net.x, x);
    gd_exec_put(e->exec, e->net.t, &t);
    gd_exec_run(e->exec);
    gd_exec_get(e->exec, e->features, features);
    gd_exec_get(e->exec, e->net.out, logits);
}
