/* SPDX-License-Identifier: MIT */
/* op_jpeg.c - what JPEG at a quality leaves of an image, in real numbers: full-range YCbCr, chroma
 * of even pixels, an orthonormal 8x8 cosine transform, quantisation.  Source: ITU-T T.81; the
 * arithmetic of Kawar et al. 2022, "JPEG artifact correction using DDRM". */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

enum { B = 8 };

typedef struct state {
    double q[2][B * B]; /* luma, chroma */
    double basis[B][B]; /* [frequency][sample] */
    double *plane[3];   /* Y, Cb, Cr: [h][w], chroma in the first [h/2][w/2] */
} state;

/* T.81, tables K.1 and K.2 */
static const uint8_t annex_k[2][B * B] = {
    { 16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
      14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
      18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
      49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99 },
    { 17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
      99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
      99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99 }
};

/* libjpeg's jpeg_quality_scaling, baseline */
static double scaled(int base, int quality)
{
    const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;

    return GD_MIN(GD_MAX((base * scale + 50) / 100, 1), 255);
}

/* block of a plane with this stride: transform, quantise, transform back */
static void quantise(const state *s, double *at, int stride, const double *q)
{
    double half[B][B], coef[B][B];

    for (int u = 0; u < B; u++)
        for (int j = 0; j < B; j++) {
            half[u][j] = 0;
            for (int i = 0; i < B; i++)
                half[u][j] += s->basis[u][i] * (at[i * stride + j] - 128);
        }
    for (int u = 0; u < B; u++)
        for (int v = 0; v < B; v++) {
            double sum = 0;
            for (int j = 0; j < B; j++)
                sum += half[u][j] * s->basis[v][j];
            coef[u][v] = nearbyint(sum / q[u * B + v]) * q[u * B + v]; /* halves to even */
        }
    for (int i = 0; i < B; i++)
        for (int v = 0; v < B; v++) {
            half[i][v] = 0;
            for (int u = 0; u < B; u++)
                half[i][v] += s->basis[u][i] * coef[u][v];
        }
    for (int i = 0; i < B; i++)
        for (int j = 0; j < B; j++) {
            double sum = 128;
            for (int v = 0; v < B; v++)
                sum += half[i][v] * s->basis[v][j];
            at[i * stride + j] = sum;
        }
}

static void encode(const gd_operator *op, const double *x)
{
    const state *s = op->state;
    const int h = op->image.h, w = op->image.w;
    const int64_t n = (int64_t)h * w;

    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            const int64_t at = (int64_t)i * w + j;
            const double r = 127.5 * (x[at] + 1), g = 127.5 * (x[n + at] + 1),
                         b = 127.5 * (x[2 * n + at] + 1);
            s->plane[0][at] = .299 * r + .587 * g + .114 * b;
            if (i % 2 == 0 && j % 2 == 0) {
                const int64_t chroma = (int64_t)(i / 2) * (w / 2) + j / 2;
                s->plane[1][chroma] = -.1687 * r - .3313 * g + .5 * b + 128;
                s->plane[2][chroma] = .5 * r - .4187 * g - .0813 * b + 128;
            }
        }
}

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const int h = op->image.h, w = op->image.w;
    const int64_t n = (int64_t)h * w;

    encode(op, x);
    for (int p = 0; p < 3; p++) {
        const int ph = p ? h / 2 : h, pw = p ? w / 2 : w;
        for (int i = 0; i < ph; i += B)
            for (int j = 0; j < pw; j += B)
                quantise(s, s->plane[p] + (int64_t)i * pw + j, pw, s->q[p > 0]);
    }
    for (int64_t at = 0; at < n; at++) {
        const int64_t chroma = at / w / 2 * (w / 2) + at % w / 2;
        const double l = s->plane[0][at], b = s->plane[1][chroma] - 128,
                     r = s->plane[2][chroma] - 128;
        y[at] = (l - 3.68199903e-5 * b + 1.40198758 * r) / 127.5 - 1;
        y[n + at] = (l - .344113281 * b - .714103821 * r) / 127.5 - 1;
        y[2 * n + at] = (l + 1.77197812 * b - 1.34583413e-4 * r) / 127.5 - 1;
    }
}

/* Straight through: the derivative is 0 almost everywhere */
static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    memmove(g, w, (size_t)gd_shape_count(op->image) * sizeof *g);
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    memmove(x, y, (size_t)gd_shape_count(op->image) * sizeof *x);
}

gd_status gd_op_jpeg(gd_operator **out, gd_shape image, int quality, const double *luma,
                     const double *chroma)
{
    const double pi = 3.14159265358979323846;

    if (image.c != 3)
        return gd_fail(GD_EUSAGE, "the image has %d channels, not 3", image.c);
    if (image.h % (2 * B) != 0 || image.w % (2 * B) != 0)
        return gd_fail(GD_EUSAGE, "an image of %dx%d: both sides must be multiples of %d", image.w,
                       image.h, 2 * B);
    GD_TRY(gd_operator_make(out, &gd_kind_jpeg, image, image, sizeof(state)));
    state *s = (*out)->state;
    for (int i = 0; i < B * B; i++) {
        s->q[0][i] = luma ? luma[i] : scaled(annex_k[0][i], quality);
        s->q[1][i] = chroma ? chroma[i] : scaled(annex_k[1][i], quality);
    }
    for (int u = 0; u < B; u++)
        for (int i = 0; i < B; i++)
            s->basis[u][i] = sqrt((u ? 2.0 : 1.0) / B) * cos((2 * i + 1) * u * pi / (2 * B));
    for (int p = 0; p < 3; p++)
        GD_TRY(gd_operator_alloc(&s->plane[p], *out,
                                 (size_t)image.h * (size_t)image.w * sizeof(double)));
    return GD_OK;
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    int quality;

    (void)seed;
    GD_TRY(gd_words_value_int(words, 1, 100, &quality));
    return gd_op_jpeg(out, image, quality, NULL, NULL);
}

const gd_operator_kind gd_kind_jpeg = {
    "jpeg",         "jpeg:QUALITY", "compressed by JPEG with libjpeg's tables (not linear)",
    .parse = parse, .apply = apply, .adjoint = adjoint,
    .pinv = pinv
};
