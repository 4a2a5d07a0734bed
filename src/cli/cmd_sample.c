/* cmd_sample.c - guided sample: images from a model, guided by a classifier. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

typedef struct options {
    const char *model, *classifier, *classes, *steps, *sampler, *rng, *output, *format, *precision,
        *labels, *upsampler, *stage_steps, *stage_sampler;
    double scale, eta, low_res_noise;
    int n, first, batch, threads, columns, memory;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool clip, overwrite, quiet, json, ddim, unguided, preview, dry_run;
} options;

#define AT(field) offsetof(options, field)
static const cli_option table[] = {
    { "model", 'm', CLI_TEXT, "FILE",
      "diffusion model: .pt or .safetensors (default: the built-in one)", AT(model) },
    { "classifier", 'c', CLI_TEXT, "FILE", "noisy classifier that guides", AT(classifier) },
    { "unguided", 0, CLI_SWITCH, "", "no guidance with the built-in model", AT(unguided) },
    { "scale", 'g', CLI_REAL, "S", "classifier gradient scale (default: the preset's)", AT(scale),
      0, 1000 },
    { "class", 0, CLI_TEXT, "LIST", "numbers, ranges, names; all (in turn), random", AT(classes) },
    { "labels", 0, CLI_TEXT, "FILE", "class names, one a line", AT(labels) },
    { "num", 'n', CLI_INT, "N", "images (default 1)", AT(n), 1, 1e7 },
    { "first", 0, CLI_INT, "K", "number of the first image (default 0)", AT(first), 0, 2e9 },
    { "upsampler", 'u', CLI_TEXT, "FILES", "enlarge the images: one, or several with commas",
      AT(upsampler) },
    { "stage2-steps", 0, CLI_TEXT, "SPEC", "of the upsamplers (default: as --steps)",
      AT(stage_steps) },
    { "stage2-sampler", 0, CLI_TEXT, "ddpm|ddim", "of the upsamplers", AT(stage_sampler) },
    { "low-res-noise", 0, CLI_REAL, "S", "noise added to the upsamplers' input", AT(low_res_noise),
      0, 10 },
    { "steps", 's', CLI_TEXT, "SPEC", "250, ddim25, or 10,10,20 (default 250)", AT(steps) },
    { "sampler", 0, CLI_TEXT, "ddpm|ddim", "default: ddim where --steps begins with ddim",
      AT(sampler) },
    { "eta", 0, CLI_REAL, "E", "DDIM noise: 0 deterministic, 1 ancestral", AT(eta), 0, 1 },
    { "clip-denoised", 0, CLI_SWITCH, "",
      "clip the predicted image to [-1,1] (on; --no-clip-denoised)", AT(clip) },
    { "seed", 0, CLI_SEED, "N", "default: random, printed", AT(seed) },
    { "rng", 0, CLI_TEXT, "guided|torch", "torch: PyTorch's CPU numbers", AT(rng) },
    { "batch-size", 0, CLI_INT, "N", "matters to --rng torch only (default 1)", AT(batch), 1,
      4096 },
    { "output", 'o', CLI_TEXT, "PATH", "X.png grid, X.npz, X folder, - (default samples.png)",
      AT(output) },
    { "format", 0, CLI_TEXT, "grid|folder|npz", "whatever the suffix", AT(format) },
    { "columns", 0, CLI_INT, "N", "of the grid", AT(columns), 1, 10000 },
    { "overwrite", 0, CLI_SWITCH, "", "replace what exists", AT(overwrite) },
    { "preview", 0, CLI_SWITCH, "", "show the images in the terminal", AT(preview) },
    { "dry-run", 0, CLI_SWITCH, "", "tell parameters, memory and about how long, and stop",
      AT(dry_run) },
    { "threads", 't', CLI_INT, "N", "default: all cores", AT(threads), 1, 1024 },
    { "precision", 0, CLI_TEXT, "fp32|bf16", "of products and convolutions (default fp32)",
      AT(precision) },
    { "memory", 0, CLI_INT, "MIB", "refuse to use more", AT(memory), 1, 1e9 },
    { "quiet", 'q', CLI_SWITCH, "", "errors only", AT(quiet) },
    { "json", 0, CLI_SWITCH, "", "the result as one JSON line", AT(json) },
    /* the authors' names for the same things */
    { "model_path", 0, CLI_TEXT, "FILE", "= --model", AT(model) },
    { "classifier_path", 0, CLI_TEXT, "FILE", "= --classifier", AT(classifier) },
    { "classifier_scale", 0, CLI_REAL, "S", "= --scale", AT(scale), 0, 1000 },
    { "timestep_respacing", 0, CLI_TEXT, "SPEC", "= --steps", AT(steps) },
    { "use_ddim", 0, CLI_SWITCH, "", "= --sampler ddim", AT(ddim) },
    { "num_samples", 0, CLI_INT, "N", "= --num", AT(n), 1, 1e7 },
    { "batch_size", 0, CLI_INT, "N", "= --batch-size", AT(batch), 1, 4096 },
    { "clip_denoised", 0, CLI_SWITCH, "", "= --clip-denoised", AT(clip) },
};
#undef AT

enum { MAX_STAGES = 4 };

typedef struct run {
    options o;
    cli_stage stage[MAX_STAGES];
    int n_stages;
    float *large;   /* block: one image of the last stage's size */
    uint8_t *bytes; /* block: what goes from stage to stage */
    cli_words words;
    gd_model *model, *classifier;
    gd_engine *engine;
    gd_schedule *schedule;
    gd_trajectory trajectory;
    cli_classes classes;
    cli_output output;
    cli_progress progress;
    gd_torch_rng torch;
    gd_text texts[3];
    char *recipe;
    void *work;    /* block */
    float *images; /* block: one batch */
    int64_t *labels;
} run;

/* ---- options ---- */

static gd_status settle(run *r)
{
    static char model[4096], classifier[4096];
    options *o = &r->o;

    if (!o->model) {
        if (!cli_locate(model, "fashion32/diffusion.safetensors"))
            return gd_fail(
                GD_EUSAGE,
                "no --model given, and the built-in one is not installed (GUIDED_MODELS)");
        o->model = model;
        if (!o->classifier && !o->unguided &&
            cli_locate(classifier, "fashion32/classifier.safetensors"))
            o->classifier = classifier;
    }
    if (!o->sampler)
        o->sampler = o->ddim || strncmp(o->steps, "ddim", 4) == 0 ? "ddim" : "ddpm";
    if (o->json && strcmp(o->output, "-") == 0)
        return gd_fail(GD_EUSAGE, "--json and -o - both need standard output");
    if (!o->seed_given && getrandom(&o->seed, 4, 0) != 4) /* 32 bits: easy to write down */
        return gd_fail(GD_EIO, "no random seed from the system: give --seed");
    if (o->threads)
        gd_set_threads(o->threads);
    gd_set_memory_limit((size_t)o->memory << 20);
    return GD_OK;
}

/* The network flags that mean the classifier begin with classifier_; image_size and classes mean
 * both. */
static gd_status open_models(run *r)
{
    gd_flag flags[CLI_MAX_FLAGS];
    int n = 0;

    for (int i = 0; i < r->words.n_flags; i++)
        if (strncmp(r->words.flag[i].name, "classifier_", 11) != 0)
            flags[n++] = r->words.flag[i];
    GD_TRY(gd_model_open(&r->model, r->o.model, flags, n));
    if (!r->o.classifier)
        return GD_OK;
    n = 0;
    for (int i = 0; i < r->words.n_flags; i++)
        if (strncmp(r->words.flag[i].name, "classifier_", 11) == 0)
            flags[n++] = r->words.flag[i];
    return gd_model_open(&r->classifier, r->o.classifier, flags, n);
}

static void say_assumed(const run *r, const gd_model *m)
{
    if (!r->o.quiet && m && *gd_model_assumed(m))
        fprintf(stderr, "guided: %s: assumed\n%s\n", gd_model_path(m), gd_model_assumed(m));
}

/* ---- noise ---- */

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    run *r = ctx;
    const gd_denoiser *d = r->trajectory.denoiser;
    const int64_t count = (int64_t)d->channels * d->height * d->width;

    if (strcmp(r->o.rng, "torch") == 0) {
        gd_torch_randn(&r->torch, out, n * count);
        return;
    }
    for (int i = 0; i < n; i++)
        gd_noise_normal(out + i * count, count, r->o.seed, (uint64_t)(first + i), (uint32_t)step);
}

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    run *r = ctx;

    (void)first;
    (void)n_steps;
    if (cli_stopped_by())
        return gd_fail(GD_EINTERRUPTED, "stopped by a signal");
    for (int i = 0; i < n && step > 1; i++)
        cli_progress_step(&r->progress);
    return GD_OK;
}

/* ---- stages ---- */

/* Each stage enlarges what the one before it makes. */
static gd_status check_chain(const run *r, const char *path, int size, int channels)
{
    const cli_stage *s = &r->stage[r->n_stages - 1];
    const bool labelled = gd_model_class_count(r->model) > 0 || r->classifier;

    if (s->small != size || s->channels != channels)
        return gd_fail(GD_EMISMATCH, "%s enlarges %d x %d images of %d channels, not %d x %d of %d",
                       path, s->small, s->small, s->channels, size, size, channels);
    if (s->classes > 0 && !labelled)
        return gd_fail(GD_EMISMATCH, "%s is class-conditional, and there are no labels: %s is not",
                       path, r->o.model);
    if (s->classes > 0 && s->classes < r->classes.count)
        return gd_fail(GD_EMISMATCH, "%s has %d classes, %s has %d", path, s->classes, r->o.model,
                       r->classes.count);
    return GD_OK;
}

static gd_status open_stages(run *r)
{
    const gd_net_config *c = &gd_model_get_config(r->model)->net;
    const options *o = &r->o;
    const cli_stage_options s = { .steps = o->stage_steps ? o->stage_steps : o->steps,
                                  .sampler = o->stage_sampler,
                                  .low_res_noise = o->low_res_noise,
                                  .clip = o->clip,
                                  .bf16 = strcmp(o->precision, "bf16") == 0,
                                  .seed = o->seed,
                                  .before_step = before_step,
                                  .step_ctx = r };
    int size = c->image_size;
    char path[4096];

    for (const char *at = o->upsampler; at && *at;) {
        const int n = (int)strcspn(at, ",");
        if (r->n_stages == MAX_STAGES)
            return gd_fail(GD_EUSAGE, "--upsampler: more than %d stages", MAX_STAGES);
        snprintf(path, sizeof path, "%.*s", n, at);
        GD_TRY(cli_stage_open(&r->stage[r->n_stages++], path, NULL, 0, &s));
        GD_TRY(check_chain(r, path, size, c->in_channels));
        size = r->stage[r->n_stages - 1].size;
        at += n + (at[n] == ',');
    }
    r->output.width = r->output.height = size;
    if (r->n_stages == 0)
        return GD_OK;
    GD_TRY(gd_block_make((void **)&r->large,
                         (size_t)(c->in_channels * size * size) * sizeof *r->large, "images"));
    return gd_block_make((void **)&r->bytes, (size_t)(c->in_channels * size * size), "images");
}

/* Through bytes, as a file between the stages would hold */
static gd_status enlarge(run *r, int64_t image, int64_t label, const float **x, int size)
{
    for (int k = 0; k < r->n_stages; k++) {
        cli_stage *s = &r->stage[k];
        gd_to_uint8(r->bytes, *x, s->channels, (int64_t)size * size);
        GD_TRY(cli_stage_run(s, image, r->bytes, label, r->large));
        *x = r->large;
        size = s->size;
    }
    return GD_OK;
}

/* ---- recipe ---- */

static gd_status make_recipe(run *r)
{
    char model_hash[33] = "", classifier_hash[33] = "", seed[24];
    const options *o = &r->o;
    gd_status s;
    json_t *j;

    GD_TRY(gd_model_hash(r->model, model_hash));
    if (r->classifier)
        GD_TRY(gd_model_hash(r->classifier, classifier_hash));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed); /* JSON ends at 2^63 */
    j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:s, s:i, s:i, s:s, s:s, s:f, s:b, s:s, s:s, "
                  "s:i, s:s, s:s, s:s, s:s, s:s}",
                  "guided", gd_version(), "model", o->model, "model_hash", model_hash, "classifier",
                  o->classifier ? o->classifier : "", "classifier_hash", classifier_hash, "scale",
                  r->trajectory.scale, "class", o->classes ? o->classes : "all", "num", o->n,
                  "first", o->first, "steps", o->steps, "sampler", o->sampler, "eta", o->eta,
                  "clip_denoised", o->clip, "seed", seed, "rng", o->rng, "batch_size", o->batch,
                  "precision", o->precision, "isa", gd_isa_name(gd_isa_used()), "onednn",
                  gd_onednn_version(), "upsampler", o->upsampler ? o->upsampler : "",
                  "stage2_steps", o->stage_steps ? o->stage_steps : o->steps);
    s = j ? cli_recipe_add_command(j, &cli_sample, &r->words) : GD_OK;
    r->recipe = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (s != GD_OK)
        return s;
    if (!r->recipe)
        return gd_fail(GD_ENOMEM, "recipe: out of memory");
    r->texts[0] = (gd_text){ "Software", "guided " GUIDED_VERSION };
    r->texts[1] = (gd_text){ "guided.recipe", r->recipe };
    r->output.texts = r->texts;
    r->output.n_texts = 2;
    return GD_OK;
}

/* ---- running ---- */

static gd_status dry_run(const run *r)
{
    const bool bf16 = strcmp(r->o.precision, "bf16") == 0;
    cli_load load[2 + MAX_STAGES] = { { r->model, r->schedule->n } };
    int n = 1;

    if (r->classifier)
        load[n++] = (cli_load){ r->classifier, r->schedule->n };
    for (int k = 0; k < r->n_stages; k++)
        load[n++] = (cli_load){ r->stage[k].model, r->stage[k].schedule->n };
    return cli_dry_run(load, n, r->o.n, bf16);
}

/* What is to be made; no weights are read yet but an upsampler's. */
static gd_status choose(run *r)
{
    const gd_model_config *c = gd_model_get_config(r->model);
    const int known = gd_model_class_count(r->model),
              guided = r->classifier ? gd_model_class_count(r->classifier) : 0;
    options *o = &r->o;

    if (c->net.kind == GD_NET_SUPERRES)
        return gd_fail(GD_EMISMATCH,
                       "%s: an upsampler needs low-resolution images\nhint: guided upsample, or "
                       "sample --upsampler %s with a base model",
                       o->model, o->model);
    GD_TRY(gd_sampler_find(&r->trajectory.sampler, o->sampler));
    GD_TRY(gd_schedule_make(&r->schedule, c->diffusion.noise_schedule, c->diffusion.steps, o->steps,
                            c->diffusion.rescale_timesteps));
    GD_TRY(cli_classes_read(&r->classes, o->classes, known ? r->model : r->classifier,
                            known ? known : guided, o->labels));
    r->trajectory.process = (gd_process){ r->schedule, gd_model_mean_type(r->model),
                                          gd_model_var_type(r->model), o->clip };
    r->trajectory.eta = o->eta;
    r->trajectory.scale = o->scale >= 0 ? o->scale : c->guidance_scale;
    r->output = (cli_output){ .path = o->output,
                              .overwrite = o->overwrite,
                              .preview = o->preview,
                              .width = c->net.image_size,
                              .height = c->net.image_size,
                              .channels = c->net.in_channels,
                              .first = o->first,
                              .n = o->n };
    r->output.columns = o->columns                                ? o->columns
                        : o->n > r->classes.n && r->classes.n > 1 ? GD_MIN(r->classes.n, 32)
                                                                  : 0;
    return open_stages(r);
}

static gd_status prepare(run *r)
{
    const gd_net_config *net = &gd_model_get_config(r->model)->net;
    const options *o = &r->o;

    GD_TRY(cli_output_open(&r->output, o->format));
    GD_TRY(make_recipe(r));
    GD_TRY(gd_engine_make(&r->engine, r->model, r->classifier, strcmp(o->precision, "bf16") == 0));
    r->trajectory.denoiser = gd_engine_denoiser(r->engine);
    r->trajectory.noise = draw;
    r->trajectory.noise_ctx = r->trajectory.step_ctx = r;
    r->trajectory.before_step = before_step;
    gd_torch_seed(&r->torch, o->seed);
    const int64_t image = (int64_t)net->in_channels * net->image_size * net->image_size;
    GD_TRY(gd_block_make(&r->work, gd_trajectory_bytes(&r->trajectory, o->batch), "sampler"));
    GD_TRY(gd_block_make((void **)&r->images, (size_t)(image * o->batch) * sizeof *r->images,
                         "images"));
    return gd_block_make((void **)&r->labels, (size_t)o->batch * sizeof *r->labels, "labels");
}

static gd_status sample_all(run *r)
{
    const options *o = &r->o;
    const gd_denoiser *d = r->trajectory.denoiser;
    const int64_t image = (int64_t)d->channels * d->height * d->width;
    gd_status s = GD_OK;

    int steps = r->schedule->n;
    for (int k = 0; k < r->n_stages; k++)
        steps += r->stage[k].schedule->n;
    cli_progress_start(&r->progress, (int64_t)o->n * steps, o->quiet);
    for (int64_t i = 0; i < o->n && s == GD_OK; i += o->batch) {
        const int n = (int)GD_MIN(o->batch, o->n - i);
        for (int k = 0; k < n; k++)
            r->labels[k] = cli_class_of(&r->classes, o->seed, o->first + i + k);
        s = gd_trajectory_run(&r->trajectory, o->first + i, n, r->classes.count ? r->labels : NULL,
                              r->images, r->work);
        for (int k = 0; k < n && s == GD_OK; k++) {
            const float *x = r->images + k * image;
            cli_progress_step(&r->progress);
            s = enlarge(r, o->first + i + k, r->labels[k], &x, d->width);
            if (s == GD_OK)
                s = cli_output_add(&r->output, x, r->labels[k]);
        }
    }
    cli_progress_end(&r->progress);
    return s;
}

static void say_result(const run *r, double seconds)
{
    const options *o = &r->o;

    if (o->json)
        cli_print_result(&r->output, r->o.seed, seconds);
    if (!o->quiet)
        fprintf(stderr, "guided: %s: %lld image%s, seed %llu, %.1f s\n", o->output,
                (long long)r->output.done, r->output.done == 1 ? "" : "s",
                (unsigned long long)o->seed, seconds);
}

static gd_status work(run *r)
{
    const double start = gd_seconds();
    gd_status s;

    GD_TRY(settle(r));
    GD_TRY(open_models(r));
    say_assumed(r, r->model);
    say_assumed(r, r->classifier);
    GD_TRY(choose(r));
    if (r->o.dry_run)
        return dry_run(r);
    GD_TRY(prepare(r));
    s = sample_all(r);
    if (s != GD_OK && s != GD_EINTERRUPTED)
        return s;
    GD_TRY(cli_output_finish(&r->output)); /* after Ctrl-C too: what is finished is kept */
    say_result(r, gd_seconds() - start);
    return s == GD_OK ? GD_OK
                      : gd_fail(s, "stopped: %lld of %d images are finished and kept",
                                (long long)r->output.done, r->o.n);
}

static void release(run *r)
{
    gd_block_free(r->work);
    gd_block_free(r->images);
    gd_block_free(r->labels);
    gd_block_free(r->large);
    gd_block_free(r->bytes);
    for (int k = 0; k < r->n_stages; k++)
        cli_stage_close(&r->stage[k]);
    cli_output_free(&r->output);
    cli_classes_free(&r->classes);
    gd_engine_free(r->engine);
    gd_schedule_free(r->schedule);
    gd_model_close(r->model);
    gd_model_close(r->classifier);
    free(r->recipe);
}

static gd_status run_sample(int argc, char **argv)
{
    run r = { .o = { .steps = "250",
                     .rng = "guided",
                     .precision = "fp32",
                     .output = "samples.png",
                     .n = 1,
                     .batch = 1,
                     .scale = -1,
                     .clip = true } };
    gd_status s;

    GD_TRY(cli_parse(&cli_sample, argc, argv, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "sample: unexpected word %s", r.words.word[0]);
    s = work(&r);
    release(&r);
    return s;
}

static const char notes[] =
    "Draws images from a diffusion model, guided by a noisy classifier where one is given. Image "
    "k of a run is a function of the model, the options and (seed, k) alone: the same for any "
    "number of threads, and --first k -n 1 makes it again by itself. The name of the output "
    "chooses its form: X.png is a grid (one image where n is 1), X.npz the authors' arrays, - a "
    "PNG on standard output, anything else a folder of pictures with run.json. Every PNG carries "
    "its recipe; guided info X.png prints the command that makes it again. Ctrl-C keeps what is "
    "finished.";

const cli_command cli_sample = {
    "sample",
    "make images",
    "sample [--model FILE] [--classifier FILE] [options]",
    "guided sample --class 0-9 -n 40 --steps ddim25 --seed 7 -o grid.png",
    table,
    COUNT(table),
    run_sample,
    notes
};
