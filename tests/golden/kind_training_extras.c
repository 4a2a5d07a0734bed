/* SPDX-License-Identifier: MIT */
/* kind_training_extras.c - targets and weights of the training losses in double, zero terminal
 * signal, EDM's loss by element, dropped labels. */
#include "golden.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct batch {
    golden *g;
    const char *schedule; /* name */
    int n;
    int64_t image;
    const float *x0, *noise, *out;
    const int64_t *t;
    double *alpha, *sigma, *snr, *x_t; /* [n], x_t [n][image] */
} batch;

static const struct {
    const char *name;
    gd_mean_type type;
} predictions[] = {
    { "eps", GD_MEAN_EPSILON },
    { "v", GD_MEAN_V },
    { "x0", GD_MEAN_START_X },
};

static void compare(const batch *b, const char *what, const double *found, int64_t count)
{
    const char *name = gd_sprintf(b->g->mem, "out64.%s.%s", b->schedule, what);

    if (golden_find(b->g, "%s", name))
        golden_compare_f64(b->g, name, found, count);
}

/* Target, min-SNR weight and weighted loss of what one kind of network predicts */
static void compare_prediction(const batch *b, const char *name, gd_mean_type type)
{
    const gd_snr_weight rule = { GD_SNR_MIN, golden_number(b->g, b->g->config, "gamma", 5), 0 };
    double *target = golden_alloc(b->g, (size_t)(b->n * b->image) * sizeof *target),
           *weight = golden_alloc(b->g, (size_t)b->n * sizeof *weight),
           *loss = golden_alloc(b->g, (size_t)b->n * sizeof *loss);

    for (int i = 0; i < b->n; i++) {
        double sum = 0;
        for (int64_t k = i * b->image; k < (i + 1) * b->image; k++) {
            target[k] = gd_prediction_of(type, b->alpha[i], b->sigma[i], b->x0[k], b->noise[k]);
            sum += (b->out[k] - target[k]) * (b->out[k] - target[k]);
        }
        weight[i] = gd_snr_weight_of(&rule, type, b->snr[i]);
        loss[i] = weight[i] * sum / (double)b->image;
    }
    compare(b, gd_sprintf(b->g->mem, "target.%s", name), target, b->n * b->image);
    compare(b, gd_sprintf(b->g->mem, "min_snr_weight.%s", name), weight, b->n);
    compare(b, gd_sprintf(b->g->mem, "min_snr_loss.%s", name), loss, b->n);
}

/* The network's output read as v */
static void compare_v(const batch *b)
{
    const int64_t n = b->n * b->image;
    double *x0 = golden_alloc(b->g, (size_t)n * sizeof *x0),
           *eps = golden_alloc(b->g, (size_t)n * sizeof *eps);

    for (int64_t k = 0; k < n; k++) {
        const double alpha = b->alpha[k / b->image], sigma = b->sigma[k / b->image];
        x0[k] = gd_prediction_x0(GD_MEAN_V, alpha, sigma, b->x_t[k], b->out[k]);
        eps[k] = gd_prediction_eps(GD_MEAN_V, alpha, sigma, b->x_t[k], b->out[k]);
    }
    compare(b, "v_to_x0", x0, n);
    compare(b, "v_to_eps", eps, n);
}

static void compare_p2(const batch *b)
{
    double *weight = golden_alloc(b->g, (size_t)b->n * sizeof *weight);
    json_t *item;
    size_t j;

    json_array_foreach(json_object_get(b->g->config, "p2"), j, item)
    {
        const gd_snr_weight rule = { GD_SNR_P2, golden_number(b->g, item, "gamma", 1),
                                     golden_number(b->g, item, "k", 1) };
        for (int i = 0; i < b->n; i++)
            weight[i] = gd_snr_weight_of(&rule, GD_MEAN_EPSILON, b->snr[i]);
        compare(b, gd_sprintf(b->g->mem, "p2_weight.%zu", j), weight, b->n);
    }
}

static void compare_zero_snr(const batch *b, int steps)
{
    gd_schedule *s;

    if (gd_schedule_make(&s, gd_sprintf(b->g->mem, "%s-zero-snr", b->schedule), steps, "", false) !=
        GD_OK) {
        golden_fail(b->g, "%s", gd_error());
        return;
    }
    compare(b, "zero_snr_alphas_cumprod", s->alpha_bar, s->n);
    gd_schedule_free(s);
}

static void run_schedule(batch *b, const char *name)
{
    const int steps = golden_get_int(b->g, b->g->config, "diffusion_steps", 1000);
    gd_schedule *s;

    b->schedule = name;
    if (gd_schedule_make(&s, name, steps, "", false) != GD_OK) {
        golden_fail(b->g, "%s", gd_error());
        return;
    }
    for (int i = 0; i < b->n; i++) {
        const double ab = s->alpha_bar[b->t[i]];
        b->alpha[i] = s->sqrt_alpha_bar[b->t[i]];
        b->sigma[i] = s->sqrt_one_minus_alpha_bar[b->t[i]];
        b->snr[i] = ab / (1 - ab);
        for (int64_t k = i * b->image; k < (i + 1) * b->image; k++)
            b->x_t[k] = b->alpha[i] * b->x0[k] + b->sigma[i] * b->noise[k];
    }
    gd_schedule_free(s);
    compare(b, "x_t", b->x_t, b->n * b->image);
    compare(b, "snr", b->snr, b->n);
    for (int i = 0; i < COUNT(predictions); i++)
        compare_prediction(b, predictions[i].name, predictions[i].type);
    compare_v(b);
    compare_p2(b);
    compare_zero_snr(b, steps);
}

static void run_schedules(golden *g)
{
    const gd_array *x = golden_find(g, "in.x_start");
    batch b = { .g = g };
    json_t *name;
    size_t i;

    if (!x)
        return;
    b.n = (int)x->dim[0];
    b.image = gd_array_count(x) / b.n;
    b.x0 = golden_f32(g, NULL, "in.x_start");
    b.noise = golden_f32(g, NULL, "in.noise");
    b.out = golden_f32(g, NULL, "in.model_output");
    b.t = golden_i64(g, NULL, "in.t");
    b.alpha = golden_alloc(g, 3 * (size_t)b.n * sizeof *b.alpha);
    b.sigma = b.alpha + b.n;
    b.snr = b.sigma + b.n;
    b.x_t = golden_alloc(g, (size_t)(b.n * b.image) * sizeof *b.x_t);
    json_array_foreach(json_object_get(g->config, "schedules"), i, name) if (!g->failed)
        run_schedule(&b, json_string_value(name));
}

/* ---- EDM's loss ---- */

/* The network's configuration with this case's sigma_data */
static bool edm_config(golden *g, json_t *edm, gd_model_config *c)
{
    json_t *text = json_pack("{s:s,s:O}", "class_name", "EDMPrecond", "init_kwargs",
                             json_object_get(edm, "init_kwargs"));
    char *dumped = json_dumps(text, JSON_COMPACT);
    const bool ok =
        gd_config_from_text(c, GD_FAMILY_EDM, GD_NET_UNET, dumped ? dumped : "") == GD_OK;

    if (!ok)
        golden_fail(g, "%s", gd_error());
    free(dumped);
    json_decref(text);
    c->diffusion.sigma_data = golden_number(g, edm, "sigma_data", 0.5);
    return ok;
}

static void compare_elements(golden *g, const gd_level_rule *rule, const gd_train_batch *b,
                             const gd_denoiser *net, int64_t image)
{
    float *loss = golden_alloc(g, (size_t)(b->n * image) * sizeof *loss),
          *d = golden_alloc(g, (size_t)(b->n * image) * sizeof *d);
    gd_level_rule sized = *rule;
    gd_level_pass pass;

    sized.target = net; /* for the pass's working memory */
    if (gd_level_pass_make(&pass, &sized, b->n, image) != GD_OK ||
        gd_level_prepare(&pass, rule, b, image) != GD_OK ||
        gd_predict_x0(net, rule->form, b->n, pass.x, pass.sigma, b->y, d, pass.work) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    for (int64_t k = 0; k < b->n * image; k++) {
        const double e = d[k] - pass.target[k];
        loss[k] = (float)(gd_level_weight_of(rule, pass.sigma[k / image]) * e * e);
    }
    golden_compare(g, "out.edm.loss", loss, b->n * image);
    gd_level_pass_free(&pass);
}

static gd_status run_network(golden *g, json_t *edm, const gd_model_config *c)
{
    const gd_array *x = golden_find(g, "in.edm.images");
    const int n = (int)x->dim[0];
    const float *z = golden_f32(g, NULL, "in.edm.rnd_normal");
    const double mean = golden_number(g, edm, "P_mean", -1.2),
                 deviation = golden_number(g, edm, "P_std", 1.2);
    double *sigma = golden_alloc(g, (size_t)n * sizeof *sigma);
    golden_weights source = { g, "net", "model." };
    const gd_weights weights = golden_source(&source);
    gd_model *model = NULL;
    gd_engine *engine = NULL;
    gd_status s;

    for (int i = 0; i < n; i++)
        sigma[i] = exp(mean + deviation * z[i]);
    const gd_train_batch b = { .n = n,
                               .x0 = golden_f32(g, NULL, "in.edm.images"),
                               .noise = golden_f32(g, NULL, "in.edm.noise"),
                               .sigma = sigma,
                               .y = golden_class_labels(g, "in.edm.labels", n) };
    s = gd_model_wrap(&model, c, &weights);
    if (s == GD_OK)
        s = gd_engine_make(&engine, model, NULL, false, 1);
    if (s == GD_OK) {
        const gd_level_rule rule = { .kind = GD_LEVEL_EDM,
                                     .weight = GD_LEVEL_KARRAS,
                                     .sigma_data = c->diffusion.sigma_data,
                                     .form = gd_engine_preconditioner(engine) };
        compare_elements(g, &rule, &b, gd_engine_denoiser(engine), gd_array_count(x) / n);
    }
    gd_engine_free(engine);
    gd_model_close(model);
    return s;
}

static void run_edm(golden *g)
{
    json_t *edm = json_object_get(g->config, "edm");
    gd_model_config c;

    if (golden_find(g, "in.edm.images") && edm_config(g, edm, &c) &&
        run_network(g, edm, &c) != GD_OK)
        golden_fail(g, "%s", gd_error());
}

/* ---- label dropout ---- */

static void run_dropout(golden *g)
{
    json_t *dropout = json_object_get(g->config, "dropout");
    int64_t n = 0;
    const float *u = golden_f32(g, &n, "in.dropout.uniform");
    const int64_t *y = golden_i64(g, NULL, "in.dropout.y");
    int64_t *found = golden_alloc(g, (size_t)n * sizeof *found);

    if (!u || !y)
        return;
    for (int64_t i = 0; i < n; i++)
        found[i] = gd_drop_label(y[i], u[i], golden_number(g, dropout, "p", 0),
                                 golden_get_int(g, dropout, "null_class", 0));
    golden_compare_bytes(g, "out.dropout.y", found, (size_t)n * sizeof *found);
}

void golden_training_extras(golden *g)
{
    run_schedules(g);
    run_edm(g);
    run_dropout(g);
}
