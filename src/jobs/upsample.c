/* SPDX-License-Identifier: MIT */
/* upsample.c - guided upsample: enlarges low-resolution images of a file or a folder. */
#include "jobs/jobs.h"
#include "jobs/option_rows.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *model, *input, *classifier, *classes, *labels, *steps, *sampler, *output, *format,
        *precision;
    double scale, eta, low_res_noise;
    int n, threads, columns, memory;
    uint64_t seed;
    bool seed_given; /* set by the parser: must follow seed */
    bool clip, overwrite, quiet, json, preview, dry_run, ddim;
    int batch; /* the authors' batch_size: an image does not depend on it */
} options;

#define AT(field) offsetof(options, field)
static const job_option table[] = {
    { "model", 'm', JOB_TEXT, "FILE",
      "upsampler: a file or a built-in name (default: the first built-in upsampler)", AT(model) },
    { "input", 'i', JOB_TEXT, "PATH",
      "images to enlarge: .npz with labels, a picture, a folder or zip of pictures", AT(input) },
    OPTION_CLASSIFIER(AT(classifier)),
    OPTION_SCALE(AT(scale)),
    { "class", 0, JOB_TEXT, "LIST", "classes: numbers, ranges, names (default: the input's labels)",
      AT(classes) },
    OPTION_CLASS_NAMES(AT(labels)),
    { "num", 'n', JOB_INT, "N",
      "number of images; repeats the input (default: each input image once)", AT(n), 1, 1e7 },
    OPTION_STEPS(AT(steps)),
    { "sampler", 0, JOB_TEXT, JOB_SAMPLER, "sampler (default: ddim if --steps begins with ddim)",
      AT(sampler) },
    OPTION_DDIM_ETA(AT(eta)),
    { "low-res-noise", 0, JOB_REAL, "S",
      "noise to add to the input, for upsamplers trained with noise", AT(low_res_noise), 0, 10 },
    OPTION_CLIP_DENOISED(AT(clip)),
    OPTION_SEED(AT(seed)),
    { "output", 'o', JOB_TEXT, "PATH",
      "output: X.png grid, X.npz, X folder, - (default upsampled.png)", AT(output) },
    OPTION_FORMAT(AT(format)),
    OPTION_COLUMNS(AT(columns)),
    OPTION_OVERWRITE(AT(overwrite)),
    OPTION_PREVIEW(AT(preview)),
    OPTION_DRY_RUN(AT(dry_run)),
    OPTION_THREADS(AT(threads)),
    OPTION_PRECISION(AT(precision)),
    OPTION_MEMORY(AT(memory)),
    OPTION_QUIET(AT(quiet)),
    OPTION_JSON(AT(json)),
    /* the authors' names of these options */
    { "model_path", 0, JOB_TEXT, "FILE", "= --model", AT(model) },
    { "base_samples", 0, JOB_TEXT, "PATH", "= --input", AT(input) },
    { "timestep_respacing", 0, JOB_TEXT, "SPEC", "= --steps", AT(steps) },
    { "num_samples", 0, JOB_INT, "N", "= --num", AT(n), 1, 1e7 },
    { "clip_denoised", 0, JOB_SWITCH, "", "= --clip-denoised", AT(clip) },
    { "use_ddim", 0, JOB_SWITCH, "", "= passed over, as in super_res_sample.py", AT(ddim) },
    { "batch_size", 0, JOB_INT, "N", "= accepted from the authors' scripts; no effect", AT(batch),
      1, 1 << 20 },
};
#undef AT

typedef struct run {
    options o;
    job_words words;
    gd_dataset *set;
    gd_model *model, *guide;
    gd_stage stage;
    job_classes classes;
    job_output output;
    job_progress progress;
    gd_text texts[2];
    char *recipe;
    int batch;    /* images of one batch */
    uint8_t *low; /* blocks for one batch */
    int64_t *labels;
    float *out;
} run;

static gd_status settle(options *o)
{
    static char model[4096];

    if (!o->model)
        GD_TRY(job_builtin_path(&o->model, model, JOB_UPSAMPLER));
    if (!o->input)
        return gd_fail(GD_EUSAGE, "no low-resolution images\nhint: --input FILE.npz, or a folder");
    if (o->json && strcmp(o->output, "-") == 0)
        return gd_fail(GD_EUSAGE, "--json and -o - both need standard output");
    if (!o->seed_given && !gd_random(&o->seed, 4)) /* 32 bits: easy to write down */
        return gd_fail(GD_EIO, "no random seed from the system: give --seed");
    if (o->threads)
        gd_set_threads(o->threads);
    job_limit_memory((size_t)o->memory << 20);
    return GD_OK;
}

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    run *r = ctx;

    (void)first;
    (void)n_steps;
    GD_TRY(gd_check_stop());
    for (int i = 0; i < n && step > 1; i++)
        job_progress_step(&r->progress);
    return GD_OK;
}

static gd_status open_stage(run *r)
{
    const options *o = &r->o;
    const gd_stage_options s = { .steps = o->steps,
                                 .sampler = o->sampler,
                                 .solver.eta = o->eta,
                                 .low_res_noise = o->low_res_noise,
                                 .scale = o->scale,
                                 .clip = o->clip,
                                 .bf16 = job_is_bf16(o->precision),
                                 .seed = o->seed };
    const gd_solver *solver;

    GD_TRY(job_model_open(&r->model, o->model, JOB_UPSAMPLER, r->words.flag, r->words.n_flags));
    if (o->classifier)
        GD_TRY(job_model_open(&r->guide, o->classifier, JOB_CLASSIFIER, NULL, 0));
    GD_TRY(gd_stage_solver(&solver, &r->o.steps, o->sampler));
    GD_TRY(gd_stage_open(&r->stage, r->model, r->guide, &s));
    if (r->stage.small == 0)
        return gd_fail(GD_EMISMATCH, "%s: a diffusion model, not an upsampler", o->model);
    r->stage.trajectory.before_step = before_step;
    r->stage.trajectory.step_ctx = r;
    return GD_OK;
}

/* Labels come from --class, else from the input; a class-conditional stage needs one of them */
static gd_status find_classes(run *r)
{
    const int known = gd_dataset_classes(r->set);

    if (r->stage.classes == 0)
        return GD_OK;
    if (r->o.classes)
        return job_classes_read(&r->classes, r->o.classes, r->stage.model, r->stage.classes,
                                r->o.labels);
    if (known == 0)
        return gd_fail(GD_EMISMATCH, "%s: has no labels, and %s %s\nhint: --class NUMBER",
                       r->o.input, r->o.classifier ? r->o.classifier : r->o.model,
                       r->o.classifier ? "guides by them" : "is class-conditional");
    return job_labels_fit(r->set, r->o.input,
                          gd_model_class_count(r->stage.model) > 0 ? r->stage.model
                                                                   : r->stage.classifier,
                          "--class NUMBER, or a folder for each class");
}

static gd_status make_recipe(run *r)
{
    const options *o = &r->o;
    gd_status s;
    char hash[33], guide[33] = "", seed[24];
    json_t *j;

    GD_TRY(gd_model_hash(r->stage.model, hash));
    if (r->stage.classifier)
        GD_TRY(gd_model_hash(r->stage.classifier, guide));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed);
    j = json_pack(
        "{s:s, s:s, s:o, s:s, s:o, s:i, s:s, s:s, s:f, s:f, s:b, s:s, s:s, s:s, s:o, s:s, s:f}",
        "guided", gd_version(), "verb", "upsample", "model", gd_json_text(o->model), "model_hash",
        hash, "input", gd_json_text(o->input), "num", o->n, "steps", o->steps, "sampler",
        gd_solver_name(r->stage.trajectory.solver), "eta", r->stage.o.solver.eta, "low_res_noise",
        o->low_res_noise, "clip_denoised", o->clip, "seed", seed, "precision", o->precision, "isa",
        gd_isa_name(gd_isa_used()), "classifier", gd_json_text(o->classifier ? o->classifier : ""),
        "classifier_hash", guide, "scale", r->stage.trajectory.scale);
    s = j ? job_recipe_add_command(j, &job_upsample, &r->words) : GD_OK;
    r->recipe = gd_json_dump(j, JSON_COMPACT);
    json_decref(j);
    if (s != GD_OK)
        return s;
    if (!r->recipe)
        return gd_fail(GD_ENOMEM, "recipe: out of memory");
    r->texts[0] = (gd_text){ "Software", "guided " GUIDED_VERSION };
    r->texts[1] = (gd_text){ "guided.recipe", r->recipe };
    return GD_OK;
}

/* Which images to make */
static gd_status choose(run *r)
{
    options *o = &r->o;
    gd_dataset_options data = { .labels = GD_LABELS_AUTO };

    GD_TRY(open_stage(r));
    data.channels = r->stage.channels;
    GD_TRY(gd_dataset_open(&r->set, o->input, &data));
    GD_TRY(find_classes(r));
    if (o->n == 0)
        o->n = (int)gd_dataset_count(r->set);
    return GD_OK;
}

static gd_status prepare(run *r)
{
    const options *o = &r->o;
    const size_t low = (size_t)(r->stage.channels * r->stage.small * r->stage.small);

    r->batch = gd_engine_lanes(o->n, r->stage.size);
    GD_TRY(gd_stage_prepare(&r->stage, r->batch));
    GD_TRY(make_recipe(r));
    r->output = (job_output){ .path = o->output,
                              .replace = o->overwrite ? GD_OVERWRITE : GD_KEEP,
                              .preview = o->preview,
                              .columns = o->columns,
                              .width = r->stage.size,
                              .height = r->stage.size,
                              .channels = r->stage.channels,
                              .n = o->n,
                              .texts = r->texts,
                              .n_texts = COUNT(r->texts) };
    GD_TRY(job_output_open(&r->output, o->format));
    GD_TRY(gd_block_make(&r->low, (size_t)r->batch * low, "images"));
    GD_TRY(gd_block_make(&r->labels, (size_t)r->batch * sizeof *r->labels, "labels"));
    return gd_block_make(&r->out, (size_t)(r->batch * r->stage.image) * sizeof *r->out, "images");
}

/* Image i of the result is image k of its batch */
static gd_status read_low(run *r, int64_t i, int k)
{
    const int64_t index = i % gd_dataset_count(r->set);
    const size_t bytes = (size_t)(r->stage.channels * r->stage.small * r->stage.small);
    char name[512];
    gd_image low;
    gd_status s = GD_OK;

    r->labels[k] = r->classes.count ? job_class_of(&r->classes, r->o.seed, i)
                                    : gd_dataset_label(r->set, index);
    GD_TRY(gd_dataset_read(r->set, index, &low));
    gd_dataset_name(r->set, index, name, sizeof name);
    if (low.width != r->stage.small || low.height != r->stage.small)
        s = gd_fail(GD_EMISMATCH, "%s is %d x %d, but %s enlarges %d x %d", name, low.width,
                    low.height, r->o.model, r->stage.small, r->stage.small);
    else
        memcpy(r->low + (size_t)k * bytes, low.pixels, bytes);
    gd_image_free(&low);
    return s;
}

static gd_status enlarge(run *r, int64_t first, int n)
{
    for (int k = 0; k < n; k++)
        GD_TRY(read_low(r, first + k, k));
    GD_TRY(gd_stage_run(&r->stage, first, n, r->low, r->labels, r->out));
    for (int k = 0; k < n; k++) {
        job_progress_step(&r->progress);
        GD_TRY(job_output_add(&r->output, r->out + k * r->stage.image, r->labels[k]));
    }
    return GD_OK;
}

static gd_status report_result(const run *r, double seconds)
{
    if (r->o.json)
        GD_TRY(job_print_result(r->o.output, r->output.done, r->o.seed, seconds));
    if (!r->o.quiet)
        gd_log(GD_LOG_NOTE, "%s: %lld image%s, seed %llu, %.1f s", r->o.output,
               (long long)r->output.done, r->output.done == 1 ? "" : "s",
               (unsigned long long)r->o.seed, seconds);
    return GD_OK;
}

static gd_status work(run *r)
{
    const double start = gd_seconds();
    gd_status s = GD_OK;

    GD_TRY(job_authors_sampling(&r->words, true, r->o.ddim, &r->o.steps, &r->o.sampler));
    GD_TRY(settle(&r->o));
    GD_TRY(choose(r));
    if (r->o.dry_run) {
        job_load load[2];
        return job_dry_run(load, job_stage_load(&r->stage, load), r->o.n,
                           job_is_bf16(r->o.precision));
    }
    GD_TRY(prepare(r));
    job_progress_start(&r->progress, "steps", (int64_t)r->o.n * gd_stage_calls(&r->stage),
                       r->o.quiet);
    for (int64_t i = 0; i < r->o.n && s == GD_OK; i += r->batch)
        s = enlarge(r, i, (int)GD_MIN(r->batch, r->o.n - i));
    job_progress_end(&r->progress);
    if (s != GD_OK && s != GD_EINTERRUPTED)
        return s;
    GD_TRY(job_output_finish(&r->output)); /* finished images are kept after Ctrl-C too */
    GD_TRY(report_result(r, gd_seconds() - start));
    return s == GD_OK ? GD_OK
                      : gd_fail(s, "stopped: %lld of %d images are finished and kept",
                                (long long)r->output.done, r->o.n);
}

static gd_status run_upsample(gd_job *job)
{
    run r = { .o = { .eta = -1,
                     .precision = "fp32",
                     .output = "upsampled.png",
                     .scale = -1,
                     .clip = true } };
    gd_status s;

    GD_TRY(job_parse(job, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "upsample: unexpected word %s", r.words.word[0]);
    s = work(&r);
    gd_block_free(r.low);
    gd_block_free(r.labels);
    gd_block_free(r.out);
    job_output_free(&r.output);
    job_classes_free(&r.classes);
    gd_stage_close(&r.stage);
    gd_model_close(r.model);
    gd_model_close(r.guide);
    gd_dataset_close(r.set);
    free(r.recipe);
    return s;
}

static const char notes[] =
    "Enlarges images with a super-resolution model. The input is a picture, an .npz of guided "
    "sample, a folder or a zip. guided sample --upsampler runs base model and upsampler in one "
    "command and makes the same images.";

const job_kind job_upsample = { "upsample",
                                "enlarge images with an upsampler",
                                "upsample --input PATH [--model FILE] [options]",
                                "guided upsample --input 64_samples.npz -o 256.npz",
                                table,
                                COUNT(table),
                                run_upsample,
                                notes };
