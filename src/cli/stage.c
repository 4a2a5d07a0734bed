/* stage.c - one upsampling stage: low-resolution bytes to an image, alone (guided upsample) or
 * behind the stage before it (guided sample --upsampler): the same bytes either way. */
#include "cli/cli.h"

#include <string.h>

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    const cli_stage *s = ctx;

    gd_noise_images(out, s->image, s->seed, first, n, step);
}

static gd_status check_model(const cli_stage *s, const char *path)
{
    const gd_model_config *c = gd_model_get_config(s->model);

    if (c->net.kind == GD_NET_SUPERRES)
        return GD_OK;
    return gd_fail(GD_EMISMATCH, "%s: a %s, not an upsampler", path,
                   c->net.kind == GD_NET_CLASSIFIER ? "classifier" : "diffusion model");
}

gd_status cli_stage_open(cli_stage *s, const char *path, const char *classifier, const char *steps,
                         const char *sampler, const gd_flag *flags, int n_flags)
{
    const bool ddim = strncmp(steps, "ddim", 4) == 0;
    const gd_model_config *c;

    GD_TRY(gd_model_open(&s->model, path, flags, n_flags));
    GD_TRY(check_model(s, path));
    c = gd_model_get_config(s->model);
    s->size = c->net.image_size;
    s->small = c->net.small_size;
    s->channels = c->net.in_channels;
    s->classes = c->net.num_classes;
    s->image = (int64_t)s->channels * s->size * s->size;
    GD_TRY(gd_schedule_make(&s->schedule, c->diffusion.noise_schedule, c->diffusion.steps, steps,
                            c->diffusion.rescale_timesteps));
    GD_TRY(gd_sampler_find(&s->trajectory.sampler, sampler ? sampler : ddim ? "ddim" : "ddpm"));
    if (!classifier)
        return GD_OK;
    GD_TRY(gd_model_open(&s->classifier, classifier, NULL, 0));
    s->classes = s->classes > 0 ? s->classes : gd_model_class_count(s->classifier);
    return GD_OK;
}

gd_status cli_stage_make(cli_stage *s, const cli_stage_options *o)
{
    const gd_model_config *c = gd_model_get_config(s->model);
    const int64_t low = (int64_t)s->channels * s->small * s->small;

    s->low_res_noise = o->low_res_noise;
    s->seed = gd_stage_seed(o->seed, s->size);
    GD_TRY(gd_engine_make(&s->engine, s->model, s->classifier, o->bf16,
                          gd_engine_lanes(o->batch, s->size)));
    s->trajectory.process = (gd_process){ s->schedule, gd_config_mean_type(&c->diffusion),
                                          gd_config_var_type(&c->diffusion), o->clip };
    s->trajectory.denoiser = gd_engine_denoiser(s->engine);
    s->trajectory.eta = o->eta;
    s->trajectory.scale = o->scale >= 0 ? o->scale : c->guidance_scale;
    s->trajectory.noise = draw;
    s->trajectory.noise_ctx = s;
    s->trajectory.before_step = o->before_step;
    s->trajectory.step_ctx = o->step_ctx;
    GD_TRY(gd_block_make(&s->work, gd_trajectory_bytes(&s->trajectory, o->batch), "upsampler"));
    GD_TRY(gd_block_make((void **)&s->low_res, (size_t)(o->batch * low) * sizeof *s->low_res,
                         "low-resolution images"));
    return gd_block_make((void **)&s->noise, (size_t)low * sizeof *s->noise,
                         "low-resolution image");
}

gd_status cli_stage_run(cli_stage *s, int64_t first, int n, const uint8_t *low,
                        const int64_t *labels, float *out)
{
    const int64_t count = (int64_t)s->channels * s->small * s->small;

    for (int i = 0; i < n; i++) {
        const gd_image from = { s->small, s->small, s->channels, (uint8_t *)low + i * count };
        gd_image_floats(s->low_res + i * count, &from, false);
        gd_stage_disturb(s->low_res + i * count, s->noise, count, s->low_res_noise, s->seed,
                         first + i);
    }
    gd_engine_set_low_res(s->engine, s->low_res);
    return gd_trajectory_run(&s->trajectory, first, n, s->classes > 0 ? labels : NULL, out,
                             s->work);
}

int cli_stage_load(const cli_stage *s, cli_load load[2])
{
    load[0] = (cli_load){ s->model, s->schedule->n };
    load[1] = (cli_load){ s->classifier, s->schedule->n };
    return s->classifier ? 2 : 1;
}

void cli_stage_close(cli_stage *s)
{
    gd_block_free(s->work);
    gd_block_free(s->low_res);
    gd_block_free(s->noise);
    gd_engine_free(s->engine);
    gd_schedule_free(s->schedule);
    gd_model_close(s->model);
    gd_model_close(s->classifier);
}
