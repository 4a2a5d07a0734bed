/* SPDX-License-Identifier: MIT */
/* kind_train.c - losses of a network with the gradients of its parameters, and whole updates. */
#include "golden.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
    golden *g;
    const char *prefix; /* "model", "classifier" */
    gd_model_config config;
    gd_learner *learner;
    gd_train_batch batch; /* all updates' images one after the other; n: of one update */
    int64_t image;        /* elements */
} training;

/* Dropout's masks are drawn, and no case stores them. */
static bool read_config(training *t, golden *g, const char *prefix, const char *images)
{
    const gd_array *x = golden_find(g, "%s", images);
    const gd_net_kind kind = strcmp(prefix, "model") == 0 ? GD_NET_UNET : GD_NET_CLASSIFIER;

    *t = (training){ .g = g, .prefix = prefix };
    gd_config_defaults(&t->config, kind);
    if (!x || x->rank < 4 || !golden_net_config(g, g->config, NULL, kind, &t->config.net) ||
        !golden_diffusion(g, golden_at(g, g->config, "diffusion"), "steps", &t->config.diffusion)) {
        golden_fail(g, "no images %s", images);
        return false;
    }
    if (t->config.net.dropout > 0)
        golden_fail(g, "dropout %g: no masks are stored", t->config.net.dropout);
    t->batch.n = (int)x->dim[x->rank - 4];
    t->image = x->dim[x->rank - 1] * x->dim[x->rank - 2] * x->dim[x->rank - 3];
    t->config.net.image_size = (int)x->dim[x->rank - 1];
    return !g->failed;
}

/* The timesteps of a case without any are 0 */
static void read_batch(training *t, const char *images)
{
    golden *g = t->g;
    int64_t count = 0;
    const gd_array *x = golden_find(g, "%s", images);
    const int64_t n = gd_array_count(x) / t->image, *wide = golden_i64(g, &count, "in.t");
    int *steps = golden_alloc(g, (size_t)n * sizeof *steps);

    for (int64_t i = 0; wide && i < GD_MIN(count, n); i++)
        steps[i] = (int)wide[i];
    t->batch.t = steps;
    t->batch.x0 = golden_f32(g, NULL, "%s", images);
    t->batch.noise = golden_f32(g, NULL, "in.noise");
    t->batch.y = golden_find(g, "in.y") ? golden_i64(g, NULL, "in.y") : NULL;
}

/* ---- losses ---- */

static void compare_parameter_gradients(training *t)
{
    char name[GD_MAX_NAME];

    for (int i = 0; i < t->learner->n_param; i++) {
        const gd_param_spec *p = &t->learner->spec[i];
        const float *found = gd_learner_gradient(t->learner, i);
        if (!found) {
            golden_fail(t->g, "%s has no gradient", p->name);
            continue;
        }
        snprintf(name, sizeof name, "grad.%s.%.400s", t->prefix, p->name);
        golden_compare_part(t->g, name, found, gd_param_count(p));
        golden_compare_stat(t->g, "grad", t->prefix, p->name, found, gd_param_count(p));
    }
}

/* The mean over a batch of one image is that image's value. */
static void compare_terms(training *t, gd_microbatch *worker, const gd_objective *objective)
{
    static const char *const terms[] = { "loss", "mse", "vb" };
    float *value = golden_alloc(t->g, (size_t)t->batch.n * sizeof *value);

    for (int k = 0; k < COUNT(terms); k++) {
        if (!golden_find(t->g, "out.%s", terms[k]))
            continue;
        for (int i = 0; i < t->batch.n; i++) {
            gd_train_batch one = { .n = 1,
                                   .share = 1,
                                   .x0 = t->batch.x0 + i * t->image,
                                   .noise = t->batch.noise + i * t->image,
                                   .t = t->batch.t + i,
                                   .y = t->batch.y ? t->batch.y + i : NULL };
            gd_means means = { 0 };
            if (gd_microbatch_run(worker, objective, &one, &means) != GD_OK)
                golden_fail(t->g, "%s", gd_error());
            value[i] = (float)gd_means_get(&means, terms[k]);
        }
        golden_compare(t->g, gd_sprintf(t->g->mem, "out.%s", terms[k]), value, t->batch.n);
    }
}

static void run_losses(training *t, gd_microbatch *worker, const gd_process *p)
{
    const gd_objective objective = { .process = p,
                                     .loss_type = gd_config_loss_type(&t->config.diffusion) };
    gd_means means = { 0 };

    compare_terms(t, worker, &objective);
    t->batch.weight = golden_f32(t->g, NULL, "in.weights");
    t->batch.share = 1.0 / t->batch.n;
    if (gd_microbatch_run(worker, &objective, &t->batch, &means) != GD_OK)
        golden_fail(t->g, "%s", gd_error());
    compare_parameter_gradients(t);
}

void golden_training_losses_unet(golden *g)
{
    golden_weights source = { g, "model" };
    const gd_weights weights = golden_source(&source);
    gd_schedule *schedule = NULL;
    gd_microbatch *worker = NULL;
    gd_process process;
    training t;

    golden_reads_all(g);
    if (!read_config(&t, g, "model", "in.x_start"))
        return;
    const gd_learner_options options = { .microbatch = t.batch.n };
    read_batch(&t, "in.x_start");
    if (golden_process(g, &process, &schedule) == GD_OK &&
        gd_learner_make(&t.learner, &t.config, &weights, &options) == GD_OK &&
        gd_microbatch_make(&worker, t.learner, NULL) == GD_OK)
        run_losses(&t, worker, &process);
    else
        golden_fail(g, "%s", gd_error());
    gd_microbatch_free(worker);
    gd_learner_free(t.learner);
    gd_schedule_free(schedule);
}

/* ---- updates ---- */

static void compare_arrays(training *t, int step, const char *what, const float *values)
{
    char name[GD_MAX_NAME];

    for (int i = 0; i < t->learner->n_param; i++) {
        const gd_param_spec *p = &t->learner->spec[i];
        const float *found = values + t->learner->offset[i];
        snprintf(name, sizeof name, "out.step%d.%s.%s.%.300s", step, what, t->prefix, p->name);
        golden_compare_part(t->g, name, found, gd_param_count(p));
        snprintf(name, sizeof name, "out.step%d.%s", step, what);
        golden_compare_stat(t->g, name, t->prefix, p->name, found, gd_param_count(p));
    }
}

static void compare_log(training *t, int64_t step, const gd_means *means)
{
    json_t *logged = json_array_get(golden_whole(t->g, t->g->json, "log"), (size_t)step), *value;
    const double rtol = 1e-3; /* the cases give none; Adam amplifies rounding (821: 8e-5) */
    const char *name;

    json_object_foreach(logged, name, value)
    {
        const double said = json_number_value(value), found = gd_means_get(means, name);
        char what[64];
        snprintf(what, sizeof what, "log of step %d: %s", (int)step, name);
        golden_record(t->g, what, fabs(found - said) / (rtol * fabs(said) + 1e-12),
                      fabs(found - said) / (fabs(said) + 1e-12));
    }
}

/* The trainer's rate against the one that the authors' optimiser used */
static void compare_rate(golden *g, const gd_trainer *trainer, json_t *lr)
{
    const double said = json_number_value(json_array_get(lr, (size_t)trainer->step)),
                 off = fabs(gd_trainer_lr(trainer) - said);

    golden_record(g, "lr_used", off / (1e-12 * fabs(said) + 1e-300), off / (fabs(said) + 1e-300));
}

static gd_status stored_images(void *ctx, int64_t position, int n, float *images, int64_t *labels)
{
    const training *t = ctx;

    memcpy(images, t->batch.x0 + position * t->image, (size_t)(n * t->image) * sizeof *images);
    for (int i = 0; i < n; i++)
        labels[i] = t->batch.y ? t->batch.y[position + i] : 0;
    return GD_OK;
}

static void stored_draws(void *ctx, int64_t step, int first, int n, int *steps, float *noise)
{
    const training *t = ctx;
    const int64_t at = step * t->batch.n + first;

    memcpy(steps, t->batch.t + at, (size_t)n * sizeof *steps);
    if (t->batch.noise)
        memcpy(noise, t->batch.noise + at * t->image, (size_t)(n * t->image) * sizeof *noise);
}

static void read_options(training *t, gd_train_options *o, int steps)
{
    golden *g = t->g;
    json_t *c = g->config;
    const bool classifier = t->config.net.kind == GD_NET_CLASSIFIER;
    const int anneal = golden_get_int(g, c, "lr_anneal_steps", 0);

    gd_train_defaults(o, t->config.net.kind);
    golden_require(g, c, classifier ? "iterations" : "steps", steps);
    golden_require(g, g->json, "num_steps", steps);
    o->batch_size = golden_get_int(g, c, "batch_size", t->batch.n);
    o->microbatch = GD_MAX(golden_get_int(g, c, "microbatch", -1), 0); /* -1: the whole batch */
    o->lr = golden_number(g, c, "lr", o->lr);
    o->weight_decay = golden_number(g, c, "weight_decay", 0);
    o->anneal_lr = classifier ? golden_get_bool(g, c, "anneal_lr", false) : anneal > 0;
    o->iterations = classifier ? steps : anneal;
    o->noised = golden_get_bool(g, c, "noised", true);
    snprintf(o->ema_rate, sizeof o->ema_rate, "%s", golden_text(g, c, "ema_rate", o->ema_rate));
    snprintf(o->schedule_sampler, sizeof o->schedule_sampler, "%s",
             golden_text(g, c, "schedule_sampler", "uniform"));
    snprintf(o->timestep_respacing, sizeof o->timestep_respacing, "%s",
             golden_text(g, golden_at(g, c, "diffusion"), "timestep_respacing", ""));
    if (o->batch_size != t->batch.n)
        golden_fail(g, "batch_size %d, but %d images", o->batch_size, t->batch.n);
}

/* A history that is full, of the case's length */
static gd_status fill_history(golden *g, gd_timestep_sampler *sampler)
{
    const gd_array *a = golden_find(g, "in.loss_history");
    const double *history = golden_f64(g, "in.loss_history");

    if (!history)
        return GD_OK;
    const int n = sampler->n, length = (int)a->dim[1];
    if (a->rank != 2 || a->dim[0] != n)
        return gd_fail(GD_EUSAGE, "in.loss_history is not of %d steps", n);
    gd_timestep_sampler_free(sampler);
    GD_TRY(gd_timestep_sampler_make(sampler, "loss-second-moment", n, length, GD_UNIFORM_SHARE));
    for (int i = 0; i < n * length; i++)
        gd_timestep_sampler_update(sampler, i / length, history[i]);
    return GD_OK;
}

static void compare_update(training *t, const gd_trainer *trainer)
{
    const int step = (int)trainer->step;
    const gd_learner *l = trainer->learner;

    compare_log(t, step - 1, &trainer->means);
    compare_arrays(t, step, "params", l->p);
    compare_arrays(t, step, "exp_avg", l->m);
    compare_arrays(t, step, "exp_avg_sq", l->v);
    for (int k = 0; k < trainer->averages.n; k++)
        compare_arrays(t, step, gd_sprintf(t->g->mem, "ema_%s", trainer->averages.text[k]),
                       l->ema[k]);
}

static void run_updates(training *t, gd_trainer *trainer, int steps)
{
    golden *g = t->g;
    json_t *lr = golden_whole(g, g->json, "lr_used");
    const int n = t->batch.n;
    float *weight = golden_alloc(g, (size_t)(steps * n) * sizeof *weight);

    for (int s = 0; s < steps && !g->failed; s++) {
        trainer->means = (gd_means){ 0 };
        compare_rate(g, trainer, lr);
        if (gd_trainer_step(trainer) != GD_OK || trainer->skipped > 0) {
            golden_fail(g, "step %d: %s", s, gd_error());
            return;
        }
        memcpy(weight + s * n, gd_trainer_weights(trainer), (size_t)n * sizeof *weight);
        compare_update(t, trainer);
    }
    if (golden_find(g, "out.weights"))
        golden_compare(g, "out.weights", weight, (int64_t)steps * n);
}

/* The authors tell a classifier the index of the step, whatever rescale_timesteps is. */
static void train(golden *g, const char *prefix)
{
    const int steps = (int)json_array_size(golden_whole(g, g->json, "lr_used"));
    golden_weights source = { g, prefix };
    const gd_weights weights = golden_source(&source);
    gd_trainer *trainer = NULL;
    gd_train_options options;
    training t;

    if (!read_config(&t, g, prefix, "in.batch"))
        return;
    read_batch(&t, "in.batch");
    read_options(&t, &options, steps);
    if (g->failed)
        return;
    const gd_source images = { stored_images, &t };
    if (gd_trainer_make(&trainer, &t.config, &weights, &options, &images, NULL, NULL) == GD_OK &&
        fill_history(g, &trainer->sampler) == GD_OK) {
        trainer->draws = (gd_draws){ stored_draws, &t };
        t.learner = trainer->learner;
        run_updates(&t, trainer, steps);
    } else {
        golden_fail(g, "%s", gd_error());
    }
    gd_trainer_free(trainer);
}

void golden_train_loop(golden *g)
{
    golden_reads_all(g);
    train(g, "model");
}

void golden_classifier_train(golden *g)
{
    golden_reads_all(g);
    train(g, "classifier");
}
