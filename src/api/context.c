/* SPDX-License-Identifier: MIT */
/* context.c - contexts and messages of the public API. */
#include "api/handles.h"
#include "cpu/conv.h"

const char *guided_error(void)
{
    return gd_error();
}

const char *guided_status_text(guided_status status)
{
    return gd_status_text(status);
}

int guided_exit_status(guided_status status)
{
    return gd_exit_status(status);
}

const char *guided_version(void)
{
    return gd_version();
}

guided_status guided_context_open(guided_context **out)
{
    GD_TRY(gd_block_make(out, sizeof **out, "context"));
    (*out)->settings.cancelled = &(*out)->cancelled;
    return GD_OK;
}

void guided_context_close(guided_context *context)
{
    gd_block_free(context);
}

void guided_context_set_threads(guided_context *context, int n)
{
    context->threads = GD_MAX(n, 1);
}

int guided_context_threads(const guided_context *context)
{
    return context->threads ? context->threads : gd_threads();
}

double guided_context_peak_flops(guided_context *context, bool bf16)
{
    const gd_entered before = gd_enter(context);
    const double macs = gd_peak_macs(bf16 ? GD_BF16 : GD_F32);

    (void)!gd_leave(&before, GD_OK);
    return 2 * macs;
}

void guided_context_set_memory_limit(guided_context *context, size_t bytes)
{
    context->settings.memory_limit = bytes;
}

void guided_context_set_log(guided_context *context, guided_log_fn fn, void *ctx,
                            guided_log_level most)
{
    context->settings.log = fn;
    context->settings.log_ctx = ctx;
    context->settings.log_most = most;
}

void guided_context_cancel(guided_context *context, bool wanted)
{
    atomic_store(&context->cancelled, wanted);
}

gd_entered gd_enter(guided_context *context)
{
    const gd_entered before = { gd_use_settings(&context->settings), gd_threads() };

    if (context->threads)
        gd_set_threads(context->threads);
    return before;
}

gd_status gd_leave(const gd_entered *before, gd_status status)
{
    gd_use_settings(before->settings);
    gd_set_threads(before->threads);
    return status;
}
