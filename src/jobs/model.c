/* SPDX-License-Identifier: MIT */
/* model.c - guided info, convert, init: describe a model file, convert it, make a new one. */
#include "jobs/jobs.h"
#include "nn/inception.h"
#include "train/train.h"
#include "jobs/option_rows.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static gd_status one_word(const job_kind *c, const job_words *w, int n)
{
    if (w->n_words == n)
        return GD_OK;
    return gd_fail(GD_EUSAGE, "%s: %d file name%s expected, %d given\nhint: guided %s", c->name, n,
                   n == 1 ? "" : "s", w->n_words, c->usage);
}

/* ---- info ---- */

typedef struct info_options {
    bool json, dump_graph, classes;
} info_options;

static const job_option info_table[] = {
    OPTION_JSON(offsetof(info_options, json)),
    { "classes", 0, JOB_SWITCH, "", "print index and name of every class",
      offsetof(info_options, classes) },
    { "dump-graph", 0, JOB_SWITCH, "", "print the network's nodes",
      offsetof(info_options, dump_graph) },
};

static void print_levels(const gd_net_config *n)
{
    fprintf(job_out(), "channels       ");
    for (int l = 0; l < n->n_levels; l++)
        fprintf(job_out(), " %d%s", (int)(n->channel_mult[l] * n->model_channels),
                n->attention_ds >> l & 1 ? "+A" : "");
    fprintf(job_out(), "  (+A: attention), %d res blocks a level\n", n->num_res_blocks);
}

/* Family of the network, and its preconditioner */
static void print_family(const gd_model_config *c)
{
    const gd_diffusion_config *d = &c->diffusion;

    if (c->net.family == GD_FAMILY_ADM)
        return;
    fprintf(job_out(), "family          %s%s\n", gd_family_names[c->net.family],
            gd_architecture_name(&c->net));
    if (d->precond == GD_PRECOND_STEPS)
        return;
    fprintf(job_out(), "preconditioner  %s, sigma_data %g", gd_precond_names[d->precond],
            d->sigma_data);
    if (d->sigma_max > 0)
        fprintf(job_out(), ", sigma %g to %g", d->sigma_min, d->sigma_max);
    if (d->one_call_sigma > 0)
        fprintf(job_out(), ", a generator: one call at sigma %g", d->one_call_sigma);
    fprintf(job_out(), "\n");
}

/* The first few names; --classes prints all names */
static void print_classes(const gd_model *m)
{
    enum { SHOWN = 4 };
    const int n = gd_model_class_count(m);

    fprintf(job_out(), "classes         %d", n);
    for (int i = 0; i < n && i < SHOWN && gd_model_class_name(m, i); i++)
        fprintf(job_out(), "%s%s", i ? ", " : ": ", gd_model_class_name(m, i));
    fprintf(job_out(), "%s\n",
            n > SHOWN && gd_model_class_name(m, 0) ? ", .. (--classes lists them)" : "");
}

static gd_status list_classes(const gd_model *m)
{
    job_names names;

    GD_TRY(job_names_of_model(&names, m));
    for (int i = 0; i < gd_model_class_count(m); i++)
        fprintf(job_out(), "%d\t%s\n", i, i < names.n ? names.name[i] : "");
    job_names_free(&names);
    return GD_OK;
}

static void print_info(const gd_model *m, const gd_model_cost *cost)
{
    static const char *const kinds[] = { "diffusion model (UNetModel)", "upsampler (SuperResModel)",
                                         "noisy classifier (EncoderUNetModel)" };
    const gd_model_config *c = gd_model_get_config(m);
    const gd_net_config *n = &c->net;

    fprintf(job_out(), "%s\n", gd_model_path(m));
    fprintf(job_out(), "kind            %s%s%s\n",
            n->family == GD_FAMILY_ADM ? kinds[n->kind] : "diffusion model",
            *c->preset ? ", preset " : "", c->preset);
    print_family(c);
    fprintf(job_out(), "image           %dx%d, %d channels\n", n->image_size, n->image_size,
            n->in_channels);
    print_levels(n);
    if (n->num_head_channels > 0)
        fprintf(job_out(), "heads           %d channels each, %s order\n", n->num_head_channels,
                gd_head_order_name(n));
    else
        fprintf(job_out(), "heads           %d, %s order\n", n->num_heads, gd_head_order_name(n));
    fprintf(job_out(), "blocks          %s, %s\n",
            n->use_scale_shift_norm ? "scale-shift norm" : "added embedding",
            n->resblock_updown ? "residual up and down"
            : n->conv_resample ? "convolutions up and down"
                               : "pooling");
    print_classes(m);
    if (c->diffusion.precond == GD_PRECOND_STEPS)
        fprintf(job_out(), "diffusion       %s, %d steps%s%s%s\n", c->diffusion.noise_schedule,
                c->diffusion.steps, c->diffusion.learn_sigma ? ", learned sigma" : "",
                c->diffusion.predict_xstart ? ", predicts x_0"
                : c->diffusion.predict_v    ? ", predicts v"
                                            : "",
                c->diffusion.rescale_timesteps ? ", rescaled timesteps" : "");
    fprintf(job_out(), "parameters      %lld\n", (long long)gd_model_parameters(m));
    fprintf(job_out(), "forward         %.3f GMACs%s", cost->forward_macs * 1e-9,
            cost->gradient_macs > 0 ? "" : "\n");
    if (cost->gradient_macs > 0)
        fprintf(job_out(), ", with input gradient %.3f\n", cost->gradient_macs * 1e-9);
    fprintf(job_out(), "memory          %.1f MiB weights, %.1f MiB activations\n",
            (double)cost->weights_bytes / 1048576.0, (double)cost->activations_bytes / 1048576.0);
    char line[2048];
    gd_flags_line(c, line, sizeof line);
    fprintf(job_out(), "flags           %s\n", line);
    if (gd_model_packed(m))
        fprintf(job_out(), "packed          for %s\n", gd_model_packed(m));
    if (*gd_model_assumed(m))
        fprintf(job_out(), "assumed         %s\n", gd_model_assumed(m));
}

/* A training run's step, and a hash of the parameters themselves, not of an average */
static gd_status add_run(json_t *j, const char *path)
{
    const gd_flag none = { "ema", "none" };
    int64_t step;
    char hash[33];
    gd_model *m;
    gd_status s;

    if (!gd_checkpoint_step(path, &step))
        return GD_OK;
    GD_TRY(gd_model_open(&m, path, &none, 1));
    s = gd_model_hash(m, hash);
    gd_model_close(m);
    if (s == GD_OK) {
        json_object_set_new(j, "step", json_integer(step));
        json_object_set_new(j, "parameters_hash", json_string(hash));
    }
    return s;
}

static void add_class_names(json_t *j, const gd_model *m)
{
    json_t *list = gd_model_class_name(m, 0) ? json_array() : NULL;

    for (int i = 0; list && i < gd_model_class_count(m); i++)
        json_array_append_new(list, json_string(gd_model_class_name(m, i)));
    if (list)
        json_object_set_new(j, "class_names", list);
}

static gd_status print_info_json(const gd_model *m, const gd_model_cost *cost)
{
    char hash[33], *config;
    gd_arena *mem;
    json_t *j;

    GD_TRY(gd_model_hash(m, hash));
    GD_TRY(gd_arena_make(&mem));
    gd_status s = gd_config_to_json(gd_model_get_config(m), mem, &config);
    if (s == GD_OK) {
        j = json_pack("{s:o, s:I, s:f, s:f, s:I, s:I, s:i, s:s, s:s, s:o}", "file",
                      gd_json_text(gd_model_path(m)), "parameters",
                      (json_int_t)gd_model_parameters(m), "forward_gmacs",
                      cost->forward_macs * 1e-9, "gradient_gmacs", cost->gradient_macs * 1e-9,
                      "weights_bytes", (json_int_t)cost->weights_bytes, "activations_bytes",
                      (json_int_t)cost->activations_bytes, "classes", gd_model_class_count(m),
                      "hash", hash, "assumed", gd_model_assumed(m), "config",
                      json_loads(config, 0, NULL));
        add_class_names(j, m);
        if (gd_model_packed(m))
            json_object_set_new(j, "packed", json_string(gd_model_packed(m)));
        s = add_run(j, gd_model_path(m));
        if (s == GD_OK)
            s = job_print_json(j);
        else
            json_decref(j);
    }
    gd_arena_free(mem);
    return s;
}

static bool is_png(const char *path)
{
    return gd_ends_with(path, ".png");
}

static gd_status print_json(const char *recipe, const char *path)
{
    json_t *j;

    GD_TRY(gd_json_parse(&j, recipe, strlen(recipe), 4, path));
    return job_print_json(j);
}

/* Prints the command that makes the picture again, or with --json the whole recipe; for a training
 * run's grid its step and weights */
static gd_status print_recipe(const char *path, bool json)
{
    gd_png *png;
    const char *recipe, *weights;
    gd_status s = GD_OK;

    GD_TRY(gd_png_open(&png, path));
    recipe = gd_png_text(png, "guided.recipe");
    weights = gd_png_text(png, "guided.weights");
    if (recipe && json)
        s = print_json(recipe, path);
    else if (recipe)
        s = job_recipe_print(recipe, gd_png_text(png, "guided.image"), path);
    else if (weights && json)
        s = job_print_json(json_pack("{s:s}", "weights", weights));
    else if (weights)
        fprintf(job_out(), "%s: grid of a training run, %s\n", path, weights);
    else
        s = gd_fail(GD_EFORMAT, "%s: contains no recipe of guided", path);
    gd_png_close(png);
    return s;
}

static gd_status show(const gd_model *m, const info_options *o)
{
    gd_model_cost cost;

    if (o->dump_graph)
        return gd_model_dump_graph(m, job_out());
    if (o->classes && !o->json)
        return list_classes(m);
    GD_TRY(gd_model_get_cost(&cost, m, false));
    if (o->json)
        return print_info_json(m, &cost);
    print_info(m, &cost);
    return GD_OK;
}

static gd_status run_info(gd_job *job)
{
    info_options o = { 0 };
    job_words w = { .n_words = 0 };
    gd_model *m;

    GD_TRY(job_parse(job, &o, &w));
    GD_TRY(one_word(&job_info, &w, 1));
    if (is_png(w.word[0]))
        return print_recipe(w.word[0], o.json);
    gd_status s = job_model_open(&m, w.word[0], JOB_MODEL, w.flag, w.n_flags);
    if (job_is_inception(w.word[0], s))
        return job_inception_info(w.word[0], o.json);
    if (job_is_vision(w.word[0], s))
        return job_vision_info(w.word[0], o.json);
    GD_TRY(s);
    s = show(m, &o);
    gd_model_close(m);
    return s;
}

static const char info_notes[] =
    "Recognises a checkpoint by its keys and shapes and prints its configuration, parameters, "
    "cost, memory and assumptions. For a PNG made by guided it prints the command that makes it "
    "again, with --json the whole recipe.";

const job_kind job_info = { "info",
                            "describe a model file or a picture",
                            "info FILE [options]",
                            "guided info 64x64_diffusion.pt",
                            info_table,
                            COUNT(info_table),
                            run_info,
                            info_notes };

/* ---- convert ---- */

typedef struct convert_options {
    const char *dtype, *classes;
    bool packed, diffusers, overwrite;
} convert_options;

static const job_option convert_table[] = {
    { "dtype", 0, JOB_TEXT, "fp32|bf16|fp16", "type of the weights (default fp32)",
      offsetof(convert_options, dtype) },
    { "class-names", 0, JOB_TEXT, "FILE", "class names to store in OUT, one per line",
      offsetof(convert_options, classes) },
    { "packed", 0, JOB_SWITCH, "",
      "store weights in this machine's kernel layout, for fast starts; sample with --precision "
      "equal to --dtype",
      offsetof(convert_options, packed) },
    { "diffusers", 0, JOB_SWITCH, "", "write a folder for diffusers' UNet2DModel",
      offsetof(convert_options, diffusers) },
    OPTION_OVERWRITE(offsetof(convert_options, overwrite)),
};

static gd_dtype dtype_named(const char *name)
{
    return strcmp(name, "bf16") == 0 ? GD_BF16 : strcmp(name, "fp16") == 0 ? GD_F16 : GD_F32;
}

/* Features are float32; class names do not apply. */
static gd_status convert_inception(const convert_options *o, gd_dtype dtype, const job_words *w)
{
    if (dtype != GD_F32 || o->classes || o->packed || w->n_flags > 0)
        return gd_fail(GD_EUSAGE,
                       "%s: an Inception network can only be converted to fp32, without --packed, "
                       "--class-names or flags of a model",
                       w->word[0]);
    GD_TRY(gd_suffix_check(w->word[1], "safetensors", "an Inception network is X.safetensors"));
    return job_inception_convert(w->word[0], w->word[1], o->overwrite);
}

static gd_status write_model(const gd_model *m, const convert_options *o, const char *path,
                             const job_names *names)
{
    const char *const *classes = names->n ? names->name : NULL;
    const gd_dtype dtype = dtype_named(o->dtype);

    if (o->diffusers)
        return gd_model_save_diffusers(m, path, o->overwrite);
    if (o->packed)
        return gd_model_pack(m, path, o->overwrite, dtype == GD_BF16, classes, names->n);
    return gd_model_save(m, path, o->overwrite, dtype, classes, names->n);
}

static gd_status convert(const convert_options *o, const job_words *w)
{
    job_names names = { 0 };
    gd_model *m;
    gd_status s = job_model_open(&m, w->word[0], JOB_MODEL, w->flag, w->n_flags);

    if (job_is_inception(w->word[0], s))
        return convert_inception(o, dtype_named(o->dtype), w);
    GD_TRY(s);
    if (o->classes)
        s = job_names_read(&names, o->classes, gd_model_class_count(m));
    if (s == GD_OK)
        s = write_model(m, o, w->word[1], &names);
    if (s == GD_OK && *gd_model_assumed(m) && !job_now()->settings.quiet)
        gd_log(GD_LOG_NOTE, "%s: assumed, and now stored in %s\n%s", w->word[0], w->word[1],
               gd_model_assumed(m));
    job_names_free(&names);
    gd_model_close(m);
    return s;
}

static gd_status run_convert(gd_job *job)
{
    convert_options o = { .dtype = "fp32" };
    job_words w = { .n_words = 0 };

    GD_TRY(job_parse(job, &o, &w));
    GD_TRY(one_word(&job_convert, &w, 2));
    GD_TRY(gd_suffix_check(w.word[1], "safetensors pt",
                           "X.safetensors, or X.pt as PyTorch writes it"));
    if (o.packed && (strcmp(o.dtype, "fp16") == 0 || gd_ends_with(w.word[1], ".pt")))
        return gd_fail(GD_EUSAGE,
                       "--packed: only a safetensors file of fp32 or bf16 can be packed");
    if (o.diffusers && (o.packed || o.classes || strcmp(o.dtype, "fp32") != 0))
        return gd_fail(GD_EUSAGE,
                       "--diffusers: only fp32 weights, without --packed and --class-names");
    return convert(&o, &w);
}

static const char convert_notes[] =
    "Reads .pt (zip or legacy) and pickles without executing code, diffusers folders or "
    "safetensors. Writes safetensors with configuration, class names and hashes: such a file needs "
    "no flags. With --packed the weights have the layout of this machine's kernels, a classifier's "
    "that of guidance: sampling maps them and starts at once, and several processes share one "
    "copy. No other program can read packed weights, so keep the original file. With --diffusers "
    "OUT is a folder; models that UNet2DModel cannot express are refused with the reason.";

const job_kind job_convert = {
    "convert",
    "convert a checkpoint to safetensors or .pt",
    "convert IN OUT.safetensors|OUT.pt|FOLDER [options] [authors' flags]",
    "guided convert 64x64_diffusion.pt 64x64_diffusion.safetensors",
    convert_table,
    COUNT(convert_table),
    run_convert,
    convert_notes
};

/* ---- init ---- */

typedef struct init_options {
    const char *preset, *kind;
    uint64_t seed;
    bool seed_given; /* set by the parser: must follow seed */
    bool synthetic, overwrite;
} init_options;

static const job_option init_table[] = {
    { "preset", 0, JOB_TEXT, "NAME", "name of a published model: 64x64_diffusion, ...",
      offsetof(init_options, preset) },
    { "kind", 0, JOB_TEXT, "diffusion|upsampler|classifier|inception",
      "network to build from the authors' flags; inception only with --synthetic",
      offsetof(init_options, kind) },
    { "seed", 0, JOB_SEED, "N", "seed of the weights (default 0)", offsetof(init_options, seed) },
    { "synthetic", 0, JOB_SWITCH, "", "make weights from their names, for tests",
      offsetof(init_options, synthetic) },
    OPTION_OVERWRITE(offsetof(init_options, overwrite)),
};

static gd_status init_config(gd_model_config *c, const init_options *o, const job_words *w)
{
    int kind = 0;

    while (!o->preset && kind + 1 < COUNT(gd_net_kind_names) &&
           strcmp(o->kind, gd_net_kind_names[kind]) != 0)
        kind++;
    if (!o->preset)
        return gd_config_from_flags(c, (gd_net_kind)kind, w->flag, w->n_flags);
    GD_TRY(gd_preset_config(c, o->preset));
    return gd_flags_apply(c, w->flag, w->n_flags);
}

static gd_status init_inception(const init_options *o, const job_words *w)
{
    const gd_weights weights = gd_inception_synthetic();

    if (!o->synthetic || o->seed_given || w->n_flags > 0)
        return gd_fail(GD_EUSAGE, "--kind inception can only make synthetic weights: give "
                                  "--synthetic, without --seed and flags of a model");
    GD_TRY(gd_suffix_check(w->word[0], "safetensors", "an Inception network is X.safetensors"));
    return gd_inception_write(w->word[0], o->overwrite, &weights);
}

static gd_status run_init(gd_job *job)
{
    init_options o = { .kind = "diffusion" };
    job_words w = { .n_words = 0 };
    gd_model_config config;
    gd_model_cost cost;
    gd_model *m;

    GD_TRY(job_parse(job, &o, &w));
    GD_TRY(one_word(&job_init, &w, 1));
    GD_TRY(gd_suffix_check(w.word[0], "safetensors pt",
                           "X.safetensors, or X.pt as PyTorch writes it"));
    if (!o.preset && strcmp(o.kind, "inception") == 0)
        return init_inception(&o, &w);
    GD_TRY(init_config(&config, &o, &w));
    GD_TRY(gd_model_create(&m, &config, o.seed, o.synthetic));
    gd_status s = gd_model_get_cost(&cost, m, false); /* refuses a network that cannot run */
    if (s == GD_OK)
        s = gd_model_save(m, w.word[0], o.overwrite, GD_F32, NULL, 0);
    gd_model_close(m);
    return s;
}

static const char init_notes[] =
    "Makes a new model of a preset or of the authors' flags, with weights as PyTorch would "
    "initialise them from --seed, or with --synthetic weights for tests.";

const job_kind job_init = { "init",
                            "make a model with fresh or synthetic weights",
                            "init [--preset NAME] [options] OUT.safetensors",
                            "guided init --preset 64x64_diffusion --synthetic out.safetensors",
                            init_table,
                            COUNT(init_table),
                            run_init,
                            init_notes };
