/* SPDX-License-Identifier: MIT */
/* restore_run.c - opens models, makes samples and measures them, for the four verbs of restoration.
 */
#include "jobs/restore.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { SSIM_SIDE = 11 }; /* SSIM is undefined for smaller images */

restore_options restore_defaults(void)
{
    return (restore_options){ .precision = "fp32",
                              .noise_scale = "pm1",
                              .output = "restored",
                              .sampler = "ddpm",
                              .scale = -1,
                              .strength = 0.6,
                              .n = 1,
                              .rounds = 1 };
}

gd_status restore_open_models(restore_run *r)
{
    const gd_launch launch = gd_dist_launched();
    const gd_machine *machine = gd_get_machine();
    restore_options *o = &r->o;
    gd_flag of_classifier[JOB_MAX_FLAGS], of_model[JOB_MAX_FLAGS];
    int n = 0, m = 0;

    GD_TRY(job_builtin_path(&o->model, r->model_file, JOB_MODEL));
    if (!o->seed_given && getrandom(&o->seed, 4, 0) != 4) /* 32 bits: easy to write down */
        return gd_fail(GD_EIO, "no random seed from the system: give --seed");
    if (o->threads)
        gd_set_threads(o->threads);
    else if (launch.ranks_here > 1 && !machine->by_environment &&
             machine->cpus == sysconf(_SC_NPROCESSORS_ONLN)) /* not bound by the launcher */
        gd_set_threads(GD_MAX(machine->threads / launch.ranks_here, 1));
    job_limit_memory((size_t)o->memory << 20);
    for (int i = 0; i < r->words.n_flags; i++)
        if (strncmp(r->words.flag[i].name, "classifier_", 11) == 0)
            of_classifier[n++] = r->words.flag[i];
        else
            of_model[m++] = r->words.flag[i];
    GD_TRY(gd_model_open(&r->model, o->model, of_model, m));
    return o->classifier ? gd_model_open(&r->classifier, o->classifier, of_classifier, n) : GD_OK;
}

/* All samples have one class, because a mean over different classes is meaningless */
static gd_status read_class(restore_run *r, int64_t *label)
{
    const int of_model = gd_model_class_count(r->model),
              count =
                  of_model > 0 || !r->classifier ? of_model : gd_model_class_count(r->classifier);
    job_classes c = { 0 };

    *label = -1;
    if (count > 0 && !r->o.classes)
        return gd_fail(GD_EUSAGE, "%s: the model has %d classes: give the image's class by --class",
                       r->o.model, count);
    const gd_status s = job_classes_read(&c, r->o.classes, r->model, count, r->o.labels);
    if (s == GD_OK && count > 0)
        *label = job_class_of(&c, r->o.seed, 0);
    job_classes_free(&c);
    return s;
}

gd_status restore_settings(restore_run *r, gd_restoration_settings *s)
{
    const restore_options *o = &r->o;

    *s = (gd_restoration_settings){ .op = o->op,
                                    .solver = o->solver,
                                    .as_published = o->as_published,
                                    .sigma_y = o->noise,
                                    .poisson = o->poisson > 0,
                                    .steps = o->calls,
                                    .spacing = o->steps,
                                    .scale = o->scale,
                                    .seed = o->seed,
                                    .recompute = o->recompute,
                                    .gradient = o->cotangent != NULL,
                                    .tile = o->tile,
                                    .whole = o->whole,
                                    .images = o->n,
                                    .bf16 = job_is_bf16(o->precision) };
    GD_TRY(gd_noise_scale(&s->sigma_y, o->noise_scale));
    if (s->sigma_y > 2)
        return gd_fail(GD_EUSAGE,
                       "--noise %g: images lie in [-1, 1]\nhint: --noise-scale 255 for "
                       "noise of images in [0, 255]",
                       o->noise);
    return read_class(r, &s->label);
}

/* ---- samples ---- */

/* Shows the calls of other threads and `more` of this thread */
static void show_calls(restore_run *r, int64_t more)
{
    for (int64_t n = atomic_exchange(&r->elsewhere, 0) + more; n > 0; n--)
        job_progress_step(&r->progress);
}

/* Lanes count their calls; the run's own thread shows them and forwards a stop request. */
static gd_status before_call(void *ctx, int k, int calls)
{
    restore_run *r = ctx;

    (void)k, (void)calls;
    if (pthread_equal(pthread_self(), r->own)) {
        if (gd_stop_wanted())
            atomic_store(&r->stop, true);
        show_calls(r, 1);
    } else {
        atomic_fetch_add(&r->elsewhere, 1);
    }
    return atomic_load(&r->stop) ? gd_fail(GD_EINTERRUPTED, "stopped") : GD_OK;
}

static gd_status make_memory(restore_run *r)
{
    const int64_t n = gd_shape_count(r->r.shape), k = r->o.n;

    GD_TRY(gd_block_make(&r->samples, (size_t)((k + 3 + r->r.n_lanes) * n + 3 * k) * sizeof(double),
                         "samples"));
    r->mean = r->samples + k * n;
    r->deviation = r->mean + n;
    r->latent = r->deviation + n;
    r->rounds = r->latent + n;
    r->residual = r->rounds + r->r.n_lanes * n;
    r->psnr = r->residual + k;
    r->ssim = r->psnr + k;
    return GD_OK;
}

static gd_status compare(restore_run *r, const double *x, double *psnr, double *ssim)
{
    *psnr = *ssim = NAN;
    if (!r->truth.data)
        return GD_OK;
    *psnr = gd_psnr(x, r->truth.data, gd_shape_count(r->r.shape));
    if (GD_MIN(r->r.shape.h, r->r.shape.w) < SSIM_SIDE)
        return GD_OK;
    return gd_ssim_of(ssim, x, r->truth.data, r->r.shape, (gd_ssim){ 0 });
}

/* Metrics of the pseudo-inverse, which needs no model */
static gd_status compare_pinv(restore_run *r)
{
    r->pinv_psnr = r->pinv_ssim = NAN;
    if (!r->truth.data || !gd_operator_has_pinv(r->r.op))
        return GD_OK;
    gd_operator_pinv(r->r.op, r->y.data, r->latent);
    return compare(r, r->latent, &r->pinv_psnr, &r->pinv_ssim);
}

void restore_judge(const restore_run *r)
{
    const double sigma = r->r.options.sigma_y;
    double mean = 0;

    for (int i = 0; i < r->done; i++)
        mean += r->residual[i] / r->done;
    if (mean > fmax(2 * sigma, 0.02))
        gd_log(GD_LOG_NOTE,
               "the residual %.4g is far above the noise %.4g: the problem is not solved; try more "
               "--steps or another --solver",
               mean, sigma);
    else if (sigma > 0 && mean < sigma / 4)
        gd_log(GD_LOG_NOTE, "the residual %.4g is far below the noise %.4g: noise was fitted", mean,
               sigma);
}

/* Sample done + k on lane k.  purify can repeat: each round starts from the image of the round
 * before */
static gd_status one_sample(void *ctx, gd_restoration *lane, int k)
{
    restore_run *r = ctx;
    const int64_t n = gd_shape_count(r->r.shape);
    const int i = r->done + k;
    double *x = r->samples + i * n, *from = r->rounds + k * n;

    for (int round = 0; round < r->o.rounds; round++) {
        const uint64_t number = (uint64_t)i * (uint64_t)r->o.rounds + (uint64_t)round;
        if (round > 0)
            memcpy(from, x, (size_t)n * sizeof *x);
        GD_TRY(gd_restoration_run(lane, number, round ? from : r->y.data, x,
                                  k == 0 ? r->latent : NULL));
    }
    r->residual[i] = gd_restoration_residual(lane, x, r->y.data);
    return compare(r, x, &r->psnr[i], &r->ssim[i]);
}

static gd_status begin(restore_run *r, int64_t calls)
{
    GD_TRY(make_memory(r));
    r->own = pthread_self();
    atomic_store(&r->elsewhere, 0);
    atomic_store(&r->stop, false);
    r->r.prior->before_call = before_call;
    r->r.prior->step_ctx = r;
    r->start = gd_seconds();
    job_progress_start(&r->progress, "steps", calls, r->o.quiet);
    return GD_OK;
}

static gd_status given_cotangent(void *ctx, const double *x, double *c)
{
    const restore_run *r = ctx;

    memcpy(c, r->rounds, (size_t)gd_shape_count(r->r.shape) * sizeof *c);
    (void)x;
    return GD_OK;
}

gd_status restore_gradient(restore_run *r, const double *cotangent)
{
    gd_status s;

    GD_TRY(begin(r, 2 * r->r.calls));
    memcpy(r->rounds, cotangent, (size_t)gd_shape_count(r->r.shape) * sizeof *cotangent);
    s = gd_restoration_gradient(&r->r, 0, r->y.data, given_cotangent, r, r->samples, r->deviation);
    job_progress_end(&r->progress);
    GD_TRY(s);
    r->done = 1;
    r->residual[0] = gd_restoration_residual(&r->r, r->samples, r->y.data);
    return GD_OK;
}

gd_status restore_samples(restore_run *r)
{
    gd_status s = GD_OK;
    int together = 1;

    GD_TRY(begin(r, (int64_t)r->o.n * r->o.rounds * r->r.calls));
    for (; r->done < r->o.n && s == GD_OK; r->done += s == GD_OK ? together : 0) {
        together = GD_MIN(r->r.n_lanes, r->o.n - r->done);
        s = gd_restoration_each(&r->r, together, one_sample, r);
        show_calls(r, 0);
    }
    job_progress_end(&r->progress);
    if (r->done == 0 || (s != GD_OK && s != GD_EINTERRUPTED))
        return s;
    gd_ensemble(r->mean, r->deviation, r->samples, r->done, gd_shape_count(r->r.shape));
    GD_TRY(compare(r, r->mean, &r->mean_psnr, &r->mean_ssim));
    GD_TRY(compare_pinv(r));
    return s;
}

void restore_release(restore_run *r)
{
    restore_input_free(&r->y);
    restore_input_free(&r->truth);
    gd_block_free(r->samples);
    r->samples = NULL;
    r->done = 0;
    gd_restoration_close(&r->r);
    free(r->recipe);
    r->recipe = NULL;
}

void restore_close(restore_run *r)
{
    restore_release(r);
    gd_model_close(r->classifier);
    gd_model_close(r->model);
}
