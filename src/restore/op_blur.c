/* SPDX-License-Identifier: MIT */
/* op_blur.c - a kernel over the image, then every factor-th pixel.
 *
 * Three ways, by what the kernel and the edges allow: a circular blur is diagonal in the Fourier
 * basis; a separable kernel is two one-dimensional maps; any other goes through the Fourier
 * transform of the image extended over its edges and has no closed form: a decomposition of one
 * channel while it is small, conjugate gradients beyond. */
#include "restore/restore_private.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MAX_DENSE = 1024 }; /* pixels of a channel: a decomposition takes seconds */

typedef enum way { SEPARABLE, CIRCULAR, DENSE, ITERATED } way;

typedef struct state {
    way how;
    gd_pad pad;
    int factor, kh, kw, h, w; /* h, w: of the transform */
    gd_fft *fft;
    double complex *transfer; /* [h][w] */
    gd_separable separable;
    gd_dense dense;
    double *s;    /* CIRCULAR: [h / factor][w / factor], cut */
    double *work; /* ITERATED */
} state;

/* The image's index behind index i of its extension; -1: zero */
static int source(gd_pad pad, int i, int n)
{
    if (i >= 0 && i < n)
        return i;
    if (pad == GD_PAD_ZERO)
        return -1;
    const int period = pad == GD_PAD_CIRCULAR ? n : GD_MAX(1, 2 * n - 2);
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

/* ---- apply and adjoint by Fourier transforms ---- */

static int offset(const state *s, int k)
{
    return s->how == CIRCULAR ? 0 : k / 2;
}

static void extend(const gd_operator *op, const double *x)
{
    const state *s = op->state;
    double complex *data = gd_fft_data(s->fft);

    for (int i = 0; i < s->h; i++) {
        const int row = source(s->pad, i - offset(s, s->kh), op->image.h);
        for (int j = 0; j < s->w; j++) {
            const int column = source(s->pad, j - offset(s, s->kw), op->image.w);
            data[(int64_t)i * s->w + j] =
                row < 0 || column < 0 ? 0 : x[(int64_t)row * op->image.w + column];
        }
    }
}

/* The transpose of extend */
static void fold(const gd_operator *op, double *x)
{
    const state *s = op->state;
    const double complex *data = gd_fft_data(s->fft);

    memset(x, 0, (size_t)op->image.h * (size_t)op->image.w * sizeof *x);
    for (int i = 0; i < s->h; i++) {
        const int row = source(s->pad, i - offset(s, s->kh), op->image.h);
        for (int j = 0; j < s->w && row >= 0; j++) {
            const int column = source(s->pad, j - offset(s, s->kw), op->image.w);
            if (column >= 0)
                x[(int64_t)row * op->image.w + column] += creal(data[(int64_t)i * s->w + j]);
        }
    }
}

static void filter(const state *s, bool conjugate)
{
    double complex *data = gd_fft_data(s->fft);
    const int64_t n = (int64_t)s->h * s->w;

    gd_fft_forward(s->fft);
    for (int64_t i = 0; i < n; i++)
        data[i] *= (conjugate ? conj(s->transfer[i]) : s->transfer[i]) / (double)n;
    gd_fft_backward(s->fft);
}

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const gd_shape m = op->measurement;

    if (s->how == SEPARABLE) {
        gd_separable_apply(&s->separable, op->image.c, x, y);
        return;
    }
    for (int c = 0; c < m.c; c++) {
        extend(op, x + (int64_t)c * op->image.h * op->image.w);
        filter(s, false);
        const double complex *data = gd_fft_data(s->fft);
        for (int i = 0; i < m.h; i++)
            for (int j = 0; j < m.w; j++)
                y[((int64_t)c * m.h + i) * m.w + j] =
                    creal(data[(int64_t)i * s->factor * s->w + (int64_t)j * s->factor]);
    }
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    const state *s = op->state;
    const gd_shape m = op->measurement;

    (void)x;
    if (s->how == SEPARABLE) {
        gd_separable_adjoint(&s->separable, op->image.c, w, g);
        return;
    }
    for (int c = 0; c < m.c; c++) {
        double complex *data = gd_fft_data(s->fft);
        memset(data, 0, (size_t)s->h * (size_t)s->w * sizeof *data);
        for (int i = 0; i < m.h; i++)
            for (int j = 0; j < m.w; j++)
                data[(int64_t)i * s->factor * s->w + (int64_t)j * s->factor] =
                    w[((int64_t)c * m.h + i) * m.w + j];
        filter(s, true);
        fold(op, g + (int64_t)c * op->image.h * op->image.w);
    }
}

/* ---- circular: frequencies that the reduction folds onto one another are one singular value ----
 */

/* The sum over the frequencies that fold onto (i, j) of conj(transfer) times data, or |transfer|^2
 */
static double complex folded(const state *s, int i, int j, const double complex *data)
{
    const int h = s->h / s->factor, w = s->w / s->factor;
    double complex sum = 0;

    for (int a = i; a < s->h; a += h)
        for (int b = j; b < s->w; b += w) {
            const double complex t = s->transfer[(int64_t)a * s->w + b];
            sum += (data ? data[(int64_t)a * s->w + b] : conj(t)) * t;
        }
    return sum;
}

static void circular_spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x,
                              double *out)
{
    const state *s = op->state;
    const int h = s->h / s->factor, w = s->w / s->factor;
    const int64_t n = (int64_t)s->h * s->w;
    const double f0 = f(ctx, 0);

    for (int c = 0; c < op->image.c; c++) {
        double complex *data = gd_fft_data(s->fft);
        for (int64_t i = 0; i < n; i++)
            data[i] = x[c * n + i];
        gd_fft_forward(s->fft);
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                const double value = s->s[(int64_t)i * w + j];
                const double complex along = value > 0
                                                 ? (f(ctx, value) - f0) * folded(s, i, j, data) /
                                                       creal(folded(s, i, j, NULL))
                                                 : 0;
                for (int a = i; a < s->h; a += h)
                    for (int b = j; b < s->w; b += w) {
                        const int64_t at = (int64_t)a * s->w + b;
                        data[at] = f0 * data[at] + along * conj(s->transfer[at]);
                    }
            }
        gd_fft_backward(s->fft);
        for (int64_t i = 0; i < n; i++)
            out[c * n + i] = creal(data[i]) / (double)n;
    }
}

static double inverse_square(void *ctx, double s)
{
    (void)ctx;
    return s > 0 ? 1 / (s * s) : 0;
}

/* ---- by what the operator is ---- */

static void pinv(const gd_operator *op, const double *y, double *x)
{
    const state *s = op->state;
    const gd_shape m = op->measurement;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    switch (s->how) {
    case SEPARABLE:
        gd_separable_pinv(&s->separable, op->image.c, y, x);
        return;
    case CIRCULAR: /* (A^T A)^+ A^T */
        adjoint(op, NULL, y, x);
        circular_spectral(op, inverse_square, NULL, x, x);
        return;
    case DENSE:
        for (int c = 0; c < m.c; c++)
            gd_dense_pinv(&s->dense, y + (int64_t)c * m.h * m.w, x + c * plane);
        return;
    case ITERATED:
        gd_least_squares_solve(
            op, &(gd_least_squares){ .rho = 0, .tolerance = 1e-8, .most_steps = 300 }, y, x,
            s->work);
        return;
    }
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    if (s->how == SEPARABLE)
        gd_separable_spectral(&s->separable, op->image.c, f, ctx, x, out);
    else if (s->how == CIRCULAR)
        circular_spectral(op, f, ctx, x, out);
    else
        for (int c = 0; c < op->image.c; c++)
            gd_dense_spectral(&s->dense, f, ctx, x + c * plane, out + c * plane);
}

static void release(gd_operator *op)
{
    gd_fft_free(((state *)op->state)->fft);
}

/* ---- making ---- */

static double kernel_at(const gd_blur *b, int i, int j)
{
    return b->convolve ? b->kernel[(b->h - 1 - i) * b->w + b->w - 1 - j] : b->kernel[i * b->w + j];
}

/* Kernel = column row^T: the row and column through its largest element.  false: it is not. */
static bool split(const gd_blur *b, double *column, double *row)
{
    double largest = 0;
    int p = 0, q = 0;

    for (int i = 0; i < b->h; i++)
        for (int j = 0; j < b->w; j++)
            if (fabs(kernel_at(b, i, j)) > fabs(largest))
                largest = kernel_at(b, p = i, q = j);
    for (int i = 0; i < b->h; i++)
        column[i] = kernel_at(b, i, q) / largest;
    for (int j = 0; j < b->w; j++)
        row[j] = kernel_at(b, p, j);
    for (int i = 0; i < b->h; i++)
        for (int j = 0; j < b->w; j++)
            if (fabs(column[i] * row[j] - kernel_at(b, i, j)) > 1e-14 * fabs(largest))
                return false;
    return true;
}

/* One axis: m rows of n, row i around pixel i * factor */
static gd_status make_axis(gd_axis *axis, gd_operator *op, const gd_blur *b, const double *taps,
                           int k, int m, int n)
{
    double *matrix;
    gd_status s;

    GD_TRY(gd_block_make(&matrix, (size_t)m * (size_t)n * sizeof(double), "operator"));
    for (int i = 0; i < m; i++)
        for (int a = 0; a < k; a++) {
            const int j = source(b->pad, i * b->factor + a - k / 2, n);
            if (j >= 0)
                matrix[(int64_t)i * n + j] += taps[a];
        }
    s = gd_axis_make(axis, op, matrix, m, n);
    gd_block_free(matrix);
    return s;
}

static gd_status make_separable(gd_operator *op, const gd_blur *b, const double *column,
                                const double *row)
{
    state *s = op->state;

    GD_TRY(make_axis(&s->separable.h, op, b, column, b->h, op->measurement.h, op->image.h));
    GD_TRY(make_axis(&s->separable.w, op, b, row, b->w, op->measurement.w, op->image.w));
    return gd_separable_make(&s->separable, op, 0, b->sv_cut);
}

/* Correlation with the kernel: the conjugate of its transform */
static gd_status make_transfer(gd_operator *op, const gd_blur *b)
{
    state *s = op->state;
    const bool circular = s->how == CIRCULAR;

    s->h = op->image.h + (circular ? 0 : b->h - 1);
    s->w = op->image.w + (circular ? 0 : b->w - 1);
    const int64_t n = (int64_t)s->h * s->w;
    GD_TRY(gd_fft_make(&s->fft, s->h, s->w));
    GD_TRY(gd_operator_alloc(&s->transfer, op, (size_t)n * sizeof *s->transfer));
    double complex *data = gd_fft_data(s->fft);
    memset(data, 0, (size_t)n * sizeof *data);
    for (int i = 0; i < b->h; i++)
        for (int j = 0; j < b->w; j++) {
            const int row = (i - (circular ? b->h / 2 : 0)) % s->h,
                      column = (j - (circular ? b->w / 2 : 0)) % s->w;
            data[(int64_t)(row < 0 ? row + s->h : row) * s->w +
                 (column < 0 ? column + s->w : column)] += kernel_at(b, i, j);
        }
    gd_fft_forward(s->fft);
    for (int64_t i = 0; i < n; i++)
        s->transfer[i] = conj(data[i]);
    return GD_OK;
}

static gd_status make_circular(gd_operator *op, const gd_blur *b)
{
    state *s = op->state;
    const int h = s->h / s->factor, w = s->w / s->factor;

    GD_TRY(gd_operator_alloc(&s->s, op, (size_t)h * (size_t)w * sizeof(double)));
    op->norm = 0;
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            s->s[(int64_t)i * w + j] = sqrt(creal(folded(s, i, j, NULL))) / s->factor;
            op->norm = fmax(op->norm, s->s[(int64_t)i * w + j]);
        }
    for (int i = 0; i < h * w; i++)
        if (s->s[i] < b->sv_cut || s->s[i] < GD_SV_ZERO * op->norm)
            s->s[i] = 0;
    return GD_OK;
}

/* Column j is what the operator makes of pixel j of one channel */
static gd_status make_dense(gd_operator *op, const gd_blur *b)
{
    const gd_shape image = op->image, measurement = op->measurement;
    const int n = image.h * image.w, m = measurement.h * measurement.w;
    double *matrix, *x, *y;
    gd_status s;

    GD_TRY(gd_block_make(&matrix, ((size_t)m * (size_t)n + (size_t)n + (size_t)m) * sizeof(double),
                         "operator"));
    x = matrix + (int64_t)m * n;
    y = x + n;
    op->image.c = op->measurement.c = 1;
    for (int j = 0; j < n; j++) {
        x[j] = 1;
        apply(op, x, y);
        x[j] = 0;
        for (int i = 0; i < m; i++)
            matrix[(int64_t)i * n + j] = y[i];
    }
    op->image = image;
    op->measurement = measurement;
    s = gd_dense_make(&((state *)op->state)->dense, op, matrix, m, n, b->sv_cut);
    gd_block_free(matrix);
    return s;
}

static gd_status make(gd_operator *op, const gd_blur *b, const double *column, const double *row)
{
    state *s = op->state;

    *s = (state){ .how = s->how, .pad = b->pad, .factor = b->factor, .kh = b->h, .kw = b->w };
    if (s->how == SEPARABLE)
        return make_separable(op, b, column, row);
    GD_TRY(make_transfer(op, b));
    if (s->how == CIRCULAR)
        return make_circular(op, b);
    if (s->how == DENSE)
        return make_dense(op, b);
    GD_TRY(gd_operator_alloc(&s->work, op, (size_t)gd_least_squares_work(op) * sizeof(double)));
    op->has_spectrum = false;
    op->norm = gd_power_norm(op, s->work);
    return GD_OK;
}

static gd_status check(gd_shape image, const gd_blur *b)
{
    double sum = 0;

    if (b->h < 1 || b->w < 1 || b->h % 2 == 0 || b->w % 2 == 0)
        return gd_fail(GD_EUSAGE, "a kernel of %dx%d: both sides must be odd", b->w, b->h);
    for (int i = 0; i < b->h * b->w; i++)
        sum += fabs(b->kernel[i]);
    if (!(sum > 0) || !isfinite(sum))
        return gd_fail(GD_EUSAGE, "the kernel is empty or not finite");
    if (b->pad == GD_PAD_CIRCULAR && (image.h % b->factor != 0 || image.w % b->factor != 0))
        return gd_fail(GD_EUSAGE, "factor %d does not divide an image of %dx%d", b->factor, image.w,
                       image.h);
    return GD_OK;
}

gd_status gd_op_blur(gd_operator **out, gd_shape image, const gd_blur *b)
{
    gd_shape m;
    void *taps;
    gd_status s;

    GD_TRY(check(image, b));
    m = (gd_shape){ image.c, (image.h + b->factor - 1) / b->factor,
                    (image.w + b->factor - 1) / b->factor };
    GD_TRY(gd_block_make(&taps, (size_t)(b->h + b->w) * sizeof(double), "operator"));
    double *column = taps, *row = column + b->h;
    s = gd_operator_make(out, &gd_kind_blur, image, m, sizeof(state));
    if (s == GD_OK) {
        ((state *)(*out)->state)->how = b->pad == GD_PAD_CIRCULAR             ? CIRCULAR
                                        : split(b, column, row)               ? SEPARABLE
                                        : image.h * image.w <= (int)MAX_DENSE ? DENSE
                                                                              : ITERATED;
        s = make(*out, b, column, row);
    }
    gd_block_free(taps);
    return s;
}

/* ---- text ---- */

static gd_status factor_of(int *out, gd_words *words)
{
    return gd_words_int(words, "factor", 1, 1, 64, out);
}

/* blur:FILE, blur:gauss=SIGMA[:size=N], blur:uniform=N */
static gd_status read_kernel(gd_blur *b, gd_words *words, gd_arena *mem)
{
    double sigma, *kernel;
    int size, uniform;

    if (words->value) {
        GD_TRY(gd_kernel_read(&kernel, &b->h, &b->w, words->value, mem));
        b->kernel = kernel;
        return GD_OK;
    }
    GD_TRY(gd_words_double(words, "gauss", 0, 0.01, 100, &sigma));
    GD_TRY(gd_words_int(words, "uniform", 0, 1, 255, &uniform));
    if (sigma == 0 && uniform == 0)
        return gd_fail(GD_EUSAGE,
                       "needs a kernel: blur:kernel.png, blur:gauss=3 or blur:uniform=9");
    GD_TRY(gd_words_int(words, "size", uniform ? uniform : 2 * (int)floor(4 * sigma + 0.5) + 1, 1,
                        1023, &size));
    b->h = b->w = size;
    kernel = gd_alloc(mem, (size_t)size * (size_t)size * sizeof *kernel);
    if (!kernel)
        return GD_ENOMEM;
    b->kernel = kernel;
    if (sigma > 0 && size % 2 == 1)
        gd_kernel_gauss(kernel, size, sigma);
    for (int i = 0; i < size * size && sigma == 0; i++)
        kernel[i] = 1.0 / size / size;
    return GD_OK;
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    static const char *const pads[] = { "reflect", "zero", "circular" };
    static const char *const modes[] = { "correlate", "convolve" };
    gd_blur b = { 0 };
    int pad, mode;
    gd_arena *mem;
    gd_status s;

    (void)seed;
    GD_TRY(gd_words_choice(words, "pad", pads, COUNT(pads), &pad));
    GD_TRY(gd_words_choice(words, "mode", modes, COUNT(modes), &mode));
    GD_TRY(factor_of(&b.factor, words));
    GD_TRY(gd_words_double(words, "sv_cut", 0.03, 0, 1, &b.sv_cut));
    b.pad = (gd_pad)pad;
    b.convolve = mode == 1;
    GD_TRY(gd_arena_make(&mem));
    s = read_kernel(&b, words, mem);
    if (s == GD_OK)
        s = gd_op_blur(out, image, &b);
    gd_arena_free(mem);
    return s;
}

const gd_operator_kind gd_kind_blur = {
    "blur",
    "blur:KERNEL.png | blur:gauss=SIGMA | blur:uniform=N, with [:pad=reflect|zero|circular]"
    "[:mode=correlate|convolve][:factor=N]",
    "blurred by a kernel, then every N-th pixel",
    .linear = true,
    .per_channel = true,
    .parse = parse,
    .factor = factor_of,
    .apply = apply,
    .adjoint = adjoint,
    .pinv = pinv,
    .spectral = spectral,
    .release = release
};
