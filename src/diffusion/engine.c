/* engine.c - the networks behind a denoiser: one image at a time, so that results do not depend on
 * the batch. */
#include "diffusion/diffusion.h"
#include "nn/nn.h"

struct gd_engine {
    gd_denoiser denoiser;
    gd_runner *model, *classifier;
    const float *low_res;
    int64_t image_count, low_res_count;
};

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    gd_engine *e = ctx;
    const int64_t out_count = e->image_count / e->denoiser.channels * e->denoiser.out_channels;

    for (int i = 0; i < n; i++) {
        const float *low_res = e->low_res ? e->low_res + i * e->low_res_count : NULL;
        GD_TRY(gd_runner_run(e->model, x + i * e->image_count, t + i, y ? y + i : NULL, low_res,
                             out + i * out_count));
    }
    return GD_OK;
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    gd_engine *e = ctx;

    for (int i = 0; i < n; i++)
        GD_TRY(gd_runner_run(e->classifier, x + i * e->image_count, t + i, y + i, NULL,
                             gradient + i * e->image_count));
    return GD_OK;
}

static gd_status check_fit(const gd_model *model, const gd_model *classifier)
{
    const gd_net_config *m = &gd_model_get_config(model)->net,
                        *c = &gd_model_get_config(classifier)->net;

    if (c->kind != GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: not a classifier", gd_model_path(classifier));
    if (c->image_size != m->image_size)
        return gd_fail(GD_EMISMATCH, "%s: the classifier is for %dx%d images, %s makes %dx%d",
                       gd_model_path(classifier), c->image_size, c->image_size,
                       gd_model_path(model), m->image_size, m->image_size);
    if (c->in_channels != m->in_channels)
        return gd_fail(GD_EMISMATCH, "%s: the classifier takes %d channels, %s has %d",
                       gd_model_path(classifier), c->in_channels, gd_model_path(model),
                       m->in_channels);
    if (m->num_classes > 0 && c->out_channels != m->num_classes)
        return gd_fail(GD_EMISMATCH, "%s: the classifier knows %d classes, %s has %d",
                       gd_model_path(classifier), c->out_channels, gd_model_path(model),
                       m->num_classes);
    return GD_OK;
}

static gd_status make(gd_engine *e, const gd_model *model, const gd_model *classifier, bool bf16)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;
    const gd_net_size size = { 1, c->image_size, c->image_size, c->small_size, c->small_size };

    e->denoiser = (gd_denoiser){ .ctx = e,
                                 .channels = c->in_channels,
                                 .height = size.h,
                                 .width = size.w,
                                 .out_channels = c->out_channels,
                                 .predict = predict };
    e->image_count = (int64_t)c->in_channels * size.h * size.w;
    e->low_res_count = (int64_t)c->in_channels * size.low_h * size.low_w;
    if (classifier) {
        GD_TRY(check_fit(model, classifier));
        e->denoiser.guide = guide;
        GD_TRY(gd_runner_make(&e->classifier, classifier, &size, true, bf16));
    }
    return gd_runner_make(&e->model, model, &size, false, bf16);
}

gd_status gd_engine_make(gd_engine **out, const gd_model *model, const gd_model *classifier,
                         bool bf16)
{
    gd_engine *e;
    gd_status s;

    if (gd_model_get_config(model)->net.kind == GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: a classifier, not a diffusion model",
                       gd_model_path(model));
    GD_TRY(gd_block_make((void **)&e, sizeof *e, "engine"));
    s = make(e, model, classifier, bf16);
    if (s != GD_OK) {
        gd_engine_free(e);
        return s;
    }
    *out = e;
    return GD_OK;
}

void gd_engine_free(gd_engine *e)
{
    if (!e)
        return;
    gd_runner_free(e->model);
    gd_runner_free(e->classifier);
    gd_block_free(e);
}

const gd_denoiser *gd_engine_denoiser(const gd_engine *e)
{
    return &e->denoiser;
}

size_t gd_engine_bytes(const gd_engine *e)
{
    return gd_runner_bytes(e->model) + (e->classifier ? gd_runner_bytes(e->classifier) : 0);
}

void gd_engine_set_low_res(gd_engine *e, const float *low_res)
{
    e->low_res = low_res;
}

gd_mean_type gd_config_mean_type(const gd_diffusion_config *d)
{
    return d->predict_xstart ? GD_MEAN_START_X : GD_MEAN_EPSILON;
}

gd_var_type gd_config_var_type(const gd_diffusion_config *d)
{
    if (d->learn_sigma)
        return GD_VAR_LEARNED_RANGE;
    return d->sigma_small ? GD_VAR_FIXED_SMALL : GD_VAR_FIXED_LARGE;
}

gd_loss_type gd_config_loss_type(const gd_diffusion_config *d)
{
    if (d->use_kl)
        return GD_LOSS_RESCALED_KL;
    return d->rescale_learned_sigmas ? GD_LOSS_RESCALED_MSE : GD_LOSS_MSE;
}

gd_mean_type gd_model_mean_type(const gd_model *model)
{
    return gd_config_mean_type(&gd_model_get_config(model)->diffusion);
}

gd_var_type gd_model_var_type(const gd_model *model)
{
    return gd_config_var_type(&gd_model_get_config(model)->diffusion);
}
