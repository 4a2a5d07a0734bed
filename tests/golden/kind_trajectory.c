/* kind_trajectory.c - whole sampling runs with stored noise: every step's x, and the bytes at the
 * end. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct network {
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val out;
} network;

typedef struct flight {
    golden *g;
    network model, classifier;
    const float *noise; /* [steps + 1][n][C][H][W] */
    float *x, *history, *low_res;
    int64_t count; /* n * C * H * W */
    int n;
} flight;

static bool make(flight *f, network *w, const char *key, const char *kind, bool guidance,
                 const gd_net_size *size)
{
    golden *g = f->g;
    golden_weights source = { g, guidance ? "classifier" : "model" };
    const gd_weights weights = golden_source(&source);
    gd_net_config c;

    golden_net_config(g, json_object_get(g->config, key), NULL, kind, &c);
    if (gd_graph_make(&w->graph) == GD_OK) {
        gd_net_build(&w->net, w->graph, &c, size, false);
        w->out = guidance ? gd_net_guidance(&w->net, w->graph, c.out_channels) : w->net.out;
        gd_graph_optimise(w->graph, &w->out, 1, false);
        if (gd_graph_check(w->graph) == GD_OK &&
            gd_plan_make(&w->plan, w->graph, &w->out, 1) == GD_OK &&
            gd_exec_make(&w->exec, w->plan, &weights) == GD_OK)
            return true;
    }
    golden_fail(g, "%s", gd_error());
    return false;
}

static gd_status run_network(network *w, int n, const float *x, const float *t, const int64_t *y,
                             const float *low, float *out)
{
    int32_t labels[64];

    for (int i = 0; i < n; i++)
        labels[i] = y ? (int32_t)y[i] : -1;
    gd_exec_put(w->exec, w->net.x, x);
    gd_exec_put(w->exec, w->net.t, t);
    if (w->net.y.id)
        gd_exec_put(w->exec, w->net.y, labels);
    if (w->net.low_res.id)
        gd_exec_put(w->exec, w->net.low_res, low);
    gd_exec_run(w->exec);
    gd_exec_get(w->exec, w->out, out);
    return GD_OK;
}

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    flight *f = ctx;
    return run_network(&f->model, n, x, t, y, f->low_res, out);
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    flight *f = ctx;
    return run_network(&f->classifier, n, x, t, y, NULL, gradient);
}

static void stored_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    flight *f = ctx;

    (void)first;
    (void)n;
    memcpy(out, f->noise + step * f->count, (size_t)f->count * sizeof *out);
}

/* x as the step before left it */
static gd_status remember(void *ctx, int64_t first, int n, int step, int n_steps)
{
    flight *f = ctx;

    (void)first;
    (void)n;
    (void)n_steps;
    if (step > 1)
        memcpy(f->history + (step - 2) * f->count, f->x, (size_t)f->count * sizeof *f->x);
    return GD_OK;
}

static void compare_steps(flight *f, int steps)
{
    golden *g = f->g;
    json_t *limits = json_object_get(json_object_get(g->tolerance, "out.x"), "atol_per_step");
    const float *stored = golden_f32(g, NULL, "out.x");

    for (int k = 0; k < steps; k++) {
        const double limit = json_number_value(json_array_get(limits, (size_t)k));
        for (int64_t i = 0; i < f->count; i++) {
            const double d = fabs((double)f->history[k * f->count + i] - stored[k * f->count + i]);
            if (!(d / limit <= g->worst)) {
                g->worst = d / limit;
                snprintf(g->detail, sizeof g->detail, "x after step %d", k + 1);
            }
        }
    }
}

/* A difference of 1 in 1 % of the bytes is allowed */
static void compare_bytes(flight *f, const gd_denoiser *d)
{
    const gd_array *a = golden_find(f->g, "out.uint8");
    const int64_t pixels = (int64_t)d->height * d->width, image = pixels * d->channels;
    int64_t off = 0;
    uint8_t *stored, *found;

    if (!a)
        return;
    stored = golden_alloc(f->g, (size_t)gd_array_count(a));
    found = golden_alloc(f->g, (size_t)image);
    if (gd_bundle_read(f->g->tensors, a, stored) != GD_OK)
        golden_fail(f->g, "%s", gd_error());
    for (int n = 0; n < a->dim[0] && n < f->n; n++) {
        gd_to_uint8(found, f->x + n * image, d->channels, pixels);
        for (int64_t i = 0; i < image; i++) {
            const int difference = abs(found[i] - stored[n * image + i]);
            off += difference;
            if (difference > 1)
                golden_fail(f->g, "byte %lld of image %d differs by %d", (long long)i, n,
                            difference);
        }
    }
    if (off > (int64_t)f->n * image / 100)
        golden_fail(f->g, "%lld bytes differ", (long long)off);
}

static void fly(flight *f, gd_trajectory *r, int steps)
{
    golden *g = f->g;
    int64_t *y = golden_i64(g, NULL, "in.y");

    f->x = golden_alloc(g, (size_t)f->count * sizeof *f->x);
    f->history = golden_alloc(g, (size_t)(f->count * steps) * sizeof *f->history);
    r->noise = stored_noise;
    r->before_step = remember;
    r->noise_ctx = r->step_ctx = f;
    if (gd_trajectory_run(r, 0, f->n, y, f->x, golden_alloc(g, gd_trajectory_bytes(r, f->n))) !=
        GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    memcpy(f->history + (steps - 1) * f->count, f->x, (size_t)f->count * sizeof *f->x);
    compare_steps(f, steps);
    compare_bytes(f, r->denoiser);
}

static gd_schedule *schedule_of(golden *g, json_t *d)
{
    gd_schedule *s = NULL;

    if (gd_schedule_make(&s, json_string_value(json_object_get(d, "noise_schedule")),
                         golden_int(d, "steps", 1000),
                         json_string_value(json_object_get(d, "timestep_respacing")),
                         golden_bool(d, "rescale_timesteps", false)) != GD_OK)
        golden_fail(g, "%s", gd_error());
    return s;
}

/* uint8 base samples [n][h][w][3] -> [n][3][h][w] in [-1, 1] */
static void read_low_res(flight *f, gd_net_size *size)
{
    const gd_array *a = golden_find(f->g, "in.base_samples");
    float *bytes;

    if (!a)
        return;
    size->low_h = (int)a->dim[1];
    size->low_w = (int)a->dim[2];
    bytes = golden_f32(f->g, NULL, "in.base_samples");
    f->low_res = golden_alloc(f->g, (size_t)gd_array_count(a) * sizeof *bytes);
    const int64_t pixels = a->dim[1] * a->dim[2], channels = a->dim[3];
    for (int64_t n = 0; n < a->dim[0]; n++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++)
                f->low_res[(n * channels + c) * pixels + p] =
                    bytes[(n * pixels + p) * channels + c] / 127.5f - 1;
}

void golden_trajectory(golden *g)
{
    json_t *d = json_object_get(g->config, "diffusion");
    const gd_array *noise = golden_find(g, "in.noise");
    const bool guided = json_object_get(g->config, "classifier") != NULL,
               learned = golden_bool(d, "learn_sigma", false);
    const bool superres = golden_find(g, "in.base_samples") != NULL;
    flight f = { .g = g,
                 .n = (int)noise->dim[1],
                 .count = noise->dim[1] * noise->dim[2] * noise->dim[3] * noise->dim[4] };
    gd_net_size size = { f.n, (int)noise->dim[3], (int)noise->dim[4], 0, 0 };
    gd_schedule *s = schedule_of(g, d);
    gd_denoiser networks = { .ctx = &f,
                             .channels = 3,
                             .height = size.h,
                             .width = size.w,
                             .out_channels = learned ? 6 : 3,
                             .max_batch = f.n,
                             .predict = predict,
                             .guide = guided ? guide : NULL };
    gd_trajectory r = { .denoiser = &networks,
                        .eta = json_number_value(json_object_get(g->config, "eta")),
                        .scale = json_number_value(json_object_get(g->config, "classifier_scale")),
                        .sampler = golden_bool(g->config, "use_ddim", false) ? &gd_sampler_ddim
                                                                             : &gd_sampler_ddpm };

    f.noise = golden_f32(g, NULL, "in.noise");
    read_low_res(&f, &size);
    r.process =
        (gd_process){ s,
                      golden_bool(d, "predict_xstart", false) ? GD_MEAN_START_X : GD_MEAN_EPSILON,
                      learned                                ? GD_VAR_LEARNED_RANGE
                      : golden_bool(d, "sigma_small", false) ? GD_VAR_FIXED_SMALL
                                                             : GD_VAR_FIXED_LARGE,
                      golden_bool(g->config, "clip_denoised", true) };
    if (s && make(&f, &f.model, "model", superres ? "superres" : "unet", false, &size) &&
        (!guided || make(&f, &f.classifier, "classifier", "classifier", true, &size)))
        fly(&f, &r, s->n);
    for (int i = 0; i < 2; i++) {
        network *w = i ? &f.classifier : &f.model;
        gd_exec_free(w->exec);
        gd_plan_free(w->plan);
        gd_graph_free(w->graph);
    }
    gd_schedule_free(s);
}
