/* vit_run.c - a Vision Transformer with the weights of a file: images in, features out. */
#include "nn/vit.h"

#include <string.h>

struct gd_vit {
    gd_vit_config config;
    const char *format;
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_val x, features;
    gd_weights source; /* while the executor is made */
    gd_hasher *hasher;
    int batch;
    float *staged_x, *staged; /* blocks: [batch][3][image][image], [batch][width] */
};

/* The executor asks for every parameter once, in the order of the network. */
static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    gd_vit *net = ctx;

    GD_TRY(net->source.fetch(net->source.ctx, name, type, dst));
    gd_hasher_add(net->hasher, dst,
                  (size_t)(type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3]) *
                      sizeof *dst);
    return GD_OK;
}

static size_t image_floats(const gd_vit *net)
{
    return (size_t)net->config.image * (size_t)net->config.image * 3;
}

static size_t row_floats(const gd_vit *net)
{
    return (size_t)gd_vit_width(&net->config);
}

static gd_status make(gd_vit *net)
{
    const gd_weights weights = { fetch, net };
    const size_t batch = (size_t)net->batch;

    GD_TRY(gd_hasher_make(&net->hasher));
    GD_TRY(gd_graph_make(&net->graph));
    net->features = gd_vit_build(net->graph, &net->config, net->batch, &net->x);
    GD_TRY(gd_graph_check(net->graph));
    gd_graph_optimise(net->graph, &net->features, 1, false);
    GD_TRY(gd_plan_make(&net->plan, net->graph, &net->features, 1, gd_threads()));
    GD_TRY(gd_exec_make(&net->exec, net->plan, &weights));
    GD_TRY(gd_block_make((void **)&net->staged_x, batch * image_floats(net) * sizeof(float),
                         "images"));
    return gd_block_make((void **)&net->staged, batch * row_floats(net) * sizeof(float),
                         "features");
}

gd_status gd_vit_open(gd_vit **out, const char *path, int batch)
{
    gd_vit_file *file;
    gd_vit *net;
    gd_status s;

    GD_TRY(gd_vit_file_open(&file, path));
    s = gd_block_make((void **)&net, sizeof *net, "network");
    if (s == GD_OK) {
        net->config = *gd_vit_file_config(file);
        net->format = gd_vit_file_format(file); /* a constant */
        net->source = gd_vit_file_weights(file);
        if (gd_vit_file_assumed(file))
            gd_log(
                GD_LOG_NOTE,
                "%s: quick GELU is assumed, as OpenAI's weights want it; the model's config.json "
                "beside the file decides",
                path);
        net->batch = batch;
        s = make(net);
        if (s == GD_OK)
            *out = net;
        else
            gd_vit_close(net);
    }
    gd_vit_file_close(file);
    return s;
}

void gd_vit_close(gd_vit *net)
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

void gd_vit_run(gd_vit *net, int n, const float *x, float *features)
{
    const size_t image = image_floats(net), row = row_floats(net);

    for (int i = 0; i < n; i += net->batch) {
        const size_t some = (size_t)GD_MIN(net->batch, n - i);
        memcpy(net->staged_x, x + (size_t)i * image, some * image * sizeof *x);
        gd_exec_put(net->exec, net->x, net->staged_x);
        gd_exec_run(net->exec);
        gd_exec_get(net->exec, net->features, net->staged);
        memcpy(features + (size_t)i * row, net->staged, some * row * sizeof *features);
    }
}

const gd_vit_config *gd_vit_get_config(const gd_vit *net)
{
    return &net->config;
}

const char *gd_vit_format(const gd_vit *net)
{
    return net->format;
}

void gd_vit_hash(const gd_vit *net, char text[33])
{
    gd_hasher_text(net->hasher, text);
}
