/* SPDX-License-Identifier: MIT */
/* feature_net.c - a network of features with the weights of a file: images in, rows out. */
#include "nn/feature_net.h"

#include <string.h>

struct gd_feature_net {
    gd_feature_source source; /* config and weights: while it is made */
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_val x, features;
    gd_hasher *hasher;
    int batch;
    float *staged_x, *staged; /* blocks: [batch][3][image][image], [batch][width] */
};

/* The executor asks for every parameter once, in the order of the network. */
static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    gd_feature_net *net = ctx;

    GD_TRY(net->source.weights.fetch(net->source.weights.ctx, name, type, dst));
    gd_hasher_add(net->hasher, dst,
                  (size_t)(type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3]) *
                      sizeof *dst);
    return GD_OK;
}

static size_t image_floats(const gd_feature_net *net)
{
    return (size_t)net->source.image * (size_t)net->source.image * 3;
}

static gd_status make(gd_feature_net *net)
{
    const gd_weights weights = { fetch, net };
    const size_t batch = (size_t)net->batch;

    GD_TRY(gd_hasher_make(&net->hasher));
    GD_TRY(gd_graph_make(&net->graph));
    net->features = net->source.build(net->graph, net->source.config, net->batch, &net->x);
    GD_TRY(gd_graph_check(net->graph));
    gd_graph_optimise(net->graph, &net->features, 1, false);
    GD_TRY(gd_plan_make(&net->plan, net->graph, &net->features, 1, gd_threads()));
    GD_TRY(gd_exec_make(&net->exec, net->plan, &weights));
    GD_TRY(gd_block_make(&net->staged_x, batch * image_floats(net) * sizeof(float), "images"));
    return gd_block_make(&net->staged, batch * (size_t)net->source.width * sizeof(float),
                         "features");
}

gd_status gd_feature_net_make(gd_feature_net **out, const gd_feature_source *source, int batch)
{
    gd_feature_net *net;
    gd_status s;

    GD_TRY(gd_block_make(&net, sizeof *net, "network"));
    net->source = *source;
    net->batch = batch;
    s = make(net);
    if (s != GD_OK) {
        gd_feature_net_close(net);
        return s;
    }
    *out = net;
    return GD_OK;
}

void gd_feature_net_close(gd_feature_net *net)
{
    if (!net)
        return;
    gd_exec_free(net->exec);
    gd_plan_free(net->plan);
    gd_graph_free(net->graph);
    gd_hasher_free(net->hasher);
    gd_block_free(net->staged_x);
    gd_block_free(net->staged);
    gd_block_free(net);
}

void gd_feature_net_run(gd_feature_net *net, int n, const float *x, float *features)
{
    const size_t image = image_floats(net), row = (size_t)net->source.width;

    for (int i = 0; i < n; i += net->batch) {
        const size_t some = (size_t)GD_MIN(net->batch, n - i);
        memcpy(net->staged_x, x + (size_t)i * image, some * image * sizeof *x);
        gd_exec_put(net->exec, net->x, net->staged_x);
        gd_exec_run(net->exec);
        gd_exec_get(net->exec, net->features, net->staged);
        memcpy(features + (size_t)i * row, net->staged, some * row * sizeof *features);
    }
}

void gd_feature_net_hash(const gd_feature_net *net, char text[33])
{
    gd_hasher_text(net->hasher, text);
}
