/* SPDX-License-Identifier: MIT */
/* bench_train.c - guided bench --train: a training step's time against its floor.  The floor: every
 * convolution and linear layer of the forward pass and of both backward passes as in nn/bench.h,
 * the attention products (the backward pass has five for the forward's two) at peak, and the
 * optimiser's bytes at the rate of a copy. */
#include "bench/bench.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, STEPS_A_ROUND = 3, COPIES = 6, PARTS = 64 };
/* AdamW with one average reads gradient, parameter, two moments, average, and writes the last four
 */
enum { OPTIMIZER_BYTES = 9 * sizeof(float) };

typedef struct timed {
    gd_model *model;
    gd_trainer *trainer;
    gd_floor *floor;
    double seconds[ROUNDS * STEPS_A_ROUND], median, floor_s, copy_rate; /* rate: bytes a second */
    int n;
    size_t planned_bytes, peak_bytes;
    float *images; /* block: [batch] */
    int64_t image_count;
} timed;

/* ---- the rate of a copy ---- */

typedef struct copying {
    char *to;
    const char *from;
    size_t part;
} copying;

static void copy_part(void *ctx, int64_t i)
{
    const copying *c = ctx;
    memcpy(c->to + (size_t)i * c->part, c->from + (size_t)i * c->part, c->part);
}

static gd_status measure_copy(double *rate)
{
    const size_t bytes = 64 << 20;
    void *from, *to = NULL;
    gd_status s;

    GD_TRY(gd_block_make(&from, bytes, "benchmark"));
    s = gd_block_make(&to, bytes, "benchmark");
    if (s == GD_OK)
        memset(from, 1, bytes); /* pages of its own, not the zero page */
    for (int i = 0; i < COPIES && s == GD_OK; i++) {
        copying c = { to, from, bytes / PARTS };
        const double start = gd_seconds();
        gd_par(PARTS, copy_part, &c);
        *rate = GD_MAX(*rate,
                       i == 0 ? 0 /* page faults */ : 2.0 * (double)bytes / (gd_seconds() - start));
    }
    gd_block_free(from);
    gd_block_free(to);
    return s;
}

/* ---- the step ---- */

/* The same images in every step: training decodes them ahead, in threads of its own. */
static gd_status read_images(void *ctx, int64_t position, int n, float *images, int64_t *labels)
{
    const timed *t = ctx;

    (void)position;
    memcpy(images, t->images, (size_t)n * (size_t)t->image_count * sizeof *images);
    memset(labels, 0, (size_t)n * sizeof *labels);
    return GD_OK;
}

static gd_status make(timed *t, gd_model_config *c, const char *preset, bool bf16, int batch_size)
{
    const size_t program = gd_peak_bytes();
    const gd_source source = { read_images, t };
    gd_train_options o;
    gd_weights weights;

    GD_TRY(gd_preset_config(c, preset));
    gd_train_defaults(&o, c->net.kind);
    o.batch_size = batch_size;
    o.bf16 = bf16;
    t->image_count = (int64_t)c->net.in_channels * c->net.image_size * c->net.image_size;
    GD_TRY(gd_block_make(
        &t->images, (size_t)batch_size * (size_t)t->image_count * sizeof *t->images, "benchmark"));
    gd_noise_images(t->images, t->image_count, 0, 0, batch_size, 0);
    GD_TRY(gd_model_create(&t->model, c, 0, true));
    weights = gd_model_weights(t->model);
    GD_TRY(gd_trainer_make(&t->trainer, c, &weights, &o, &source, NULL, NULL));
    t->planned_bytes = program + gd_memory_held(); /* as guided train announces it */
    return gd_floor_make(&t->floor, gd_learner_plan(t->trainer->learner), bf16);
}

static gd_status measure(timed *t)
{
    double kernels = 0;

    GD_TRY(gd_trainer_step(t->trainer)); /* warm */
    t->peak_bytes = gd_peak_bytes();
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < STEPS_A_ROUND; i++) {
            const double start = gd_seconds();
            GD_TRY(gd_trainer_step(t->trainer));
            t->seconds[t->n++] = gd_seconds() - start;
        }
        GD_TRY(gd_floor_measure(t->floor, &kernels));
        GD_TRY(measure_copy(&t->copy_rate));
    }
    t->median = gd_median(t->seconds, t->n);
    t->floor_s = kernels + (double)t->trainer->learner->total * OPTIMIZER_BYTES / t->copy_rate;
    return GD_OK;
}

static void print_result(const timed *t, const char *preset, bool bf16, int batch_size, bool json)
{
    const double gflops = 2e-9 * gd_plan_macs(gd_learner_plan(t->trainer->learner)) / t->median;
    const char *precision = bf16 ? "bf16" : "fp32";

    if (json) {
        fprintf(job_out(),
                "{\"preset\":\"%s\",\"precision\":\"%s\",\"batch_size\":%d,\"train_step_s\":%.6f,"
                "\"floor_s\":%.6f,\"ratio\":%.4f,\"gflops\":%.1f,\"planned_bytes\":%zu,"
                "\"peak_bytes\":%zu}\n",
                preset, precision, batch_size, t->median, t->floor_s, t->median / t->floor_s,
                gflops, t->planned_bytes, t->peak_bytes);
        return;
    }
    fprintf(job_out(), "%s %s, batch %d, %d threads, %s, oneDNN %s\n", preset, precision,
            batch_size, gd_threads(), gd_isa_name(gd_isa_used()), gd_onednn_version());
    fprintf(job_out(), "step      %.4f s  (median of %d; %.0f GFLOP/s, peak %.0f)\n", t->median,
            t->n, gflops, 2e-9 * gd_floor_peak_macs(t->floor));
    fprintf(job_out(), "floor     %.4f s  (%d shapes; copies at %.1f GB/s)\nratio     %.3f\n",
            t->floor_s, gd_floor_shapes(t->floor), t->copy_rate * 1e-9, t->median / t->floor_s);
    fprintf(job_out(), "memory    %.1f MiB resident at most, %.1f MiB planned\n",
            (double)t->peak_bytes / 1048576.0, (double)t->planned_bytes / 1048576.0);
}

/* What a step takes beside its passes; as in a profile the shortest of several times */
static gd_status print_rest(timed *t)
{
    gd_learner *l = t->trainer->learner;
    double norm_s = INFINITY, update_s = INFINITY;

    for (int r = 0; r < ROUNDS; r++) {
        const double start = gd_seconds();
        double norm = gd_learner_gradient_norm(l);
        const double normed = gd_seconds();
        GD_TRY(gd_learner_update(l, 0, 0, &norm));
        norm_s = GD_MIN(norm_s, normed - start);
        update_s = GD_MIN(update_s, gd_seconds() - normed);
    }
    fprintf(job_out(), "gradient's norm %.3f ms, optimiser and packing of weights %.3f ms\n",
            norm_s * 1e3, update_s * 1e3);
    return GD_OK;
}

static gd_status print_profile(timed *t)
{
    gd_learner *l = t->trainer->learner;

    GD_TRY(bench_print_profile(gd_learner_plan(l), gd_learner_exec(l), t->floor));
    return print_rest(t);
}

gd_status bench_train(const char *preset, bool bf16, int batch_size, bool json, bool profile)
{
    timed t = { .n = 0 };
    gd_model_config c;
    gd_status s = make(&t, &c, preset, bf16, batch_size);

    if (s == GD_OK)
        s = measure(&t);
    if (s == GD_OK && profile)
        s = print_profile(&t);
    if (s == GD_OK)
        print_result(&t, preset, bf16, batch_size, json);
    gd_floor_free(t.floor);
    gd_trainer_free(t.trainer);
    gd_model_close(t.model);
    gd_block_free(t.images);
    return s;
}
