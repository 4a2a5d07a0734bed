/* SPDX-License-Identifier: MIT */
/* sampler.c - sampling by the public API: options by name, images by number. */
#include "api/handles.h"
#include "sampling/sampling.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct guided_sampler {
    guided_context *context;
    gd_stage stage;
    int batch;       /* images side by side */
    float *images;   /* block: [batch][C][H][W] */
    gd_denoiser own; /* with the caller's gradient in place of a classifier */
    guided_gradient_fn gradient;
    void *gradient_ctx;
    guided_progress_fn progress;
    void *progress_ctx;
};

/* ---- options by name ---- */

typedef struct choice {
    gd_stage_options stage;
    const char *precision, *spacing, *threshold, *interval;
    int batch;
    bool fast;
} choice;

#define AT(field) offsetof(choice, field)
static const struct option {
    const char *name;
    gd_field_type type;
    size_t offset;
    double min, max;
    const char *absent, *about;
} options[] = {
    { "steps", GD_TEXT, AT(stage.steps), 0, 0, "the sampler's",
      "250, ddim25, leading50, 10,10,20; a count for samplers in continuous time" },
    { "sampler", GD_TEXT, AT(stage.sampler), 0, 0, "ddim where steps begin with ddim, else ddpm",
      "a solver's name" },
    { "eta", GD_REAL, AT(stage.solver.eta), 0, 1, "the sampler's", "0 deterministic, 1 ancestral" },
    { "scale", GD_REAL, AT(stage.scale), 0, 1000, "the preset's",
      "of the classifier's or the caller's gradient" },
    { "seed", GD_SEED, AT(stage.seed), 0, 0, "0", "of the noise" },
    { "clip_denoised", GD_SWITCH, AT(stage.clip), 0, 1, "true",
      "clip the predicted image to [-1, 1]" },
    { "precision", GD_TEXT, AT(precision), 0, 0, "fp32",
      "of products and convolutions: fp32 or bf16" },
    { "bf16", GD_SWITCH, AT(stage.bf16), 0, 1, "false", "the same as precision bf16" },
    { "fast", GD_SWITCH, AT(fast), 0, 1, "false",
      "few network calls: solver, steps and levels for this model" },
    { "spacing", GD_TEXT, AT(spacing), 0, 0, "the solver's",
      "of the noise levels: time, logsnr, quadratic for DPM-Solver++ and UniPC; karras, "
      "exponential, vp, ve, iddpm in sigma space" },
    { "threshold", GD_TEXT, AT(threshold), 0, 0, "clip",
      "of the predicted image: none, clip, dynamic" },
    { "guidance_scale", GD_REAL, AT(stage.guidance_scale), 0, 1000, "none",
      "guidance by a second model or null_class (1: none)" },
    { "null_class", GD_INT, AT(stage.null_class), 1, 1e6, "none",
      "label of no class, of a model trained with dropped labels" },
    { "guidance_interval", GD_TEXT, AT(interval), 0, 0, "everywhere",
      "LO,HI: guide (a classifier too) only between these noise levels sigma / alpha" },
    { "guidance_rescale", GD_REAL, AT(stage.guidance_rescale), 0, 1, "0",
      "share of the unguided prediction's deviation kept" },
    { "gradient_every", GD_INT, AT(stage.gradient_every), 1, 1000, "1",
      "compute the classifier's gradient at every Nth step" },
    { "hold_gradient", GD_SWITCH, AT(stage.hold_gradient), 0, 1, "false",
      "use the last gradient at the steps between" },
    { "low_res_noise", GD_REAL, AT(stage.low_res_noise), 0, 10, "0",
      "standard deviation added to an upsampler's input" },
    { "churn", GD_REAL, AT(stage.solver.churn), 0, 1e4, "0",
      "noise added before each step (Karras et al. 2022)" },
    { "sigma_min", GD_REAL, AT(stage.sigma_min), 0, 1e6, "the schedule's",
      "lowest level in sigma space" },
    { "sigma_max", GD_REAL, AT(stage.sigma_max), 0, 1e6, "the schedule's, at most 160",
      "highest level in sigma space" },
    { "batch", GD_INT, AT(batch), 1, 1024, "1", "images made side by side" },
};
#undef AT

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !(*a == '-' && *b == '_'))
            return false;
    return *a == *b;
}

static gd_status read_options(choice *c, const guided_option *given, int n)
{
    const char *names[COUNT(options)], *near;

    for (int k = 0; k < COUNT(options); k++)
        names[k] = options[k].name;
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < COUNT(options) && !same_name(given[i].name, names[k]))
            k++;
        if (k < COUNT(options)) {
            const struct option *o = &options[k];
            const gd_field v = { o->name, o->type, o->min, o->max };
            GD_TRY(gd_field_read(&v, given[i].value, (char *)c + o->offset));
            continue;
        }
        near = gd_nearest(given[i].name, names, COUNT(options));
        return gd_fail(GD_EUSAGE, "sampler: unknown option %s%s%s", given[i].name,
                       near ? "\nhint: did you mean " : "", near ? near : "");
    }
    return GD_OK;
}

/* ---- introspection: made once, from the tables ---- */

static const char *const type_names[] = { [GD_TEXT] = "text",
                                          [GD_REAL] = "real",
                                          [GD_INT] = "whole",
                                          [GD_SWITCH] = "bool",
                                          [GD_SEED] = "seed" };

const char *guided_sampler_options_json(void)
{
    static _Thread_local char json[8192];
    size_t used = 0;

    for (int k = 0; k < COUNT(options); k++)
        used +=
            (size_t)snprintf(json + used, sizeof json - used,
                             "%s{\"name\":\"%s\",\"type\":\"%s\",\"default\":\"%s\","
                             "\"min\":%g,\"max\":%g,\"about\":\"%s\"}",
                             k ? "," : "[", options[k].name, type_names[options[k].type],
                             options[k].absent, options[k].min, options[k].max, options[k].about);
    snprintf(json + used, sizeof json - used, "]");
    return json;
}

const char *guided_solvers_json(void)
{
    static _Thread_local char json[8192];
    size_t used = 0;

    for (int k = 0; k < gd_solver_count(); k++) {
        const gd_solver *s = gd_solver_at(k);
        used +=
            (size_t)snprintf(json + used, sizeof json - used,
                             "%s{\"name\":\"%s\",\"steps\":\"%s\",\"about\":\"%s\"}", k ? "," : "[",
                             gd_solver_name(s), gd_solver_steps(s), gd_solver_about(s));
    }
    snprintf(json + used, sizeof json - used, "]");
    return json;
}

/* ---- opening ---- */

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    const guided_sampler *s = ctx;
    gd_status status = GD_OK;

    GD_TRY(gd_check_stop());
    if (s->progress)
        status = s->progress(s->progress_ctx, first, n, step, n_steps);
    return status == GD_OK
               ? GD_OK
               : gd_fail(status, "image %lld: stopped by the caller before step %d of %d",
                         (long long)first, step, n_steps);
}

/* The options that are words, as the command reads them */
static gd_status settle(choice *c, const gd_model *model)
{
    gd_stage_options *o = &c->stage;
    const gd_solver *solver;

    if (c->fast)
        (void)gd_stage_fast(&o->sampler, &o->steps, &c->spacing, &c->threshold, model);
    const char *sampler = o->sampler, *steps = o->steps;
    gd_stage_defaults(&sampler, &steps, model);
    GD_TRY(gd_stage_solver(&solver, &steps, sampler));
    if (c->precision && strcmp(c->precision, "fp32") != 0 && strcmp(c->precision, "bf16") != 0)
        return gd_fail(GD_EUSAGE, "precision %s: expected fp32 or bf16", c->precision);
    o->bf16 |= c->precision && strcmp(c->precision, "bf16") == 0;
    if (c->spacing)
        GD_TRY(gd_stage_spacing(o, c->spacing, solver));
    if (c->interval)
        GD_TRY(gd_stage_interval(o, c->interval));
    return c->threshold ? gd_stage_threshold(o, c->threshold) : GD_OK;
}

static const gd_model *model_of(const guided_model *model)
{
    return model ? model->model : NULL;
}

static gd_status make(guided_sampler *s, const guided_networks *networks,
                      const guided_option *given, int n)
{
    const gd_model *model = networks->model->model;
    choice c = { .stage = { .solver.eta = -1,
                            .scale = -1,
                            .clip = true,
                            .uncond = model_of(networks->uncond),
                            .weaker = model_of(networks->weaker) },
                 .batch = 1 };

    GD_TRY(read_options(&c, given, n));
    GD_TRY(settle(&c, model));
    s->batch = c.batch;
    GD_TRY(gd_stage_open(&s->stage, model, model_of(networks->classifier), &c.stage));
    s->stage.o.steps = s->stage.o.sampler = NULL; /* the caller's texts */
    s->stage.trajectory.before_step = before_step;
    s->stage.trajectory.step_ctx = s;
    GD_TRY(gd_stage_prepare(&s->stage, s->batch));
    return gd_block_make(&s->images, (size_t)(s->batch * s->stage.image) * sizeof *s->images,
                         "images");
}

guided_status guided_sampler_open(guided_sampler **out, const guided_model *model,
                                  const guided_model *classifier, const guided_option *given, int n)
{
    return guided_sampler_open_networks(
        out, &(guided_networks){ .model = model, .classifier = classifier }, given, n);
}

guided_status guided_sampler_open_networks(guided_sampler **out, const guided_networks *networks,
                                           const guided_option *given, int n)
{
    const gd_entered before = gd_enter(networks->model->context);
    gd_status s = gd_block_make(out, sizeof **out, "sampler");

    if (s != GD_OK)
        return gd_leave(&before, s);
    (*out)->context = networks->model->context;
    s = make(*out, networks, given, n);
    if (s != GD_OK) {
        guided_sampler_close(*out);
        *out = NULL;
    }
    return gd_leave(&before, s);
}

void guided_sampler_close(guided_sampler *s)
{
    if (!s)
        return;
    gd_stage_close(&s->stage);
    gd_block_free(s->images);
    gd_block_free(s);
}

void guided_sampler_set_progress(guided_sampler *s, guided_progress_fn fn, void *ctx)
{
    s->progress = fn;
    s->progress_ctx = ctx;
}

void guided_sampler_set_seed(guided_sampler *s, uint64_t seed)
{
    gd_stage_set_seed(&s->stage, seed);
}

int guided_sampler_steps(const guided_sampler *s)
{
    return gd_stage_calls(&s->stage);
}

size_t guided_sampler_bytes(const guided_sampler *s)
{
    return gd_stage_bytes(&s->stage) + (size_t)(s->batch * s->stage.image) * sizeof *s->images;
}

/* ---- a gradient of the caller's own ---- */

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    const guided_sampler *s = ctx;
    const gd_denoiser *engine = gd_engine_denoiser(s->stage.engine);

    return engine->predict(engine->ctx, n, x, t, y, out);
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    const guided_sampler *s = ctx;

    for (int i = 0; i < n; i++)
        GD_TRY(s->gradient(s->gradient_ctx, x + i * s->stage.image, t[i], y ? y[i] : -1,
                           gradient + i * s->stage.image));
    return GD_OK;
}

guided_status guided_sampler_set_gradient(guided_sampler *s, guided_gradient_fn fn, void *ctx)
{
    const gd_denoiser *engine = gd_engine_denoiser(s->stage.engine);

    if (engine->guide)
        return gd_fail(GD_EUSAGE, "sampler: it has a classifier, and guidance has one gradient");
    s->gradient = fn;
    s->gradient_ctx = ctx;
    s->own = *engine;
    s->own.ctx = s;
    s->own.predict = predict;
    s->own.guide = guide;
    s->stage.trajectory.denoiser = fn ? &s->own : engine;
    return GD_OK;
}

/* ---- running ---- */

static gd_status check(const guided_sampler *s, int64_t first, int n, const int64_t *labels,
                       const uint8_t *low_res)
{
    const gd_stage *stage = &s->stage;

    if (first < 0 || n < 1)
        return gd_fail(GD_EUSAGE, "sampler: %d images from number %lld", n, (long long)first);
    if (stage->classes > 0 && !labels)
        return gd_fail(GD_EUSAGE, "sampler: the model knows %d classes: labels are missing",
                       stage->classes);
    for (int i = 0; i < n && stage->classes > 0; i++)
        if (labels[i] < 0 || labels[i] >= stage->classes)
            return gd_fail(GD_EUSAGE, "sampler: label %lld is outside 0 to %d",
                           (long long)labels[i], stage->classes - 1);
    if (stage->small == 0 && low_res)
        return gd_fail(GD_EUSAGE, "sampler: the model is no upsampler");
    if (stage->small > 0 && !low_res)
        return gd_fail(GD_EUSAGE, "sampler: an upsampler needs low-resolution images");
    return GD_OK;
}

/* Into pixels, or where these are NULL into images */
static gd_status run(guided_sampler *s, int64_t first, int n, const int64_t *labels,
                     const uint8_t *low_res, uint8_t *pixels, float *images)
{
    gd_stage *stage = &s->stage;

    GD_TRY(check(s, first, n, labels, low_res));
    for (int done = 0, some; done < n; done += some) {
        float *out = images ? images + done * stage->image : s->images;
        some = GD_MIN(s->batch, n - done);
        GD_TRY(gd_stage_run(stage, first + done, some,
                            low_res ? low_res + done * stage->low_image : NULL,
                            labels ? labels + done : NULL, out));
        for (int i = 0; i < some && pixels; i++)
            gd_to_uint8(pixels + (done + i) * stage->image, out + i * stage->image, stage->channels,
                        stage->image / stage->channels);
    }
    return GD_OK;
}

guided_status guided_sampler_run(guided_sampler *s, int64_t first, int n, const int64_t *labels,
                                 const uint8_t *low_res, uint8_t *pixels)
{
    const gd_entered before = gd_enter(s->context);

    return gd_leave(&before, run(s, first, n, labels, low_res, pixels, NULL));
}

guided_status guided_sampler_run_float(guided_sampler *s, int64_t first, int n,
                                       const int64_t *labels, const uint8_t *low_res, float *images)
{
    const gd_entered before = gd_enter(s->context);

    return gd_leave(&before, run(s, first, n, labels, low_res, NULL, images));
}
