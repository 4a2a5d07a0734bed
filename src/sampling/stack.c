/* SPDX-License-Identifier: MIT */
/* stack.c - a base model and the upsamplers behind it (Dhariwal & Nichol 2021, section 5.3): images
 * go from stage to stage as bytes, as a file between the stages would hold them. */
#include "sampling/sampling.h"

static gd_status check_base(const gd_stage *base)
{
    const char *path = gd_model_path(base->model);

    if (base->small == 0)
        return GD_OK;
    return gd_fail(GD_EMISMATCH,
                   "%s: an upsampler needs low-resolution images\nhint: guided upsample, or "
                   "sample --upsampler %s with a base model",
                   path, path);
}

gd_status gd_stack_check(const gd_stack *stack, int k)
{
    const gd_stage *base = &stack->stage[0], *s = &stack->stage[k], *before = s - 1;
    const char *path = gd_model_path(s->model);

    if (k == 0)
        return check_base(base);
    if (s->small == 0)
        return gd_fail(GD_EMISMATCH, "%s: a diffusion model, not an upsampler", path);
    if (s->small != before->size || s->channels != before->channels)
        return gd_fail(GD_EMISMATCH, "%s enlarges %d x %d images of %d channels, not %d x %d of %d",
                       path, s->small, s->small, s->channels, before->size, before->size,
                       before->channels);
    if (s->classes > 0 && base->classes == 0)
        return gd_fail(GD_EMISMATCH, "%s is class-conditional, and there are no labels: %s is not",
                       s->classifier ? gd_model_path(s->classifier) : path,
                       gd_model_path(base->model));
    if (s->classes > 0 && s->classes < base->classes)
        return gd_fail(GD_EMISMATCH, "%s has %d classes, %s has %d", path, s->classes,
                       gd_model_path(base->model), base->classes);
    return GD_OK;
}

int gd_stack_calls(const gd_stack *stack)
{
    int calls = 0;

    for (int k = 0; k < stack->n_stages; k++)
        calls += gd_stage_calls(&stack->stage[k]);
    return calls;
}

gd_status gd_stack_prepare(gd_stack *stack, int batch)
{
    stack->batch = batch;
    for (int k = 0; k < stack->n_stages; k++) {
        GD_TRY(gd_stage_prepare(&stack->stage[k], batch));
        GD_TRY(gd_block_make(&stack->picture[k],
                             (size_t)(batch * stack->stage[k].image) * sizeof(float), "images"));
    }
    return gd_block_make(&stack->bytes, (size_t)(batch * stack->stage[stack->n_stages - 1].image),
                         "images");
}

/* Part k of a batch as bytes, the next stage's input */
static void to_bytes(gd_stack *stack, int k, int n)
{
    const gd_stage *s = &stack->stage[k];

    for (int i = 0; i < n; i++)
        gd_to_uint8(stack->bytes + i * s->image, stack->picture[k] + i * s->image, s->channels,
                    s->image / s->channels);
}

gd_status gd_stack_run(gd_stack *stack, int64_t first, int n, const int64_t *labels,
                       gd_picture_fn finished, void *ctx)
{
    for (int k = 0; k < stack->n_stages; k++) {
        if (k > 0)
            to_bytes(stack, k - 1, n);
        GD_TRY(gd_stage_run(&stack->stage[k], first, n, k > 0 ? stack->bytes : NULL, labels,
                            stack->picture[k]));
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < stack->n_stages; k++)
            GD_TRY(finished(ctx, first + i, labels[i], k,
                            stack->picture[k] + i * stack->stage[k].image));
    return GD_OK;
}

void gd_stack_close(gd_stack *stack)
{
    for (int k = 0; k < GD_MAX_STAGES; k++) {
        gd_stage_close(&stack->stage[k]);
        gd_block_free(stack->picture[k]);
    }
    gd_block_free(stack->bytes);
}
