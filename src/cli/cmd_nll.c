/* cmd_nll.c - guided nll: bits per dimension of every image of a set, and their mean. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *model, *data, *steps, *labels, *output, *precision;
    int n, threads, memory;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool clip, flip, overwrite, resume, quiet, json, dry_run;
} options;

#define AT(field) offsetof(options, field)
static const cli_option table[] = {
    { "model", 'm', CLI_TEXT, "FILE", "diffusion model (default: the built-in one)", AT(model) },
    { "data", 'd', CLI_TEXT, "PATH", "folder of images, .npz, .zip or IDX file", AT(data) },
    { "labels", 0, CLI_TEXT, "HOW", "folder, name or none (default: what the set has)",
      AT(labels) },
    { "num", 'n', CLI_INT, "N", "the first N images (default: all)", AT(n), 1, 1e9 },
    { "steps", 's', CLI_TEXT, "SPEC", "respacing: the bound of a shorter chain (default: all)",
      AT(steps) },
    { "clip-denoised", 0, CLI_SWITCH, "",
      "clip the predicted image to [-1,1] (on; --no-clip-denoised)", AT(clip) },
    { "random-flip", 0, CLI_SWITCH, "", "mirror half of the images, as the authors' program does",
      AT(flip) },
    { "seed", 0, CLI_SEED, "N", "of the noise (default 0)", AT(seed) },
    { "output", 'o', CLI_TEXT, "FILE", "CSV of every image's terms", AT(output) },
    { "resume", 0, CLI_SWITCH, "", "go on behind the images that the CSV holds", AT(resume) },
    { "overwrite", 0, CLI_SWITCH, "", "replace what exists", AT(overwrite) },
    { "dry-run", 0, CLI_SWITCH, "", "tell parameters, memory and about how long, and stop",
      AT(dry_run) },
    { "threads", 't', CLI_INT, "N", "default: all cores", AT(threads), 1, 1024 },
    { "precision", 0, CLI_TEXT, "fp32|bf16", "of products and convolutions (default fp32)",
      AT(precision) },
    { "memory", 0, CLI_INT, "MIB", "refuse to use more", AT(memory), 1, 1e9 },
    { "quiet", 'q', CLI_SWITCH, "", "errors only", AT(quiet) },
    { "json", 0, CLI_SWITCH, "", "the result as one JSON line", AT(json) },
    { "model_path", 0, CLI_TEXT, "FILE", "= --model", AT(model) },
    { "data_dir", 0, CLI_TEXT, "PATH", "= --data", AT(data) },
    { "num_samples", 0, CLI_INT, "N", "= --num", AT(n), 1, 1e9 },
    { "timestep_respacing", 0, CLI_TEXT, "SPEC", "= --steps", AT(steps) },
    { "clip_denoised", 0, CLI_SWITCH, "", "= --clip-denoised", AT(clip) },
};
#undef AT

typedef struct run {
    options o;
    cli_words words;
    gd_model *model;
    gd_engine *engine;
    gd_schedule *schedule;
    gd_dataset *set;
    gd_process process;
    gd_likelihood terms;
    cli_progress progress;
    int64_t done, count;                      /* images */
    double total, prior, vb, mse, xstart_mse; /* sums over images */
    float *x0;                                /* blocks */
    void *work;
} run;

/* ---- the CSV: a row for each image, written as it is known ---- */

static const char csv_header[] = "image,name,label,total_bpd,prior_bpd,vb,mse,xstart_mse\n";

/* One line of numbers behind the name, which is quoted */
static bool take_row(run *r, const char *line)
{
    double v[5];
    const char *at = strrchr(line, '"');

    if (!at || sscanf(at + 1, ",%*d,%lf,%lf,%lf,%lf,%lf", &v[0], &v[1], &v[2], &v[3], &v[4]) != 5)
        return false;
    r->total += v[0];
    r->prior += v[1];
    r->vb += v[2];
    r->mse += v[3];
    r->xstart_mse += v[4];
    r->done++;
    return true;
}

/* Whole rows of an earlier run count; one that was cut short is cut off. */
static gd_status read_rows(run *r)
{
    const char *path = r->o.output;
    gd_mapped map;
    char *text, *line, *end;
    gd_status s = GD_OK;

    GD_TRY(gd_map_file(&map, path));
    text = calloc(1, map.bytes + 1);
    if (text)
        memcpy(text, map.data, map.bytes);
    gd_unmap(&map);
    if (!text)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    if (strncmp(text, csv_header, sizeof csv_header - 1) != 0)
        s = gd_fail(GD_EFORMAT, "%s: no table of guided nll", path);
    line = text + sizeof csv_header - 1;
    while (s == GD_OK && (end = strchr(line, '\n')) && take_row(r, line))
        line = end + 1;
    if (s == GD_OK)
        s = gd_file_put(path, true, text, (size_t)(line - text));
    free(text);
    return s;
}

static gd_status open_csv(run *r)
{
    const char *path = r->o.output;

    if (!path)
        return r->o.resume ? gd_fail(GD_EUSAGE, "--resume needs the --output to go on with")
                           : GD_OK;
    if (r->o.resume && gd_path_exists(path))
        return read_rows(r);
    return gd_file_put(path, r->o.overwrite, csv_header, sizeof csv_header - 1);
}

/* ---- one image ---- */

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    const run *r = ctx;
    const gd_denoiser *d = gd_engine_denoiser(r->engine);
    const int64_t count = (int64_t)d->channels * d->height * d->width;

    for (int i = 0; i < n; i++)
        gd_noise_normal(out + i * count, count, r->o.seed, (uint64_t)(first + i), (uint32_t)step);
}

static gd_status load_image(run *r, int64_t i)
{
    enum { FLIP = 0x7ffffffe }; /* a step that no chain has */
    gd_image image;
    gd_status s;

    GD_TRY(gd_dataset_read(r->set, i, &image));
    s = gd_crop_centre(&image, gd_model_get_config(r->model)->net.image_size);
    if (s == GD_OK)
        gd_image_floats(r->x0, &image,
                        r->o.flip && gd_noise_below(2, r->o.seed, (uint64_t)i, FLIP) == 1);
    gd_image_free(&image);
    return s;
}

static double mean_of(const double *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum / n;
}

static gd_status write_row(run *r, int64_t i, int64_t label)
{
    const int n = r->schedule->n;
    char name[512], row[1024];
    int bytes;

    gd_dataset_name(r->set, i, name, sizeof name);
    for (char *at = name; *at; at++) /* the table's own marks */
        *at = *at == '"' || *at == '\n' ? '_' : *at;
    bytes =
        snprintf(row, sizeof row, "%lld,\"%s\",%lld,%.9g,%.9g,%.9g,%.9g,%.9g\n", (long long)i, name,
                 (long long)label, r->terms.total, r->terms.prior, r->terms.total - r->terms.prior,
                 mean_of(r->terms.mse, n), mean_of(r->terms.xstart_mse, n));
    if (!take_row(r, row))
        return gd_fail(GD_EFAILED, "image %lld: the row cannot be read back", (long long)i);
    return r->o.output ? gd_file_append(r->o.output, row, (size_t)bytes) : GD_OK;
}

static gd_status one_image(run *r, int64_t i)
{
    const gd_step_noise noise = { draw, r };
    const int64_t label = gd_dataset_label(r->set, i);
    const bool labelled = gd_model_class_count(r->model) > 0;
    gd_status s;

    GD_TRY(load_image(r, i));
    s = gd_likelihood_run(&r->terms, gd_engine_denoiser(r->engine), &r->process, &noise, i, r->x0,
                          labelled ? &label : NULL, r->work);
    if (s != GD_OK) {
        gd_context("image %lld", (long long)i);
        return s;
    }
    return write_row(r, i, label);
}

/* ---- the run ---- */

static gd_status settle(options *o)
{
    static char model[4096];

    if (!o->model && !cli_locate(model, "fashion32/diffusion.safetensors"))
        return gd_fail(GD_EUSAGE,
                       "no --model given, and the built-in one is not installed (GUIDED_MODELS)");
    if (!o->model)
        o->model = model;
    if (!o->data)
        return gd_fail(GD_EUSAGE, "no images\nhint: --data FOLDER, or a file of images");
    if (o->threads)
        gd_set_threads(o->threads);
    gd_set_memory_limit((size_t)o->memory << 20);
    return GD_OK;
}

static gd_status open_set(run *r)
{
    const gd_net_config *c = &gd_model_get_config(r->model)->net;
    gd_dataset_options data = { .channels = c->in_channels };
    const int classes = gd_model_class_count(r->model);

    GD_TRY(gd_labels_read(&data.labels, r->o.labels ? r->o.labels : ""));
    GD_TRY(gd_dataset_open(&r->set, r->o.data, &data));
    if (classes > 0 && gd_dataset_classes(r->set) == 0)
        return gd_fail(GD_EMISMATCH, "%s: has no labels, and %s is class-conditional", r->o.data,
                       r->o.model);
    if (classes > 0 && gd_dataset_classes(r->set) > classes)
        return gd_fail(GD_EMISMATCH, "%s: %d classes, %s has %d", r->o.data,
                       gd_dataset_classes(r->set), r->o.model, classes);
    r->count = gd_dataset_count(r->set);
    if (r->o.n > 0)
        r->count = GD_MIN(r->count, r->o.n);
    return GD_OK;
}

static gd_status make_chain(run *r)
{
    const gd_model_config *c = gd_model_get_config(r->model);
    size_t steps;

    if (c->net.kind != GD_NET_UNET)
        return gd_fail(GD_EMISMATCH, "%s: a %s has no likelihood of its own", r->o.model,
                       gd_net_kind_names[c->net.kind]);
    GD_TRY(gd_schedule_make(&r->schedule, c->diffusion.noise_schedule, c->diffusion.steps,
                            r->o.steps, c->diffusion.rescale_timesteps));
    steps = (size_t)r->schedule->n;
    r->process = (gd_process){ r->schedule, gd_config_mean_type(&c->diffusion),
                               gd_config_var_type(&c->diffusion), r->o.clip };
    GD_TRY(gd_engine_make(&r->engine, r->model, NULL, strcmp(r->o.precision, "bf16") == 0));
    GD_TRY(
        gd_block_make(&r->work, gd_likelihood_bytes(gd_engine_denoiser(r->engine)), "likelihood"));
    GD_TRY(gd_block_make((void **)&r->x0,
                         (size_t)(c->net.in_channels * c->net.image_size * c->net.image_size) *
                             sizeof *r->x0,
                         "image"));
    GD_TRY(gd_block_make((void **)&r->terms.vb, steps * sizeof(double), "terms"));
    GD_TRY(gd_block_make((void **)&r->terms.mse, steps * sizeof(double), "terms"));
    return gd_block_make((void **)&r->terms.xstart_mse, steps * sizeof(double), "terms");
}

static gd_status print_result(const run *r)
{
    const double n = (double)r->done;
    json_t *j;
    char *text;

    if (!r->o.json) {
        printf("%.6f bits/dim over %lld images (prior %.6f, terms %.6f, eps mse %.6f, x_0 mse "
               "%.6f)\n",
               r->total / n, (long long)r->done, r->prior / n, r->vb / n, r->mse / n,
               r->xstart_mse / n);
        return GD_OK;
    }
    j = json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:i}", "images", (json_int_t)r->done, "total_bpd",
                  r->total / n, "prior_bpd", r->prior / n, "vb", r->vb / n, "mse", r->mse / n,
                  "xstart_mse", r->xstart_mse / n, "steps", r->schedule->n);
    text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (!text)
        return gd_fail(GD_ENOMEM, "result: out of memory");
    printf("%s\n", text);
    free(text);
    return GD_OK;
}

static gd_status work(run *r)
{
    gd_status s = GD_OK;

    GD_TRY(settle(&r->o));
    GD_TRY(gd_model_open(&r->model, r->o.model, r->words.flag, r->words.n_flags));
    GD_TRY(make_chain(r));
    GD_TRY(open_set(r));
    if (r->o.dry_run)
        return cli_dry_run(&(cli_load){ r->model, r->schedule->n }, 1, r->count,
                           strcmp(r->o.precision, "bf16") == 0);
    GD_TRY(open_csv(r));
    if (r->done < r->count)
        cli_progress_start(&r->progress, r->count - r->done, r->o.quiet);
    for (int64_t i = r->done; i < r->count && s == GD_OK; i++) {
        s = cli_stopped_by() ? gd_fail(GD_EINTERRUPTED, "stopped: %lld of %lld images are done",
                                       (long long)r->done, (long long)r->count)
                             : one_image(r, i);
        if (s == GD_OK)
            cli_progress_step(&r->progress);
    }
    if (r->progress.total > 0)
        cli_progress_end(&r->progress);
    return s == GD_OK ? print_result(r) : s;
}

static gd_status run_nll(int argc, char **argv)
{
    run r = { .o = { .precision = "fp32", .steps = "", .clip = true } };
    gd_status s;

    GD_TRY(cli_parse(&cli_nll, argc, argv, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "nll: unexpected word %s", r.words.word[0]);
    s = work(&r);
    gd_block_free(r.x0);
    gd_block_free(r.work);
    gd_block_free(r.terms.vb);
    gd_block_free(r.terms.mse);
    gd_block_free(r.terms.xstart_mse);
    gd_dataset_close(r.set);
    gd_engine_free(r.engine);
    gd_schedule_free(r.schedule);
    gd_model_close(r.model);
    return s;
}

static const char notes[] =
    "Prints the mean of the variational bound in bits per dimension, and writes every image's "
    "terms to the CSV of --output as they are known; --resume goes on behind them. All steps of a "
    "model take long: -n and --steps bound the time.";

const cli_command cli_nll = { "nll",
                              "bits per dimension of images",
                              "nll --data PATH [--model FILE] [options]",
                              "guided nll --model model.pt --data images/ -o nll.csv",
                              table,
                              COUNT(table),
                              run_nll,
                              notes };
