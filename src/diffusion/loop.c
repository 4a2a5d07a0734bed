/* loop.c - a whole trajectory: from noise to images, step by step. */
#include "diffusion/diffusion.h"

#include <math.h>

typedef struct space {
    float *out, *gradient, *noise, *t;          /* of the batch */
    float *mean, *variance, *log_variance, *x0; /* of one image */
} space;

static int64_t image_count(const gd_denoiser *d)
{
    return (int64_t)d->channels * d->height * d->width;
}

static int64_t out_count(const gd_denoiser *d)
{
    return (int64_t)d->out_channels * d->height * d->width;
}

size_t gd_trajectory_bytes(const gd_trajectory *trajectory, int n)
{
    const gd_denoiser *d = trajectory->denoiser;
    return sizeof(float) *
           (size_t)(n * (out_count(d) + 2 * image_count(d) + 1) + 4 * image_count(d));
}

static space carve(const gd_denoiser *d, int n, float *work)
{
    const int64_t image = image_count(d);
    space s;

    s.out = work;
    s.gradient = s.out + n * out_count(d);
    s.noise = s.gradient + n * image;
    s.mean = s.noise + n * image;
    s.variance = s.mean + image;
    s.log_variance = s.variance + image;
    s.x0 = s.log_variance + image;
    s.t = s.x0 + image;
    return s;
}

/* The network's output and the gradient were looked at where they were made, layer by layer. */
static gd_status check_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return gd_fail(GD_EFAILED, "the image is not finite");
    return GD_OK;
}

static gd_status networks(const gd_trajectory *r, int t, int n, const int64_t *y, const float *x,
                          const space *s)
{
    const gd_denoiser *d = r->denoiser;

    for (int i = 0; i < n; i++)
        s->t[i] = gd_schedule_model_t(r->process.schedule, t);
    GD_TRY(d->predict(d->ctx, n, x, s->t, y, s->out));
    if (!d->guide)
        return GD_OK;
    GD_TRY(d->guide(d->ctx, n, x, s->t, y, s->gradient));
    for (int64_t i = 0; i < n * image_count(d); i++)
        s->gradient[i] *= (float)r->scale;
    return GD_OK;
}

static void move(const gd_trajectory *r, int64_t first, int k, int t, int n, float *x,
                 const space *s)
{
    const gd_denoiser *d = r->denoiser;
    const int64_t image = image_count(d);

    for (int i = 0; i < n; i++) {
        const gd_move m = { .process = &r->process,
                            .t = t,
                            .n = image,
                            .out = s->out + i * out_count(d),
                            .gradient = d->guide ? s->gradient + i * image : NULL,
                            .noise = s->noise + i * image,
                            .eta = r->eta,
                            .mean = s->mean,
                            .variance = s->variance,
                            .log_variance = s->log_variance,
                            .x0 = s->x0 };
        r->sampler->step(&m, x + i * image);
        if (r->after_step)
            r->after_step(r->step_ctx, first + i, k, x + i * image, s->x0);
    }
}

gd_status gd_trajectory_run(const gd_trajectory *r, int64_t first, int n, const int64_t *y,
                            float *x, void *work)
{
    const int steps = r->process.schedule->n;
    const space s = carve(r->denoiser, n, work);

    r->noise(r->noise_ctx, first, n, 0, x);
    for (int k = 1; k <= steps; k++) {
        const int t = r->sampler->ascends ? k - 1 : steps - k;
        gd_status status;
        if (r->before_step)
            GD_TRY(r->before_step(r->step_ctx, first, n, k, steps));
        r->noise(r->noise_ctx, first, n, k,
                 s.noise); /* also where it has no effect: the order of draws is part of parity */
        status = networks(r, t, n, y, x, &s);
        if (status == GD_OK) {
            move(r, first, k, t, n, x, &s);
            status = check_finite(x, n * image_count(r->denoiser));
        }
        if (status != GD_OK) {
            gd_context("image %lld, step %d of %d (t = %d)", (long long)first, k, steps,
                       r->process.schedule->original[t]);
            return status;
        }
    }
    return GD_OK;
}

void gd_to_uint8(uint8_t *out, const float *x, int channels, int64_t pixels)
{
    for (int c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++) {
            const float v = (x[c * pixels + p] + 1) * 127.5f;
            out[p * channels + c] = (uint8_t)(v > 255 ? 255 : v > 0 ? v : 0);
        }
}
