/* SPDX-License-Identifier: MIT */
/* resize.c - Pillow's resize, to the bit: horizontally, then vertically, in 22-bit fixed point with
 * rounding to bytes after each pass (docs/reference/training.md#images); and the same filters on
 * floats. */
#include "data/data.h"

#include <math.h>
#include <string.h>

enum { FRACTION_BITS = 22 };

typedef struct kernel {
    double support;
    double (*weight)(double x);
} kernel;

static double box(double x)
{
    return x > -0.5 && x <= 0.5;
}

double gd_bicubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static const kernel kernels[] = { { 0.5, box }, { 2, gd_bicubic }, { 1, triangle } };

/* Most inputs of an output, and a bit */
static int most_taps(const kernel *k, int in, int out)
{
    return (int)ceil(k->support * fmax((double)in / out, 1)) * 2 + 2;
}

/* Weights of output o over inputs from *low on, and their sum; how many there are */
static int find_weights(double *w, int *low, double *sum, const kernel *k, int o, int in, int out)
{
    const double scale = (double)in / out, wide = fmax(scale, 1), support = k->support * wide;
    const double centre = (o + 0.5) * scale;
    const int high = GD_MIN(in, (int)(centre + support + 0.5));

    *sum = 0;
    *low = GD_MAX(0, (int)(centre - support + 0.5));
    for (int i = 0; i < high - *low; i++) {
        w[i] = k->weight((i + *low - centre + 0.5) / wide);
        *sum += w[i];
    }
    return high - *low;
}

/* Where output o looks, and with which weights */
typedef struct taps {
    int low, count;
    int32_t *weight;
} taps;

static void find_taps(taps *t, double *w, const kernel *k, int o, int in, int out)
{
    double sum;

    t->count = find_weights(w, &t->low, &sum, k, o, in, out);
    for (int i = 0; i < t->count; i++) {
        const double scaled = (sum != 0 ? w[i] / sum : w[i]) * (1 << FRACTION_BITS);
        t->weight[i] = (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
}

static uint8_t rounded(int64_t sum)
{
    sum >>= FRACTION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One pass: `in` samples of each of `lines` lines become `out`; lines lie `line` apart, samples
 * `step`, in bytes; every sample has `channels` bytes. */
typedef struct pass {
    const uint8_t *from;
    uint8_t *to;
    int in, out, lines, channels;
    int64_t from_line, from_step, to_line, to_step;
} pass;

static gd_status run_pass(const pass *p, const kernel *k)
{
    const int most = most_taps(k, p->in, p->out);
    double *w;
    taps t;

    GD_TRY(gd_block_make(&w, (size_t)most * (sizeof *w + sizeof *t.weight), "resize"));
    t.weight = (int32_t *)(w + most);
    for (int o = 0; o < p->out; o++) {
        find_taps(&t, w, k, o, p->in, p->out);
        for (int l = 0; l < p->lines; l++)
            for (int c = 0; c < p->channels; c++) {
                const uint8_t *x = p->from + l * p->from_line + t.low * p->from_step + c;
                int64_t sum = 1 << (FRACTION_BITS - 1);
                for (int i = 0; i < t.count; i++)
                    sum += (int64_t)t.weight[i] * x[i * p->from_step];
                p->to[l * p->to_line + o * p->to_step + c] = rounded(sum);
            }
    }
    gd_block_free(w);
    return GD_OK;
}

static gd_status resized(gd_image *out, const gd_image *in, int width, int height, const kernel *k)
{
    const int c = in->channels;
    const bool wider = width != in->width;
    const pass p = wider ? (pass){ .from = in->pixels,
                                   .to = out->pixels,
                                   .in = in->width,
                                   .out = width,
                                   .lines = in->height,
                                   .channels = c,
                                   .from_line = (int64_t)in->width * c,
                                   .from_step = c,
                                   .to_line = (int64_t)width * c,
                                   .to_step = c }
                         : (pass){ .from = in->pixels,
                                   .to = out->pixels,
                                   .in = in->height,
                                   .out = height,
                                   .lines = in->width,
                                   .channels = c,
                                   .from_line = c,
                                   .from_step = (int64_t)in->width * c,
                                   .to_line = c,
                                   .to_step = (int64_t)in->width * c };

    return run_pass(&p, k);
}

/* One direction at a time; a direction that stays is left out. */
gd_status gd_resize(gd_image *out, const gd_image *in, int width, int height, gd_filter filter)
{
    gd_image wide = { width, in->height, in->channels, NULL };
    const gd_image *from = in;
    gd_status s = GD_OK;

    *out = (gd_image){ width, height, in->channels, NULL };
    GD_TRY(gd_block_make(&out->pixels, (size_t)width * (size_t)height * (size_t)in->channels,
                         "resized image"));
    if (width != in->width) {
        s = gd_block_make(&wide.pixels, (size_t)width * (size_t)in->height * (size_t)in->channels,
                          "resized image");
        if (s == GD_OK)
            s = resized(&wide, in, width, in->height, &kernels[filter]);
        from = &wide;
    }
    if (s == GD_OK && height != in->height)
        s = resized(out, from, width, height, &kernels[filter]);
    else if (s == GD_OK)
        memcpy(out->pixels, from->pixels, (size_t)width * (size_t)height * (size_t)in->channels);
    gd_block_free(wide.pixels);
    if (s != GD_OK)
        gd_image_free(out);
    return s;
}

/* ---- floats ---- */

/* `lines` lines of `in` samples of c values -> [lines][out][c]; from: element (l, i) is at l *
 * from_line + i * from_step, to likewise */
typedef struct float_pass {
    const float *from;
    float *to;
    int in, out, lines, channels;
    int64_t from_line, from_step, to_line, to_step;
} float_pass;

static void run_float_pass(const float_pass *p, double *w, const kernel *k)
{
    for (int o = 0; o < p->out; o++) {
        double sum;
        int low;
        const int n = find_weights(w, &low, &sum, k, o, p->in, p->out);
        for (int l = 0; l < p->lines; l++)
            for (int c = 0; c < p->channels; c++) {
                const float *x = p->from + l * p->from_line + low * p->from_step + c;
                double value = 0;
                for (int i = 0; i < n; i++)
                    value += w[i] * (double)x[i * p->from_step];
                p->to[l * p->to_line + o * p->to_step + c] = (float)(value / sum);
            }
    }
}

gd_status gd_resize_floats(float *out, const gd_image *in, int width, int height, gd_filter filter)
{
    const kernel *k = &kernels[filter];
    const int c = in->channels;
    const int64_t pixels = (int64_t)in->width * in->height, row = (int64_t)width * c;
    const size_t most =
        (size_t)GD_MAX(most_taps(k, in->width, width), most_taps(k, in->height, height));
    double *w;

    GD_TRY(gd_block_make(&w,
                         most * sizeof *w + (size_t)(pixels * c + row * in->height) * sizeof *out,
                         "resized image"));
    float *all = (float *)(w + most), *wide = all + pixels * c;
    for (int64_t i = 0; i < pixels * c; i++)
        all[i] = in->pixels[i];
    run_float_pass(&(float_pass){ all, wide, in->width, width, in->height, c,
                                  (int64_t)in->width * c, c, row, c },
                   w, k);
    run_float_pass(&(float_pass){ wide, out, in->height, height, width, c, c, row, c, row }, w, k);
    gd_block_free(w);
    return GD_OK;
}
