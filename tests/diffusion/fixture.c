/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void fixture_fill(float *out, int64_t n, float scale, unsigned seed)
{
    uint32_t s = seed * 2654435761u + 1;

    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        out[i] = ((float)(s >> 8) / (1 << 23) - 1) * scale;
    }
}

double fixture_distance(const float *a, const float *b, int64_t n)
{
    double worst = 0;

    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        worst = d <= worst ? worst : d; /* NaN shows */
    }
    return worst;
}

gd_schedule *fixture_schedule(const char *kind, const char *spacing)
{
    gd_schedule *s;

    if (gd_schedule_make(&s, kind, 1000, spacing, false) != GD_OK)
        abort();
    return s;
}

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    const fixture_step *s = ctx;
    const bool learned = s->process->var_type <= GD_VAR_LEARNED;

    (void)n;
    (void)x;
    (void)t;
    (void)y;
    memcpy(out, s->out, (size_t)(learned ? 2 : 1) * PIXELS * sizeof *out);
    return GD_OK;
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    const fixture_step *s = ctx;

    (void)n;
    (void)x;
    (void)t;
    (void)y;
    memcpy(gradient, s->gradient, PIXELS * sizeof *gradient);
    return GD_OK;
}

static void give(void *ctx, int64_t first, int n, int step, float *out)
{
    const fixture_step *s = ctx;

    (void)first;
    (void)n;
    for (int i = 0; i < PIXELS; i++)
        out[i] = step == 0 ? s->start[i] : s->noise ? s->noise[i] : NAN;
}

static void keep(void *ctx, int64_t image, int step, const double *x, const double *x0)
{
    fixture_step *s = ctx;

    (void)image;
    (void)step;
    (void)x;
    for (int i = 0; i < PIXELS; i++)
        s->x0[i] = (float)x0[i];
}

void fixture_run_step(fixture_step *step, float *x)
{
    struct {
        gd_grid grid;
        gd_level level[2];
    } one = { .grid = { .steps = 1, .start = 1 }, .level[0] = { .alpha = 1, .index = step->t } };
    const bool learned = step->process->var_type <= GD_VAR_LEARNED;
    const gd_denoiser denoiser = { .ctx = step,
                                   .channels = 3,
                                   .height = 4,
                                   .width = 4,
                                   .out_channels = learned ? 6 : 3,
                                   .predict = predict,
                                   .guide = step->gradient ? guide : NULL };
    const gd_trajectory r = { .denoiser = &denoiser,
                              .process = *step->process,
                              .solver = step->solver,
                              .options.eta = step->eta,
                              .scale = 1,
                              .grid = &one.grid,
                              .noise = give,
                              .noise_ctx = step,
                              .after_step = keep,
                              .step_ctx = step };
    void *work = malloc(gd_trajectory_bytes(&r, 1));

    if (!work || gd_trajectory_run(&r, 0, 1, NULL, x, work) != GD_OK)
        abort();
    free(work);
}

void fixture_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    fixture_watch *me = ctx;

    me->ordered = me->ordered && step == me->draws;
    me->draws++;
    for (int i = 0; i < n; i++)
        gd_noise_normal(out + i * PIXELS, PIXELS, 42, (uint64_t)(first + i), (uint32_t)step);
}

gd_status fixture_before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    fixture_watch *me = ctx;

    (void)first;
    (void)n;
    me->ordered = me->ordered && step == ++me->befores && n_steps == gd_trajectory_calls(me->run);
    return step == me->stop_at ? gd_fail(GD_EINTERRUPTED, "stopped") : GD_OK;
}
