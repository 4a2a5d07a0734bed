/* kind_train.c - losses of a network with the gradients of its parameters, and whole updates. */
#include "golden.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
    golden *g;
    const char *prefix; /* "model", "classifier" */
    gd_learner *learner;
    gd_worker *worker;
    gd_schedule *schedule;
    gd_process process;
    gd_objective objective;
    gd_train_batch batch; /* of the first update */
    int64_t image;        /* elements */
} training;

static gd_loss_type loss_type(json_t *diffusion)
{
    if (golden_bool(diffusion, "use_kl", false))
        return GD_LOSS_RESCALED_KL;
    return golden_bool(diffusion, "rescale_learned_sigmas", false) ? GD_LOSS_RESCALED_MSE
                                                                   : GD_LOSS_MSE;
}

static void read_averages(golden *g, gd_learner_options *o, char rate[GD_MAX_EMA][16])
{
    const char *at = json_string_value(json_object_get(g->config, "ema_rate"));

    for (; at && *at && o->n_ema < GD_MAX_EMA; o->n_ema++) {
        const int n = (int)strcspn(at, ",");
        snprintf(rate[o->n_ema], 16, "%.*s", n, at);
        o->ema_rate[o->n_ema] = atof(rate[o->n_ema]);
        at += n + (at[n] == ',');
    }
}

static bool begin(training *t, golden *g, const char *prefix, const char *images,
                  gd_learner_options *o)
{
    json_t *diffusion = json_object_get(g->config, "diffusion");
    const gd_array *x = golden_find(g, "%s", images);
    golden_weights source = { g, prefix };
    const gd_weights weights = golden_source(&source);
    const gd_net_kind kind = strcmp(prefix, "model") == 0 ? GD_NET_UNET : GD_NET_CLASSIFIER;
    gd_model_config config;

    *t = (training){ .g = g, .prefix = prefix };
    gd_config_defaults(&config, kind);
    if (!x || !golden_net_config(g, g->config, NULL, kind, &config.net))
        return false;
    t->batch.n = (int)x->dim[x->rank - 4];
    t->image = x->dim[x->rank - 1] * x->dim[x->rank - 2] * x->dim[x->rank - 3];
    config.diffusion.learn_sigma = golden_bool(diffusion, "learn_sigma", false);
    config.net.image_size = (int)x->dim[x->rank - 1];
    o->microbatch = golden_int(g->config, "microbatch", t->batch.n);
    o->accumulate = o->microbatch < t->batch.n;
    if (golden_process(g, &t->process, &t->schedule) == GD_OK &&
        gd_learner_make(&t->learner, &config, &weights, o) == GD_OK &&
        gd_worker_make(&t->worker, t->learner) == GD_OK) {
        t->objective = (gd_objective){ .process = &t->process,
                                       .loss_type = loss_type(diffusion),
                                       .classifier = config.net.kind == GD_NET_CLASSIFIER };
        return true;
    }
    golden_fail(g, "%s", gd_error());
    return false;
}

static void end(training *t)
{
    gd_worker_free(t->worker);
    gd_learner_free(t->learner);
    gd_schedule_free(t->schedule);
}

static void read_batch(training *t, const char *images)
{
    golden *g = t->g;
    int64_t n = 0;
    const int64_t *wide = golden_i64(g, &n, "in.t");
    int *steps = golden_alloc(g, (size_t)n * sizeof *steps);

    for (int64_t i = 0; i < n; i++)
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
static void compare_terms(training *t)
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
            if (gd_worker_run(t->worker, &t->objective, &one, &means) != GD_OK)
                golden_fail(t->g, "%s", gd_error());
            value[i] = (float)gd_means_get(&means, terms[k]);
        }
        golden_compare(t->g, gd_sprintf(t->g->mem, "out.%s", terms[k]), value, t->batch.n);
    }
}

void golden_training_losses_unet(golden *g)
{
    gd_learner_options options = { 0 };
    gd_means means = { 0 };
    training t;

    if (begin(&t, g, "model", "in.x_start", &options)) {
        read_batch(&t, "in.x_start");
        compare_terms(&t);
        t.batch.weight = golden_f32(g, NULL, "in.weights");
        t.batch.share = 1.0 / t.batch.n;
        if (gd_worker_run(t.worker, &t.objective, &t.batch, &means) != GD_OK)
            golden_fail(g, "%s", gd_error());
        compare_parameter_gradients(&t);
    }
    end(&t);
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

static void compare_log(training *t, int step, const gd_means *means)
{
    json_t *logged = json_array_get(json_object_get(t->g->json, "log"), (size_t)step), *value;
    const double rtol = 1e-3; /* the cases give none; Adam amplifies rounding (821: 8e-5) */
    const char *name;

    json_object_foreach(logged, name, value)
    {
        const double said = json_number_value(value), found = gd_means_get(means, name);
        char what[64];
        snprintf(what, sizeof what, "log of step %d: %s", step, name);
        golden_record(t->g, what, fabs(found - said) / (rtol * fabs(said) + 1e-12),
                      fabs(found - said) / (fabs(said) + 1e-12));
    }
}

/* Importance weights are those before a microbatch's losses are known: they change within a batch.
 */
static bool run_micro(training *t, gd_train_batch b, int first, gd_timestep_sampler *sampler,
                      float *weight, gd_means *means)
{
    const int n = GD_MIN(t->learner->options.microbatch, b.n - first);

    b.share = 1.0 / (t->objective.classifier ? b.n : n);
    b.n = n;
    b.x0 += first * t->image;
    b.noise += first * t->image;
    b.t += first;
    b.y = b.y ? b.y + first : NULL;
    b.weight = weight + first;
    gd_timestep_sampler_refresh(sampler);
    for (int i = 0; i < n; i++)
        weight[first + i] = gd_timestep_sampler_importance(sampler, b.t[i]);
    if (gd_worker_run(t->worker, &t->objective, &b, means) != GD_OK)
        return false;
    for (int i = 0; i < n; i++)
        gd_timestep_sampler_update(sampler, b.t[i], b.loss[i]);
    return true;
}

static bool update(training *t, const gd_train_batch *b, gd_timestep_sampler *sampler,
                   float *weight, double lr, gd_means *means)
{
    const double decay = json_number_value(json_object_get(t->g->config, "weight_decay"));
    double norm;

    for (int first = 0; first < b->n; first += t->learner->options.microbatch)
        if (!run_micro(t, *b, first, sampler, weight, means))
            return false;
    gd_means_add(means, "grad_norm", gd_learner_gradient_norm(t->learner));
    if (gd_learner_update(t->learner, lr, decay, &norm) != GD_OK)
        return false;
    gd_means_add(means, "param_norm", norm);
    return true;
}

static bool make_sampler(training *t, gd_timestep_sampler *sampler)
{
    const char *kind = json_string_value(json_object_get(t->g->config, "schedule_sampler"));
    const double *history = golden_f64(t->g, "in.loss_history");

    if (gd_timestep_sampler_make(sampler, kind ? kind : "uniform", t->schedule->n) != GD_OK)
        return false;
    for (int i = 0; history && i < sampler->n * GD_LOSS_HISTORY; i++)
        gd_timestep_sampler_update(sampler, i / GD_LOSS_HISTORY, history[i]);
    return true;
}

static void run_updates(training *t, const char rate[GD_MAX_EMA][16])
{
    golden *g = t->g;
    json_t *lr = json_object_get(g->json, "lr_used");
    const int steps = (int)json_array_size(lr), n = t->batch.n;
    float *weight = golden_alloc(g, (size_t)(steps * n) * sizeof *weight);
    gd_timestep_sampler sampler;

    t->batch.loss = golden_alloc(g, (size_t)n * sizeof *t->batch.loss);
    if (!make_sampler(t, &sampler))
        golden_fail(g, "%s", gd_error());
    for (int s = 0; s < steps && !g->failed; s++) {
        gd_train_batch b = t->batch;
        gd_means means = { 0 };
        char what[32];
        b.x0 += s * n * t->image;
        b.noise += s * n * t->image;
        b.t += s * n;
        b.y = b.y ? b.y + s * n : NULL;
        if (!update(t, &b, &sampler, weight + s * n,
                    json_number_value(json_array_get(lr, (size_t)s)), &means)) {
            golden_fail(g, "%s", gd_error());
            break;
        }
        compare_log(t, s, &means);
        compare_arrays(t, s + 1, "params", t->learner->p);
        compare_arrays(t, s + 1, "exp_avg", t->learner->m);
        compare_arrays(t, s + 1, "exp_avg_sq", t->learner->v);
        for (int k = 0; k < t->learner->options.n_ema; k++) {
            snprintf(what, sizeof what, "ema_%s", rate[k]);
            compare_arrays(t, s + 1, what, t->learner->ema[k]);
        }
    }
    if (golden_find(g, "out.weights"))
        golden_compare(g, "out.weights", weight, (int64_t)steps * n);
    gd_timestep_sampler_free(&sampler);
}

static void train(golden *g, const char *prefix)
{
    gd_learner_options options = { 0 };
    char rate[GD_MAX_EMA][16] = { "" };
    training t;

    read_averages(g, &options, rate);
    if (begin(&t, g, prefix, "in.batch", &options)) {
        read_batch(&t, "in.batch");
        run_updates(&t, (const char(*)[16])rate);
    }
    end(&t);
}

void golden_train_loop(golden *g)
{
    train(g, "model");
}

void golden_classifier_train(golden *g)
{
    train(g, "classifier");
}
