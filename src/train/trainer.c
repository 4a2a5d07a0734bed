/* trainer.c - one iteration after the other: images, timesteps, passes, the update (spec
 * training.md 2, 7).  Everything random is keyed by seed and place, so that a run continues exactly
 * from its step alone. */
#include "train/train.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Training draws with another key than sampling from the same seed: an image's number may be the
 * same. */
static const uint64_t training_key = 0x7472616e67756964u;

/* Draws of one image, told apart by gd_noise_*'s step */
enum { DRAW_NOISE, DRAW_TIMESTEP, DRAW_DROPOUT, DRAW_DROPOUT_2 };
enum { MAX_SKIPPED_IN_ROW = 10 };

typedef struct gd_train_buffers {
    float *x0, *noise, *low_res, *weight; /* blocks: [batch] */
    int64_t *y;
    int *t;
    uint32_t *keys; /* [batch][2] */
    double *loss;
    int64_t image, low; /* elements of one image */
} buffers;

/* ---- life ---- */

static gd_status make_buffers(gd_trainer *t)
{
    const gd_net_config *c = &t->config.net;
    const size_t n = (size_t)t->options.batch_size;
    buffers *b = gd_alloc(t->mem, sizeof *b);

    t->buffers = b;
    if (!b)
        return gd_fail(GD_ENOMEM, "training: out of memory");
    b->image = (int64_t)c->in_channels * c->image_size * c->image_size;
    b->low = (int64_t)c->in_channels * c->small_size * c->small_size;
    GD_TRY(gd_block_make((void **)&b->x0, n * (size_t)b->image * sizeof(float), "images"));
    GD_TRY(gd_block_make((void **)&b->noise, n * (size_t)b->image * sizeof(float), "noise"));
    if (b->low > 0)
        GD_TRY(gd_block_make((void **)&b->low_res, n * (size_t)b->low * sizeof(float),
                             "low-resolution images"));
    GD_TRY(gd_block_make((void **)&b->weight, n * sizeof *b->weight, "weights"));
    GD_TRY(gd_block_make((void **)&b->y, n * sizeof *b->y, "labels"));
    GD_TRY(gd_block_make((void **)&b->t, n * sizeof *b->t, "timesteps"));
    GD_TRY(gd_block_make((void **)&b->keys, n * 2 * sizeof *b->keys, "dropout"));
    return gd_block_make((void **)&b->loss, n * sizeof *b->loss, "losses");
}

static gd_status make_process(gd_trainer *t)
{
    const gd_diffusion_config *d = &t->config.diffusion;

    GD_TRY(gd_schedule_make(&t->schedule, d->noise_schedule, d->steps, "", d->rescale_timesteps));
    t->process = (gd_process){ t->schedule, gd_config_mean_type(d), gd_config_var_type(d), false };
    t->objective = (gd_objective){ .process = &t->process,
                                   .loss_type = gd_config_loss_type(d),
                                   .classifier = t->config.net.kind == GD_NET_CLASSIFIER };
    return gd_timestep_sampler_make(&t->sampler, t->options.schedule_sampler, t->schedule->n);
}

static gd_status make(gd_trainer *t, const gd_weights *weights)
{
    gd_learner_options o = { .bf16 = t->options.bf16 };

    GD_TRY(gd_train_check(&t->options, 1));
    GD_TRY(gd_averages_read(&t->averages, t->options.ema_rate));
    o.microbatch = t->options.microbatch > 0 ? GD_MIN(t->options.microbatch, t->options.batch_size)
                                             : t->options.batch_size;
    o.accumulate = o.microbatch < t->options.batch_size;
    o.n_ema = t->averages.n;
    memcpy(o.ema_rate, t->averages.rate, sizeof o.ema_rate);
    GD_TRY(make_process(t));
    GD_TRY(gd_learner_make(&t->learner, &t->config, weights, &o));
    GD_TRY(gd_worker_make(&t->worker, t->learner));
    return make_buffers(t);
}

gd_status gd_trainer_make(gd_trainer **out, const gd_model_config *config,
                          const gd_weights *weights, const gd_train_options *options,
                          const gd_source *source)
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
    s = make(t, weights);
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
        gd_block_free(t->buffers->keys);
        gd_block_free(t->buffers->loss);
    }
    gd_worker_free(t->worker);
    gd_learner_free(t->learner);
    gd_timestep_sampler_free(&t->sampler);
    gd_schedule_free(t->schedule);
    gd_arena_free(t->mem);
}

/* ---- a batch ---- */

void gd_area_average(float *out, const float *x, int channels, int size, int small)
{
    const int k = size / small;

    for (int c = 0; c < channels; c++)
        for (int i = 0; i < small; i++)
            for (int j = 0; j < small; j++) {
                double sum = 0;
                for (int a = 0; a < k; a++)
                    for (int b = 0; b < k; b++)
                        sum += x[(c * size + i * k + a) * size + j * k + b];
                *out++ = (float)(sum / (k * k));
            }
}

typedef struct drawing {
    gd_trainer *t;
    int64_t first; /* position of the batch's first image */
} drawing;

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
    if (b->low > 0)
        gd_area_average(b->low_res + i * b->low, b->x0 + i * b->image, c->in_channels,
                        c->image_size, c->small_size);
}

static void draw_timesteps(gd_trainer *t, int64_t position, int first, int n)
{
    const double range = 4294967295.0;
    buffers *b = t->buffers;

    gd_timestep_sampler_refresh(&t->sampler);
    for (int i = first; i < first + n; i++) {
        const double u = gd_noise_below(UINT32_MAX, t->options.seed ^ training_key,
                                        (uint64_t)(position + i), DRAW_TIMESTEP) /
                         range;
        const bool clean = t->objective.classifier && !t->options.noised;
        b->t[i] = clean ? 0 : gd_timestep_sampler_draw(&t->sampler, u);
        b->weight[i] = gd_timestep_sampler_importance(&t->sampler, b->t[i]);
    }
}

static gd_status run_micro(gd_trainer *t, int64_t position, int first, bool validation)
{
    const gd_net_config *c = &t->config.net;
    const bool clean = t->objective.classifier && !t->options.noised;
    const bool labelled = t->objective.classifier || c->num_classes > 0;
    buffers *b = t->buffers;
    const int n = GD_MIN(t->learner->options.microbatch, t->options.batch_size - first);
    gd_objective objective = t->objective;
    gd_train_batch batch = { .n = n,
                             .share = 1.0 / (objective.classifier ? t->options.batch_size : n),
                             .x0 = b->x0 + first * b->image,
                             .noise = clean ? NULL : b->noise + first * b->image,
                             .t = b->t + first,
                             .weight = b->weight + first,
                             .y = labelled ? b->y + first : NULL,
                             .low_res = b->low > 0 ? b->low_res + first * b->low : NULL,
                             .keys = b->keys + 2 * first,
                             .loss = b->loss + first };

    objective.validation = validation;
    draw_timesteps(t, position, first, n);
    GD_TRY(gd_worker_run(t->worker, &objective, &batch, &t->means));
    for (int i = first; i < first + n && !validation; i++)
        gd_timestep_sampler_update(&t->sampler, b->t[i], b->loss[i]);
    return GD_OK;
}

static gd_status run_batch(gd_trainer *t, const gd_source *source, bool validation)
{
    const int n = t->options.batch_size;
    const int64_t position = t->step * n;
    drawing d = { t, position };

    GD_TRY(source->read(source->ctx, position, n, t->buffers->x0, t->buffers->y));
    gd_par(n, draw_image, &d);
    for (int first = 0; first < n; first += t->learner->options.microbatch)
        GD_TRY(run_micro(t, position, first, validation));
    return GD_OK;
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
    gd_log(GD_LOG_NOTE, "step %lld: no update: %s", (long long)t->step - 1, why);
    if (++t->skipped_in_row < MAX_SKIPPED_IN_ROW)
        return GD_OK;
    return gd_fail(
        GD_EFAILED,
        "step %lld: %d updates in a row were not finite; the last: %s\nhint: resume from "
        "an earlier checkpoint with a lower --lr",
        (long long)t->step - 1, t->skipped_in_row, why);
}

gd_status gd_trainer_step(gd_trainer *t)
{
    gd_means before = t->means;
    gd_status s = run_batch(t, &t->source, false);
    double norm;

    if (s == GD_EFAILED) {
        t->means = before;
        return skip(t, gd_error());
    }
    GD_TRY(s);
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
    gd_means_add(&t->means, "grad_norm", norm);
    gd_means_add(&t->means, "param_norm", gd_learner_parameter_norm(t->learner));
    GD_TRY(gd_learner_update(t->learner, gd_trainer_lr(t), t->options.weight_decay));
    t->step++;
    t->skipped_in_row = 0;
    return GD_OK;
}

gd_status gd_trainer_validate(gd_trainer *t)
{
    return t->validation.read ? run_batch(t, &t->validation, true) : GD_OK;
}
