/* SPDX-License-Identifier: MIT */
/* bench.c - guided bench: a network's forward time against the floor of its kernels
 * (nn/bench.h). */
#include "bench/bench.h"
#include "nn/inception.h"
#include "jobs/option_rows.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, RUNS_A_ROUND = 3 };

typedef struct options {
    const char *preset, *classifier, *precision, *model;
    int threads;
    int batch;
    bool train, eval, metrics, tune, accuracy, scaling, json, profile;
} options;

#define AT(field) offsetof(options, field)
static const job_option table[] = {
    { "preset", 0, JOB_TEXT, "NAME", "network with synthetic weights (default 64x64_diffusion)",
      AT(preset) },
    { "classifier", 0, JOB_TEXT, "NAME", "also the guided step with this classifier preset",
      AT(classifier) },
    OPTION_PRECISION(AT(precision)),
    { "eval", 0, JOB_SWITCH, "", "the Inception network of guided eval, with synthetic weights",
      AT(eval) },
    { "train", 0, JOB_SWITCH, "", "a training step, not a forward pass", AT(train) },
    { "batch", 0, JOB_INT, "N",
      "images at a time: with --eval (default 8), --train (1); of --accuracy (256)", AT(batch), 1,
      1024 },
    OPTION_THREADS(AT(threads)),
    { "profile", 0, JOB_SWITCH, "", "time by operation, and the floor's shapes", AT(profile) },
    { "metrics", 0, JOB_SWITCH, "", "instead: the metrics of guided eval, from 2048 features",
      AT(metrics) },
    { "scaling", 0, JOB_SWITCH, "", "instead: how a forward pass would scale to 64 threads",
      AT(scaling) },
    { "tune", 0, JOB_SWITCH, "", "instead: which convolutions are fastest by which algorithm",
      AT(tune) },
    { "accuracy", 0, JOB_SWITCH, "", "instead: what bf16 costs a diffusion model", AT(accuracy) },
    { "model", 'm', JOB_TEXT, "FILE", "of --accuracy (default: the built-in one)", AT(model) },
    OPTION_JSON(AT(json)),
};
#undef AT

typedef struct timed {
    gd_model *model;
    gd_runner *runner;
    gd_inception *inception; /* instead of model and runner */
    gd_floor *floor;
    double seconds[ROUNDS * RUNS_A_ROUND], median, floor_s;
    int n;
} timed;

static const gd_plan *plan_of(const timed *t)
{
    return t->inception ? gd_inception_plan(t->inception) : gd_runner_plan(t->runner);
}

static gd_exec *exec_of(timed *t)
{
    return t->inception ? gd_inception_exec(t->inception) : gd_runner_exec(t->runner);
}

static gd_status make_inception(timed *t, int batch)
{
    const gd_weights weights = gd_inception_synthetic();
    const int side = 256; /* of the images, before they are resized */

    GD_TRY(gd_inception_make(&t->inception, &weights, batch, side, side));
    return gd_floor_make(&t->floor, plan_of(t), false);
}

static gd_status make(timed *t, const char *preset, bool guidance, bool bf16)
{
    gd_model_config c;

    GD_TRY(gd_preset_config(&c, preset));
    GD_TRY(gd_model_create(&t->model, &c, 0, true));
    const gd_net_size size = gd_net_natural_size(&c.net, 1);
    GD_TRY(gd_runner_make(&t->runner, t->model, &size, guidance, bf16, gd_threads()));
    return gd_floor_make(&t->floor, plan_of(t), bf16);
}

/* The time does not depend on the pixels; the arena is zero from the start. */
static void run_some(timed *t)
{
    for (int i = 0; i < RUNS_A_ROUND; i++) {
        const double start = gd_seconds();
        gd_exec_run(exec_of(t));
        t->seconds[t->n++] = gd_seconds() - start;
    }
}

static void release(timed *t)
{
    gd_floor_free(t->floor);
    gd_runner_free(t->runner);
    gd_inception_close(t->inception);
    gd_model_close(t->model);
}

/* The floor as measured in November 2026 (0.260 to 0.302 s at 439 GFLOP/s, bf16 0.194 to 0.222 s at
 * 881) scaled by the peak measured now, plus attention; there are no figures of AMX */
static bool suspect(const timed *t, const char *preset, bool bf16)
{
    const double peak = 2e-9 * gd_floor_peak_macs(t->floor);
    const double attention = gd_plan_attention_macs(plan_of(t)) / gd_floor_peak_macs(t->floor);

    if (strcmp(preset, "64x64_diffusion") != 0 || gd_isa_used() == GD_ISA_AVX512_AMX)
        return false;
    return t->floor_s - attention > 1.05 * (bf16 ? 0.222 * 881 : 0.302 * 439) / peak;
}

gd_status bench_print_profile(const gd_plan *plan, gd_exec *exec, const gd_floor *floor)
{
    double *seconds;
    gd_status s;

    GD_TRY(gd_block_make(&seconds, (size_t)gd_plan_steps(plan) * sizeof *seconds, "profile"));
    gd_exec_profile(exec, seconds);
    s = gd_plan_print_times(plan, seconds, job_out());
    gd_floor_print(floor, job_out());
    gd_block_free(seconds);
    return s;
}

static gd_status measure(timed *net, timed *guide, const options *o, size_t *peak)
{
    const bool bf16 = job_is_bf16(o->precision);

    GD_TRY(o->eval ? make_inception(net, o->batch) : make(net, o->preset, false, bf16));
    if (o->classifier)
        GD_TRY(make(guide, o->classifier, true, bf16));
    gd_exec_run(exec_of(net)); /* warm */
    *peak = gd_peak_bytes();
    for (int r = 0; r < ROUNDS; r++) {
        GD_TRY(gd_check_stop());
        run_some(net);
        GD_TRY(gd_floor_measure(net->floor, &net->floor_s));
        if (!o->classifier)
            continue;
        run_some(guide);
        GD_TRY(gd_floor_measure(guide->floor, &guide->floor_s));
    }
    net->median = gd_median(net->seconds, net->n);
    guide->median = guide->n ? gd_median(guide->seconds, guide->n) : 0;
    return GD_OK;
}

static void print_result(timed *net, timed *guide, const options *o, size_t peak)
{
    const double gflops = 2e-9 * gd_plan_macs(plan_of(net)) / net->median;
    const double step = net->median + guide->median, step_floor = net->floor_s + guide->floor_s;

    if (o->json) {
        fprintf(job_out(),
                "{\"preset\":\"%s\",\"precision\":\"%s\",\"forward_s\":%.6f,\"floor_s\":%.6f,"
                "\"ratio\":%.4f,\"gflops\":%.1f,"
                "\"peak_bytes\":%zu",
                o->preset, o->precision, net->median, net->floor_s, net->median / net->floor_s,
                gflops, peak);
        if (o->eval)
            fprintf(job_out(), ",\"batch\":%d,\"images_per_s\":%.2f", o->batch,
                    o->batch / net->median);
        if (o->classifier)
            fprintf(job_out(),
                    ",\"guided_step_s\":%.6f,\"guided_floor_s\":%.6f,\"guided_ratio\":%.4f", step,
                    step_floor, step / step_floor);
        fprintf(job_out(), "}\n");
        return;
    }
    fprintf(job_out(), "%s %s, %d threads, %s, oneDNN %s\n", o->preset, o->precision, gd_threads(),
            gd_isa_name(gd_isa_used()), gd_onednn_version());
    fprintf(job_out(), "forward   %.4f s  (median of %d; %.0f GFLOP/s, peak %.0f)\n", net->median,
            net->n, gflops, 2e-9 * gd_floor_peak_macs(net->floor));
    fprintf(job_out(), "floor     %.4f s  (%d shapes)%s\nratio     %.3f\n", net->floor_s,
            gd_floor_shapes(net->floor),
            suspect(net, o->preset, job_is_bf16(o->precision))
                ? "  suspect: more than 5 % above the recorded figures"
                : "",
            net->median / net->floor_s);
    if (o->eval)
        fprintf(job_out(), "images    %.1f / s, %d at a time\n", o->batch / net->median, o->batch);
    if (o->classifier)
        fprintf(job_out(), "guided    %.4f s, floor %.4f s, ratio %.3f\n", step, step_floor,
                step / step_floor);
    fprintf(job_out(), "memory    %.1f MiB resident at most\n", (double)peak / 1048576.0);
}

static gd_status run_bench(gd_job *job)
{
    options o = { .precision = "fp32" };
    static timed net, guide;
    job_words w = { .n_words = 0 };
    size_t peak = 0;

    GD_TRY(job_parse(job, &o, &w));
    if (o.eval && (o.preset || o.classifier || strcmp(o.precision, "fp32") != 0))
        return gd_fail(GD_EUSAGE, "--eval measures the Inception network in fp32: no --preset, "
                                  "--classifier or --precision");
    if (o.model && !o.accuracy)
        return gd_fail(GD_EUSAGE, "--model is for --accuracy; what is timed has synthetic weights\n"
                                  "hint: --preset NAME");
    if (o.train && (o.eval || o.classifier || o.metrics))
        return gd_fail(GD_EUSAGE, "--train measures a training step alone: no --eval, "
                                  "--classifier or --metrics");
    if (o.threads)
        gd_set_threads(o.threads);
    if (o.accuracy)
        return bench_accuracy(o.model, o.batch ? o.batch : 256);
    if (o.tune)
        return bench_tune();
    if (o.scaling)
        return bench_scaling(o.preset ? o.preset : "64x64_diffusion", job_is_bf16(o.precision));
    if (!o.eval && !o.train && o.batch)
        return gd_fail(GD_EUSAGE,
                       "--batch goes with --eval or --train: other networks run image by "
                       "image");
    if (!o.preset)
        o.preset = o.eval ? "inception" : "64x64_diffusion";
    if (!o.batch)
        o.batch = o.train ? 1 : 8;
    if (o.train)
        return bench_train(o.preset, job_is_bf16(o.precision), o.batch, o.json, o.profile);
    if (o.metrics)
        return bench_metrics(o.json);
    gd_status s = measure(&net, &guide, &o, &peak);
    if (s == GD_OK && o.profile)
        s = bench_print_profile(plan_of(&net), exec_of(&net), net.floor);
    if (s == GD_OK && o.profile && o.classifier)
        s = bench_print_profile(plan_of(&guide), exec_of(&guide), guide.floor);
    if (s == GD_OK)
        print_result(&net, &guide, &o, peak);
    release(&net);
    release(&guide);
    return s;
}

static const char notes[] =
    "Times a network of a preset with synthetic weights against the floor of its kernels: every "
    "distinct convolution and linear shape alone, with its fastest algorithm, times how often it "
    "runs.";

const job_kind job_bench = { "bench",
                             "time against the floor of the kernels",
                             "bench [--preset NAME | --eval] [options]",
                             "guided bench --preset 64x64_diffusion",
                             table,
                             COUNT(table),
                             run_bench,
                             notes };
