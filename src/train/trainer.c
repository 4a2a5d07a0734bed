/* SPDX-License-Identifier: MIT */
/* trainer.c - one iteration after the other: images, timesteps, passes, the update
 * (docs/reference/training.md#updates, #classifiers).  Everything random is keyed by seed and
 * place, so that a run continues exactly from its step alone. */
#include "train/train_private.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Training draws with another key than sampling from the same seed: an image's number may be the
 * same. */
static const uint64_t training_key = 0x7472616e67756964u;

/* Draws of one image, told apart by gd_noise_*'s step */
enum { DRAW_NOISE, DRAW_TIMESTEP, DRAW_DROPOUT, DRAW_DROPOUT_2, DRAW_LABEL, DRAW_LEVEL };
enum { MAX_SKIPPED_IN_ROW = 10 };

typedef struct seen {
    int64_t t;
    double loss;
} seen;

typedef struct gd_train_buffers {
    float *x0, *noise, *low_res, *weight; /* blocks: [images] of this rank */
    int64_t *y;
    int *t;
    double *sigma;  /* levels of GD_LEVEL_EDM */
    uint32_t *keys; /* [images][2] */
    double *loss;
    struct seen *seen;  /* [batch], of all ranks; only where losses decide the timesteps */
    int64_t image, low; /* elements of one image */
} buffers;

/* ---- life ---- */

static gd_status make_buffers(gd_trainer *t)
{
    const gd_net_config *c = &t->config.net;
    const size_t n = (size_t)t->images;
    buffers *b = gd_alloc(t->mem, sizeof *b);

    t->buffers = b;
    if (!b)
        return gd_fail(GD_ENOMEM, "training: out of memory");
    b->image = (int64_t)c->in_channels * c->image_size * c->image_size;
    b->low = (int64_t)c->in_channels * c->small_size * c->small_size;
    GD_TRY(gd_block_make(&b->x0, n * (size_t)b->image * sizeof(float), "images"));
    GD_TRY(gd_block_make(&b->noise, n * (size_t)b->image * sizeof(float), "noise"));
    if (b->low > 0)
        GD_TRY(gd_block_make(&b->low_res, n * (size_t)b->low * sizeof(float),
                             "low-resolution images"));
    GD_TRY(gd_block_make(&b->weight, n * sizeof *b->weight, "weights"));
    GD_TRY(gd_block_make(&b->y, n * sizeof *b->y, "labels"));
    GD_TRY(gd_block_make(&b->t, n * sizeof *b->t, "timesteps"));
    GD_TRY(gd_block_make(&b->sigma, n * sizeof *b->sigma, "noise levels"));
    GD_TRY(gd_block_make(&b->keys, n * 2 * sizeof *b->keys, "dropout"));
    if (t->sampler.by_loss)
        GD_TRY(gd_block_make(&b->seen, (size_t)t->options.batch_size * sizeof *b->seen, "losses"));
    return gd_block_make(&b->loss, n * sizeof *b->loss, "losses");
}

static gd_status make_process(gd_trainer *t, const gd_model *teacher)
{
    const gd_diffusion_config *d = &t->config.diffusion;

    GD_TRY(gd_schedule_make(&t->schedule, d->noise_schedule, d->steps,
                            t->options.timestep_respacing, d->rescale_timesteps));
    t->process = (gd_process){ t->schedule, gd_config_mean_type(d), gd_config_var_type(d), false };
    t->objective = (gd_objective){ .process = &t->process,
                                   .loss_type = gd_config_loss_type(d),
                                   .by_snr = train_snr_weight(&t->options),
                                   .classifier = t->config.net.kind == GD_NET_CLASSIFIER };
    GD_TRY(train_levels_make(t, teacher));
    return gd_timestep_sampler_make(&t->sampler, t->options.schedule_sampler,
                                    t->levels ? gd_level_count(t->objective.levels)
                                              : t->schedule->n,
                                    GD_LOSS_HISTORY, GD_UNIFORM_SHARE);
}

static gd_status make(gd_trainer *t, const gd_weights *weights, const gd_model *teacher)
{
    gd_learner_options o = { .bf16 = t->options.bf16, .recompute = t->options.recompute };

    const int ranks = gd_dist_ranks(t->dist), whole = t->options.batch_size;

    GD_TRY(gd_train_check(&t->options, ranks));
    GD_TRY(gd_averages_read(&t->averages, t->options.ema_rate));
    t->images = whole / ranks;
    t->micro = t->options.microbatch > 0 ? GD_MIN(t->options.microbatch, whole) : whole;
    o.microbatch = GD_MIN(t->micro, t->images);
    o.accumulate = o.microbatch < t->images || ranks > 1;
    o.n_ema = t->averages.n;
    memcpy(o.ema_rate, t->averages.rate, sizeof o.ema_rate);
    GD_TRY(make_process(t, teacher));
    GD_TRY(gd_learner_make(&t->learner, &t->config, weights, &o));
    GD_TRY(train_levels_follow(t));
    GD_TRY(gd_microbatch_make(&t->pass, t->learner, t->objective.levels));
    return make_buffers(t);
}

gd_status gd_trainer_make(gd_trainer **out, const gd_model_config *config,
                          const gd_weights *weights, const gd_train_options *options,
                          const gd_source *source, gd_dist *dist, const gd_model *teacher)
{
    gd_arena *mem;
    gd_trainer *t;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    t = gd_alloc(mem, sizeof *t);
    if (!t) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "training: out of memory");
    }
    t->mem = mem;
    t->config = *config;
    t->options = *options;
    t->source = *source;
    t->dist = dist;
    s = make(t, weights, teacher);
    if (s != GD_OK) {
        gd_trainer_free(t);
        return s;
    }
    *out = t;
    return GD_OK;
}

void gd_trainer_free(gd_trainer *t)
{
    if (!t)
        return;
    if (t->buffers) {
        gd_block_free(t->buffers->x0);
        gd_block_free(t->buffers->noise);
        gd_block_free(t->buffers->low_res);
        gd_block_free(t->buffers->weight);
        gd_block_free(t->buffers->y);
        gd_block_free(t->buffers->t);
        gd_block_free(t->buffers->sigma);
        gd_block_free(t->buffers->keys);
        gd_block_free(t->buffers->loss);
        gd_block_free(t->buffers->seen);
    }
    gd_microbatch_free(t->pass);
    train_levels_free(t);
    gd_learner_free(t->learner);
    gd_timestep_sampler_free(&t->sampler);
    gd_schedule_free(t->schedule);
    gd_arena_free(t->mem);
}

/* ---- a batch ---- */

/* The rows or columns first .. end - 1 of `size` that entry i of `small` averages */
static void area_of(int i, int size, int small, int *first, int *end)
{
    *first = (int)((int64_t)i * size / small);
    *end = (int)(((int64_t)(i + 1) * size + small - 1) / small);
}

void gd_area_average(float *out, const float *x, int planes, int height, int width, int h, int w)
{
    int top, bottom, left, right;

    for (int p = 0; p < planes; p++, x += (int64_t)height * width)
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                double sum = 0;
                area_of(i, height, h, &top, &bottom);
                area_of(j, width, w, &left, &right);
                for (int a = top; a < bottom; a++)
                    for (int b = left; b < right; b++)
                        sum += x[(int64_t)a * width + b];
                *out++ = (float)(sum / ((double)(bottom - top) * (right - left)));
            }
}

typedef struct drawing {
    gd_trainer *t;
    int64_t first; /* position of the batch's first image */
} drawing;

static double draw_uniform(const gd_trainer *t, uint64_t image, uint32_t what)
{
    return gd_noise_below(UINT32_MAX, t->options.seed ^ training_key, image, what) / 4294967295.0;
}

/* Karras et al. 2022, table 1: log s is normal */
static double draw_level(const gd_trainer *t, uint64_t image)
{
    const double mean = -1.2, deviation = 1.2;
    float z;

    gd_noise_normal(&z, 1, t->options.seed ^ training_key, image, DRAW_LEVEL);
    return exp(mean + deviation * z);
}

/* All that an image's position decides, but its timestep */
static void draw_image(void *ctx, int64_t i)
{
    const drawing *d = ctx;
    const gd_net_config *c = &d->t->config.net;
    buffers *b = d->t->buffers;
    const uint64_t seed = d->t->options.seed ^ training_key, image = (uint64_t)(d->first + i);

    gd_noise_normal(b->noise + i * b->image, b->image, seed, image, DRAW_NOISE);
    b->keys[2 * i] = gd_noise_below(UINT32_MAX, seed, image, DRAW_DROPOUT);
    b->keys[2 * i + 1] = gd_noise_below(UINT32_MAX, seed, image, DRAW_DROPOUT_2);
    if (d->t->levels)
        b->sigma[i] = draw_level(d->t, image);
    if (d->t->options.label_dropout > 0)
        b->y[i] = gd_drop_label(b->y[i], draw_uniform(d->t, image, DRAW_LABEL),
                                d->t->options.label_dropout, c->num_classes - 1);
    if (b->low > 0)
        gd_area_average(b->low_res + i * b->low, b->x0 + i * b->image, c->in_channels,
                        c->image_size, c->image_size, c->small_size, c->small_size);
}

/* By the history as it stands before the update, so that they do not depend on microbatches and
 * ranks */
static void draw_timesteps(gd_trainer *t, int64_t position)
{
    buffers *b = t->buffers;

    gd_timestep_sampler_refresh(&t->sampler);
    for (int i = 0; i < t->images; i++) {
        const double u = draw_uniform(t, (uint64_t)(position + i), DRAW_TIMESTEP);
        const bool clean = t->objective.classifier && !t->options.noised;
        b->t[i] = clean ? 0 : gd_timestep_sampler_draw(&t->sampler, u);
        b->weight[i] = gd_timestep_sampler_importance(&t->sampler, b->t[i]);
    }
}

const float *gd_trainer_weights(const gd_trainer *t)
{
    return t->buffers->weight;
}

static void take_draws(gd_trainer *t, int first, int n)
{
    buffers *b = t->buffers;

    t->draws.pass(t->draws.ctx, t->step, first, n, b->t + first, b->noise + first * b->image);
    gd_timestep_sampler_refresh(&t->sampler);
    for (int i = first; i < first + n; i++)
        b->weight[i] = gd_timestep_sampler_importance(&t->sampler, b->t[i]);
}

static void remember_losses(gd_trainer *t, int first, int n)
{
    for (int i = first; i < first + n; i++)
        gd_timestep_sampler_update(&t->sampler, t->buffers->t[i], t->buffers->loss[i]);
}

/* The whole batch is cut into microbatches, then among the ranks: what an image counts does not
 * depend on their number. */
static int images_of_pass(const gd_trainer *t, int first)
{
    const int at = gd_dist_rank(t->dist) * t->images + first;
    return GD_MIN(t->micro - at % t->micro, t->images - first);
}

static double share_of_image(const gd_trainer *t, int first)
{
    const int at = gd_dist_rank(t->dist) * t->images + first, whole = t->options.batch_size;
    return 1.0 /
           (t->objective.classifier ? whole : GD_MIN(t->micro, whole - at / t->micro * t->micro));
}

static gd_status run_pass(gd_trainer *t, int first, int n, bool validation)
{
    const gd_net_config *c = &t->config.net;
    const bool clean = t->objective.classifier && !t->options.noised;
    const bool labelled = t->objective.classifier || c->num_classes > 0;
    buffers *b = t->buffers;
    gd_objective objective = t->objective;
    gd_train_batch batch = { .n = n,
                             .share = share_of_image(t, first),
                             .x0 = b->x0 + first * b->image,
                             .noise = clean ? NULL : b->noise + first * b->image,
                             .t = b->t + first,
                             .sigma = b->sigma + first,
                             .weight = b->weight + first,
                             .y = labelled ? b->y + first : NULL,
                             .low_res = b->low > 0 ? b->low_res + first * b->low : NULL,
                             .keys = b->keys + 2 * first,
                             .loss = b->loss + first };

    objective.validation = validation;
    return gd_microbatch_run(t->pass, &objective, &batch, &t->means);
}

static gd_status run_batch(gd_trainer *t, const gd_source *source, bool validation)
{
    const int64_t position =
        t->step * t->options.batch_size + (int64_t)gd_dist_rank(t->dist) * t->images;
    drawing d = { t, position };

    GD_TRY(source->read(source->ctx, position, t->images, t->buffers->x0, t->buffers->y));
    gd_par(t->images, draw_image, &d);
    draw_timesteps(t, position);
    for (int first = 0, n; first < t->images; first += n) {
        n = images_of_pass(t, first);
        if (t->draws.pass)
            take_draws(t, first, n);
        GD_TRY(run_pass(t, first, n, validation));
        if (t->draws.pass)
            remember_losses(t, first, n);
    }
    return GD_OK;
}

/* ---- the ranks ---- */

/* All losses of the update, in the order of the images (the authors' update_with_local_losses) */
static gd_status update_sampler(gd_trainer *t)
{
    const int first = gd_dist_rank(t->dist) * t->images;
    seen *all = t->buffers->seen;

    if (!t->sampler.by_loss || t->draws.pass)
        return GD_OK;
    for (int i = 0; i < t->images; i++)
        all[first + i] = (seen){ t->buffers->t[i], t->buffers->loss[i] };
    GD_TRY(gd_dist_gather(t->dist, all + first, (size_t)t->images * sizeof *all, all));
    for (int i = 0; i < t->options.batch_size; i++)
        gd_timestep_sampler_update(&t->sampler, (int)all[i].t, all[i].loss);
    return GD_OK;
}

static gd_status sum_gradients(gd_trainer *t)
{
    if (gd_dist_ranks(t->dist) == 1)
        return GD_OK;
    return gd_dist_sum(t->dist, gd_learner_gradients(t->learner), t->learner->total);
}

gd_status gd_trainer_share(gd_trainer *t)
{
    gd_learner *l = t->learner;
    const size_t bytes = (size_t)l->total * sizeof(float), steps = (size_t)t->sampler.n;
    int64_t counters[] = { t->step, l->updates, t->skipped, t->written_by };

    if (gd_dist_ranks(t->dist) == 1)
        return GD_OK;
    GD_TRY(gd_dist_broadcast(t->dist, counters, sizeof counters));
    t->step = counters[0];
    l->updates = counters[1];
    t->skipped = counters[2];
    t->written_by = (int)counters[3];
    GD_TRY(gd_dist_broadcast(t->dist, l->p, bytes));
    GD_TRY(gd_dist_broadcast(t->dist, l->m, bytes));
    GD_TRY(gd_dist_broadcast(t->dist, l->v, bytes));
    for (int k = 0; k < t->averages.n; k++)
        GD_TRY(gd_dist_broadcast(t->dist, l->ema[k], bytes));
    if (t->sampler.by_loss) {
        GD_TRY(gd_dist_broadcast(t->dist, t->sampler.history,
                                 steps * (size_t)t->sampler.length * sizeof(double)));
        GD_TRY(gd_dist_broadcast(t->dist, t->sampler.count, steps * sizeof(int64_t)));
    }
    return gd_trainer_refresh(t);
}

gd_status gd_trainer_compare(const gd_trainer *t)
{
    gd_hasher *h;
    char hash[33];

    if (gd_dist_ranks(t->dist) == 1)
        return GD_OK;
    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, t->learner->p, (size_t)t->learner->total * sizeof(float));
    gd_hasher_text(h, hash);
    gd_hasher_free(h);
    return gd_dist_compare(t->dist, hash, sizeof hash, "the parameters",
                           "look at that host's memory and processor; --resume continues from the "
                           "last checkpoint, before which they were equal");
}

/* ---- the update ---- */

/* The authors set a diffusion model's rate after the step, a classifier's before it. */
double gd_trainer_lr(const gd_trainer *t)
{
    const gd_train_options *o = &t->options;
    const int64_t done = t->objective.classifier ? t->step : GD_MAX(t->step - 1, 0);

    return o->anneal_lr ? o->lr * (1 - (double)done / (double)o->iterations) : o->lr;
}

static gd_status skip(gd_trainer *t, const char *why)
{
    t->skipped++;
    t->step++;
    gd_learner_forget(t->learner);
    if (gd_dist_rank(t->dist) == 0)
        gd_log(GD_LOG_NOTE, "step %lld: no update: %s", (long long)t->step - 1, why);
    if (++t->skipped_in_row < MAX_SKIPPED_IN_ROW)
        return GD_OK;
    const gd_status s =
        gd_fail(GD_EFAILED,
                "step %lld: %d updates in a row were not finite; the last: %s\nhint: resume from "
                "an earlier checkpoint with a lower --lr",
                (long long)t->step - 1, t->skipped_in_row, why);
    return gd_dist_agree(t->dist, s, NULL);
}

static gd_status update(gd_trainer *t, double norm)
{
    double param_norm;

    gd_means_add(&t->means, "grad_norm", norm);
    GD_TRY(update_sampler(t));
    GD_TRY(gd_learner_update(t->learner, gd_trainer_lr(t), t->options.weight_decay, &param_norm));
    GD_TRY(train_levels_updated(t));
    gd_means_add(&t->means, "param_norm", param_norm);
    t->step++;
    t->skipped_in_row = 0;
    return GD_OK;
}

gd_status gd_trainer_step(gd_trainer *t)
{
    gd_means before = t->means;
    gd_status s;
    double norm;

    gd_dist_step(t->dist, t->step);
    s = gd_dist_agree(t->dist, run_batch(t, &t->source, false), &t->wish);
    if (s == GD_EFAILED && gd_dist_agreed(t->dist)) {
        t->means = before;
        return skip(t, gd_error());
    }
    GD_TRY(s);
    GD_TRY(sum_gradients(t));
    norm = gd_learner_gradient_norm(t->learner);
    if (!(norm * norm <= FLT_MAX)) { /* AdamW squares it in float: infinite moments never heal */
        const char *layer = gd_learner_probe(t->learner);
        char why[320];
        t->means = before;
        snprintf(why, sizeof why, "the gradient is %s%s%s",
                 isfinite(norm) ? "too large" : "not finite", *layer ? "; first bad layer: " : "",
                 layer);
        return skip(t, why);
    }
    return update(t, norm);
}

gd_status gd_trainer_validate(gd_trainer *t)
{
    return t->validation.read ? run_batch(t, &t->validation, true) : GD_OK;
}
