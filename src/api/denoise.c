/* SPDX-License-Identifier: MIT */
/* denoise.c - one call of a diffusion model, and its vector-Jacobian product. */
#include "api/handles.h"
#include "diffusion/solver.h"

struct guided_denoiser {
    guided_context *context;
    const gd_model *model;
    gd_runner *runner;
    gd_schedule *schedule;
    bool gradient, ready; /* for gd_runner_vjp; `result` is computed */
    int64_t image, out;   /* elements */
    double c_in, weight;  /* of the latest call: x0 = skip x + weight out(c_in x) */
    double skip;
    float *input, *result; /* blocks: [image], [out] */
};

static gd_status make(guided_denoiser *d, const gd_model *model, bool bf16)
{
    const gd_model_config *c = gd_model_get_config(model);
    const gd_net_size size = gd_net_natural_size(&c->net, 1);

    if (c->net.kind != GD_NET_UNET)
        return gd_fail(GD_EMISMATCH, "%s: not a diffusion model that works without other images",
                       gd_model_path(model));
    d->model = model;
    d->image = (int64_t)c->net.in_channels * size.h * size.w;
    d->out = (int64_t)c->net.out_channels * size.h * size.w;
    GD_TRY(gd_schedule_make(&d->schedule, c->diffusion.noise_schedule, c->diffusion.steps, "",
                            c->diffusion.rescale_timesteps));
    GD_TRY(d->gradient ? gd_runner_make_vjp(&d->runner, model, &size, bf16, false, gd_threads())
                       : gd_runner_make(&d->runner, model, &size, false, bf16, gd_threads()));
    GD_TRY(gd_block_make(&d->input, (size_t)d->image * sizeof *d->input, "image"));
    return gd_block_make(&d->result, (size_t)d->out * sizeof *d->result, "image");
}

guided_status guided_denoiser_open(guided_denoiser **out, const guided_model *model, bool bf16,
                                   bool gradient)
{
    const gd_entered before = gd_enter(model->context);
    gd_status s = gd_block_make(out, sizeof **out, "denoiser");

    if (s != GD_OK)
        return gd_leave(&before, s);
    (*out)->context = model->context;
    (*out)->gradient = gradient;
    s = make(*out, model->model, bf16);
    if (s != GD_OK) {
        guided_denoiser_close(*out);
        *out = NULL;
    }
    return gd_leave(&before, s);
}

void guided_denoiser_close(guided_denoiser *d)
{
    if (!d)
        return;
    gd_runner_free(d->runner);
    gd_schedule_free(d->schedule);
    gd_block_free(d->input);
    gd_block_free(d->result);
    gd_block_free(d);
}

static gd_status denoise(guided_denoiser *d, const float *x, double sigma, int64_t label, float *x0)
{
    const gd_sigma_map map = { .kind = GD_TIME_LOG, .schedule = d->schedule };
    const gd_level at = gd_sigma_level(&map, sigma);
    const float time = (float)at.time;
    const gd_mean_type type = gd_model_mean_type(d->model);
    const int classes = gd_model_class_count(d->model);

    d->ready = false;
    if (!(sigma > 0))
        return gd_fail(GD_EUSAGE, "denoiser: sigma %g is not above 0", sigma);
    if (classes > 0 && (label < 0 || label >= classes))
        return gd_fail(GD_EUSAGE, "denoiser: label %lld is outside 0 to %d", (long long)label,
                       classes - 1);
    d->c_in = 1 / sqrt(1 + sigma * sigma);
    d->skip = gd_prediction_x0(type, d->c_in, sigma * d->c_in, d->c_in, 0);
    d->weight = gd_prediction_x0(type, d->c_in, sigma * d->c_in, 0, 1);
    for (int64_t i = 0; i < d->image; i++)
        d->input[i] = (float)(d->c_in * x[i]);
    GD_TRY(gd_runner_run(d->runner, d->input, &time, classes > 0 ? &label : NULL, NULL, d->result));
    for (int64_t i = 0; i < d->image; i++)
        x0[i] = (float)(d->skip * x[i] + d->weight * d->result[i]);
    d->ready = true;
    return GD_OK;
}

guided_status guided_denoise(guided_denoiser *d, const float *x, double sigma, int64_t label,
                             float *x0)
{
    const gd_entered before = gd_enter(d->context);

    return gd_leave(&before, denoise(d, x, sigma, label, x0));
}

static gd_status vjp(guided_denoiser *d, const float *v, float *gradient)
{
    if (!d->gradient || !d->ready)
        return gd_fail(GD_EUSAGE, "denoiser: %s",
                       d->gradient ? "guided_denoise comes first" : "opened without a gradient");
    d->ready = false;
    for (int64_t i = 0; i < d->out; i++)
        d->result[i] = i < d->image ? (float)(d->weight * v[i]) : 0;
    GD_TRY(gd_runner_vjp(d->runner, d->result, gradient));
    for (int64_t i = 0; i < d->image; i++)
        gradient[i] = (float)(d->c_in * gradient[i] + d->skip * v[i]);
    return GD_OK;
}

guided_status guided_denoise_vjp(guided_denoiser *d, const float *v, float *gradient)
{
    const gd_entered before = gd_enter(d->context);

    return gd_leave(&before, vjp(d, v, gradient));
}
