/* sampler.c - images one by one from an open model (guided.h), with the noise of the command. */
#include "data/data.h"
#include "diffusion/diffusion.h"
#include "nn/nn.h"

#include <math.h>
#include <string.h>

struct gd_sampler {
    gd_sampler_options o; /* its texts are not looked at after opening */
    const gd_model *model;
    int labels; /* 0: unconditional */
    gd_engine *engine;
    gd_schedule *schedule;
    gd_trajectory trajectory;
    uint64_t seed;         /* of this model's noise */
    int64_t count, small;  /* elements of an image, of an upsampler's input */
    float *x, *low, *work; /* blocks: [C][H][W], [2][C][h][w], of the trajectory */
};

void gd_sampler_defaults(gd_sampler_options *out, const gd_model *model)
{
    *out = (gd_sampler_options){ .steps = "250",
                                 .scale = gd_model_get_config(model)->guidance_scale,
                                 .clip_denoised = true };
}

static gd_status check_options(const gd_sampler_options *o)
{
    if (!o->steps)
        return gd_fail(GD_EUSAGE, "sampler: steps are missing");
    if (!(o->eta >= 0 && o->eta <= 1))
        return gd_fail(GD_EUSAGE, "sampler: eta %g is not from 0 to 1", o->eta);
    if (!(o->scale >= 0 && o->scale < INFINITY))
        return gd_fail(GD_EUSAGE, "sampler: scale %g is not a number from 0", o->scale);
    if (!(o->low_res_noise >= 0 && o->low_res_noise <= 10))
        return gd_fail(GD_EUSAGE, "sampler: low_res_noise %g is not from 0 to 10",
                       o->low_res_noise);
    return GD_OK;
}

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    const gd_sampler *s = ctx;

    gd_noise_images(out, s->count, s->seed, first, n, step);
}

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    const gd_sampler *s = ctx;

    (void)n;
    return s->o.progress ? s->o.progress(s->o.progress_ctx, first, step, n_steps) : GD_OK;
}

static gd_status make(gd_sampler *s, const gd_model *classifier)
{
    const gd_model_config *c = gd_model_get_config(s->model);
    const bool upsampler = c->net.kind == GD_NET_SUPERRES,
               ddim = strncmp(s->o.steps, "ddim", 4) == 0;

    s->count = (int64_t)c->net.in_channels * c->net.image_size * c->net.image_size;
    s->small = upsampler ? (int64_t)c->net.in_channels * c->net.small_size * c->net.small_size : 0;
    s->seed = upsampler ? gd_stage_seed(s->o.seed, c->net.image_size) : s->o.seed;
    s->labels = gd_model_class_count(classifier ? classifier : s->model);
    GD_TRY(gd_sampler_find(&s->trajectory.sampler, s->o.sampler ? s->o.sampler
                                                   : ddim       ? "ddim"
                                                                : "ddpm"));
    GD_TRY(gd_schedule_make(&s->schedule, c->diffusion.noise_schedule, c->diffusion.steps,
                            s->o.steps, c->diffusion.rescale_timesteps));
    GD_TRY(gd_engine_make(&s->engine, s->model, classifier, s->o.bf16, 1));
    s->trajectory.denoiser = gd_engine_denoiser(s->engine);
    s->trajectory.process = (gd_process){ s->schedule, gd_model_mean_type(s->model),
                                          gd_model_var_type(s->model), s->o.clip_denoised };
    s->trajectory.eta = s->o.eta;
    s->trajectory.scale = s->o.scale;
    s->trajectory.noise = draw;
    s->trajectory.before_step = before_step;
    s->trajectory.noise_ctx = s->trajectory.step_ctx = s;
    GD_TRY(gd_block_make((void **)&s->work, gd_trajectory_bytes(&s->trajectory, 1), "sampler"));
    GD_TRY(gd_block_make((void **)&s->x, (size_t)s->count * sizeof *s->x, "image"));
    return gd_block_make((void **)&s->low, (size_t)(2 * s->small + 1) * sizeof *s->low,
                         "low-resolution image");
}

gd_status gd_sampler_open(gd_sampler **out, const gd_model *model, const gd_model *classifier,
                          const gd_sampler_options *options)
{
    gd_sampler *s;
    gd_status status;

    *out = NULL;
    GD_TRY(check_options(options));
    GD_TRY(gd_block_make((void **)&s, sizeof *s, "sampler"));
    s->o = *options;
    s->model = model;
    status = make(s, classifier);
    s->o.steps = s->o.sampler = NULL;
    if (status != GD_OK) {
        gd_sampler_close(s);
        return status;
    }
    *out = s;
    return GD_OK;
}

void gd_sampler_close(gd_sampler *s)
{
    if (!s)
        return;
    gd_engine_free(s->engine);
    gd_schedule_free(s->schedule);
    gd_block_free(s->work);
    gd_block_free(s->x);
    gd_block_free(s->low);
    gd_block_free(s);
}

int gd_sampler_steps(const gd_sampler *s)
{
    return s->schedule->n;
}

size_t gd_sampler_bytes(const gd_sampler *s)
{
    return gd_engine_bytes(s->engine) + gd_trajectory_bytes(&s->trajectory, 1) +
           (size_t)(s->count + 2 * s->small) * sizeof(float);
}

/* Bytes to [-1,1], with the noise of conditioning augmentation */
static gd_status set_low_res(gd_sampler *s, int64_t image, const uint8_t *low_res)
{
    const gd_net_config *c = &gd_model_get_config(s->model)->net;
    const gd_image from = { c->small_size, c->small_size, c->in_channels, (uint8_t *)low_res };

    if (s->small == 0)
        return low_res ? gd_fail(GD_EUSAGE, "sampler: the model is no upsampler") : GD_OK;
    if (!low_res)
        return gd_fail(GD_EUSAGE, "sampler: an upsampler needs a low-resolution image");
    gd_image_floats(s->low, &from, false);
    gd_stage_disturb(s->low, s->low + s->small, s->small, s->o.low_res_noise, s->seed, image);
    gd_engine_set_low_res(s->engine, s->low);
    return GD_OK;
}

gd_status gd_sampler_run(gd_sampler *s, int64_t image, int64_t label, const uint8_t *low_res,
                         uint8_t *pixels)
{
    const gd_net_config *c = &gd_model_get_config(s->model)->net;

    if (image < 0)
        return gd_fail(GD_EUSAGE, "sampler: image %lld", (long long)image);
    if (s->labels > 0 && (label < 0 || label >= s->labels))
        return gd_fail(GD_EUSAGE, "sampler: label %lld is outside 0 to %d", (long long)label,
                       s->labels - 1);
    GD_TRY(set_low_res(s, image, low_res));
    GD_TRY(
        gd_trajectory_run(&s->trajectory, image, 1, s->labels > 0 ? &label : NULL, s->x, s->work));
    gd_to_uint8(pixels, s->x, c->in_channels, (int64_t)c->image_size * c->image_size);
    return GD_OK;
}
