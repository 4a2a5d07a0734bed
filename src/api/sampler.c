/* sampler.c - images one by one from an open model (guided.h), with the noise of the command. */
#include "sampling/sampling.h"

#include <math.h>

struct gd_sampler {
    gd_sampler_options o; /* its texts are not read after opening */
    gd_stage stage;
    float *x; /* block: [C][H][W] */
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

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    const gd_sampler *s = ctx;
    gd_status status = GD_OK;

    (void)n;
    if (s->o.progress)
        status = s->o.progress(s->o.progress_ctx, first, step, n_steps);
    return status == GD_OK
               ? GD_OK
               : gd_fail(status, "image %lld: stopped by the caller before step %d of %d",
                         (long long)first, step, n_steps);
}

static gd_status make(gd_sampler *s, const gd_model *model, const gd_model *classifier)
{
    const gd_sampler_options *o = &s->o;
    const gd_stage_options stage = { .steps = o->steps,
                                     .sampler = o->sampler,
                                     .solver.eta = o->eta,
                                     .scale = o->scale,
                                     .clip = o->clip_denoised,
                                     .bf16 = o->bf16,
                                     .seed = o->seed,
                                     .low_res_noise = o->low_res_noise };

    GD_TRY(gd_stage_open(&s->stage, model, classifier, &stage));
    s->stage.trajectory.before_step = before_step;
    s->stage.trajectory.step_ctx = s;
    GD_TRY(gd_stage_prepare(&s->stage, 1));
    return gd_block_make((void **)&s->x, (size_t)s->stage.image * sizeof *s->x, "image");
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
    status = make(s, model, classifier);
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
    gd_stage_close(&s->stage);
    gd_block_free(s->x);
    gd_block_free(s);
}

int gd_sampler_steps(const gd_sampler *s)
{
    return gd_stage_calls(&s->stage);
}

size_t gd_sampler_bytes(const gd_sampler *s)
{
    return gd_stage_bytes(&s->stage) + (size_t)s->stage.image * sizeof *s->x;
}

gd_status gd_sampler_run(gd_sampler *s, int64_t image, int64_t label, const uint8_t *low_res,
                         uint8_t *pixels)
{
    gd_stage *stage = &s->stage;

    if (image < 0)
        return gd_fail(GD_EUSAGE, "sampler: image %lld", (long long)image);
    if (stage->classes > 0 && (label < 0 || label >= stage->classes))
        return gd_fail(GD_EUSAGE, "sampler: label %lld is outside 0 to %d", (long long)label,
                       stage->classes - 1);
    if (stage->small == 0 && low_res)
        return gd_fail(GD_EUSAGE, "sampler: the model is no upsampler");
    if (stage->small > 0 && !low_res)
        return gd_fail(GD_EUSAGE, "sampler: an upsampler needs a low-resolution image");
    GD_TRY(gd_stage_run(stage, image, 1, low_res, &label, s->x));
    gd_to_uint8(pixels, s->x, stage->channels, (int64_t)stage->size * stage->size);
    return GD_OK;
}
