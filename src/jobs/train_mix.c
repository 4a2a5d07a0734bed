/* SPDX-License-Identifier: MIT */
/* train_mix.c - the initial weights of --init-from. */
#include "jobs/train.h"

enum { NAMED = 8 /* fresh parameters that are reported one by one */ };

gd_status train_mix_fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    train_mix *mix = ctx;
    const bool fits = gd_model_has(mix->from, name, type);
    const gd_weights weights = gd_model_weights(fits ? mix->from : mix->fresh);

    if (fits)
        mix->n_from++;
    else if (mix->n_fresh++ < NAMED)
        gd_log(GD_LOG_NOTE, "fresh weights for %s: %s has none with this name and shape", name,
               gd_model_path(mix->from));
    return weights.fetch(weights.ctx, name, type, dst);
}

gd_status train_mix_end(const train_mix *mix)
{
    if (mix->n_from == 0)
        return gd_fail(GD_EMISMATCH,
                       "--init-from %s: no parameter fits this network\n"
                       "hint: guided info %s describes its network; give its --preset or flags",
                       gd_model_path(mix->from), gd_model_path(mix->from));
    if (mix->n_fresh > 0)
        gd_log(GD_LOG_NOTE, "%d parameters from %s, %d fresh", mix->n_from,
               gd_model_path(mix->from), mix->n_fresh);
    return GD_OK;
}
