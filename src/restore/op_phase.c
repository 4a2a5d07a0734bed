/* SPDX-License-Identifier: MIT */
/* op_phase.c - phase retrieval: magnitudes of the centred orthonormal Fourier transform of the
 * zero-padded image.  DPS transforms x, DAPS (x + 1) / 2. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct state {
    gd_fft *fft;
    int pad_h, pad_w;
    bool unit_range;
} state;

/* The spectrum of one channel: both shifts are cyclic moves of the data */
static void transform(const gd_operator *op, const double *x)
{
    const state *s = op->state;
    const int h = op->measurement.h, w = op->measurement.w;
    double complex *data = gd_fft_data(s->fft);

    memset(data, 0, (size_t)h * (size_t)w * sizeof *data);
    for (int i = 0; i < op->image.h; i++)
        for (int j = 0; j < op->image.w; j++) {
            const double v = x[(int64_t)i * op->image.w + j];
            /* ifftshift: index k goes to (k + ceil(n / 2)) mod n */
            data[(int64_t)((i + s->pad_h + (h + 1) / 2) % h) * w +
                 (j + s->pad_w + (w + 1) / 2) % w] = s->unit_range ? (v + 1) / 2 : v;
        }
    gd_fft_forward(s->fft);
}

/* Where fftshift puts index (i, j) */
static int64_t shifted(int i, int j, int h, int w)
{
    return (int64_t)((i + h / 2) % h) * w + (j + w / 2) % w;
}

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const gd_shape m = op->measurement;
    const double scale = 1 / sqrt((double)m.h * m.w);

    for (int c = 0; c < m.c; c++) {
        transform(op, x + (int64_t)c * op->image.h * op->image.w);
        const double complex *data = gd_fft_data(s->fft);
        for (int i = 0; i < m.h; i++)
            for (int j = 0; j < m.w; j++)
                y[(int64_t)c * m.h * m.w + shifted(i, j, m.h, m.w)] =
                    scale * cabs(data[(int64_t)i * m.w + j]);
    }
}

/* Of |z| the derivative is z / |z|, taken as 0 at 0 */
static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    const state *s = op->state;
    const gd_shape m = op->measurement;
    const double scale = (s->unit_range ? 0.5 : 1) / sqrt((double)m.h * m.w);

    for (int c = 0; c < m.c; c++) {
        const double *wc = w + (int64_t)c * m.h * m.w;
        double *gc = g + (int64_t)c * op->image.h * op->image.w;
        double complex *data = gd_fft_data(s->fft);
        transform(op, x + (int64_t)c * op->image.h * op->image.w);
        for (int i = 0; i < m.h; i++)
            for (int j = 0; j < m.w; j++) {
                double complex *z = &data[(int64_t)i * m.w + j];
                const double length = cabs(*z);
                *z = length > 0 ? *z / length * wc[shifted(i, j, m.h, m.w)] : 0;
            }
        gd_fft_backward(s->fft);
        for (int i = 0; i < op->image.h; i++)
            for (int j = 0; j < op->image.w; j++)
                gc[(int64_t)i * op->image.w + j] =
                    scale * creal(data[(int64_t)((i + s->pad_h + (m.h + 1) / 2) % m.h) * m.w +
                                       (j + s->pad_w + (m.w + 1) / 2) % m.w]);
    }
}

static void release(gd_operator *op)
{
    gd_fft_free(((state *)op->state)->fft);
}

gd_status gd_op_phase(gd_operator **out, gd_shape image, double oversample, bool unit_range)
{
    const int ph = (int)(oversample / 8 * image.h), pw = (int)(oversample / 8 * image.w);
    const gd_shape m = { image.c, image.h + 2 * ph, image.w + 2 * pw };

    GD_TRY(gd_operator_make(out, &gd_kind_phase, image, m, sizeof(state)));
    state *s = (*out)->state;
    *s = (state){ .pad_h = ph, .pad_w = pw, .unit_range = unit_range };
    (*out)->norm = unit_range ? 0.5 : 1;
    return gd_fft_make(&s->fft, m.h, m.w);
}

static gd_status factor_of(int *out, gd_words *words)
{
    (void)words;
    *out = 0;
    return GD_OK;
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    static const char *const ranges[] = { "01", "11" };
    double oversample;
    int range;

    (void)seed;
    GD_TRY(gd_words_value_double(words, 2, 0, 16, &oversample));
    GD_TRY(gd_words_choice(words, "range", ranges, COUNT(ranges), &range));
    return gd_op_phase(out, image, oversample, range == 0);
}

const gd_operator_kind gd_kind_phase = { "phase",
                                         "phase[:OVERSAMPLE][:range=01|11]",
                                         "magnitudes of the Fourier transform (not linear)",
                                         .parse = parse,
                                         .factor = factor_of,
                                         .apply = apply,
                                         .adjoint = adjoint,
                                         .release = release };
