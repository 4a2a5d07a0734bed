/* SPDX-License-Identifier: MIT */
/* problem.c - the layer between a solver and the networks: calls, guidance, noise, checks. */
#include "diffusion/solver.h"

#include <math.h>
#include <string.h>

/* ---- working memory ---- */

static int64_t image_count(const gd_denoiser *d)
{
    return (int64_t)d->channels * d->height * d->width;
}

static int64_t out_count(const gd_denoiser *d)
{
    return (int64_t)d->out_channels * d->height * d->width;
}

static size_t doubles(const gd_trajectory *r, int n)
{
    enum { STATE_AND_PREDICTION = 2 };

    const int others = r->guidance.other ? 1 : 0,
              buffers = r->branch.call ? GD_MAX(r->solver->buffers, r->branch.solver->buffers)
                                       : r->solver->buffers;

    return ((size_t)n * (size_t)(STATE_AND_PREDICTION + others + buffers) + 1) *
               (size_t)image_count(r->denoiser) +
           (size_t)n; /* labels of the other network */
}

static int64_t other_count(const gd_trajectory *r)
{
    return r->guidance.other ? out_count(r->guidance.other) : 0;
}

size_t gd_trajectory_bytes(const gd_trajectory *r, int n)
{
    const gd_denoiser *d = r->denoiser;

    return doubles(r, n) * sizeof(double) +
           sizeof(float) * (size_t)(n * (out_count(d) + other_count(r) + 3 * image_count(d) + 1) +
                                    4 * image_count(d));
}

/* The state's memory is returned; the rest goes to p. */
static double *carve(gd_problem *p, void *work)
{
    const gd_denoiser *d = p->run->denoiser;
    double *state = work, *at = state + p->n;
    float *f;

    p->prediction = at;
    at += p->n;
    for (int k = 0; k < p->run->solver->buffers; k++, at += p->n)
        p->buffer[k] = at;
    p->sorted = at;
    at += p->count;
    p->other_y = (int64_t *)at;
    at += p->images;
    if (p->run->guidance.other) {
        p->other_x0 = at;
        at += p->n;
    }
    f = (float *)at;
    p->out = f;
    p->other = p->out + p->images * out_count(d);
    p->input = p->other + p->images * other_count(p->run);
    p->gradient = p->input + p->n;
    p->noise = p->gradient + p->n;
    p->mean = p->noise + p->n;
    p->variance = p->mean + p->count;
    p->log_variance = p->variance + p->count;
    p->x0 = p->log_variance + p->count;
    p->time = p->x0 + p->count;
    return state;
}

/* ---- what a solver calls ---- */

bool gd_guided(const gd_problem *p)
{
    return p->guided;
}

void gd_draw(gd_problem *p, int k)
{
    p->step = p->begun + k - 1;
    p->run->noise(p->run->noise_ctx, p->first, p->images, p->begun + k, p->noise);
}

/* The state as the networks were trained on it: with alpha^2 + sigma^2 = 1 */
static void set_input(gd_problem *p, const gd_level *at, const double *x)
{
    const double norm = at->index >= 0 ? 1 : sqrt(at->alpha * at->alpha + at->sigma * at->sigma);

    for (int64_t i = 0; i < p->n; i++)
        p->input[i] = (float)(x[i] / norm);
    for (int i = 0; i < p->images; i++)
        p->time[i] = (float)at->time;
}

/* Any status leaves the solver; it is no failure. */
static gd_status leave_for_branch(gd_problem *p, const double *x)
{
    memmove(p->state, x, (size_t)p->n * sizeof *x);
    p->branched = true;
    return GD_EINTERRUPTED;
}

static gd_status begin_call(gd_problem *p, const gd_level *at, const double *x)
{
    const gd_trajectory *r = p->run;

    p->last = *at;
    if (p->calls + 1 == r->branch.call)
        return leave_for_branch(p, x);
    p->calls++;
    return r->before_step
               ? r->before_step(r->step_ctx, p->first, p->images, p->calls, gd_trajectory_calls(r))
               : GD_OK;
}

/* The classifier's gradient, new or held.  Where a step has none p->guided is false. */
static gd_status guide(gd_problem *p, const gd_level *at)
{
    const gd_denoiser *d = p->run->denoiser;
    const gd_guidance *g = &p->run->guidance;

    p->guided = d->guide && gd_guidance_active(g, at);
    if (!p->guided)
        return GD_OK;
    if (!gd_gradient_due(g, p->step)) {
        p->guided = g->hold_gradient && p->holding;
        return GD_OK;
    }
    GD_TRY(d->guide(d->ctx, p->images, p->input, p->time, p->y, p->gradient));
    for (int64_t i = 0; i < p->n; i++)
        p->gradient[i] *= (float)p->run->scale;
    p->holding = true;
    return GD_OK;
}

/* ---- the other network ---- */

/* At scale 1 nothing would change, and its call is saved. */
static bool needs_other(const gd_problem *p, const gd_level *at)
{
    const gd_guidance *g = &p->run->guidance;

    return g->other && g->scale != 1 && gd_guidance_active(g, at);
}

static const int64_t *other_labels(const gd_problem *p)
{
    const gd_guidance *g = &p->run->guidance;

    for (int i = 0; i < p->images; i++)
        p->other_y[i] = g->null_class;
    return g->other_label == GD_OTHER_SAME_LABEL   ? p->y
           : g->other_label == GD_OTHER_NULL_CLASS ? p->other_y
                                                   : NULL;
}

static gd_status combine_outputs(gd_problem *p)
{
    const gd_denoiser *d = p->run->denoiser, *other = p->run->guidance.other;

    GD_TRY(other->predict(other->ctx, p->images, p->input, p->time, other_labels(p), p->other));
    for (int i = 0; i < p->images; i++)
        gd_guidance_combine(&p->run->guidance, p->out + i * out_count(d),
                            p->other + i * out_count(other), p->count);
    return GD_OK;
}

static gd_status combine_predictions(gd_problem *p, const gd_level *at, const double *x, double *x0)
{
    const gd_denoiser *other = p->run->guidance.other;

    GD_TRY(other->denoise(other->ctx, p->images, x, at, other_labels(p), p->other_x0));
    gd_guidance_combine64(&p->run->guidance, x0, p->other_x0, p->n);
    return GD_OK;
}

gd_status gd_evaluate(gd_problem *p, const gd_level *at, const double *x)
{
    const gd_denoiser *d = p->run->denoiser;

    if (d->denoise)
        return gd_fail(
            GD_EUSAGE,
            "%s works on discrete steps, which this network does not have\nhint: choose a "
            "solver that works on noise levels, as --sampler dpmpp-2m does",
            p->run->solver->name);
    GD_TRY(begin_call(p, at, x));
    set_input(p, at, x);
    GD_TRY(d->predict(d->ctx, p->images, p->input, p->time, p->y, p->out));
    if (needs_other(p, at))
        GD_TRY(combine_outputs(p));
    return guide(p, at);
}

/* x0 from the raw output; learned variances are left out */
static gd_status from_output(const gd_problem *p, const gd_level *at, const double *x, double *x0)
{
    const gd_mean_type type = p->run->process.mean_type;
    const int64_t stride = out_count(p->run->denoiser);
    const double norm = sqrt(at->alpha * at->alpha + at->sigma * at->sigma); /* v is of norm 1 */

    if (type == GD_MEAN_PREVIOUS_X)
        return gd_fail(GD_EUSAGE, "%s: needs a network that predicts epsilon, x_0 or v",
                       p->run->solver->name);
    for (int i = 0; i < p->images; i++)
        for (int64_t k = 0; k < p->count; k++) {
            const double out = p->out[i * stride + k], state = x[i * p->count + k];
            x0[i * p->count + k] = type == GD_MEAN_V
                                       ? (at->alpha * state / norm - at->sigma * out) / norm
                                       : gd_prediction_x0(type, at->alpha, at->sigma, state, out);
        }
    return GD_OK;
}

/* eps - sigma_t grad, as a change of x0; the gradient is that at the networks' input */
static void add_gradient(const gd_problem *p, const gd_level *at, double *x0)
{
    const double norm = sqrt(at->alpha * at->alpha + at->sigma * at->sigma),
                 weight = at->sigma * at->sigma / (norm * at->alpha);

    for (int64_t i = 0; i < p->n; i++)
        x0[i] += weight * p->gradient[i];
}

gd_status gd_denoise(gd_problem *p, const gd_level *at, const double *x, double *x0)
{
    const gd_denoiser *d = p->run->denoiser;

    if (d->denoise) {
        GD_TRY(begin_call(p, at, x));
        set_input(p, at, x);
        GD_TRY(d->denoise(d->ctx, p->images, x, at, p->y, x0));
        if (needs_other(p, at))
            GD_TRY(combine_predictions(p, at, x, x0));
        GD_TRY(guide(p, at));
    } else {
        GD_TRY(gd_evaluate(p, at, x));
        GD_TRY(from_output(p, at, x, x0));
    }
    if (p->guided)
        add_gradient(p, at, x0);
    for (int i = 0; i < p->images; i++)
        gd_threshold_image(&p->run->threshold, x0 + i * p->count, p->count, p->sorted);
    return GD_OK;
}

gd_status gd_denoise_to_zero(gd_problem *p, double *x)
{
    if (!p->run->options.denoise_to_zero)
        return GD_OK;
    GD_TRY(gd_denoise(p, &p->grid->level[p->grid->steps], x, p->prediction));
    for (int64_t i = 0; i < p->n; i++)
        x[i] = p->prediction[i];
    return gd_step_done(p, p->calls, x, p->prediction);
}

/* The network's output and the gradient were checked where they were made, layer by layer. */
static gd_status check_finite(const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return gd_fail(GD_EFAILED, "the image is not finite");
    return GD_OK;
}

static void show(const gd_problem *p, int i, const double *x0)
{
    const gd_seen view = { .image = p->first + i,
                           .index = i,
                           .call = p->calls,
                           .sigma = p->last.sigma / p->last.alpha,
                           .x0 = x0 + i * p->count,
                           .gradient = p->guided ? p->gradient + i * p->count : NULL };

    p->run->watch(p->run->step_ctx, &view);
}

gd_status gd_step_done(gd_problem *p, int k, const double *x, const double *x0)
{
    const gd_trajectory *r = p->run;

    GD_TRY(check_finite(x, p->n));
    for (int i = 0; i < p->images && r->after_step; i++)
        r->after_step(r->step_ctx, p->first + i, k, x + i * p->count, x0 + i * p->count);
    for (int i = 0; i < p->images && r->watch; i++)
        show(p, i, x0);
    return GD_OK;
}

/* ---- the run ---- */

static int calls_of(const gd_solver *solver, const gd_grid *grid)
{
    return solver->calls ? solver->calls(grid) : grid->steps;
}

int gd_trajectory_calls(const gd_trajectory *r)
{
    const gd_branch *b = &r->branch;
    const int calls =
        b->call ? b->call - 1 + calls_of(b->solver, b->grid) : calls_of(r->solver, r->grid);

    return calls + (r->options.denoise_to_zero ? 1 : 0);
}

/* "step K of N (t = T)": T counts the training steps, also where the network's time is rescaled */
static void name_step(const gd_problem *p)
{
    const gd_level *at = &p->last;

    if (p->calls == 0)
        gd_context("image %lld", (long long)p->first);
    else if (at->index >= 0)
        gd_context("image %lld, step %d of %d (t = %d)", (long long)p->first, p->calls,
                   gd_trajectory_calls(p->run), p->run->process.schedule->original[at->index]);
    else
        gd_context("image %lld, step %d of %d (sigma = %g)", (long long)p->first, p->calls,
                   gd_trajectory_calls(p->run), at->sigma / at->alpha);
}

/* The other solver goes on from the state that `p` left. */
static gd_status run_branch(gd_problem *p, void *work)
{
    const gd_branch *b = &p->run->branch;
    const gd_level *from = &p->last, *to = &b->grid->level[0];
    gd_trajectory after = *p->run;
    gd_problem q = { .run = &after,
                     .grid = b->grid,
                     .y = p->y,
                     .first = p->first,
                     .count = p->count,
                     .n = p->n,
                     .images = p->images,
                     .calls = p->calls,
                     .begun = p->step };
    gd_status s;

    after.solver = b->solver;
    after.options = b->options;
    after.grid = b->grid;
    after.process.schedule = b->schedule;
    after.branch.call = 0;
    q.state = carve(&q, work);
    for (int64_t i = 0; i < q.n; i++)
        q.state[i] *= to->alpha / from->alpha;
    s = b->solver->solve(&q, q.state);
    if (s != GD_OK && s != GD_EINTERRUPTED)
        name_step(&q);
    return s;
}

gd_status gd_trajectory_run(const gd_trajectory *r, int64_t first, int n, const int64_t *y,
                            float *x, void *work)
{
    const int64_t count = image_count(r->denoiser);
    gd_problem p = { .run = r,
                     .grid = r->grid,
                     .y = y,
                     .first = first,
                     .count = count,
                     .n = n * count,
                     .images = n };
    gd_status s;

    double *state = p.state = carve(&p, work);
    r->noise(r->noise_ctx, first, n, 0, x);
    for (int64_t i = 0; i < p.n; i++)
        state[i] = r->grid->start * x[i];
    s = r->solver->solve(&p, state);
    if (s != GD_OK && s != GD_EINTERRUPTED)
        name_step(&p);
    if (p.branched)
        s = run_branch(&p, work);
    for (int64_t i = 0; i < p.n; i++)
        x[i] = (float)state[i];
    return s;
}

void gd_to_uint8(uint8_t *out, const float *x, int channels, int64_t pixels)
{
    for (int c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++) {
            const float v = (x[c * pixels + p] + 1) * 127.5f;
            out[p * channels + c] = (uint8_t)(v > 255 ? 255 : v > 0 ? v : 0);
        }
}
