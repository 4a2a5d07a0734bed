/* SPDX-License-Identifier: MIT */
/* bench_accuracy.c - guided bench --accuracy: what bf16 costs.  The same images in fp32 and in
 * bf16, byte by byte; and along the way from them to noise the network's prediction, step by step.
 */
#include "bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 1, NOISED = 8 /* images that are noised for one timestep */ };
static const char steps[] = "ddim25";

typedef struct accuracy {
    gd_model *model;
    gd_schedule *all;   /* every training step */
    gd_stage stage[2];  /* fp32, bf16 */
    int64_t image, out; /* elements */
    int n, batch;
    float *x[2], *prediction[2], *noised; /* blocks: [n] images; [NOISED] */
    uint8_t *bytes[2];                    /* block: one image */
} accuracy;

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    (void)ctx;
    (void)first;
    (void)n;
    (void)step;
    (void)n_steps;
    return gd_check_stop();
}

static gd_status make_stage(accuracy *a, int bf16)
{
    const gd_stage_options o = { .steps = steps, .clip = true, .bf16 = bf16, .seed = SEED };

    GD_TRY(gd_stage_open(&a->stage[bf16], a->model, NULL, &o));
    a->stage[bf16].trajectory.before_step = before_step;
    return gd_stage_prepare(&a->stage[bf16], a->batch);
}

static gd_status make_blocks(accuracy *a)
{
    const size_t all = (size_t)(a->n * a->image) * sizeof(float);

    for (int k = 0; k < 2; k++) {
        GD_TRY(gd_block_make(&a->x[k], all, "images"));
        GD_TRY(gd_block_make(&a->prediction[k], (size_t)(NOISED * a->out) * sizeof(float),
                             "predictions"));
        GD_TRY(gd_block_make(&a->bytes[k], (size_t)a->image, "image"));
    }
    return gd_block_make(&a->noised, (size_t)(NOISED * a->image) * sizeof(float), "noised images");
}

static gd_status make(accuracy *a, const char *path)
{
    const gd_model_config *c;

    GD_TRY(gd_model_open(&a->model, path, NULL, 0));
    c = gd_model_get_config(a->model);
    if (c->net.kind != GD_NET_UNET)
        return gd_fail(GD_EMISMATCH, "%s: --accuracy is for diffusion models", path);
    GD_TRY(gd_schedule_make(&a->all, c->diffusion.noise_schedule, c->diffusion.steps, "",
                            c->diffusion.rescale_timesteps));
    a->image = (int64_t)c->net.in_channels * c->net.image_size * c->net.image_size;
    a->out = a->image / c->net.in_channels * c->net.out_channels;
    a->batch = gd_engine_lanes(a->n, c->net.image_size);
    for (int k = 0; k < 2; k++)
        GD_TRY(make_stage(a, k));
    return make_blocks(a);
}

/* Labels of n images, class by class; NULL where the model has none */
static const int64_t *labels_of(const accuracy *a, int64_t first, int n, int64_t *labels)
{
    const int classes = gd_model_class_count(a->model);

    for (int i = 0; i < n && classes > 0; i++)
        labels[i] = (first + i) % classes;
    return classes > 0 ? labels : NULL;
}

static gd_status sample(accuracy *a, int bf16)
{
    int64_t *labels;
    gd_status s = GD_OK;

    GD_TRY(gd_block_make(&labels, (size_t)a->batch * sizeof *labels, "labels"));
    for (int i = 0; i < a->n && s == GD_OK; i += a->batch) {
        const int n = GD_MIN(a->batch, a->n - i);
        s = gd_stage_run(&a->stage[bf16], i, n, NULL, labels_of(a, i, n, labels),
                         a->x[bf16] + i * a->image);
    }
    gd_block_free(labels);
    return s;
}

static void compare_images(accuracy *a)
{
    const int channels = gd_model_get_config(a->model)->net.in_channels;
    double sum = 0, one = 0, eight = 0;
    int most = 0;

    for (int i = 0; i < a->n; i++) {
        for (int k = 0; k < 2; k++)
            gd_to_uint8(a->bytes[k], a->x[k] + i * a->image, channels, a->image / channels);
        for (int64_t p = 0; p < a->image; p++) {
            const int d = abs(a->bytes[0][p] - a->bytes[1][p]);
            sum += d;
            one += d > 1;
            eight += d > 8;
            most = GD_MAX(most, d);
        }
    }
    const double bytes = (double)a->n * (double)a->image;
    fprintf(
        job_out(),
        "%d images, %s: bytes differ by %.3f on average, %.2f %% by more than 1, %.3f %% by more "
        "than 8, %d at most\n",
        a->n, steps, sum / bytes, 100 * one / bytes, 100 * eight / bytes, most);
}

/* Relative difference of the two predictions of epsilon (or of x0) at training step t */
static gd_status compare_predictions(accuracy *a, int t)
{
    const int n = GD_MIN(a->n, NOISED);
    const double signal = a->all->sqrt_alpha_bar[t], noise = a->all->sqrt_one_minus_alpha_bar[t];
    int64_t labels[NOISED];
    float times[NOISED];
    double error = 0, norm = 0;

    gd_noise_images(a->noised, a->image, SEED, 0, n, t + 1);
    for (int64_t i = 0; i < n * a->image; i++)
        a->noised[i] = (float)(signal * a->x[0][i] + noise * a->noised[i]);
    for (int i = 0; i < n; i++)
        times[i] = gd_schedule_model_t(a->all, t);
    for (int k = 0; k < 2; k++) {
        const gd_denoiser *d = gd_engine_denoiser(a->stage[k].engine);
        GD_TRY(
            d->predict(d->ctx, n, a->noised, times, labels_of(a, 0, n, labels), a->prediction[k]));
    }
    for (int i = 0; i < n; i++)
        for (int64_t p = 0; p < a->image; p++) {
            const double x = a->prediction[0][i * a->out + p], y = a->prediction[1][i * a->out + p];
            error += (x - y) * (x - y);
            norm += x * x;
        }
    fprintf(job_out(), "t %4d  relative difference %.2e\n", t, sqrt(error / norm));
    return GD_OK;
}

static gd_status measure(accuracy *a)
{
    static const int part[] = { 0, 1, 2, 4, 6, 8, 9 }; /* tenths of the training steps */
    const int last = a->all->n - 1;

    for (int k = 0; k < 2; k++)
        GD_TRY(sample(a, k));
    for (int i = 0; i < COUNT(part); i++)
        GD_TRY(compare_predictions(a, part[i] * a->all->n / 10));
    GD_TRY(compare_predictions(a, last));
    compare_images(a);
    return GD_OK;
}

static void release(accuracy *a)
{
    for (int k = 0; k < 2; k++) {
        gd_stage_close(&a->stage[k]);
        gd_block_free(a->x[k]);
        gd_block_free(a->prediction[k]);
        gd_block_free(a->bytes[k]);
    }
    gd_block_free(a->noised);
    gd_schedule_free(a->all);
    gd_model_close(a->model);
}

gd_status bench_accuracy(const char *path, int images)
{
    accuracy a = { .n = images };
    char built_in[4096];
    gd_status s;

    GD_TRY(job_builtin_path(&path, built_in, JOB_MODEL));
    s = make(&a, path);
    if (s == GD_OK)
        s = measure(&a);
    release(&a);
    return s;
}
