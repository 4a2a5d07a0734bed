/* SPDX-License-Identifier: MIT */
/* inception.c - the network, ready to run: images in, features out. */
#include "nn/inception_private.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* mixed_6's map, as the file's features are laid out */
enum { SCALED = 3 * GD_INCEPTION_SIDE * GD_INCEPTION_SIDE }; /* floats of an image */
enum { MAP = 17 * 17, MAP_CHANNELS = 7, MAX_SIDE = 65500, MAX_BATCH = 1024 };

struct gd_inception {
    inception_net net;
    gd_plan *plan;
    gd_exec *exec;
    gd_weights source; /* while the executor is made */
    gd_hasher *hasher;
    const char *format;
    int batch;
    bool scaled; /* images come as floats */
    size_t image_bytes, staging_bytes;
    uint8_t *pixels;                /* [batch][h][w][3], or floats [batch][3][299][299] */
    float *pool, *spatial, *logits; /* [batch][...] as the executor gives them */
};

/* ---- making ---- */

/* The executor asks for every parameter once, in the order of the hash. */
static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    gd_inception *net = ctx;

    GD_TRY(net->source.fetch(net->source.ctx, name, type, dst));
    gd_hasher_add(net->hasher, dst,
                  (size_t)(type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3]) *
                      sizeof *dst);
    return GD_OK;
}

static gd_status make_buffers(gd_inception *net)
{
    const size_t n = (size_t)net->batch, floats = n * sizeof(float);
    const size_t pool = floats * GD_INCEPTION_POOL, spatial = floats * GD_INCEPTION_SPATIAL,
                 logits = floats * GD_INCEPTION_CLASSES;

    net->staging_bytes = n * net->image_bytes + pool + spatial + logits;
    GD_TRY(gd_block_make(&net->pixels, n * net->image_bytes, "images"));
    GD_TRY(gd_block_make(&net->pool, pool, "features"));
    GD_TRY(gd_block_make(&net->spatial, spatial, "features"));
    return gd_block_make(&net->logits, logits, "features");
}

static gd_status make(gd_inception *net, int h, int w)
{
    const gd_weights weights = { fetch, net };

    GD_TRY(gd_hasher_make(&net->hasher));
    GD_TRY(inception_build(&net->net, net->batch, h, w));
    const gd_val out[] = { net->net.pool, net->net.spatial, net->net.logits };
    gd_graph_optimise(net->net.graph, out, COUNT(out), false);
    GD_TRY(gd_plan_make(&net->plan, net->net.graph, out, COUNT(out), gd_threads()));
    GD_TRY(gd_exec_make(&net->exec, net->plan, &weights));
    return make_buffers(net);
}

gd_status gd_inception_make(gd_inception **out, const gd_weights *weights, int batch, int height,
                            int width)
{
    gd_inception *net;
    gd_status s;

    const bool scaled = height == 0 && width == 0;

    if (batch < 1 || batch > MAX_BATCH || (!scaled && (height < 1 || width < 1)) ||
        height > MAX_SIDE || width > MAX_SIDE)
        return gd_fail(GD_EUSAGE, "Inception: %d images of %dx%d at a time are not possible", batch,
                       height, width);
    GD_TRY(gd_block_make(&net, sizeof *net, "Inception"));
    net->source = *weights;
    net->format = "";
    net->batch = batch;
    net->scaled = scaled;
    net->image_bytes = scaled ? SCALED * sizeof(float) : (size_t)height * (size_t)width * 3;
    s = make(net, height, width);
    if (s != GD_OK) {
        gd_inception_close(net);
        return s;
    }
    *out = net;
    return GD_OK;
}

gd_status gd_inception_open(gd_inception **out, const char *path, int batch, int height, int width)
{
    gd_inception_file *file;
    gd_weights weights;
    gd_status s;

    GD_TRY(gd_inception_file_open(&file, path));
    weights = gd_inception_file_weights(file);
    s = gd_inception_make(out, &weights, batch, height, width);
    if (s == GD_OK)
        (*out)->format = gd_inception_file_format(file); /* a constant */
    gd_inception_file_close(file);
    return s;
}

void gd_inception_close(gd_inception *net)
{
    if (!net)
        return;
    gd_exec_free(net->exec);
    gd_plan_free(net->plan);
    gd_graph_free(net->net.graph);
    gd_hasher_free(net->hasher);
    gd_block_free(net->pixels);
    gd_block_free(net->pool);
    gd_block_free(net->spatial);
    gd_block_free(net->logits);
    gd_block_free(net);
}

/* ---- running ---- */

/* [7][17 * 17] -> [17 * 17][7] */
static void spatial_order(float *out, const float *map)
{
    for (int c = 0; c < MAP_CHANNELS; c++)
        for (int p = 0; p < MAP; p++)
            out[p * MAP_CHANNELS + c] = map[c * MAP + p];
}

static void softmax(float *out, const float *logits)
{
    double e[GD_INCEPTION_CLASSES], sum = 0;
    float most = logits[0];

    for (int i = 1; i < GD_INCEPTION_CLASSES; i++)
        most = fmaxf(most, logits[i]);
    for (int i = 0; i < GD_INCEPTION_CLASSES; i++)
        sum += e[i] = exp((double)logits[i] - (double)most);
    for (int i = 0; i < GD_INCEPTION_CLASSES; i++)
        out[i] = (float)(e[i] / sum);
}

static bool all_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* n <= batch images; what else lies in the batch is computed, too, and touches nothing. */
static void run_some(gd_inception *net, int n, const uint8_t *pixels)
{
    memcpy(net->pixels, pixels, (size_t)n * net->image_bytes);
    gd_exec_put(net->exec, net->net.pixels, net->pixels);
    gd_exec_run(net->exec);
    gd_exec_get(net->exec, net->net.pool, net->pool);
    gd_exec_get(net->exec, net->net.spatial, net->spatial);
    gd_exec_get(net->exec, net->net.logits, net->logits);
}

static gd_status run(gd_inception *net, int n, const uint8_t *pixels, float *pool, float *spatial,
                     float *probabilities)
{
    for (int i = 0; i < n; i++) {
        const int k = i % net->batch;
        if (k == 0)
            run_some(net, GD_MIN(net->batch, n - i), pixels + (size_t)i * net->image_bytes);
        const float *features = net->pool + (size_t)k * GD_INCEPTION_POOL;
        const float *map = net->spatial + (size_t)k * GD_INCEPTION_SPATIAL;
        const float *logits = net->logits + (size_t)k * GD_INCEPTION_CLASSES;
        if (!all_finite(features, GD_INCEPTION_POOL) || !all_finite(map, GD_INCEPTION_SPATIAL) ||
            !all_finite(logits, GD_INCEPTION_CLASSES))
            return gd_fail(GD_EFAILED, "Inception: the features of image %d are not finite", i);
        memcpy(pool + (size_t)i * GD_INCEPTION_POOL, features,
               GD_INCEPTION_POOL * sizeof *features);
        if (spatial)
            spatial_order(spatial + (size_t)i * GD_INCEPTION_SPATIAL, map);
        if (probabilities)
            softmax(probabilities + (size_t)i * GD_INCEPTION_CLASSES, logits);
    }
    return GD_OK;
}

gd_status gd_inception_run(gd_inception *net, int n, const uint8_t *pixels, float *pool,
                           float *spatial, float *probabilities)
{
    assert(!net->scaled);
    return run(net, n, pixels, pool, spatial, probabilities);
}

gd_status gd_inception_run_scaled(gd_inception *net, int n, const float *x, float *pool,
                                  float *spatial, float *probabilities)
{
    assert(net->scaled);
    return run(net, n, (const uint8_t *)x, pool, spatial, probabilities);
}

/* ---- what it is ---- */

const char *gd_inception_format(const gd_inception *net)
{
    return net->format;
}

gd_status gd_inception_hash(const gd_inception *net, char text[33])
{
    gd_hasher_text(net->hasher, text);
    return GD_OK;
}

size_t gd_inception_bytes(const gd_inception *net)
{
    return gd_exec_bytes(net->exec) + net->staging_bytes;
}

const gd_plan *gd_inception_plan(const gd_inception *net)
{
    return net->plan;
}

gd_exec *gd_inception_exec(gd_inception *net)
{
    return net->exec;
}
