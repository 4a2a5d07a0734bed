/* stage.c - one model ready to sample: alone, or as an upsampler behind other images, with the same
 * bytes either way. */
#include "sampling/sampling.h"
#include "data/data.h"
#include "diffusion/solver.h"

#include <string.h>

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    const gd_stage *s = ctx;

    if (s->torch)
        gd_torch_randn(s->torch, out, n * s->image);
    else
        gd_noise_images(out, s->image, s->o.seed, first, n, step);
}

void gd_stage_set_seed(gd_stage *s, uint64_t seed)
{
    s->o.seed = s->small > 0 ? gd_stage_seed(seed, s->size) : seed;
}

static gd_status find_solver(gd_stage *s)
{
    const bool ddim = strncmp(s->o.steps, "ddim", 4) == 0;

    return gd_solver_find(&s->trajectory.solver, s->o.sampler ? s->o.sampler
                                                 : ddim       ? "ddim"
                                                              : "ddpm");
}

gd_status gd_stage_open(gd_stage *s, const gd_model *model, const gd_model *classifier,
                        const gd_stage_options *options)
{
    const gd_model_config *c = gd_model_get_config(model);

    *s = (gd_stage){ .o = *options,
                     .model = model,
                     .classifier = classifier,
                     .size = c->net.image_size,
                     .small = c->net.kind == GD_NET_SUPERRES ? c->net.small_size : 0,
                     .channels = c->net.in_channels,
                     .classes = gd_model_class_count(model) };
    if (c->net.kind == GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: a classifier, not a diffusion model",
                       gd_model_path(model));
    if (s->classes == 0 && classifier)
        s->classes = gd_model_class_count(classifier);
    s->image = (int64_t)s->channels * s->size * s->size;
    s->low_image = (int64_t)s->channels * s->small * s->small;
    gd_stage_set_seed(s, options->seed);
    GD_TRY(find_solver(s));
    GD_TRY(gd_schedule_make(&s->schedule, c->diffusion.noise_schedule, c->diffusion.steps,
                            s->o.steps, c->diffusion.rescale_timesteps));
    GD_TRY(gd_grid_discrete(&s->grid, s->schedule, s->schedule->n - 1, false));
    s->trajectory.process =
        (gd_process){ s->schedule, gd_model_mean_type(model), gd_model_var_type(model), s->o.clip };
    s->trajectory.grid = s->grid;
    s->trajectory.options = s->o.solver;
    s->trajectory.scale = s->o.scale >= 0 ? s->o.scale : c->guidance_scale;
    return GD_OK;
}

int gd_stage_calls(const gd_stage *s)
{
    return gd_trajectory_calls(&s->trajectory);
}

gd_status gd_stage_prepare(gd_stage *s, int batch)
{
    GD_TRY(gd_engine_make(&s->engine, s->model, s->classifier, s->o.bf16,
                          gd_engine_lanes(batch, s->size)));
    s->trajectory.denoiser = gd_engine_denoiser(s->engine);
    s->trajectory.noise = draw;
    s->trajectory.noise_ctx = s;
    GD_TRY(gd_block_make(&s->work, gd_trajectory_bytes(&s->trajectory, batch), "sampler"));
    if (s->small == 0)
        return GD_OK;
    GD_TRY(gd_block_make((void **)&s->low_res, (size_t)(batch * s->low_image) * sizeof *s->low_res,
                         "low-resolution images"));
    return gd_block_make((void **)&s->noise, (size_t)s->low_image * sizeof *s->noise,
                         "low-resolution image");
}

gd_status gd_stage_run_from(gd_stage *s, int64_t first, int n, const float *low_res,
                            const int64_t *labels, float *out)
{
    gd_engine_set_low_res(s->engine, low_res);
    return gd_trajectory_run(&s->trajectory, first, n, s->classes > 0 ? labels : NULL, out,
                             s->work);
}

gd_status gd_stage_run(gd_stage *s, int64_t first, int n, const uint8_t *low, const int64_t *labels,
                       float *out)
{
    for (int i = 0; i < n && s->small > 0; i++) {
        float *low_res = s->low_res + i * s->low_image;
        const gd_image from = { s->small, s->small, s->channels,
                                (uint8_t *)low + i * s->low_image };
        gd_image_floats(low_res, &from, false);
        gd_stage_disturb(low_res, s->noise, s->low_image, s->o.low_res_noise, s->o.seed, first + i);
    }
    return gd_stage_run_from(s, first, n, s->small > 0 ? s->low_res : NULL, labels, out);
}

size_t gd_stage_bytes(const gd_stage *s)
{
    return gd_engine_bytes(s->engine) + gd_trajectory_bytes(&s->trajectory, 1) +
           (size_t)(2 * s->low_image) * sizeof(float);
}

void gd_stage_close(gd_stage *s)
{
    gd_block_free(s->work);
    gd_block_free(s->low_res);
    gd_block_free(s->noise);
    gd_engine_free(s->engine);
    gd_grid_free(s->grid);
    gd_schedule_free(s->schedule);
}
