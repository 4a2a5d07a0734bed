/* SPDX-License-Identifier: MIT */
/* extract_classifier.c - features of a noisy classifier: the activations before its last
 * projection, at t = 0, and its probabilities. */
#include "eval/extract_private.h"

#include "data/data.h"
#include "nn/nn.h"

#include <math.h>
#include <stdlib.h>

typedef struct classifier {
    gd_extractor head;
    const gd_model *model;
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val features;
    float *x, *logits; /* blocks */
} classifier;

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

static gd_status run(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    classifier *c = (classifier *)e;
    const gd_extractor_shape *s = &e->shape;
    const int64_t bytes = (int64_t)s->size * s->size * s->channels;
    const float t = 0;

    for (int i = 0; i < n; i++, rows += gd_extractor_row(s)) {
        const gd_image image = { s->size, s->size, s->channels, (uint8_t *)pixels + i * bytes };
        gd_image_floats(c->x, &image, false);
        gd_exec_put(c->exec, c->net.x, c->x);
        gd_exec_put(c->exec, c->net.t, &t);
        gd_exec_run(c->exec);
        gd_exec_get(c->exec, c->features, rows);
        gd_exec_get(c->exec, c->net.out, c->logits);
        softmax(rows + s->width, c->logits, s->classes);
    }
    return GD_OK;
}

static gd_status hash(const gd_extractor *e, char text[33])
{
    return gd_model_hash(((const classifier *)e)->model, text);
}

static const char *format(const gd_extractor *e)
{
    (void)e;
    return "classifier";
}

static void release(gd_extractor *e)
{
    classifier *c = (classifier *)e;

    gd_exec_free(c->exec);
    gd_plan_free(c->plan);
    gd_graph_free(c->graph);
    gd_block_free(c->x);
    gd_block_free(c->logits);
    free(c);
}

static gd_status build(classifier *c)
{
    const gd_net_config *config = &gd_model_get_config(c->model)->net;
    const int size = config->image_size, channels = config->in_channels;
    const gd_net_size shape = { 1, size, size, 0, 0 };
    const gd_weights weights = gd_model_weights(c->model);
    gd_val outputs[2];

    GD_TRY(gd_graph_make(&c->graph));
    gd_net_build(&c->net, c->graph, config, &shape, false);
    GD_TRY(gd_graph_check(c->graph));
    /* the last node is the projection; what it reads are the features */
    c->features = c->graph->node[c->graph->value[c->net.out.id].node].in[0];
    outputs[0] = c->features;
    outputs[1] = c->net.out;
    gd_graph_optimise(c->graph, outputs, 2, false);
    GD_TRY(gd_plan_make(&c->plan, c->graph, outputs, 2, gd_threads()));
    GD_TRY(gd_exec_make(&c->exec, c->plan, &weights));
    c->head.shape = (gd_extractor_shape){ .width = gd_channels(c->graph, c->features),
                                          .classes = gd_channels(c->graph, c->net.out),
                                          .channels = channels,
                                          .size = size };
    GD_TRY(gd_block_make(&c->x, (size_t)(channels * size * size) * sizeof *c->x, "image"));
    return gd_block_make(&c->logits, (size_t)c->head.shape.classes * sizeof *c->logits, "logits");
}

gd_status gd_extractor_classifier(gd_extractor **out, const gd_model *m)
{
    classifier *c;
    gd_status s;

    if (gd_model_get_config(m)->net.kind != GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: no classifier: features come from one", gd_model_path(m));
    c = calloc(1, sizeof *c);
    if (!c)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    c->head = (gd_extractor){ .run = run, .hash = hash, .format = format, .free = release };
    c->model = m;
    s = build(c);
    if (s != GD_OK) {
        release(&c->head);
        return s;
    }
    *out = &c->head;
    return GD_OK;
}
