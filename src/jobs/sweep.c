/* SPDX-License-Identifier: MIT */
/* sweep.c - guided sweep: every combination of options of guided sample, sampled with the same
 * seeds and measured as guided eval measures.  Each cell is saved, so that a stopped study can
 * continue. */
#include "jobs/sweep.h"
#include "jobs/args.h"
#include "jobs/option_rows.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define AT(field) offsetof(sweep_run, field)
static const job_option table[] = {
    OPTION_MODEL(AT(choice.model)),
    OPTION_CLASSIFIER(AT(choice.classifier)),
    OPTION_UNGUIDED(AT(choice.unguided)),
    { "ref", 0, JOB_TEXT, "PATH", "reference images, in any form that guided eval reads", AT(ref) },
    { "features", 0, JOB_TEXT, "CLASSIFIER", "classifier for features (default: fashion32's)",
      AT(features) },
    { "inception", 0, JOB_TEXT, "FILE", "weights of the 2015 Inception network, for features",
      AT(inception) },
    { "grey", 0, JOB_SWITCH, "", "repeat grey pictures for a three-channel network", AT(grey) },
    { "pad", 0, JOB_SWITCH, "", "add a black border to small reference pictures", AT(pad) },
    { "class", 0, JOB_TEXT, "LIST", "classes, as in guided sample (default: balanced)",
      AT(choice.classes) },
    { "num", 'n', JOB_INT, "N", "images per cell (default 500)", AT(choice.n), 4, 1e6 },
    { "seed", 0, JOB_SEED, "N", "seed of every cell (default 0)", AT(choice.seed) },
    OPTION_PRECISION(AT(choice.precision)),
    { "output", 'o', JOB_TEXT, "FOLDER",
      "folder of the study; finished cells in it are kept (default sweep)", AT(output) },
    OPTION_THREADS(AT(threads)),
    OPTION_QUIET(AT(quiet)),
    { "json", 0, JOB_SWITCH, "", "print a JSON line for each cell", AT(json) },
};
#undef AT

/* ---- axes ---- */

static bool is_own(const char *name)
{
    static const char *const own[] = { "num",   "first", "seed",       "batch-size", "num_samples",
                                       "model", "class", "batch_size", "precision",  "model_path" };

    for (int i = 0; i < COUNT(own); i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return false;
}

/* text: "steps=5,10", cut in place */
static gd_status read_axis(sweep_axis *a, char *text)
{
    char *equals = strchr(text, '='), *at;

    if (!equals || equals == text || !equals[1])
        return gd_fail(GD_EUSAGE, "sweep: %s\nhint: OPTION=VALUE,VALUE,.., as in steps=5,10,25",
                       text);
    *equals = 0;
    snprintf(a->name, sizeof a->name, "%s", text);
    a->option = job_option_find(&job_sample, text, strlen(text));
    if (!a->option || a->option->offset >= sizeof(job_sampling) || is_own(text))
        return gd_fail(GD_EUSAGE,
                       "sweep: %s cannot vary: it is not an option of guided sample that changes "
                       "images, or all cells share it",
                       text);
    for (at = equals + 1; at && a->n < SWEEP_MAX_VALUES;) {
        a->value[a->n++] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = 0;
    }
    if (at)
        return gd_fail(GD_EUSAGE, "sweep: %s has more than %d values", a->name, SWEEP_MAX_VALUES);
    return GD_OK;
}

static gd_status make_cells(sweep_run *r)
{
    int64_t n = 1;

    for (int k = 0; k < r->n_axes; k++)
        n *= r->axis[k].n;
    if (n > SWEEP_MAX_CELLS)
        return gd_fail(GD_EUSAGE, "sweep: %lld cells, but at most %d are allowed", (long long)n,
                       SWEEP_MAX_CELLS);
    r->n_cells = (int)n;
    GD_TRY(gd_block_make(&r->cell, (size_t)n * sizeof *r->cell, "cells"));
    for (int i = 0; i < r->n_cells; i++) {
        int rest = i;
        for (int k = r->n_axes - 1; k >= 0; k--) {
            r->cell[i].at[k] = rest % r->axis[k].n;
            rest /= r->axis[k].n;
        }
    }
    return GD_OK;
}

static gd_status read_axes(sweep_run *r)
{
    size_t bytes = 1;
    char *at;

    if (r->words.n_words == 0)
        return gd_fail(GD_EUSAGE, "sweep: no option varies\nhint: guided sweep "
                                  "sampler=ddim,dpmpp-2m steps=5,10,25 --ref images.npz");
    for (int i = 0; i < r->words.n_words; i++)
        bytes += strlen(r->words.word[i]) + 1;
    r->text = at = malloc(bytes);
    if (!at)
        return gd_fail(GD_ENOMEM, "sweep: out of memory");
    for (int i = 0; i < r->words.n_words; i++) {
        strcpy(at, r->words.word[i]);
        const size_t length = strlen(at) + 1;
        GD_TRY(read_axis(&r->axis[r->n_axes++], at));
        at += length;
    }
    return make_cells(r);
}

void sweep_name(const sweep_run *r, const sweep_cell *cell, char *out, size_t size)
{
    size_t used = 0;

    *out = 0;
    for (int k = 0; k < r->n_axes && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%s=%s", k ? "," : "", r->axis[k].name,
                                 r->axis[k].value[cell->at[k]]);
}

void sweep_path(const sweep_run *r, const sweep_cell *cell, const char *suffix,
                char out[GD_MAX_PATH])
{
    char name[512];

    sweep_name(r, cell, name, sizeof name);
    for (char *c = name; *c; c++)
        if (*c == '/')
            *c = '_';
    snprintf(out, GD_MAX_PATH, "%.3000s/cells/%s%s", r->output, name, suffix);
}

/* ---- finished cells ---- */

/* The settings that all cells share; a cell with other settings belongs to another study */
static json_t *study_of(const sweep_run *r)
{
    char seed[24];

    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->choice.seed);
    return json_pack("{s:s?, s:s?, s:b, s:s, s:s, s:s?, s:i, s:s, s:s}", "model", r->choice.model,
                     "classifier", r->choice.classifier, "unguided", r->choice.unguided,
                     "reference", r->ref, "features", r->eval.network.hash, "class",
                     r->choice.classes, "images", r->choice.n, "seed", seed, "precision",
                     r->choice.precision);
}

static gd_status read_cell(sweep_run *r, sweep_cell *cell)
{
    char path[GD_MAX_PATH];
    json_t *json, *study;
    bool same;

    sweep_path(r, cell, ".json", path);
    if (!gd_path_exists(path))
        return GD_OK;
    json = json_load_file(path, 0, NULL);
    study = study_of(r);
    same = json_equal(json_object_get(json, "study"), study);
    cell->done = json != NULL && same;
    cell->calls = (int)json_integer_value(json_object_get(json, "calls"));
    cell->frechet = json_number_value(json_object_get(json, "frechet"));
    cell->score = json_number_value(json_object_get(json, "inception_score"));
    cell->precision = json_number_value(json_object_get(json, "precision"));
    cell->recall = json_number_value(json_object_get(json, "recall"));
    cell->seconds = json_number_value(json_object_get(json, "seconds"));
    json_decref(json);
    json_decref(study);
    if (json && !same)
        return gd_fail(
            GD_EEXISTS,
            "%s: belongs to a study with other models, images or seed\nhint: give another -o",
            path);
    return GD_OK;
}

static gd_status write_cell(sweep_run *r, const sweep_cell *cell)
{
    char path[GD_MAX_PATH], name[512];
    json_t *json;
    char *text;
    gd_status s;

    sweep_path(r, cell, ".json", path);
    sweep_name(r, cell, name, sizeof name);
    json = json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:o}", "cell", name, "calls", cell->calls,
                     "frechet", cell->frechet, "inception_score", cell->score, "precision",
                     cell->precision, "recall", cell->recall, "seconds", cell->seconds, "study",
                     study_of(r));
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    s = text ? gd_file_put(path, GD_OWN, text, strlen(text))
             : gd_fail(GD_ENOMEM, "sweep: out of memory");
    free(text);
    if (r->json && s == GD_OK)
        return job_print_json(json);
    json_decref(json);
    return s;
}

/* ---- one cell ---- */

static gd_status take(void *ctx, int64_t image, int64_t label, int part, const float *x)
{
    job_output *out = ctx;

    (void)image;
    (void)part;
    return job_output_add(out, x, label);
}

static gd_status sample_into(job_maker *m, job_output *out)
{
    const int n = m->c.n;
    gd_status s = job_output_open(out, "npz");

    if (s == GD_OK)
        s = job_maker_prepare(m, n);
    for (int i = 0; i < n && s == GD_OK; i += m->stack.batch)
        s = job_maker_run(m, i, GD_MIN(m->stack.batch, n - i), take, out);
    return s == GD_OK ? job_output_finish(out) : s;
}

static gd_status sample_cell(sweep_run *r, sweep_cell *cell, const char *path)
{
    job_sampling choice = r->choice;
    job_maker m = { .n_stages = 0 };
    const double start = gd_seconds();
    gd_status s = GD_OK;

    for (int k = 0; k < r->n_axes && s == GD_OK; k++)
        s = job_value_set(r->axis[k].option, r->axis[k].value[cell->at[k]], &choice);
    if (s == GD_OK)
        s = job_maker_open(&m, &choice);
    if (s == GD_OK) {
        job_output out = { .path = path,
                           .replace = GD_OVERWRITE,
                           .width = m.size,
                           .height = m.size,
                           .channels = m.channels,
                           .n = m.c.n };
        cell->calls = gd_stack_calls(&m.stack);
        s = sample_into(&m, &out);
        job_output_free(&out);
    }
    job_maker_close(&m);
    cell->seconds = gd_seconds() - start;
    return s;
}

static gd_status survey(sweep_run *r, eval_side *side)
{
    job_progress_start(&r->eval.progress, "steps", gd_images_count(side->images), true);
    return eval_survey(&r->eval, side);
}

static gd_status judge(sweep_run *r, sweep_cell *cell, const char *path)
{
    eval_run *e = &r->eval;
    gd_status s;

    e->samples = (eval_side){ 0 };
    s = eval_open(e, &e->samples, path);
    if (s == GD_OK)
        s = survey(r, &e->samples);
    if (s == GD_OK)
        s = eval_measure(e);
    if (s == GD_OK) {
        cell->frechet = eval_figure_value(e, "fid");
        cell->score = eval_figure_value(e, "inception_score");
        cell->precision = eval_figure_value(e, "precision");
        cell->recall = eval_figure_value(e, "recall");
    }
    eval_forget_results(e);
    eval_close(&e->samples);
    return s;
}

/* A finished cell has a .json file; an interrupted cell is made again. */
static gd_status run_cell(sweep_run *r, int i)
{
    sweep_cell *cell = &r->cell[i];
    char path[GD_MAX_PATH], name[512];
    gd_status s;

    sweep_name(r, cell, name, sizeof name);
    if (cell->done)
        return GD_OK;
    sweep_path(r, cell, ".npz", path);
    s = sample_cell(r, cell, path);
    if (s == GD_OK)
        s = judge(r, cell, path);
    if (s != GD_OK) {
        gd_context("cell %s", name);
        return s;
    }
    cell->done = true;
    GD_TRY(write_cell(r, cell));
    if (!r->quiet)
        gd_log(GD_LOG_NOTE, "%d of %d: %s: %d calls, Frechet distance %.4g, score %.4g, %.1f s",
               i + 1, r->n_cells, name, cell->calls, cell->frechet, cell->score, cell->seconds);
    return GD_OK;
}

/* ---- the command ---- */

static gd_status make_folder(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? GD_OK : gd_fail_errno(errno, path);
}

static gd_status open_reference(sweep_run *r)
{
    eval_run *e = &r->eval;

    if (!r->ref)
        return gd_fail(
            GD_EUSAGE,
            "sweep: no reference images\nhint: --ref PATH: a folder of images, or an .npz");
    e->first = true;
    e->o = (eval_options){ .dialect = "adm",
                           .batch = 8,
                           .images = 10000,
                           .quiet = true,
                           .grey = r->grey,
                           .pad = r->pad,
                           .inception = r->inception,
                           .features = r->inception  ? NULL
                                       : r->features ? r->features
                                                     : "fashion32" };
    e->wanted[gd_metric_index(&gd_metric_fid)] = true;
    e->wanted[gd_metric_index(&gd_metric_is)] = true;
    e->wanted[gd_metric_index(&gd_metric_pr)] = true;
    GD_TRY(eval_dialects_read(e));
    GD_TRY(eval_network_find(e));
    GD_TRY(eval_open(e, &e->ref, r->ref));
    return survey(r, &e->ref);
}

static gd_status work(sweep_run *r)
{
    char cells[GD_MAX_PATH];

    GD_TRY(read_axes(r));
    if (r->threads)
        gd_set_threads(r->threads);
    GD_TRY(open_reference(r));
    snprintf(cells, sizeof cells, "%.3000s/cells", r->output);
    GD_TRY(make_folder(r->output));
    GD_TRY(make_folder(cells));
    for (int i = 0; i < r->n_cells; i++)
        GD_TRY(read_cell(r, &r->cell[i]));
    for (int i = 0; i < r->n_cells; i++) {
        GD_TRY(run_cell(r, i));
        GD_TRY(sweep_report(r));
    }
    return GD_OK;
}

static gd_status run_sweep(gd_job *job)
{
    sweep_run r = { .choice = job_sampling_default(), .output = "sweep" };
    gd_status s;

    r.choice.n = 500;
    GD_TRY(job_parse(job, &r, &r.words));
    r.choice.seed_given = true;
    r.choice.flag = r.words.flag;
    r.choice.n_flags = r.words.n_flags;
    s = work(&r);
    eval_close(&r.eval.ref);
    eval_network_close(&r.eval.network);
    gd_block_free(r.cell);
    free(r.text);
    return s;
}

static const char notes[] =
    "Samples every combination of the given values and measures its Frechet distance, Inception "
    "Score, precision and recall. Each combination is a cell; all cells use the same seeds. A word "
    "NAME=A,B,.. names an option of guided sample and its values. The folder holds sweep.csv, "
    "sweep.svg (distance over network calls, a line for each combination of the other options), "
    "sheet.png (the first images of each cell, one row per cell, in the order of the table) and "
    "cells/ (the images and numbers of each cell). The same command continues a stopped study.";

const job_kind job_sweep = { "sweep",
                             "compare samplers, steps, scales or other options",
                             "sweep NAME=VALUE,.. [NAME=VALUE,..] --ref PATH [options]",
                             "guided sweep sampler=ddim,dpmpp-2m steps=5,10,25 --ref images.npz",
                             table,
                             COUNT(table),
                             run_sweep,
                             notes };
