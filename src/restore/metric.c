/* SPDX-License-Identifier: MIT */
/* metric.c - PSNR, SSIM and the spread of an ensemble.
 * Source: Wang et al. 2004; scikit-image's structural_similarity. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

static double unit(double x)
{
    return fmin(fmax((x + 1) / 2, 0), 1);
}

double gd_psnr(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        const double d = unit(a[i]) - unit(b[i]);
        sum += d * d;
    }
    return sum > 0 ? 10 * log10((double)n / sum) : INFINITY;
}

/* ---- SSIM ---- */

enum { MAX_TAPS = 11 };

typedef struct window {
    int taps;
    double weight[MAX_TAPS];
    double covariance; /* factor: N / (N - 1), or 1 */
} window;

static window make_window(bool uniform)
{
    window w = { .taps = uniform ? 7 : 11, .covariance = uniform ? 49. / 48 : 1 };
    double sum = 0;

    for (int i = 0; i < w.taps; i++) {
        const double d = i - w.taps / 2;
        w.weight[i] = uniform ? 1 : exp(-0.5 * d * d / (1.5 * 1.5));
        sum += w.weight[i];
    }
    for (int i = 0; i < w.taps; i++)
        w.weight[i] /= sum;
    return w;
}

/* Weighted mean of a * b (b NULL: of a) over the window that begins at (0, 0) */
static double mean_of(const window *w, const double *a, const double *b, int stride)
{
    double sum = 0;

    for (int i = 0; i < w->taps; i++) {
        double row = 0;
        for (int j = 0; j < w->taps; j++)
            row += w->weight[j] * a[i * stride + j] * (b ? b[i * stride + j] : 1);
        sum += w->weight[i] * row;
    }
    return sum;
}

static double at(const window *w, const double *a, const double *b, int stride)
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03; /* K1, K2 with a range of 1 */
    const double ma = mean_of(w, a, NULL, stride), mb = mean_of(w, b, NULL, stride);
    const double aa = w->covariance * (mean_of(w, a, a, stride) - ma * ma),
                 bb = w->covariance * (mean_of(w, b, b, stride) - mb * mb),
                 ab = w->covariance * (mean_of(w, a, b, stride) - ma * mb);

    return (2 * ma * mb + c1) * (2 * ab + c2) / ((ma * ma + mb * mb + c1) * (aa + bb + c2));
}

static void prepare(double *out, const double *in, int64_t n, bool eight_bit)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = eight_bit ? nearbyint(unit(in[i]) * 255) / 255 : unit(in[i]);
}

gd_status gd_ssim_of(double *out, const double *a, const double *b, gd_shape shape, gd_ssim kind)
{
    const window w = make_window(kind.uniform);
    const int64_t n = gd_shape_count(shape), plane = (int64_t)shape.h * shape.w;
    const int rows = shape.h - w.taps + 1, columns = shape.w - w.taps + 1;
    double total = 0, *x;

    if (rows < 1 || columns < 1)
        return gd_fail(GD_EUSAGE, "SSIM needs sides of at least %d, the image is %dx%d", w.taps,
                       shape.w, shape.h);
    GD_TRY(gd_block_make(&x, (size_t)n * 2 * sizeof(double), "SSIM"));
    prepare(x, a, n, kind.eight_bit);
    prepare(x + n, b, n, kind.eight_bit);
    for (int c = 0; c < shape.c; c++) {
        double sum = 0;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                const int64_t first = c * plane + (int64_t)i * shape.w + j;
                sum += at(&w, x + first, x + n + first, shape.w);
            }
        total += sum / ((double)rows * columns);
    }
    gd_block_free(x);
    *out = total / shape.c;
    return GD_OK;
}

void gd_ensemble(double *mean, double *deviation, const double *samples, int count, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, square = 0;
        for (int k = 0; k < count; k++)
            sum += samples[k * n + i];
        mean[i] = sum / count;
        for (int k = 0; k < count; k++) {
            const double d = samples[k * n + i] - mean[i];
            square += d * d;
        }
        deviation[i] = count > 1 ? sqrt(square / (count - 1)) : 0;
    }
}
