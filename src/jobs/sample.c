/* SPDX-License-Identifier: MIT */
/* sample.c - guided sample: images from a model, guided by a classifier, enlarged by upsamplers;
 * kept in memory until they are written, or made as a run in a folder (large.c). */
#include "jobs/maker.h"
#include "dist/dist.h"
#include "jobs/option_rows.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct options {
    job_sampling make;
    const char *output, *format;
    int threads, columns, memory;
    double deadline;
    bool overwrite, quiet, json, ddim, keep, resume, share, preview, dry_run;
} options;

#define AT(field) offsetof(options, field)
#define MAKE(field) offsetof(options, make.field)
/* The options of one upsampler; the help lists only those of the first */
#define OF_STAGE(k, field) MAKE(stage[k - 2].field)
#define STAGE(k, of_steps, of_sampler, of_eta, of_classifier, of_scale, of_seed)                   \
    { "stage" #k "-steps", 0, JOB_TEXT, "SPEC", of_steps, OF_STAGE(k, steps) },                    \
        { "stage" #k "-sampler", 0, JOB_TEXT, JOB_SAMPLER, of_sampler, OF_STAGE(k, sampler) },     \
        { "stage" #k "-eta", 0, JOB_REAL, "E", of_eta, OF_STAGE(k, eta), 0, 1 },                   \
        { "stage" #k "-classifier", 0, JOB_TEXT, "FILE", of_classifier, OF_STAGE(k, classifier) }, \
        { "stage" #k "-scale", 0, JOB_REAL, "S", of_scale, OF_STAGE(k, scale), 0, 1000 },          \
    {                                                                                              \
        "stage" #k "-seed", 0, JOB_SEED, "N", of_seed, OF_STAGE(k, seed)                           \
    }
static const job_option table[] = {
    { "model", 'm', JOB_TEXT, "FILE", "file, run's folder or a built-in name", MAKE(model) },
    OPTION_CLASSIFIER(MAKE(classifier)),
    OPTION_UNGUIDED(MAKE(unguided)),
    OPTION_SCALE(MAKE(scale)),
    { "class", 0, JOB_TEXT, "LIST", "numbers, ranges, names; random; balanced", MAKE(classes) },
    OPTION_CLASS_NAMES(MAKE(labels)),
    { "num", 'n', JOB_INT, "N", "number of images (default 1)", MAKE(n), 1, 1e7 },
    OPTION_SEED(MAKE(seed)),
    { "first", 0, JOB_INT, "K", "number of the first image (default 0)", MAKE(first), 0, 2e9 },
    { "upsampler", 'u', JOB_TEXT, "FILES", "enlarge by one upsampler, or several with commas",
      MAKE(upsampler) },
    STAGE(2,
          "steps of the first upsampler (default: as the stage before); --stage3-steps, .. for the "
          "next",
          "its sampler (default: chosen by its steps)", "its DDIM noise (default 0)",
          "its classifier", "its gradient scale (default: the preset's)",
          "seed of its noise (default: --seed)"),
    STAGE(3, NULL, NULL, NULL, NULL, NULL, NULL),
    STAGE(4, NULL, NULL, NULL, NULL, NULL, NULL),
    STAGE(5, NULL, NULL, NULL, NULL, NULL, NULL),
    { "keep-stages", 0, JOB_SWITCH, "", "also write the images of every stage", AT(keep) },
    { "low-res-noise", 0, JOB_REAL, "S", "noise to add to the upsamplers' input",
      MAKE(low_res_noise), 0, 10 },
    { "steps", 's', JOB_TEXT, "SPEC", "250, ddim25, 10,10,20; other samplers: a count",
      MAKE(steps) },
    { "sampler", 0, JOB_TEXT, JOB_SAMPLER,
      "sampler of guided help samplers (default: ddim if --steps begins with ddim, else ddpm)",
      MAKE(sampler) },
    { "fast", 0, JOB_SWITCH, "", "use a solver, steps and levels for few network calls",
      MAKE(fast) },
    OPTION_DDIM_ETA(MAKE(eta)),
    { "spacing", 0, JOB_TEXT, "time|logsnr|quadratic|karras|exponential|vp|ve|iddpm",
      "spacing of noise levels: the first three for DPM-Solver++ and UniPC, the others in sigma "
      "space",
      MAKE(spacing) },
    { "sigma-min", 0, JOB_REAL, "S", "lowest noise level in sigma space", MAKE(sigma_min), 0, 1e6 },
    { "sigma-max", 0, JOB_REAL, "S", "highest noise level in sigma space", MAKE(sigma_max), 0,
      1e6 },
    { "churn", 0, JOB_REAL, "S",
      "noise added before each step of heun, euler, dpm2 (Karras et al.)", MAKE(churn), 0, 1e4 },
    { "threshold", 0, JOB_TEXT, "none|clip|dynamic",
      "threshold of the predicted image (default clip)", MAKE(threshold) },
    { "guidance-scale", 0, JOB_REAL, "S",
      "scale of guidance by a second model or --null-class (1: none)", MAKE(guidance_scale), 0,
      1000 },
    { "null-class", 0, JOB_INT, "N",
      "label that means no class, for a model trained with label dropout", MAKE(null_class), 1,
      1e6 },
    { "uncond-model", 0, JOB_TEXT, "FILE", "unconditional model, for classifier-free guidance",
      MAKE(uncond) },
    { "weaker-model", 0, JOB_TEXT, "FILE", "weaker model with equal classes, for autoguidance",
      MAKE(weaker) },
    { "guidance-interval", 0, JOB_TEXT, "LO,HI",
      "guide (a classifier too) only between these noise levels sigma / alpha", MAKE(interval) },
    { "guidance-rescale", 0, JOB_REAL, "PHI", "share of rescaling to the unguided deviation",
      MAKE(guidance_rescale), 0, 1 },
    { "gradient-every", 0, JOB_INT, "N", "compute the classifier's gradient at every Nth step",
      MAKE(gradient_every), 1, 1000 },
    { "hold-gradient", 0, JOB_SWITCH, "", "use the last gradient at the steps between",
      MAKE(hold_gradient) },
    { "branch-call", 0, JOB_INT, "K",
      "first network call of the branch with another class, scale or sampler; earlier calls are "
      "unchanged",
      MAKE(branch_call), 1, 1e6 },
    { "branch-class", 0, JOB_TEXT, "CLASS", "class from --branch-call on", MAKE(branch_class) },
    { "branch-scale", 0, JOB_REAL, "S", "gradient scale from --branch-call on", MAKE(branch_scale),
      0, 1000 },
    { "branch-sampler", 0, JOB_TEXT, JOB_SAMPLER, "sampler from --branch-call on",
      MAKE(branch_sampler) },
    OPTION_CLIP_DENOISED(MAKE(clip)),
    { "rng", 0, JOB_TEXT, "guided|torch", "random numbers; torch: as PyTorch on the CPU",
      MAKE(rng) },
    { "batch-size", 0, JOB_INT, "N", "images per batch; only affects --rng torch (default 1)",
      MAKE(batch), 1, 4096 },
    { "output", 'o', JOB_TEXT, "PATH", "X.png grid, X.npz, X folder, - (samples.png)", AT(output) },
    OPTION_FORMAT(AT(format)),
    OPTION_COLUMNS(AT(columns)),
    { "resume", 0, JOB_SWITCH, "", "start or continue a run in a folder, -o RUN/", AT(resume) },
    { "share", 0, JOB_SWITCH, "", "share the run's folder with other processes", AT(share) },
    { "deadline", 0, JOB_REAL, "SECONDS",
      "time that a shared run waits for a silent process (default 600)", AT(deadline), 1, 1e6 },
    OPTION_OVERWRITE(AT(overwrite)),
    OPTION_PREVIEW(AT(preview)),
    OPTION_DRY_RUN(AT(dry_run)),
    OPTION_THREADS(AT(threads)),
    OPTION_PRECISION(MAKE(precision)),
    OPTION_MEMORY(AT(memory)),
    OPTION_QUIET(AT(quiet)),
    OPTION_JSON(AT(json)),
    /* the authors' names of these options */
    { "model_path", 0, JOB_TEXT, "FILE", "= --model", MAKE(model) },
    { "classifier_path", 0, JOB_TEXT, "FILE", "= --classifier", MAKE(classifier) },
    { "classifier_scale", 0, JOB_REAL, "S", "= --scale", MAKE(scale), 0, 1000 },
    { "timestep_respacing", 0, JOB_TEXT, "SPEC", "= --steps", MAKE(steps) },
    { "use_ddim", 0, JOB_SWITCH, "", "= --sampler ddim; False: ddpm", AT(ddim) },
    { "num_samples", 0, JOB_INT, "N", "= --num", MAKE(n), 1, 1e7 },
    { "batch_size", 0, JOB_INT, "N", "= --batch-size", MAKE(batch), 1, 4096 },
    { "clip_denoised", 0, JOB_SWITCH, "", "= --clip-denoised", MAKE(clip) },
};
#undef AT
#undef MAKE

typedef struct run {
    options o;
    job_words words;
    job_maker maker;
    job_output output[JOB_MAX_STAGES + 1]; /* of the kept stages and the result, indexed by part */
    char path[JOB_MAX_STAGES][4096];       /* of kept stages */
    job_progress progress;
    gd_text texts[2];
    char *recipe; /* malloc'ed */
} run;

static void report_assumed(const run *r, const gd_model *m)
{
    if (!r->o.quiet && m && *gd_model_assumed(m))
        gd_log(GD_LOG_NOTE, "%s: assumed\n%s", gd_model_path(m), gd_model_assumed(m));
}

static gd_status report_result(const run *r, int64_t images, double seconds)
{
    const options *o = &r->o;

    if (o->json)
        GD_TRY(job_print_result(o->output, images, r->maker.c.seed, seconds));
    if (!o->quiet)
        gd_log(GD_LOG_NOTE, "%s: %lld image%s, seed %llu, %.1f s", o->output, (long long)images,
               images == 1 ? "" : "s", (unsigned long long)r->maker.c.seed, seconds);
    return GD_OK;
}

/* ---- images kept in memory until they are written ---- */

static bool kept(const run *r, int part)
{
    return r->o.keep || part == r->maker.n_stages;
}

/* x.png gives x_stage1.png; a folder x/ gives the folder x_stage1 */
static const char *stage_path(run *r, int part)
{
    const char *path = r->o.output, *dot = strrchr(path, '.');
    size_t stem = strlen(path);

    while (stem > 1 && path[stem - 1] == '/')
        stem--;
    if (dot && !strchr(dot, '/'))
        stem = (size_t)(dot - path);
    snprintf(r->path[part], sizeof r->path[part], "%.*s_stage%d%s", (int)stem, path, part + 1,
             path[stem] == '.' ? path + stem : "");
    return r->path[part];
}

static gd_status open_output(run *r, int part)
{
    const job_maker *m = &r->maker;
    const options *o = &r->o;
    const bool last = part == m->n_stages;

    r->output[part] = (job_output){ .path = last ? o->output : stage_path(r, part),
                                    .replace = o->overwrite ? GD_OVERWRITE : GD_KEEP,
                                    .preview = o->preview && last,
                                    .width = job_maker_size(m, part),
                                    .height = job_maker_size(m, part),
                                    .channels = m->channels,
                                    .first = m->c.first,
                                    .n = m->c.n,
                                    .texts = r->texts,
                                    .n_texts = COUNT(r->texts) };
    r->output[part].columns = o->columns                                  ? o->columns
                              : m->c.n > m->classes.n && m->classes.n > 1 ? GD_MIN(m->classes.n, 32)
                                                                          : 0;
    return job_output_open(&r->output[part], o->format);
}

static gd_status open_outputs(run *r)
{
    if (r->o.keep && strcmp(r->o.output, "-") == 0)
        return gd_fail(GD_EUSAGE, "--keep-stages makes several files: -o NAME.png, not -o -");
    for (int k = 0; k <= r->maker.n_stages; k++)
        if (kept(r, k))
            GD_TRY(open_output(r, k));
    GD_TRY(job_recipe_make(&r->recipe, &r->maker, NULL, r->o.keep, &r->words));
    r->texts[0] = (gd_text){ "Software", "guided " GUIDED_VERSION };
    r->texts[1] = (gd_text){ "guided.recipe", r->recipe };
    return GD_OK;
}

static gd_status take(void *ctx, int64_t image, int64_t label, int part, const float *x)
{
    run *r = ctx;

    (void)image;
    return kept(r, part) ? job_output_add(&r->output[part], x, label) : GD_OK;
}

static gd_status sample_all(run *r)
{
    job_maker *m = &r->maker;
    const int n = m->c.n;
    gd_status s = GD_OK;

    job_progress_start(&r->progress, "steps", (int64_t)n * m->steps, r->o.quiet);
    m->progress = &r->progress;
    for (int i = 0; i < n && s == GD_OK; i += m->stack.batch)
        s = job_maker_run(m, m->c.first + i, GD_MIN(m->stack.batch, n - i), take, r);
    job_progress_end(&r->progress);
    return s;
}

static gd_status sample_held(run *r)
{
    const job_output *result = &r->output[r->maker.n_stages];
    const double start = gd_seconds();
    gd_status s;

    GD_TRY(open_outputs(r));
    GD_TRY(job_maker_prepare(&r->maker, r->maker.c.n));
    s = sample_all(r);
    if (s != GD_OK && s != GD_EINTERRUPTED)
        return s;
    for (int k = 0; k <= r->maker.n_stages; k++) /* finished images are kept after Ctrl-C too */
        if (kept(r, k))
            GD_TRY(job_output_finish(&r->output[k]));
    GD_TRY(report_result(r, result->done, gd_seconds() - start));
    return s == GD_OK ? GD_OK
                      : gd_fail(s, "stopped: %lld of %d images are finished and kept",
                                (long long)result->done, r->maker.c.n);
}

/* ---- a run in a folder ---- */

/* Ranks on one machine divide its threads, unless the launcher bound them to cores. */
static void divide_threads(const run *r, gd_launch launch)
{
    const gd_machine *machine = gd_get_machine();

    if (!r->o.threads && launch.ranks_here > 1 && !machine->by_environment &&
        machine->cpus == sysconf(_SC_NPROCESSORS_ONLN))
        gd_set_threads(GD_MAX(machine->threads / launch.ranks_here, 1));
}

static gd_status sample_large(run *r, gd_launch launch)
{
    const options *o = &r->o;
    job_large large = { .folder = o->output,
                        .share = o->share || launch.ranks > 1,
                        .keep = o->keep,
                        .png = o->format && strcmp(o->format, "folder") == 0,
                        .quiet = o->quiet || launch.rank > 0,
                        .deadline = o->deadline,
                        .words = &r->words };
    const double start = gd_seconds();

    divide_threads(r, launch);
    GD_TRY(job_large_run(&r->maker, &large));
    if (launch.rank == 0)
        GD_TRY(report_result(r, large.done, gd_seconds() - start));
    return GD_OK;
}

static gd_status check_large(const run *r)
{
    const options *o = &r->o;
    static const char *const files[] = { ".png", ".npz", ".jpg", ".jpeg", ".gif", ".webp", ".zip" };
    bool file = strcmp(o->output, "-") == 0;

    for (int i = 0; i < COUNT(files); i++)
        file = file || gd_ends_with(o->output, files[i]);
    if (file)
        return gd_fail(GD_EUSAGE, "--resume and --share need a folder\nhint: -o RUN/, not -o %s",
                       o->output);
    if (o->overwrite)
        return gd_fail(
            GD_EUSAGE,
            "--resume continues the existing run, --overwrite replaces it: give one of them");
    if (o->preview)
        return gd_fail(GD_EUSAGE, "--preview: not possible for a run in a folder");
    if (o->format && strcmp(o->format, "npz") != 0 && strcmp(o->format, "folder") != 0)
        return gd_fail(GD_EUSAGE, "--format %s: a run's result is npz or folder (of pictures)",
                       o->format);
    if (strcmp(o->make.rng, "guided") != 0)
        return gd_fail(
            GD_EUSAGE,
            "--rng %s: its numbers depend on earlier images, but a run makes images in any order",
            o->make.rng);
    return GD_OK;
}

/* ---- the command ---- */

static gd_status dry_run(const run *r)
{
    const job_maker *m = &r->maker;
    job_load load[2 + 2 * JOB_MAX_STAGES];
    int n = 0;

    for (int k = 0; k <= m->n_stages; k++)
        n += job_stage_load(&m->stack.stage[k], load + n);
    return job_dry_run(load, n, m->c.n, job_is_bf16(m->c.precision));
}

/* A recipe also names the scale of a run without a classifier; on a command line a scale means that
 * one is expected. */
static gd_status check_scale(const run *r)
{
    const job_given *scale = job_given_named(&r->words, "scale");

    if (!scale || r->maker.classifier[0] || r->maker.c.scale == 0)
        return GD_OK;
    return gd_fail(
        GD_EUSAGE,
        "--scale %s: there is no classifier\nhint: --classifier FILE, or --guidance-scale "
        "with --uncond-model",
        scale->text);
}

static gd_status work(run *r)
{
    const gd_launch launch = gd_dist_launched();
    options *o = &r->o;
    const bool large = o->resume || o->share;

    GD_TRY(job_authors_sampling(&r->words, false, o->ddim, &o->make.steps, &o->make.sampler));
    if (large)
        GD_TRY(check_large(r));
    else if (launch.ranks > 1)
        return gd_fail(GD_EUSAGE,
                       "a launcher started %d ranks for one output\nhint: -o RUN/ --resume lets "
                       "them share a run",
                       launch.ranks);
    if (o->json && strcmp(o->output, "-") == 0)
        return gd_fail(GD_EUSAGE, "--json and -o - both need standard output");
    if (o->threads)
        gd_set_threads(o->threads);
    job_limit_memory((size_t)o->memory << 20);
    o->make.flag = r->words.flag;
    o->make.n_flags = r->words.n_flags;
    if (large)
        o->make.batch = 1; /* has no effect, and recipes must be equal */
    GD_TRY(job_maker_open(&r->maker, &o->make));
    GD_TRY(check_scale(r));
    report_assumed(r, r->maker.model[0]);
    report_assumed(r, r->maker.classifier[0]);
    if (o->dry_run)
        return dry_run(r);
    return large ? sample_large(r, launch) : sample_held(r);
}

static gd_status run_sample(gd_job *job)
{
    run r = { .o = { .make = job_sampling_default(), .output = "samples.png", .deadline = 600 } };
    gd_status s;

    GD_TRY(job_parse(job, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "sample: unexpected word %s", r.words.word[0]);
    s = work(&r);
    for (int k = 0; k <= JOB_MAX_STAGES; k++)
        job_output_free(&r.output[k]);
    job_maker_close(&r.maker);
    free(r.recipe);
    return s;
}

static const char notes[] =
    "Draws images from a diffusion model, guided by a noisy classifier if one is given. Image k of "
    "a run depends only on the model, the options and (seed, k): it is the same for any number of "
    "threads, and --first k -n 1 makes it again alone. The name of the output decides its format: "
    "X.png is a grid (one image if n is 1), X.npz holds the authors' arrays, - is a PNG on "
    "standard output, any other name is a folder of pictures with run.json. Every PNG contains its "
    "recipe; guided info X.png prints the command that makes it again. Ctrl-C keeps finished "
    "images. Make many images as a run in a folder, -o RUN/ --resume: if it stops for any reason, "
    "only the image in progress is lost, and the same command continues it. Several processes can "
    "share a run (--share, or mpiexec). Its result is one .npz of the same bytes; guided verify "
    "makes some of the images again to check it.";

const job_kind job_sample = {
    "sample",
    "make images with a diffusion model",
    "sample [--model FILE] [--classifier FILE] [options]",
    "guided sample --class 0-9 -n 40 --steps ddim25 --seed 7 -o grid.png",
    table,
    COUNT(table),
    run_sample,
    notes,
};
