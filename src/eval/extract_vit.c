/* extract_vit.c - features of a Vision Transformer (nn/vit.h), each family's images prepared as the
 * measure that is named after it prepares them:
 *
 *   DINOv2   FD-DINOv2 as Karras et al. 2024 (EDM2) take it: 224 x 224 by bicubic interpolation of
 *            floats with antialiasing, without rounding; ImageNet's mean and deviation
 *   CLIP     CMMD (Jayasumana et al. 2024): the centre square, Pillow's bicubic resize to bytes;
 *            features of length 1
 *   MAE      Pillow's bicubic resize to bytes (Stein et al. 2023, dgm-eval)
 *   SigLIP2  Pillow's bilinear resize to bytes, to [-1, 1], as its image processor has it */
#include "eval/extract_private.h"

#include "data/data.h"
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
};

typedef struct vit {
    gd_extractor head;
    gd_vit *net;
    const preparation *how;
    int batch, side, height, width;
    float *x;          /* block: [batch][CHANNELS][side][side] */
    gd_status *status; /* block: [batch] */
} vit;

/* ---- one image ---- */

/* [side][side][CHANNELS] of 0 to 255 -> planes, normalised */
static void normalise(float *out, const vit *v, const float *floats, const uint8_t *bytes)
{
    const int64_t pixels = (int64_t)v->side * v->side;

    for (int c = 0; c < CHANNELS; c++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = p * CHANNELS + c;
            const float value = floats ? floats[at] : bytes[at];
            out[c * pixels + p] = (value / 255 - v->how->mean[c]) / v->how->deviation[c];
        }
}

static gd_status prepare_floats(float *out, const vit *v, const gd_image *image)
{
    float *resized;
    gd_status s;

    GD_TRY(gd_block_make((void **)&resized,
                         (size_t)v->side * (size_t)v->side * CHANNELS * sizeof *resized,
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
    GD_TRY(gd_block_make((void **)&out->pixels, row * (size_t)side, "cropped image"));
    for (int y = 0; y < side; y++)
        memcpy(out->pixels + (size_t)y * row,
               image->pixels + ((int64_t)(top + y) * image->width + left) * CHANNELS, row);
    return GD_OK;
}

static gd_status prepare_bytes(float *out, const vit *v, const gd_image *image)
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
    const vit *v;
    const uint8_t *pixels;
} preparing;

static void prepare_one(void *ctx, int64_t i)
{
    const preparing *p = ctx;
    const vit *v = p->v;
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
    vit *v = (vit *)e;
    const int width = e->shape.width;

    for (int first = 0; first < n; first += v->batch) {
        const int some = GD_MIN(v->batch, n - first);
        preparing p = { v, pixels + (int64_t)first * v->height * v->width * CHANNELS };
        gd_par(some, prepare_one, &p);
        for (int i = 0; i < some; i++)
            if (v->status[i] != GD_OK) /* its message is another thread's */
                return gd_fail(v->status[i], "out of memory while images were resized");
        gd_vit_run(v->net, some, v->x, rows + (int64_t)first * width);
    }
    for (int i = 0; i < n && v->how->unit; i++)
        scale_to_unit(rows + (int64_t)i * width, width);
    return GD_OK;
}

/* ---- life ---- */

static gd_status hash(const gd_extractor *e, char text[33])
{
    gd_vit_hash(((const vit *)e)->net, text);
    return GD_OK;
}

static const char *format(const gd_extractor *e)
{
    return gd_vit_format(((const vit *)e)->net);
}

static void set_size(gd_extractor *e, int height, int width)
{
    vit *v = (vit *)e;

    v->height = height;
    v->width = width;
}

static void release(gd_extractor *e)
{
    vit *v = (vit *)e;

    gd_vit_close(v->net);
    gd_block_free(v->x);
    gd_block_free(v->status);
    free(v);
}

static gd_extractor_shape shape_of(const gd_vit_config *config)
{
    return (gd_extractor_shape){ .width = gd_vit_width(config),
                                 .channels = CHANNELS,
                                 .unit_length = preparations[config->family].unit };
}

static gd_status make(vit *v, const char *path)
{
    const size_t batch = (size_t)v->batch;

    GD_TRY(gd_vit_open(&v->net, path, v->batch));
    const gd_vit_config *config = gd_vit_get_config(v->net);
    v->how = &preparations[config->family];
    v->side = config->image;
    v->head.shape = shape_of(config);
    GD_TRY(gd_block_make((void **)&v->status, batch * sizeof *v->status, "images"));
    return gd_block_make((void **)&v->x,
                         batch * CHANNELS * (size_t)v->side * (size_t)v->side * sizeof *v->x,
                         "images");
}

gd_status gd_extractor_vit(gd_extractor **out, const char *path, int batch, int height, int width)
{
    vit *v = calloc(1, sizeof *v);
    gd_status s;

    if (!v)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    v->head = (gd_extractor){
        .run = run, .hash = hash, .format = format, .set_size = set_size, .free = release
    };
    v->batch = batch;
    set_size(&v->head, height, width);
    s = make(v, path);
    if (s != GD_OK) {
        release(&v->head);
        return s;
    }
    *out = &v->head;
    return GD_OK;
}

gd_status gd_extractor_vit_shape(gd_extractor_shape *out, char *name, size_t size, const char *path)
{
    gd_vit_file *file;

    GD_TRY(gd_vit_file_open(&file, path));
    *out = shape_of(gd_vit_file_config(file));
    gd_vit_name(gd_vit_file_config(file), name, size);
    gd_vit_file_close(file);
    return GD_OK;
}
