/* SPDX-License-Identifier: MIT */
/* train_watch.c - what a user sees of a training run: progress and grids of samples. */
#include "jobs/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- progress ---- */

static void show(const train_watch *w, const gd_trainer *t, bool ended)
{
    const double spent = gd_seconds() - w->start;
    const double rate = (double)(t->step - w->first) / (spent > 0 ? spent : 1e-9);
    const guided_progress progress = { .unit = "updates",
                                       .done = t->step,
                                       .total = t->options.iterations,
                                       .per_second = rate,
                                       .ended = ended,
                                       .images_per_second = rate * t->options.batch_size,
                                       .loss = w->loss,
                                       .skipped = t->skipped };

    if (!w->quiet)
        job_show_progress(&progress);
}

static void stepped(void *ctx, const gd_trainer *t)
{
    show(ctx, t, false);
}

static void recorded(void *ctx, const gd_trainer *t)
{
    train_watch *w = ctx;
    w->loss = gd_means_get(&t->means, t->objective.classifier ? "train_loss" : "loss");
}

static gd_run_wish request(void *ctx)
{
    (void)ctx;
    return gd_stop_wanted() ? GD_RUN_STOP : job_take_save_request() ? GD_RUN_SAVE : GD_RUN_ON;
}

/* ---- grids: the same seed, so that grids can be compared ---- */

enum { GRID_IMAGES = 16, GRID_COLUMNS = 4, GRID_SEED = 0 };

/* If the initial weights have a larger share than this in an average, the average gives noise where
 * the weights themselves give pictures. */
static const double most_of_start = 0.02;

/* Share of the initial weights in the first average: its rate to the power of the updates */
static double share_of_start(const gd_learner *l)
{
    return pow(l->options.ema_rate[0], (double)l->updates);
}

static bool shows_average(const gd_learner *l)
{
    return l->options.n_ema > 0 && share_of_start(l) <= most_of_start;
}

/* Names the weights of a grid, for its file */
static void describe_weights(char *out, size_t size, const gd_trainer *t)
{
    const gd_learner *l = t->learner;
    const int used = snprintf(out, size, "step %lld, ", (long long)t->step);

    if (shows_average(l))
        snprintf(out + used, size - (size_t)used, "average %s", t->averages.text[0]);
    else if (l->options.n_ema > 0)
        snprintf(out + used, size - (size_t)used,
                 "weights without average: average %s still has %.0f %% of the initial weights",
                 t->averages.text[0], 100 * share_of_start(l));
    else
        snprintf(out + used, size - (size_t)used, "weights without average");
}

static gd_status fetch_shown(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_learner *l = ctx;
    const float *from = shows_average(l) ? l->ema[0] : l->p;

    (void)type;
    for (int i = 0; i < l->n_param; i++)
        if (strcmp(l->spec[i].name, name) == 0) {
            memcpy(dst, from + l->offset[i], (size_t)gd_param_count(&l->spec[i]) * sizeof *dst);
            return GD_OK;
        }
    return gd_fail(GD_EFAILED, "no parameter %s", name);
}

typedef struct grid {
    const gd_trainer *t;
    gd_model *model;
    gd_stage stage;
    job_output output;
    char weights[128]; /* the weights in use */
    gd_text texts[2];
    float *x, *low_res; /* blocks: one image */
    int64_t *labels;    /* the set's first images, for an upsampler */
    float *images;
} grid;

static gd_status make_grid(grid *g, const char *path)
{
    const gd_model_config *c = &g->t->config;
    const gd_weights weights = { fetch_shown, g->t->learner };
    const gd_stage_options o = { .steps = g->t->levels ? NULL : "ddim25",
                                 .clip = true,
                                 .bf16 = g->t->options.bf16,
                                 .seed = GRID_SEED };
    const size_t image = (size_t)c->net.in_channels * (size_t)c->net.image_size *
                         (size_t)c->net.image_size * sizeof(float);

    GD_TRY(gd_model_wrap(&g->model, c, &weights));
    GD_TRY(gd_stage_open(&g->stage, g->model, NULL, &o));
    GD_TRY(gd_stage_prepare(&g->stage, 1));
    describe_weights(g->weights, sizeof g->weights, g->t);
    g->texts[0] = (gd_text){ "Software", "guided " GUIDED_VERSION };
    g->texts[1] = (gd_text){ "guided.weights", g->weights };
    g->output = (job_output){ .path = path,
                              .replace = GD_OWN,
                              .columns = GRID_COLUMNS,
                              .width = c->net.image_size,
                              .height = c->net.image_size,
                              .channels = c->net.in_channels,
                              .n = GRID_IMAGES,
                              .texts = g->texts,
                              .n_texts = COUNT(g->texts) };
    GD_TRY(job_output_open(&g->output, "grid"));
    GD_TRY(gd_block_make(&g->x, image, "sample"));
    GD_TRY(gd_block_make(&g->images, image * GRID_IMAGES, "images"));
    GD_TRY(gd_block_make(&g->labels, GRID_IMAGES * sizeof *g->labels, "labels"));
    return gd_block_make(&g->low_res, image, "low-resolution image");
}

/* The grid of an upsampler enlarges the set's first images. */
static gd_status set_low_res(grid *g, int i)
{
    const gd_net_config *c = &g->t->config.net;
    const int64_t image = (int64_t)c->in_channels * c->image_size * c->image_size;

    if (c->kind != GD_NET_SUPERRES)
        return GD_OK;
    if (i == 0)
        GD_TRY(g->t->source.read(g->t->source.ctx, 0, GRID_IMAGES, g->images, g->labels));
    gd_area_average(g->low_res, g->images + i * image, c->in_channels, c->image_size, c->image_size,
                    c->small_size, c->small_size);
    return GD_OK;
}

static gd_status fill_grid(grid *g)
{
    const gd_net_config *c = &g->t->config.net;

    for (int i = 0; i < GRID_IMAGES; i++) {
        int64_t y = c->num_classes > 0 ? i % c->num_classes : -1;
        if (gd_stop_wanted()) /* the grid can wait, the checkpoint cannot */
            return GD_OK;
        GD_TRY(set_low_res(g, i));
        if (c->kind == GD_NET_SUPERRES && c->num_classes > 0)
            y = g->labels[i];
        GD_TRY(gd_stage_run_from(&g->stage, i, 1, c->kind == GD_NET_SUPERRES ? g->low_res : NULL,
                                 &y, g->x));
        GD_TRY(job_output_add(&g->output, g->x, y));
    }
    return job_output_finish(&g->output);
}

static gd_status sample(void *ctx, const gd_trainer *t)
{
    const train_watch *w = ctx;
    char path[GD_MAX_PATH];
    grid g = { .t = t };
    gd_status s;

    snprintf(path, sizeof path, "%.4000s/samples-%09lld.png", w->run->o.out, (long long)t->step);
    s = make_grid(&g, path);
    if (s == GD_OK)
        s = fill_grid(&g);
    if (s == GD_EFAILED) { /* early weights may give no finite picture; training continues */
        gd_log(GD_LOG_NOTE, "no sample grid at step %lld: %s", (long long)t->step, gd_error());
        s = GD_OK;
    }
    gd_block_free(g.x);
    gd_block_free(g.images);
    gd_block_free(g.labels);
    gd_block_free(g.low_res);
    job_output_free(&g.output);
    gd_stage_close(&g.stage);
    gd_model_close(g.model);
    return s;
}

/* ---- life ---- */

void train_watch_start(train_watch *w, const train_run *run, gd_run_hooks *hooks)
{
    *w = (train_watch){ .run = run,
                        .quiet = run->o.quiet || !run->first,
                        .start = gd_seconds(),
                        .first = run->trainer->step,
                        .loss = NAN };
    *hooks = (gd_run_hooks){ w, request, stepped, recorded, sample };
}

void train_watch_end(train_watch *w)
{
    if (w->run->trainer->step > w->first)
        show(w, w->run->trainer, true);
}
