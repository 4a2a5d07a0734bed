/* conv_plain.c - convolution in plain C on nhwc float32: the reference that the fast kernels are
 * tested against (GUIDED_ISA=c). Weights are [co][ci][kernel][kernel_w]. Sums run in double, in an
 * order fixed by the shape. */
#include "cpu/conv_private.h"

typedef struct job {
    const gd_conv_desc *d;
    const gd_conv_buffers *b;
    int oh, ow;
} job;

static int weight_index(const gd_conv_desc *d, int o, int i, int ky, int kx)
{
    return ((o * d->ci + i) * d->kernel + ky) * gd_conv_kernel_w(d) + kx;
}

/* One row of y: all its pixels and output channels */
static void forward_row(void *ctx, int64_t row)
{
    const job *j = ctx;
    const gd_conv_desc *d = j->d;
    const float *x = j->b->x, *w = j->b->weights;
    const int n = (int)(row / j->oh), oy = (int)(row % j->oh);
    const int kernel_w = gd_conv_kernel_w(d), pad_w = gd_conv_pad_w(d);

    for (int ox = 0; ox < j->ow; ox++) {
        float *y = (float *)j->b->y + ((int64_t)row * j->ow + ox) * d->co;
        for (int o = 0; o < d->co; o++) {
            double sum = d->accumulate ? y[o] : 0.0;
            sum += d->bias ? j->b->bias[o] : 0.0f;
            for (int ky = 0; ky < d->kernel; ky++)
                for (int kx = 0; kx < kernel_w; kx++) {
                    int iy = oy * d->stride + ky - d->pad, ix = ox * d->stride + kx - pad_w;
                    if (iy < 0 || iy >= d->h || ix < 0 || ix >= d->w)
                        continue;
                    const float *px = x + (((int64_t)n * d->h + iy) * d->w + ix) * d->ci;
                    for (int i = 0; i < d->ci; i++)
                        sum += (double)px[i] * w[weight_index(d, o, i, ky, kx)];
                }
            y[o] = d->relu && sum < 0 ? 0.0f : (float)sum;
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

/* One row of dx */
static void grad_data_row(void *ctx, int64_t row)
{
    const job *j = ctx;
    const gd_conv_desc *d = j->d;
    const float *dy = j->b->y, *w = j->b->weights;
    const int n = (int)(row / d->h), iy = (int)(row % d->h);
    const int kernel_w = gd_conv_kernel_w(d), pad_w = gd_conv_pad_w(d);

    for (int ix = 0; ix < d->w; ix++) {
        float *dx = (float *)j->b->x + (row * d->w + ix) * d->ci;
        for (int i = 0; i < d->ci; i++) {
            double sum = 0.0;
            for (int ky = 0; ky < d->kernel; ky++)
                for (int kx = 0; kx < kernel_w; kx++) {
                    int oy = source(iy, d->pad - ky, d->stride, j->oh);
                    int ox = source(ix, pad_w - kx, d->stride, j->ow);
                    if (oy < 0 || ox < 0)
                        continue;
                    const float *pdy = dy + (((int64_t)n * j->oh + oy) * j->ow + ox) * d->co;
                    for (int o = 0; o < d->co; o++)
                        sum += (double)pdy[o] * w[weight_index(d, o, i, ky, kx)];
                }
            dx[i] = (float)sum;
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
                j->b->dweights[weight_index(d, (int)o, i, ky, kx)] = (float)sum;
            }
}

void plain_conv_run(const gd_conv_desc *d, const gd_conv_buffers *b)
{
    job j = { d, b, gd_conv_out(d->h, d), gd_conv_out_w(d->w, d) };

    if (d->pass == GD_CONV_FORWARD)
        gd_par((int64_t)d->n * j.oh, forward_row, &j);
    else if (d->pass == GD_CONV_GRAD_DATA)
        gd_par((int64_t)d->n * d->h, grad_data_row, &j);
    else
        gd_par(d->co, grad_weights_channel, &j);
}
