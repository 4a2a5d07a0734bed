/* SPDX-License-Identifier: MIT */
/* extract_vision.c - features of a Vision Transformer (nn/vit.h) or of ConvNeXt V2, each family's
 * images prepared as the measure that is named after it prepares them:
 *
 *   DINOv2   FD-DINOv2 as Karras et al. 2024 (EDM2) take it: 224 x 224 by bicubic interpolation of
 *            floats with antialiasing, without rounding; ImageNet's mean and deviation
 *   CLIP     CMMD (Jayasumana et al. 2024): the centre square, Pillow's bicubic resize to bytes;
 *            features of length 1
 *   MAE      Pillow's bicubic resize to bytes (Stein et al. 2023, dgm-eval); ConvNeXt V2 likewise
 *   SigLIP2  Pillow's bilinear resize to bytes, to [-1, 1], as its image processor has it */
#include "eval/extract_private.h"

#include "data/data.h"
#include "nn/convnext.h"
#include "nn/vit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3 };

typedef struct preparation {
    gd_filter filter;
    bool floats;                               /* resized floats, neither rounded nor cut */
    bool centre;                               /* the centre square first */
    bool unit;                                 /* features are scaled to length 1 */
    float mean[CHANNELS], deviation[CHANNELS]; /* of v / 255 */
} preparation;

#define IMAGENET_MEAN                                                                              \
    {                                                                                              \
        0.485f, 0.456f, 0.406f                                                                     \
    }
#define IMAGENET_DEVIATION                                                                         \
    {                                                                                              \
        0.229f, 0.224f, 0.225f                                                                     \
    }
enum { CONVNEXT = GD_VIT_SIGLIP + 1 }; /* behind the families of vit.h */
static const preparation preparations[] = {
    [GD_VIT_DINOV2] = { .filter = GD_FILTER_BICUBIC,
                        .floats = true,
                        .mean = IMAGENET_MEAN,
                        .deviation = IMAGENET_DEVIATION },
    [GD_VIT_CLIP] = { .filter = GD_FILTER_BICUBIC,
                      .centre = true,
                      .unit = true,
                      .mean = { 0.48145466f, 0.4578275f, 0.40821073f },
                      .deviation = { 0.26862954f, 0.26130258f, 0.27577711f } },
    [GD_VIT_MAE] = { .filter = GD_FILTER_BICUBIC,
                     .mean = IMAGENET_MEAN,
                     .deviation = IMAGENET_DEVIATION },
    [GD_VIT_SIGLIP] = { .filter = GD_FILTER_BILINEAR,
                        .mean = { 0.5f, 0.5f, 0.5f },
                        .deviation = { 0.5f, 0.5f, 0.5f } },
    [CONVNEXT] = { .filter = GD_FILTER_BICUBIC,
                   .mean = IMAGENET_MEAN,
                   .deviation = IMAGENET_DEVIATION },
};

typedef struct vision {
    gd_extractor head;
    gd_feature_net *net;
    const char *format;
    const preparation *how;
    int batch, side, height, width;
    float *x;          /* block: [batch][CHANNELS][side][side] */
    gd_status *status; /* block: [batch] */
} vision;

/* ---- one image ---- */

/* [side][side][CHANNELS] of 0 to 255 -> planes, normalised */
static void normalise(float *out, const vision *v, const float *floats, const uint8_t *bytes)
{
    const int64_t pixels = (int64_t)v->side * v->side;

    for (int c = 0; c < CHANNELS; c++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = p * CHANNELS + c;
            const float value = floats ? floats[at] : bytes[at];
            out[c * pixels + p] = (value / 255 - v->how->mean[c]) / v->how->deviation[c];
        }
}

static gd_status prepare_floats(float *out, const vision *v, const gd_image *image)
{
    float *resized;
    gd_status s;

    GD_TRY(gd_block_make(&resized, (size_t)v->side * (size_t)v->side * CHANNELS * sizeof *resized,
                         "resized image"));
    s = gd_resize_floats(resized, image, v->side, v->side, v->how->filter);
    if (s == GD_OK)
        normalise(out, v, resized, NULL);
    gd_block_free(resized);
    return s;
}

/* The centre square of `image`, a copy */
static gd_status cut_centre(gd_image *out, const gd_image *image)
{
    const int side = GD_MIN(image->width, image->height);
    const int left = (image->width - side) / 2, top = (image->height - side) / 2;
    const size_t row = (size_t)side * CHANNELS;

    *out = (gd_image){ side, side, CHANNELS, NULL };
    GD_TRY(gd_block_make(&out->pixels, row * (size_t)side, "cropped image"));
    for (int y = 0; y < side; y++)
        memcpy(out->pixels + (size_t)y * row,
               image->pixels + ((int64_t)(top + y) * image->width + left) * CHANNELS, row);
    return GD_OK;
}

static gd_status prepare_bytes(float *out, const vision *v, const gd_image *image)
{
    gd_image square = *image, resized;
    gd_status s;

    if (v->how->centre)
        GD_TRY(cut_centre(&square, image));
    s = gd_resize(&resized, &square, v->side, v->side, v->how->filter);
    if (s == GD_OK) {
        normalise(out, v, NULL, resized.pixels);
        gd_image_free(&resized);
    }
    if (v->how->centre)
        gd_image_free(&square);
    return s;
}

/* ---- a batch ---- */

typedef struct preparing {
    const vision *v;
    const uint8_t *pixels;
} preparing;

static void prepare_one(void *ctx, int64_t i)
{
    const preparing *p = ctx;
    const vision *v = p->v;
    const gd_image image = { v->width, v->height, CHANNELS,
                             (uint8_t *)p->pixels + i * v->height * v->width * CHANNELS };
    float *out = v->x + i * CHANNELS * v->side * v->side;

    v->status[i] = v->how->floats ? prepare_floats(out, v, &image) : prepare_bytes(out, v, &image);
}

static void scale_to_unit(float *row, int width)
{
    double squares = 0;

    for (int i = 0; i < width; i++)
        squares += (double)row[i] * (double)row[i];
    for (int i = 0; i < width; i++)
        row[i] = (float)((double)row[i] / sqrt(squares));
}

static gd_status run(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    vision *v = (vision *)e;
    const int width = e->shape.width;

    for (int first = 0; first < n; first += v->batch) {
        const int some = GD_MIN(v->batch, n - first);
        preparing p = { v, pixels + (int64_t)first * v->height * v->width * CHANNELS };
        gd_par(some, prepare_one, &p);
        for (int i = 0; i < some; i++)
            if (v->status[i] != GD_OK) /* its message is another thread's */
                return gd_fail(v->status[i], "out of memory while images were resized");
        gd_feature_net_run(v->net, some, v->x, rows + (int64_t)first * width);
    }
    for (int i = 0; i < n && v->how->unit; i++)
        scale_to_unit(rows + (int64_t)i * width, width);
    return GD_OK;
}

/* ---- life ---- */

static gd_status hash(const gd_extractor *e, char text[33])
{
    gd_feature_net_hash(((const vision *)e)->net, text);
    return GD_OK;
}

static const char *format(const gd_extractor *e)
{
    return ((const vision *)e)->format;
}

static void set_size(gd_extractor *e, int height, int width)
{
    vision *v = (vision *)e;

    v->height = height;
    v->width = width;
}

static void release(gd_extractor *e)
{
    vision *v = (vision *)e;

    gd_feature_net_close(v->net);
    gd_block_free(v->x);
    gd_block_free(v->status);
    free(v);
}

/* ---- a file of either kind ---- */

typedef struct weights {
    gd_vit_file *vit; /* or: */
    gd_convnext_file *convnext;
    gd_feature_source source;
    const preparation *how;
    const char *format;
    char name[64];
} weights;

static gd_status open_vit(weights *w, const char *path)
{
    GD_TRY(gd_vit_file_open(&w->vit, path));
    w->source = gd_vit_file_source(w->vit);
    w->how = &preparations[gd_vit_file_config(w->vit)->family];
    w->format = gd_vit_file_format(w->vit); /* a constant */
    gd_vit_name(gd_vit_file_config(w->vit), w->name, sizeof w->name);
    return GD_OK;
}

static gd_status open_weights(weights *w, const char *path)
{
    *w = (weights){ .vit = NULL };
    if (!gd_is_convnext_file(path))
        return open_vit(w, path);
    GD_TRY(gd_convnext_file_open(&w->convnext, path));
    w->source = gd_convnext_file_source(w->convnext);
    w->how = &preparations[CONVNEXT];
    w->format = gd_convnext_file_format(w->convnext);
    snprintf(w->name, sizeof w->name, "%s", gd_convnext_file_name(w->convnext));
    return GD_OK;
}

static void close_weights(weights *w)
{
    gd_vit_file_close(w->vit);
    gd_convnext_file_close(w->convnext);
}

static gd_extractor_shape shape_of(const weights *w)
{
    return (gd_extractor_shape){ .width = w->source.width,
                                 .channels = CHANNELS,
                                 .unit_length = w->how->unit };
}

bool gd_is_vision_file(const char *path)
{
    return gd_is_vit_file(path) || gd_is_convnext_file(path);
}

gd_status gd_extractor_vision_shape(gd_extractor_shape *out, char *name, size_t size,
                                    const char *path)
{
    weights w;

    GD_TRY(open_weights(&w, path));
    *out = shape_of(&w);
    snprintf(name, size, "%s", w.name);
    close_weights(&w);
    return GD_OK;
}

/* ---- making ---- */

static gd_status make(vision *v, const weights *w)
{
    const size_t batch = (size_t)v->batch;

    v->how = w->how;
    v->side = w->source.image;
    v->format = w->format;
    v->head.shape = shape_of(w);
    GD_TRY(gd_feature_net_make(&v->net, &w->source, v->batch));
    GD_TRY(gd_block_make(&v->status, batch * sizeof *v->status, "images"));
    return gd_block_make(&v->x, batch * CHANNELS * (size_t)v->side * (size_t)v->side * sizeof *v->x,
                         "images");
}

static gd_status open_and_make(vision *v, const char *path)
{
    gd_status s;
    weights w;

    GD_TRY(open_weights(&w, path));
    if (w.vit && gd_vit_file_assumed(w.vit))
        gd_log(GD_LOG_NOTE,
               "%s: quick GELU is assumed, as OpenAI's weights want it; the model's config.json "
               "beside the file decides",
               path);
    s = make(v, &w);
    close_weights(&w);
    return s;
}

gd_status gd_extractor_vision(gd_extractor **out, const char *path, int batch, int height,
                              int width)
{
    vision *v = calloc(1, sizeof *v);
    gd_status s;

    if (!v)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    v->head = (gd_extractor){
        .run = run, .hash = hash, .format = format, .set_size = set_size, .free = release
    };
    v->batch = batch;
    set_size(&v->head, height, width);
    s = open_and_make(v, path);
    if (s != GD_OK) {
        release(&v->head);
        return s;
    }
    *out = &v->head;
    return GD_OK;
}
