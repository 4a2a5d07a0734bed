/* SPDX-License-Identifier: MIT */
/* plain.c - convolution in plain C on nhwc float32: the reference that the fast kernels are
 * tested against (GUIDED_ISA=c). Sums run in double, in an order fixed by the shape: taps, then the
 * channels that are summed. Weights are packed [kernel][kernel_w][summed channels][others], so that
 * neighbours in memory are sums that do not wait for each other. */
#include "cpu/conv/conv_private.h"

enum { TOGETHER = 64 }; /* sums */

typedef struct job {
    const gd_conv_desc *d;
    const gd_conv_buffers *b;
    int oh, ow;
} job;

static size_t weights_bytes(const gd_conv *c)
{
    const gd_conv_desc *d = &c->desc;

    return (size_t)d->co * d->ci * d->kernel * gd_conv_kernel_w(d) * sizeof(float);
}

static gd_status pack(const gd_conv *c, void *to, const float *weights)
{
    const gd_conv_desc *d = &c->desc;
    float *packed = to;
    const int taps = d->kernel * gd_conv_kernel_w(d);
    const bool forward = d->pass == GD_CONV_FORWARD;

    for (int o = 0; o < d->co; o++)
        for (int i = 0; i < d->ci; i++)
            for (int t = 0; t < taps; t++) {
                const int64_t summed = forward ? i : o, other = forward ? o : i;
                const int64_t n_summed = forward ? d->ci : d->co, n = forward ? d->co : d->ci;
                packed[(t * n_summed + summed) * n + other] =
                    weights[((int64_t)o * d->ci + i) * taps + t];
            }
    return GD_OK;
}

/* sum[0 .. n) += x[0 .. n_summed) times rows of w, `width` apart */
static void add_products(double *sum, int n, const float *x, int n_summed, const float *w,
                         int width)
{
    for (int s = 0; s < n_summed; s++) {
        const double v = x[s];
        for (int k = 0; k < n; k++)
            sum[k] += v * (double)w[(int64_t)s * width + k];
    }
}

/* n output channels from `first` of one pixel */
static void forward_pixel(const job *j, int image, int oy, int ox, int first, int n, double *sum)
{
    const gd_conv_desc *d = j->d;
    const int kernel_w = gd_conv_kernel_w(d);

    for (int ky = 0; ky < d->kernel; ky++)
        for (int kx = 0; kx < kernel_w; kx++) {
            const int iy = oy * d->stride + ky - d->pad,
                      ix = ox * d->stride + kx - gd_conv_pad_w(d);
            if (iy < 0 || iy >= d->h || ix < 0 || ix >= d->w)
                continue;
            const float *x =
                (const float *)j->b->x + (((int64_t)image * d->h + iy) * d->w + ix) * d->ci;
            const float *w =
                (const float *)j->b->weights + (int64_t)(ky * kernel_w + kx) * d->ci * d->co;
            add_products(sum, n, x, d->ci, w + first, d->co);
        }
}

/* One row of y: all its pixels and output channels */
static void forward_row(void *ctx, int64_t row)
{
    const job *j = ctx;
    const gd_conv_desc *d = j->d;
    double sum[TOGETHER];

    for (int ox = 0; ox < j->ow; ox++) {
        float *y = (float *)j->b->y + (row * j->ow + ox) * d->co;
        for (int first = 0; first < d->co; first += TOGETHER) {
            const int n = GD_MIN(TOGETHER, d->co - first);
            for (int k = 0; k < n; k++)
                sum[k] = (d->accumulate ? (double)y[first + k] : 0.0) +
                         (d->bias ? (double)j->b->bias[first + k] : 0.0);
            forward_pixel(j, (int)(row / j->oh), (int)(row % j->oh), ox, first, n, sum);
            for (int k = 0; k < n; k++)
                y[first + k] = d->relu && sum[k] < 0 ? 0.0f : (float)sum[k];
        }
    }
}

/* The output coordinate that is `offset` (padding less kernel tap) behind input i, or -1 */
static int source(int i, int offset, int stride, int out_size)
{
    int o = i + offset;

    if (o < 0 || o % stride != 0 || o / stride >= out_size)
        return -1;
    return o / stride;
}

/* n input channels from `first` of one pixel */
static void grad_data_pixel(const job *j, int image, int iy, int ix, int first, int n, double *sum)
{
    const gd_conv_desc *d = j->d;
    const int kernel_w = gd_conv_kernel_w(d);

    for (int ky = 0; ky < d->kernel; ky++)
        for (int kx = 0; kx < kernel_w; kx++) {
            const int oy = source(iy, d->pad - ky, d->stride, j->oh);
            const int ox = source(ix, gd_conv_pad_w(d) - kx, d->stride, j->ow);
            if (oy < 0 || ox < 0)
                continue;
            const float *dy =
                (const float *)j->b->y + (((int64_t)image * j->oh + oy) * j->ow + ox) * d->co;
            const float *w =
                (const float *)j->b->weights + (int64_t)(ky * kernel_w + kx) * d->ci * d->co;
            add_products(sum, n, dy, d->co, w + first, d->ci);
        }
}

/* One row of dx */
static void grad_data_row(void *ctx, int64_t row)
{
    const job *j = ctx;
    const gd_conv_desc *d = j->d;

    for (int ix = 0; ix < d->w; ix++) {
        float *dx = (float *)j->b->x + (row * d->w + ix) * d->ci;
        for (int first = 0; first < d->ci; first += TOGETHER) {
            const int n = GD_MIN(TOGETHER, d->ci - first);
            double sum[TOGETHER] = { 0 };
            grad_data_pixel(j, (int)(row / d->h), (int)(row % d->h), ix, first, n, sum);
            for (int k = 0; k < n; k++)
                dx[first + k] = (float)sum[k];
        }
    }
}

/* All gradients of one output channel's weights */
static void grad_weights_channel(void *ctx, int64_t o)
{
    const job *j = ctx;
    const gd_conv_desc *d = j->d;
    const float *x = j->b->x, *dy = j->b->y;

    for (int i = 0; i < d->ci; i++)
        for (int ky = 0; ky < d->kernel; ky++)
            for (int kx = 0; kx < gd_conv_kernel_w(d); kx++) {
                double sum = 0.0;
                for (int64_t p = 0; p < (int64_t)d->n * j->oh * j->ow; p++) {
                    int n = (int)(p / (j->oh * j->ow)), oy = (int)(p / j->ow % j->oh),
                        ox = (int)(p % j->ow);
                    int iy = oy * d->stride + ky - d->pad,
                        ix = ox * d->stride + kx - gd_conv_pad_w(d);
                    if (iy >= 0 && iy < d->h && ix >= 0 && ix < d->w)
                        sum += (double)dy[p * d->co + o] *
                               x[(((int64_t)n * d->h + iy) * d->w + ix) * d->ci + i];
                }
                j->b->dweights[((o * d->ci + i) * d->kernel + ky) * gd_conv_kernel_w(d) + kx] =
                    (float)sum;
            }
}

static void run(const gd_conv_call *call)
{
    const gd_conv_desc *d = &call->conv->desc;
    job j = { d, &call->buffers, gd_conv_out(d->h, d), gd_conv_out_w(d->w, d) };

    if (d->pass == GD_CONV_FORWARD)
        gd_par((int64_t)d->n * j.oh, forward_row, &j);
    else if (d->pass == GD_CONV_GRAD_DATA)
        gd_par((int64_t)d->n * d->h, grad_data_row, &j);
    else
        gd_par(d->co, grad_weights_channel, &j);
}

const conv_engine conv_engine_plain = {
    .name = "plain", .weights_bytes = weights_bytes, .pack = pack, .run = run, .adds = true
};
