/* SPDX-License-Identifier: MIT */
/* extract_vgg16.c - VGG16 (Simonyan & Zisserman 2015, configuration D) in torchvision's names, up
 * to the second fully connected layer and its ReLU: where torch-fidelity measures precision and
 * recall.  Pictures are resized to 224 x 224 as TensorFlow 1 does, then (v / 255 - mean) /
 * deviation of ImageNet. */
#include "eval/bilinear.h"
#include "eval/extract_private.h"

#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 224,
    CHANNELS = 3,
    WIDTH = GD_VGG16_WIDTH,
    LAST = 7,
    POOL = 0,
    IMAGE = CHANNELS * SIDE * SIDE
};

/* Channels of the convolutions; a pool has index -1 in torchvision's numbering of parameters */
static const struct {
    int index, channels;
} layers[] = { { 0, 64 },   { 2, 64 },    { -1, POOL }, { 5, 128 },   { 7, 128 },  { -1, POOL },
               { 10, 256 }, { 12, 256 },  { 14, 256 },  { -1, POOL }, { 17, 512 }, { 19, 512 },
               { 21, 512 }, { -1, POOL }, { 24, 512 },  { 26, 512 },  { 28, 512 }, { -1, POOL } };

typedef struct vgg16 {
    gd_extractor head;
    gd_bundle *weights; /* while the network is made */
    gd_hasher *hasher;
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_val x, features;
    int batch, height, width;
    float *input, *output; /* blocks: [batch][CHANNELS][SIDE][SIDE], [batch][WIDTH] */
} vgg16;

/* ---- input ---- */

static void find_taps(gd_tap *taps, int in)
{
    const float scale = (float)((double)in / SIDE);

    for (int o = 0; o < SIDE; o++)
        taps[o] = gd_tap_at((float)o * scale, in);
}

static float blend(float p, float q, float s, float t, float across, float down)
{
    const float upper = p + (q - p) * across, lower = s + (t - s) * across;

    return upper + (lower - upper) * down;
}

static void prepare(float *out, const uint8_t *pixels, int height, int width)
{
    static const float mean[CHANNELS] = { 255 * 0.485, 255 * 0.456, 255 * 0.406 },
                       deviation[CHANNELS] = { 255 * 0.229, 255 * 0.224, 255 * 0.225 };
    gd_tap rows[SIDE], columns[SIDE];

    find_taps(rows, height);
    find_taps(columns, width);
    gd_resize_bilinear(out, pixels, width, SIDE, rows, columns, blend);
    for (int c = 0; c < CHANNELS; c++)
        for (int i = 0; i < SIDE * SIDE; i++, out++)
            *out = (*out - mean[c]) / deviation[c];
}

typedef struct prepare_work {
    const vgg16 *v;
    const uint8_t *pixels;
} prepare_work;

static void prepare_one(void *ctx, int64_t k)
{
    const prepare_work *w = ctx;
    const vgg16 *v = w->v;

    prepare(v->input + k * IMAGE, w->pixels + k * v->height * v->width * CHANNELS, v->height,
            v->width);
}

/* ---- running ---- */

static gd_status run(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    vgg16 *v = (vgg16 *)e;
    const int64_t image = (int64_t)v->height * v->width * CHANNELS;

    for (int first = 0; first < n; first += v->batch) {
        const int part = GD_MIN(v->batch, n - first);
        prepare_work w = { v, pixels + first * image };
        gd_par(part, prepare_one, &w);
        gd_exec_put(v->exec, v->x, v->input);
        gd_exec_run(v->exec);
        gd_exec_get(v->exec, v->features, v->output);
        memcpy(rows + (int64_t)first * WIDTH, v->output, (size_t)part * WIDTH * sizeof *rows);
    }
    return GD_OK;
}

static gd_status hash(const gd_extractor *e, char text[33])
{
    gd_hasher_text(((const vgg16 *)e)->hasher, text);
    return GD_OK;
}

static const char *format(const gd_extractor *e)
{
    (void)e;
    return "torchvision";
}

static void release(gd_extractor *e)
{
    vgg16 *v = (vgg16 *)e;

    gd_exec_free(v->exec);
    gd_plan_free(v->plan);
    gd_graph_free(v->graph);
    gd_hasher_free(v->hasher);
    gd_bundle_close(v->weights);
    gd_block_free(v->input);
    gd_block_free(v->output);
    free(v);
}

/* ---- making ---- */

static gd_val layer(gd_graph *g, gd_val x, const char *part, int index, int channels, int kernel)
{
    const char *weight = gd_sprintf(g->mem, "%s.%d.weight", part, index),
               *bias = gd_sprintf(g->mem, "%s.%d.bias", part, index);

    if (!weight || !bias) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return x;
    }
    g->scope = weight;
    return gd_conv2d_relu(g, x, gd_param(g, weight, channels, gd_channels(g, x), kernel, kernel),
                          gd_param(g, bias, 1, 1, 1, channels), 1, kernel == 3);
}

/* The first fully connected layer is a convolution over its 7 x 7 pixels. */
static gd_status build(vgg16 *v)
{
    const gd_type pixels = { { v->batch, SIDE, SIDE, CHANNELS }, GD_F32 };
    gd_graph *g;
    gd_val x;

    GD_TRY(gd_graph_make(&v->graph));
    g = v->graph;
    x = v->x = gd_input(g, "x", pixels, GD_PLACE_ACTIVATION);
    for (int i = 0; i < COUNT(layers); i++)
        x = layers[i].channels == POOL
                ? gd_max_pool(g, x, 2, 2, false)
                : layer(g, x, "features", layers[i].index, layers[i].channels, 3);
    x = layer(g, x, "classifier", 0, WIDTH, LAST);
    v->features = layer(g, x, "classifier", 3, WIDTH, 1);
    return gd_graph_check(g);
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    vgg16 *v = ctx;
    const int64_t count = type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3];
    const gd_array *a;

    GD_TRY(gd_bundle_need(&a, v->weights, name));
    if (gd_array_count(a) != count)
        return gd_fail(GD_EFORMAT, "%s: %s has %lld values, VGG16 has %lld",
                       gd_bundle_path(v->weights), name, (long long)gd_array_count(a),
                       (long long)count);
    GD_TRY(gd_bundle_read_f32(v->weights, a, dst));
    gd_bundle_release(v->weights, a);
    gd_hasher_add(v->hasher, dst, (size_t)count * sizeof *dst);
    return GD_OK;
}

static gd_status make(vgg16 *v, const char *path)
{
    const gd_weights weights = { fetch, v };
    const size_t batch = (size_t)v->batch * sizeof(float);

    GD_TRY(gd_bundle_open(&v->weights, path));
    GD_TRY(gd_hasher_make(&v->hasher));
    GD_TRY(build(v));
    gd_graph_optimise(v->graph, &v->features, 1, false);
    GD_TRY(gd_plan_make(&v->plan, v->graph, &v->features, 1, gd_threads()));
    GD_TRY(gd_exec_make(&v->exec, v->plan, &weights));
    gd_bundle_close(v->weights);
    v->weights = NULL;
    GD_TRY(gd_block_make(&v->input, batch * IMAGE, "images"));
    return gd_block_make(&v->output, batch * WIDTH, "features");
}

gd_status gd_extractor_vgg16(gd_extractor **out, const char *path, int batch, int height, int width)
{
    vgg16 *v = calloc(1, sizeof *v);
    gd_status s;

    if (!v)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    v->head = (gd_extractor){ .shape = { .width = WIDTH, .channels = CHANNELS },
                              .run = run,
                              .hash = hash,
                              .format = format,
                              .free = release };
    v->batch = batch;
    v->height = height;
    v->width = width;
    s = make(v, path);
    if (s != GD_OK) {
        release(&v->head);
        return s;
    }
    *out = &v->head;
    return GD_OK;
}

static bool matches(const gd_bundle *weights)
{
    const gd_array *first = gd_bundle_find(weights, "features.0.weight"),
                   *last = gd_bundle_find(weights, "features.28.weight"),
                   *full = gd_bundle_find(weights, "classifier.3.weight");

    return first && last && full && first->rank == 4 && first->dim[0] == 64 && full->rank == 2 &&
           full->dim[0] == WIDTH;
}

bool gd_is_vgg16_file(const char *path)
{
    gd_bundle *bundle;
    bool is;

    if (gd_bundle_open(&bundle, path) != GD_OK)
        return false;
    is = matches(bundle);
    gd_bundle_close(bundle);
    return is;
}
