/* SPDX-License-Identifier: MIT */
/* kind_likelihood.c - elements of the bound with their slopes, and whole likelihoods. */
#include "golden.h"

#include <math.h>
#include <string.h>

/* ---- functions ---- */

typedef struct columns {
    golden *g;
    int64_t n;
    double *value, *by_mean, *by_scale, *by_mean1, *by_lv1;
} columns;

static double *column(golden *g, int64_t n)
{
    return golden_alloc(g, (size_t)n * sizeof(double));
}

static void compare_kl(columns *c)
{
    golden *g = c->g;
    const float *m1 = golden_f32(g, NULL, "in.mean1"), *lv1 = golden_f32(g, NULL, "in.logvar1");
    const float *m2 = golden_f32(g, NULL, "in.mean2"), *lv2 = golden_f32(g, NULL, "in.logvar2");

    for (int64_t i = 0; i < c->n; i++) {
        const gd_bound_term t = gd_normal_kl(m1[i], lv1[i], m2[i], lv2[i]);
        c->value[i] = t.value;
        c->by_mean[i] = t.d_mean;
        c->by_scale[i] = t.d_log_variance;
        c->by_mean1[i] = -t.d_mean;
        c->by_lv1[i] = 0.5 * (exp((double)lv1[i] - lv2[i]) - 1);
    }
    golden_compare_f64(g, "out.kl", c->value, c->n);
    golden_compare_f64(g, "grad.in.mean2", c->by_mean, c->n);
    golden_compare_f64(g, "grad.in.logvar2", c->by_scale, c->n);
    golden_compare_f64(g, "grad.in.mean1", c->by_mean1, c->n);
    golden_compare_f64(g, "grad.in.logvar1", c->by_lv1, c->n);
}

static void compare_cdf(columns *c)
{
    const float *z = golden_f32(c->g, NULL, "in.z");

    for (int64_t i = 0; i < c->n; i++)
        c->value[i] = gd_normal_cdf(z[i], &c->by_mean[i]);
    golden_compare_f64(c->g, "out.cdf", c->value, c->n);
    golden_compare_f64(c->g, "grad.in.z", c->by_mean, c->n);
}

/* The case has log scales, which are half the log variance, and log likelihoods, not their negative
 */
static void compare_decoder(columns *c)
{
    golden *g = c->g;
    const float *x = golden_f32(g, NULL, "in.x"), *mean = golden_f32(g, NULL, "in.means"),
                *scale = golden_f32(g, NULL, "in.log_scales");

    for (int64_t i = 0; i < c->n; i++) {
        const gd_bound_term t = gd_decoder_nll(x[i], mean[i], 2.0 * scale[i]);
        c->value[i] = -t.value;
        c->by_mean[i] = -t.d_mean;
        c->by_scale[i] = -2 * t.d_log_variance;
    }
    golden_compare_f64(g, "out.ll", c->value, c->n);
    golden_compare_f64(g, "grad.in.means", c->by_mean, c->n);
    golden_compare_f64(g, "grad.in.log_scales", c->by_scale, c->n);
}

void golden_likelihood_functions(golden *g)
{
    const gd_array *a = golden_find(g, "in.mean1");
    const int64_t n = a ? gd_array_count(a) : 0;
    columns c = { g, n, column(g, n), column(g, n), column(g, n), column(g, n), column(g, n) };

    golden_reads_all(g);
    compare_kl(&c);
    compare_cdf(&c);
    compare_decoder(&c);
}

/* ---- bits per dimension ---- */

typedef struct stored {
    const float *noise; /* [steps][n][image] */
    int64_t n, count;
} stored;

static void stored_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    const stored *s = ctx;

    memcpy(out, s->noise + ((step - 1) * s->n + first) * s->count,
           (size_t)(n * s->count) * sizeof *out);
}

static void run_images(golden *g, gd_engine *engine, const gd_process *p, stored *s)
{
    const gd_denoiser *d = gd_engine_denoiser(engine);
    const gd_step_noise noise = { stored_noise, s };
    const int steps = p->schedule->n;
    const float *x0 = golden_f32(g, NULL, "in.x_start");
    const int64_t *y = golden_find(g, "in.y") ? golden_i64(g, NULL, "in.y") : NULL;
    double *total = column(g, s->n), *prior = column(g, s->n), *vb = column(g, s->n * steps),
           *xstart_mse = column(g, s->n * steps), *mse = column(g, s->n * steps);
    void *work = golden_alloc(g, gd_likelihood_bytes(d));

    for (int64_t i = 0; i < s->n; i++) {
        gd_likelihood l = { .vb = vb + i * steps,
                            .xstart_mse = xstart_mse + i * steps,
                            .mse = mse + i * steps };
        if (gd_likelihood_run(&l, d, p, &noise, i, x0 + i * s->count, y ? y + i : NULL, work) !=
            GD_OK)
            golden_fail(g, "%s", gd_error());
        total[i] = l.total;
        prior[i] = l.prior;
    }
    golden_compare_f64(g, "out.total_bpd", total, s->n);
    golden_compare_f64(g, "out.prior_bpd", prior, s->n);
    golden_compare_f64(g, "out.vb", vb, s->n * steps);
    golden_compare_f64(g, "out.xstart_mse", xstart_mse, s->n * steps);
    golden_compare_f64(g, "out.mse", mse, s->n * steps);
}

void golden_calc_bpd_loop(golden *g)
{
    const gd_array *x = golden_find(g, "in.x_start");
    golden_weights source = { g, "model" };
    const gd_weights weights = golden_source(&source);
    gd_schedule *schedule = NULL;
    gd_engine *engine = NULL;
    gd_model *model = NULL;
    gd_model_config c;
    gd_process p;

    golden_reads_all(g);
    gd_config_defaults(&c, GD_NET_UNET);
    if (!x || !golden_net_config(g, g->config, NULL, GD_NET_UNET, &c.net))
        return;
    c.net.image_size = (int)x->dim[3];
    if (!golden_diffusion(g, golden_at(g, g->config, "diffusion"), "steps", &c.diffusion))
        return;
    stored s = { golden_f32(g, NULL, "in.noise"), x->dim[0], gd_array_count(x) / x->dim[0] };
    if (golden_process(g, &p, &schedule) == GD_OK && gd_model_wrap(&model, &c, &weights) == GD_OK &&
        gd_engine_make(&engine, model, NULL, false, 1) == GD_OK)
        run_images(g, engine, &p, &s);
    else
        golden_fail(g, "%s", gd_error());
    gd_engine_free(engine);
    gd_model_close(model);
    gd_schedule_free(schedule);
}
