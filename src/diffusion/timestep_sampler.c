/* SPDX-License-Identifier: MIT */
/* timestep_sampler.c - which steps a training batch trains
 * (docs/reference/diffusion.md#timestep-samplers; Nichol & Dhariwal 2021, section 3.3). */
#include "diffusion/diffusion.h"

#include <math.h>
#include <string.h>

static const char *const kind_names[] = { "uniform", "loss-second-moment" };

gd_status gd_timestep_sampler_check(const char *kind)
{
    const char *near = gd_nearest(kind, kind_names, COUNT(kind_names));

    for (int i = 0; i < COUNT(kind_names); i++)
        if (strcmp(kind, kind_names[i]) == 0)
            return GD_OK;
    return gd_fail(GD_EUSAGE, "schedule sampler %s: expected uniform or loss-second-moment%s%s",
                   kind, near ? "; nearest: " : "", near ? near : "");
}

gd_status gd_timestep_sampler_make(gd_timestep_sampler *out, const char *kind, int n, int length,
                                   double uniform_share)
{
    *out = (gd_timestep_sampler){ .n = n, .length = length, .uniform_share = uniform_share };
    GD_TRY(gd_timestep_sampler_check(kind));
    out->by_loss = strcmp(kind, kind_names[1]) == 0;
    GD_TRY(gd_block_make(&out->probability, (size_t)n * sizeof(double), "timestep probabilities"));
    if (out->by_loss) {
        GD_TRY(gd_block_make(&out->history, (size_t)n * (size_t)length * sizeof(double),
                             "loss history"));
        GD_TRY(gd_block_make(&out->count, (size_t)n * sizeof(int64_t), "loss history"));
    }
    gd_timestep_sampler_refresh(out);
    return GD_OK;
}

void gd_timestep_sampler_free(gd_timestep_sampler *s)
{
    gd_block_free(s->probability);
    gd_block_free(s->history);
    gd_block_free(s->count);
    *s = (gd_timestep_sampler){ 0 };
}

static bool warmed_up(const gd_timestep_sampler *s)
{
    for (int t = 0; t < s->n; t++)
        if (!s->by_loss || s->count[t] < s->length)
            return false;
    return true;
}

void gd_timestep_sampler_weights(const gd_timestep_sampler *s, double *w)
{
    const bool warm = warmed_up(s);
    double sum = 0;

    for (int t = 0; t < s->n; t++) {
        w[t] = warm ? 0 : 1;
        for (int k = 0; warm && k < s->length; k++)
            w[t] += s->history[t * s->length + k] * s->history[t * s->length + k];
        if (warm)
            w[t] = sqrt(w[t] / s->length);
        sum += w[t];
    }
    for (int t = 0; warm && t < s->n; t++)
        w[t] = w[t] / sum * (1 - s->uniform_share) + s->uniform_share / s->n;
}

void gd_timestep_sampler_refresh(gd_timestep_sampler *s)
{
    double sum = 0;

    gd_timestep_sampler_weights(s, s->probability);
    for (int t = 0; t < s->n; t++)
        sum += s->probability[t];
    for (int t = 0; t < s->n; t++)
        s->probability[t] /= sum;
}

int gd_timestep_sampler_draw(const gd_timestep_sampler *s, double u)
{
    double below = 0;
    int t = 0;

    while (t < s->n - 1 && u >= (below += s->probability[t]))
        t++;
    return t;
}

float gd_timestep_sampler_importance(const gd_timestep_sampler *s, int t)
{
    return (float)(1 / (s->n * s->probability[t]));
}

void gd_timestep_sampler_update(gd_timestep_sampler *s, int t, double loss)
{
    double *h;

    if (!s->by_loss)
        return;
    h = s->history + t * s->length;
    if (s->count[t] < s->length) {
        h[s->count[t]++] = loss;
        return;
    }
    memmove(h, h + 1, (s->length - 1) * sizeof *h);
    h[s->length - 1] = loss;
}
