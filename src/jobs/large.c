/* SPDX-License-Identifier: MIT */
/* large.c - a run of many images in a folder: one or several processes write batches of images into
 * records and pack them at the end. */
#include "jobs/maker.h"

#include <stdlib.h>
#include <string.h>

typedef struct run {
    job_maker *m;
    job_large *l;
    gd_records *records;
    gd_records_layout layout;
    job_progress progress;
    uint8_t *part[GD_RECORDS_PARTS]; /* blocks */
    int64_t begun;                   /* images that existed at the start */
} run;

void job_large_describe(gd_records_layout *l, const job_maker *m, bool keep, bool png)
{
    *l = (gd_records_layout){ .n = m->c.n,
                              .first = m->c.first,
                              .labelled = job_maker_labelled(m),
                              .result = png ? GD_RECORDS_PNG : GD_RECORDS_NPZ };
    for (int k = keep ? 0 : m->n_stages; k <= m->n_stages; k++) {
        l->part[l->n_parts].width = l->part[l->n_parts].height = job_maker_size(m, k);
        l->part[l->n_parts++].channels = m->channels;
    }
}

/* Compares the recipe of this process with that of the run.  A seed that was not given is taken
 * from the run; the spelling of the options does not matter. */
static gd_status begin(run *r)
{
    job_recipe theirs = { 0 };
    char *recipe;
    gd_status s;

    job_large_describe(&r->layout, r->m, r->l->keep, r->l->png);
    GD_TRY(job_recipe_make(&recipe, r->m, r->l->png ? "png" : "npz", r->l->keep, r->l->words));
    s = gd_records_begin(r->records, recipe, r->m->c.seed_given ? "command" : "seed,command",
                         &r->layout);
    free(recipe);
    GD_TRY(s);
    s = job_recipe_read(&theirs, gd_records_recipe(r->records), "run.json");
    if (s == GD_OK)
        job_maker_set_seed(r->m, theirs.choice.seed);
    job_recipe_close(&theirs);
    return s;
}

static gd_status prepare(run *r)
{
    GD_TRY(gd_records_count(r->records, &r->begun));
    GD_TRY(job_maker_prepare(r->m, GD_MAX(r->layout.n - r->begun, 1)));
    for (int k = 0; k < r->layout.n_parts; k++)
        GD_TRY(gd_block_make(&r->part[k],
                             (size_t)(r->layout.part[k].width * r->layout.part[k].height *
                                      r->layout.part[k].channels),
                             "image"));
    job_progress_start(&r->progress, "steps", GD_MAX((r->layout.n - r->begun) * r->m->steps, 1),
                       r->l->quiet);
    r->m->progress = &r->progress;
    r->m->records = r->records;
    return GD_OK;
}

static gd_status take(void *ctx, int64_t image, int64_t label, int part, const float *x)
{
    run *r = ctx;
    const int k = part - (r->m->n_stages + 1 - r->layout.n_parts);

    (void)image;
    if (k >= 0)
        gd_to_uint8(r->part[k], x, r->layout.part[k].channels,
                    (int64_t)r->layout.part[k].width * r->layout.part[k].height);
    if (part < r->m->n_stages)
        return GD_OK;
    return gd_records_put(r->records, label, (const uint8_t *const *)r->part);
}

static gd_status make_some(run *r, int64_t image, int n)
{
    GD_TRY(gd_check_stop());
    GD_TRY(job_maker_run(r->m, image, n, take, r));
    GD_TRY(gd_records_count(r->records, &r->l->done));
    r->progress.done =
        (r->l->done - r->begun) * r->m->steps; /* includes those of other processes */
    return GD_OK;
}

/* Works until the result exists, whichever process packs it; takes over the images of a process
 * that died */
static gd_status work_with(run *r, const char *recipe)
{
    const gd_text texts[2] = { { "Software", "guided " GUIDED_VERSION },
                               { "guided.recipe", recipe } };
    bool finished = gd_records_finished(r->records);
    gd_claim what;
    int64_t image;
    int n;

    while (!finished) {
        GD_TRY(gd_records_claim(r->records, r->m->stack.batch, &what, &image, &n));
        if (what == GD_CLAIM_IMAGE) {
            GD_TRY(make_some(r, image, n));
            continue;
        }
        if (what == GD_CLAIM_NONE)
            GD_TRY(gd_records_pack(r->records, &finished, gd_check_stop, texts, COUNT(texts)));
        if (!finished) {
            GD_TRY(gd_records_wait(r->records, r->l->deadline));
            GD_TRY(gd_check_stop());
        }
    }
    r->l->done = r->layout.n;
    return GD_OK;
}

static gd_status work(run *r)
{
    char *recipe;
    gd_status s;

    GD_TRY(job_recipe_for_picture(&recipe, gd_records_recipe(r->records)));
    s = work_with(r, recipe);
    free(recipe);
    return s;
}

static gd_status run_all(run *r)
{
    gd_status s;

    GD_TRY(begin(r));
    if (gd_records_finished(r->records)) {
        r->l->done = r->layout.n;
        if (!r->l->quiet)
            gd_log(GD_LOG_NOTE, "%s: all %lld images exist already", r->l->folder,
                   (long long)r->layout.n);
        return GD_OK;
    }
    GD_TRY(prepare(r));
    if (r->begun > 0 && !r->l->quiet)
        gd_log(GD_LOG_NOTE, "%s: continues, %lld of %lld images exist", r->l->folder,
               (long long)r->begun, (long long)r->layout.n);
    s = work(r);
    job_progress_end(&r->progress);
    r->m->progress = NULL;
    r->m->records = NULL;
    return s;
}

/* Adds the number of kept images to the message of the failure */
static void report_kept(run *r)
{
    int64_t done;
    char message[1024];

    snprintf(message, sizeof message, "%s", gd_error());
    if (gd_records_count(r->records, &done) == GD_OK && done > 0)
        r->l->done = done;
    (void)!gd_fail(GD_EFAILED, "%s", message);
    if (r->l->done > 0)
        gd_detail("%s: %lld of %lld images are kept; the same command continues the run",
                  r->l->folder, (long long)r->l->done, (long long)r->layout.n);
}

gd_status job_large_run(job_maker *m, job_large *l)
{
    run r = { .m = m, .l = l };
    gd_status s;

    GD_TRY(gd_records_join(&r.records, l->folder, l->share));
    s = run_all(&r);
    if (s != GD_OK && r.part[0])
        report_kept(&r);
    gd_records_leave(r.records);
    for (int k = 0; k < GD_RECORDS_PARTS; k++)
        gd_block_free(r.part[k]);
    return s;
}
