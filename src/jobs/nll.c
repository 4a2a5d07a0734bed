/* SPDX-License-Identifier: MIT */
/* nll.c - guided nll: bits per dimension of every image in a set, and their mean. */
#include "jobs/nll.h"
#include "jobs/option_rows.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *model, *data, *steps, *labels, *output, *terms, *precision;
    int n, threads, memory;
    int batch; /* the authors' batch_size: an image's terms do not depend on it */
    uint64_t seed;
    bool seed_given; /* set by the parser: must follow seed */
    bool clip, flip, overwrite, resume, quiet, json, dry_run;
} options;

#define AT(field) offsetof(options, field)
static const job_option table[] = {
    OPTION_MODEL(AT(model)),
    OPTION_IMAGE_SET(AT(data)),
    OPTION_LABELS_OF_SET(AT(labels)),
    { "num", 'n', JOB_INT, "N", "number of images, from the first (default: all)", AT(n), 1, 1e9 },
    { "steps", 's', JOB_TEXT, "SPEC",
      "steps of a shorter chain, whose bound is computed (default: all steps)", AT(steps) },
    OPTION_CLIP_DENOISED(AT(clip)),
    { "random-flip", 0, JOB_SWITCH, "", "mirror half of the images, as the authors do", AT(flip) },
    { "seed", 0, JOB_SEED, "N", "seed of the noise (default 0)", AT(seed) },
    { "output", 'o', JOB_TEXT, "FILE",
      "file of each image's terms, a line per image: X.csv or X.json", AT(output) },
    { "terms", 0, JOB_TEXT, "FOLDER",
      "folder of each step's terms: vb_terms.npz and others, as the authors write", AT(terms) },
    { "resume", 0, JOB_SWITCH, "", "continue after the last image in --output", AT(resume) },
    OPTION_OVERWRITE(AT(overwrite)),
    OPTION_DRY_RUN(AT(dry_run)),
    OPTION_THREADS(AT(threads)),
    OPTION_PRECISION(AT(precision)),
    OPTION_MEMORY(AT(memory)),
    OPTION_QUIET(AT(quiet)),
    OPTION_JSON(AT(json)),
    { "model_path", 0, JOB_TEXT, "FILE", "= --model", AT(model) },
    { "data_dir", 0, JOB_TEXT, "PATH", "= --data", AT(data) },
    { "num_samples", 0, JOB_INT, "N", "= --num", AT(n), 1, 1e9 },
    { "timestep_respacing", 0, JOB_TEXT, "SPEC", "= --steps", AT(steps) },
    { "clip_denoised", 0, JOB_SWITCH, "", "= --clip-denoised", AT(clip) },
    { "batch_size", 0, JOB_INT, "N", "= accepted from the authors' scripts; no effect", AT(batch),
      1, 1 << 20 },
};
#undef AT

typedef struct run {
    options o;
    job_words words;
    gd_model *model;
    gd_engine *engine;
    gd_schedule *schedule;
    gd_dataset *set;
    gd_process process;
    gd_likelihood terms;
    job_progress progress;
    nll_rows rows;
    nll_terms means;
    int64_t count; /* images */
    float *x0;     /* blocks */
    void *work;
} run;

/* ---- one image ---- */

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    const run *r = ctx;
    const gd_denoiser *d = gd_engine_denoiser(r->engine);
    const int64_t count = (int64_t)d->channels * d->height * d->width;

    gd_noise_images(out, count, r->o.seed, first, n, step);
}

static gd_status load_image(run *r, int64_t i)
{
    enum { FLIP = 0x7ffffffe }; /* a step number beyond any chain */
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

/* Writes and syncs the row before the sums, so that the sums never count an image without a row. If
 * a row was lost nevertheless, the sums already count its image. */
static gd_status keep(run *r, int64_t i, int64_t label)
{
    const int n = r->schedule->n;
    nll_row row = { .image = i,
                    .label = label,
                    .total = r->terms.total,
                    .prior = r->terms.prior,
                    .vb = r->terms.total - r->terms.prior,
                    .mse = mean_of(r->terms.mse, n),
                    .xstart_mse = mean_of(r->terms.xstart_mse, n) };

    gd_dataset_name(r->set, i, row.name, sizeof row.name);
    GD_TRY(nll_rows_add(&r->rows, &row));
    return i < r->means.images ? GD_OK : nll_terms_add(&r->means, &r->terms);
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
    return keep(r, i, label);
}

/* ---- the run ---- */

static gd_status settle(options *o)
{
    static char model[4096];

    GD_TRY(job_builtin_path(&o->model, model, JOB_MODEL));
    if (o->output && !(o->resume && gd_path_exists(o->output))) /* else its rows are read */
        GD_TRY(gd_suffix_check(o->output, "csv json jsonl",
                               "X.csv, or X.json and X.jsonl, a line each"));
    if (!o->data)
        return gd_fail(GD_EUSAGE, "no images\nhint: --data FOLDER, or a file of images");
    if (o->threads)
        gd_set_threads(o->threads);
    job_limit_memory((size_t)o->memory << 20);
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
        return gd_fail(GD_EMISMATCH, "%s: has no labels, but %s is class-conditional", r->o.data,
                       r->o.model);
    GD_TRY(job_labels_fit(r->set, r->o.data, r->model,
                          "a folder for each class, or names CLASS_rest.png"));
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
        return gd_fail(GD_EMISMATCH, "%s: a %s has no likelihood", r->o.model,
                       gd_net_kind_names[c->net.kind]);
    GD_TRY(gd_schedule_make(&r->schedule, c->diffusion.noise_schedule, c->diffusion.steps,
                            r->o.steps, c->diffusion.rescale_timesteps));
    steps = (size_t)r->schedule->n;
    r->process = (gd_process){ r->schedule, gd_config_mean_type(&c->diffusion),
                               gd_config_var_type(&c->diffusion), r->o.clip };
    GD_TRY(gd_engine_make(&r->engine, r->model, NULL, job_is_bf16(r->o.precision), 1));
    GD_TRY(
        gd_block_make(&r->work, gd_likelihood_bytes(gd_engine_denoiser(r->engine)), "likelihood"));
    GD_TRY(gd_block_make(&r->x0,
                         (size_t)(c->net.in_channels * c->net.image_size * c->net.image_size) *
                             sizeof *r->x0,
                         "image"));
    GD_TRY(gd_block_make(&r->terms.vb, steps * sizeof(double), "terms"));
    GD_TRY(gd_block_make(&r->terms.mse, steps * sizeof(double), "terms"));
    return gd_block_make(&r->terms.xstart_mse, steps * sizeof(double), "terms");
}

/* Rows that the sums do not count are computed again; images in the sums that lost their rows only
 * get new rows. */
static gd_status open_files(run *r)
{
    const options *o = &r->o;
    int64_t most = INT64_MAX;

    if (o->resume && !o->output)
        return gd_fail(GD_EUSAGE, "--resume needs --output, the file to continue");
    GD_TRY(nll_terms_open(&r->means, o->terms, r->schedule->n, o->overwrite, o->resume));
    if (o->terms)
        most = r->means.images;
    GD_TRY(
        nll_rows_open(&r->rows, o->output, o->overwrite ? GD_OVERWRITE : GD_KEEP, o->resume, most));
    r->rows.durable = o->terms != NULL;
    return GD_OK;
}

static gd_status print_result(const run *r)
{
    const double n = (double)r->rows.n;
    const nll_row *sum = &r->rows.sum;
    json_t *j;

    if (!r->o.json) {
        fprintf(job_out(),
                "%.6f bits/dim over %lld images (prior %.6f, terms %.6f, eps mse %.6f, x_0 mse "
                "%.6f)\n",
                sum->total / n, (long long)r->rows.n, sum->prior / n, sum->vb / n, sum->mse / n,
                sum->xstart_mse / n);
        return GD_OK;
    }
    j = json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:i}", "images", (json_int_t)r->rows.n,
                  "total_bpd", sum->total / n, "prior_bpd", sum->prior / n, "vb", sum->vb / n,
                  "mse", sum->mse / n, "xstart_mse", sum->xstart_mse / n, "steps", r->schedule->n);
    return job_print_json(j);
}

static gd_status work(run *r)
{
    gd_status s = GD_OK;

    GD_TRY(settle(&r->o));
    GD_TRY(gd_model_open(&r->model, r->o.model, r->words.flag, r->words.n_flags));
    GD_TRY(make_chain(r));
    GD_TRY(open_set(r));
    if (r->o.dry_run)
        return job_dry_run(&(job_load){ r->model, r->schedule->n }, 1, r->count,
                           job_is_bf16(r->o.precision));
    GD_TRY(open_files(r));
    if (r->rows.n < r->count)
        job_progress_start(&r->progress, "steps", r->count - r->rows.n, r->o.quiet);
    for (int64_t i = r->rows.n; i < r->count && s == GD_OK; i++) {
        s = gd_stop_wanted() ? gd_fail(GD_EINTERRUPTED, "stopped: %lld of %lld images are finished",
                                       (long long)r->rows.n, (long long)r->count)
                             : one_image(r, i);
        if (s == GD_OK)
            job_progress_step(&r->progress);
    }
    if (r->progress.total > 0)
        job_progress_end(&r->progress);
    GD_TRY(s);
    if (r->rows.path)
        GD_TRY(gd_file_sync(r->rows.path));
    GD_TRY(nll_terms_write(&r->means));
    return print_result(r);
}

static gd_status run_nll(gd_job *job)
{
    run r = { .o = { .precision = "fp32", .steps = "", .clip = true } };
    gd_status s;

    GD_TRY(job_parse(job, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "nll: unexpected word %s", r.words.word[0]);
    s = work(&r);
    nll_terms_free(&r.means);
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
    "Prints the mean of the variational bound in bits per dimension, and writes each image's terms "
    "to the file of --output as soon as they are computed; --resume continues after them. A full "
    "chain is slow: -n and --steps reduce the time.";

const job_kind job_nll = { "nll",
                           "compute bits per dimension of images",
                           "nll --data PATH [--model FILE] [options]",
                           "guided nll --model model.pt --data images/ -o nll.csv",
                           table,
                           COUNT(table),
                           run_nll,
                           notes };
