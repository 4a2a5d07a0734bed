/* SPDX-License-Identifier: MIT */
/* frames.c - the predicted image at every network call as a PNG, with the classifier's gradient and
 * its most likely classes. */
#include "serve/serve_private.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 5, MAX_SIDE = 4096 };

static uint8_t byte_of(float x)
{
    const float scaled = (x + 1) * 127.5f;

    return scaled > 0 ? (uint8_t)GD_MIN(scaled, 255) : 0; /* NaN is 0 */
}

static bool write_png(const serve_run_state *run, const char *name, const uint8_t *pixels,
                      int width, int height)
{
    png_image png = { .version = PNG_IMAGE_VERSION,
                      .width = (png_uint_32)width,
                      .height = (png_uint_32)height,
                      .format = PNG_FORMAT_RGB };
    char path[SERVE_PATH];
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
    void *data = malloc(bytes);
    FILE *to;
    bool written;

    if (!data || !png_image_write_to_memory(&png, data, &bytes, 0, pixels, 0, NULL)) {
        free(data);
        return false;
    }
    serve_job_path(run->s, run->id, name, path);
    to = fopen(path, "wb");
    written = to && fwrite(data, 1, bytes, to) == bytes;
    if (to && fclose(to) != 0)
        written = false;
    free(data);
    return written;
}

/* [C][H][W] in [-1, 1]; gray images have three equal channels */
static void to_rgb(uint8_t *out, const guided_preview *p)
{
    const int64_t area = (int64_t)p->height * p->width;

    for (int64_t i = 0; i < area; i++)
        for (int c = 0; c < 3; c++)
            out[3 * i + c] = byte_of(p->x0[(p->channels == 3 ? c : 0) * area + i]);
}

/* The gradient's length at each pixel, relative to the largest: black, red, yellow, white */
static void to_heat(uint8_t *out, const guided_preview *p)
{
    const int64_t area = (int64_t)p->height * p->width;
    float largest = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < area; i++) {
            float sum = 0, heat;
            for (int c = 0; c < p->channels; c++)
                sum += p->gradient[c * area + i] * p->gradient[c * area + i];
            if (pass == 0)
                largest = fmaxf(largest, sum);
            heat = largest > 0 ? 3 * sqrtf(sum / largest) : 0;
            for (int c = 0; c < 3; c++)
                out[3 * i + c] = byte_of(2 * GD_MIN(heat - (float)c, 1) - 1);
        }
}

/* [[class, probability], ...], the most likely first */
static json_t *top_classes(const guided_preview *p)
{
    json_t *top = json_array();
    double sum = 0;
    float largest = -INFINITY, below = INFINITY;
    int before = -1;

    for (int i = 0; i < p->classes; i++)
        largest = fmaxf(largest, p->logits[i]);
    for (int i = 0; i < p->classes; i++)
        sum += exp(p->logits[i] - largest);
    for (int k = 0; k < GD_MIN(TOP, p->classes); k++) {
        int best = -1;
        for (int i = 0; i < p->classes; i++) {
            const float x = p->logits[i];
            const bool left = x < below || (x == below && i > before);
            if (left && (best < 0 || x > p->logits[best]))
                best = i;
        }
        if (best < 0)
            break;
        below = p->logits[best];
        before = best;
        json_array_append_new(top, json_pack("[i, f]", best, exp(below - largest) / sum));
    }
    return top;
}

static json_t *describe(const guided_preview *p)
{
    json_t *j = json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:i}", "type", "frame", "image",
                          (json_int_t)p->image, "stage", p->stage, "call", p->call, "calls",
                          p->calls, "width", p->width, "height", p->height);

    if (p->label >= 0)
        json_object_set_new(j, "label", json_integer(p->label));
    if (isfinite(p->sigma))
        json_object_set_new(j, "sigma", json_real(p->sigma));
    if (p->logits && p->classes > 0)
        json_object_set_new(j, "top", top_classes(p));
    return j;
}

void serve_frame(serve_run_state *run, const guided_preview *p)
{
    char name[64];
    json_t *event;
    uint8_t *pixels;

    if (run->frames >= SERVE_MAX_FRAMES || p->width > MAX_SIDE || p->height > MAX_SIDE)
        return;
    event = describe(p);
    pixels = malloc((size_t)p->height * (size_t)p->width * 3);
    if (event && pixels) {
        run->frames++;
        snprintf(name, sizeof name, "frames/%05d.png", run->frames);
        to_rgb(pixels, p);
        if (write_png(run, name, pixels, p->width, p->height))
            json_object_set_new(event, "picture", json_string(name));
        snprintf(name, sizeof name, "frames/%05d-gradient.png", run->frames);
        if (p->gradient) {
            to_heat(pixels, p);
            if (write_png(run, name, pixels, p->width, p->height))
                json_object_set_new(event, "gradient", json_string(name));
        }
    }
    free(pixels);
    serve_event(run, event);
}
