/* SPDX-License-Identifier: MIT */
/* flight.c - one run of a sampler case. */
#include "flight.h"
#include "mixture.h"
#include "nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *flight_text(json_t *o, const char *key, const char *absent)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : absent;
}

static const struct {
    const char *name;
    gd_sigma_spacing spacing;
} spacings[] = {
    { "edm", GD_SIGMA_KARRAS },  { "exponential", GD_SIGMA_EXPONENTIAL },
    { "vp", GD_SIGMA_VP },       { "ve", GD_SIGMA_VE },
    { "iddpm", GD_SIGMA_IDDPM },
};
static const struct {
    const char *name;
    gd_time_kind kind;
} times[] = {
    { "log", GD_TIME_LOG },
    { "nearest_log", GD_TIME_NEAREST_LOG },
    { "nearest", GD_TIME_NEAREST },
};

gd_sigma_spacing flight_spacing(golden *g, const char *name)
{
    for (int i = 0; i < COUNT(spacings); i++)
        if (strcmp(name, spacings[i].name) == 0)
            return spacings[i].spacing;
    golden_fail(g, "grid %s is not known", name);
    return GD_SIGMA_KARRAS;
}

gd_time_kind flight_time_kind(golden *g, const char *name)
{
    for (int i = 0; i < COUNT(times); i++)
        if (strcmp(name, times[i].name) == 0)
            return times[i].kind;
    golden_fail(g, "time map %s is not known", name);
    return GD_TIME_LOG;
}

bool flight_begin(flight *f, golden *g)
{
    const gd_array *a = golden_find(g, "in.x_T");
    const char *schedule = flight_text(g->config, "noise_schedule", NULL);

    *f = (flight){ .g = g, .start = golden_f32(g, NULL, "in.x_T") };
    if (!a || a->rank != 4 ||
        (schedule &&
         gd_schedule_make(&f->schedule, schedule, golden_int(g->config, "diffusion_steps", 1000),
                          "", golden_bool(g->config, "rescale_timesteps", false)) != GD_OK)) {
        golden_fail(g, "no in.x_T, or no schedule: %s", gd_error());
        return false;
    }
    f->images = (int)a->dim[0];
    f->count = a->dim[1] * a->dim[2] * a->dim[3];
    f->noise = golden_f32(g, NULL, "in.noise");
    return true;
}

gd_solver_options flight_options(const flight *f)
{
    json_t *run = f->run;

    return (gd_solver_options){
        .eta = json_number_value(json_object_get(run, "eta")),
        .order = golden_int(run, "order", 0),
        .taylor = strcmp(flight_text(run, "solver_type", "midpoint"), "midpoint") != 0,
        .lower_order_below = golden_bool(run, "lower_order_final", true) ? 0 : -1,
        .denoise_to_zero = golden_bool(run, "denoise_to_zero", false),
        .churn = json_number_value(json_object_get(run, "s_churn")),
        .churn_min = json_number_value(json_object_get(run, "s_tmin")),
        .churn_max = json_number_value(json_object_get(run, "s_tmax")),
        .noise = json_number_value(json_object_get(run, "s_noise")),
    };
}

gd_threshold flight_threshold(const flight *f)
{
    json_t *x0 = json_object_get(f->run, "x0");
    const char *kind = flight_text(x0, "kind", "none");
    gd_threshold t = { .ratio = json_number_value(json_object_get(x0, "ratio")),
                       .most = json_number_value(json_object_get(x0, "max")) };

    if (strcmp(kind, "clip") == 0 || f->clipped)
        t.kind = GD_THRESHOLD_CLIP;
    else if (strcmp(kind, "dynamic") == 0)
        t.kind = GD_THRESHOLD_DYNAMIC;
    else if (strcmp(kind, "dynamic_diffusers") == 0)
        t.kind = GD_THRESHOLD_DYNAMIC_CAPPED;
    else if (strcmp(kind, "none") != 0)
        golden_fail(f->g, "x0.kind %s is not known", kind);
    return t;
}

const int64_t *flight_labels(const flight *f)
{
    json_t *y = json_object_get(f->run, "y");

    if (f->labels)
        return f->labels;
    int64_t *labels = golden_alloc(f->g, (size_t)f->images * sizeof *labels);

    for (int i = 0; i < f->images; i++)
        labels[i] = json_integer_value(json_array_get(y, (size_t)i));
    return y ? labels : golden_i64(f->g, NULL, "in.y");
}

/* ---- flying ---- */

static void give_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    const flight *f = ctx;
    const size_t all = (size_t)(f->images * f->count);

    (void)first;
    (void)n;
    if (step == 0)
        memcpy(out, f->start, all * sizeof *out);
    else if (f->noise)
        memcpy(out, f->noise + (size_t)(step - 1) * all, all * sizeof *out);
}

static void remember(void *ctx, int64_t image, int step, const double *x, const double *x0)
{
    flight *f = ctx;

    (void)step;
    (void)x0;
    if (image == 0 && f->states < MOST_STATES)
        f->state[f->states++] = golden_alloc(f->g, (size_t)(f->images * f->count) * sizeof(double));
    memcpy(f->state[f->states - 1] + image * f->count, x, (size_t)f->count * sizeof *x);
}

/* ---- comparing ---- */

static char *result_name(flight *f, const char *what)
{
    char *name = golden_alloc(f->g, 200);

    snprintf(name, 200, "%s.%s", what, f->name);
    return name;
}

/* State k of out.x.RUN within its own allowance, and of out64.x.RUN within the same */
static void compare_states(flight *f)
{
    golden *g = f->g;
    const char *name = result_name(f, "out.x"), *truth_name = result_name(f, "out64.x");
    json_t *listed = json_object_get(g->tolerance, name),
           *steps = json_object_get(listed, "atol_per_step");
    const int64_t all = f->images * f->count;
    float *found = golden_alloc(g, (size_t)all * sizeof *found);
    int64_t n;
    const float *stored = golden_f32(g, &n, "%s", name);
    const float *truth = golden_f32(g, NULL, "%s", truth_name);
    char step[300];

    if (!stored || n != f->states * all) {
        golden_fail(g, "%s: %d states of %lld elements, stored %lld", name, f->states,
                    (long long)all, (long long)n);
        return;
    }
    golden_saw(g, name);
    for (int k = 0; k < f->states; k++) {
        const double atol = json_number_value(steps ? json_array_get(steps, (size_t)k)
                                                    : json_object_get(listed, "atol"));
        for (int64_t i = 0; i < all; i++)
            found[i] = (float)f->state[k][i];
        snprintf(step, sizeof step, "%s state %d", name, k);
        golden_compare_within(g, step, found, stored + k * all, all, atol);
        if (truth)
            golden_compare_within(g, step, found, truth + k * all, all, atol);
    }
}

static void compare_final(flight *f)
{
    golden *g = f->g;
    const char *name = result_name(f, "out.final");
    const int64_t all = f->images * f->count;
    float *found = golden_alloc(g, (size_t)all * sizeof *found);

    for (int64_t i = 0; i < all; i++)
        found[i] = (float)f->state[f->states - 1][i];
    for (int64_t i = 0; i < all && f->clamped; i++)
        found[i] = fmaxf(-1, fminf(found[i], 1));
    golden_compare(g, name, found, all);
}

/* One number per outer point of the grid, where the case has them */
void flight_compare_levels(flight *f, const char *what, flight_level_fn value, double absolute)
{
    golden *g = f->g;
    const char *name = result_name(f, what);
    const gd_array *a = golden_find(g, "%s", name);
    const double *stored = a ? golden_f64(g, name) : NULL;
    int n = 0;

    if (!stored)
        return;
    golden_saw(g, name);
    for (int k = 0; k <= f->grid->steps; k++) {
        const gd_level *at = &f->grid->level[k];
        if (f->grid->level[0].order > 0 && at->order == 0 && k < f->grid->steps)
            continue;
        if (n < gd_array_count(a)) {
            const double d = fabs(value(f, at) - stored[n]),
                         allowed = absolute + 1e-9 * fabs(stored[n]);
            golden_record(g, name, d / allowed, d / fmax(fabs(stored[n]), 1));
        }
        n++;
    }
    if (n != gd_array_count(a) && n != gd_array_count(a) + 1) /* the end may have no call */
        golden_fail(g, "%s: %d points, stored %lld", name, n, (long long)gd_array_count(a));
}

static void compare_all(flight *f, int calls)
{
    json_t *nfe = json_object_get(f->run, "nfe");

    if (nfe && calls != json_integer_value(nfe))
        golden_fail(f->g, "%s: %d network calls, not %lld", f->name, calls,
                    (long long)json_integer_value(nfe));
    if (golden_find(f->g, "out.final.%s", f->name))
        compare_final(f);
    else
        compare_states(f);
}

void flight_run(flight *f, const gd_solver *solver, const gd_solver_options *options, double scale)
{
    golden *g = f->g;
    gd_trajectory r = { .denoiser = &f->denoiser,
                        .process = { .schedule = f->schedule, .mean_type = GD_MEAN_EPSILON },
                        .solver = solver,
                        .options = *options,
                        .scale = scale,
                        .threshold = flight_threshold(f),
                        .grid = f->grid,
                        .noise = give_noise,
                        .noise_ctx = f,
                        .after_step = remember,
                        .step_ctx = f };
    const int64_t all = f->images * f->count;
    float *x = golden_alloc(g, (size_t)all * sizeof *x);

    if (f->extra) {
        r.process = f->extra->process;
        r.guidance = f->extra->guidance;
    }
    f->states = 1;
    f->state[0] = golden_alloc(g, (size_t)all * sizeof(double));
    for (int64_t i = 0; i < all; i++)
        f->state[0][i] = f->grid->start * f->start[i];
    if (gd_trajectory_run(&r, 0, f->images, flight_labels(f), x,
                          golden_alloc(g, gd_trajectory_bytes(&r, f->images))) != GD_OK)
        golden_fail(g, "%s: %s", f->name, gd_error());
    else
        compare_all(f, gd_trajectory_calls(&r));
}

/* ---- what the denoiser runs on ---- */

static double begin_run(flight *f, json_t *run)
{
    f->run = run;
    f->name = flight_text(run, "name", "");
    return json_number_value(json_object_get(json_object_get(run, "guidance"), "scale"));
}

static void end_run(flight *f)
{
    gd_grid_free(f->grid);
    f->grid = NULL;
}

static gd_denoiser mixture_denoiser(mixture_run *m, golden *g)
{
    const gd_array *a = golden_find(g, "in.x_T");

    return (gd_denoiser){ .ctx = m,
                          .channels = (int)a->dim[1],
                          .height = (int)a->dim[2],
                          .width = (int)a->dim[3],
                          .out_channels = (int)a->dim[1],
                          .denoise = mixture_predict };
}

void flight_mixture(golden *g, flight_fn one)
{
    json_t *run;
    size_t i;
    mixture_run m = { 0 };
    flight f;

    if (!flight_begin(&f, g) || !mixture_read(&m.m, g))
        return;
    f.denoiser = mixture_denoiser(&m, g);
    json_array_foreach(json_object_get(g->config, "runs"), i, run)
    {
        m.scale = begin_run(&f, run);
        m.guided = json_object_get(run, "guidance") != NULL;
        one(&f, m.scale);
        end_run(&f);
    }
    gd_schedule_free(f.schedule);
}

void flight_networks(golden *g, flight_fn one)
{
    json_t *run, *classifier = json_object_get(g->config, "classifier");
    const gd_array *a = golden_find(g, "in.x_T");
    golden_nets nets = { .g = g };
    size_t i;
    flight f;

    if (!flight_begin(&f, g))
        return;
    nets.size = (gd_net_size){ 1, (int)a->dim[2], (int)a->dim[3], 0, 0 };
    if (golden_nets_add(&nets, json_object_get(g->config, "model"), GD_NET_UNET) &&
        (!classifier || golden_nets_add(&nets, classifier, GD_NET_CLASSIFIER)))
        json_array_foreach(json_object_get(g->config, "runs"), i, run)
        {
            f.denoiser = golden_nets_denoiser(&nets, json_object_get(run, "guidance") != NULL);
            one(&f, begin_run(&f, run));
            end_run(&f);
        }
    golden_nets_release(&nets);
    gd_schedule_free(f.schedule);
}

/* A shipped model, which lies beside the cases.  The file cannot tell its image size and schedule,
 * which the case has, nor its heads: 32 channels each (README of the models). */
static gd_status open_shipped(flight *f, gd_model **out, const char *name, bool classifier)
{
    const gd_array *a = golden_find(f->g, "in.x_T");
    const char *shared = getenv("GUIDED_SHARED");
    char path[4096], size[16];
    const gd_flag flags[] = {
        { classifier ? "classifier_num_head_channels" : "num_head_channels", "32" },
        { "noise_schedule", flight_text(f->g->config, "noise_schedule", "linear") },
        { "image_size", size }
    };

    snprintf(path, sizeof path, "%s/models/%s", shared ? shared : "../shared", name);
    snprintf(size, sizeof size, "%lld", (long long)a->dim[3]);
    return gd_model_open(out, path, flags, COUNT(flags));
}

void flight_shipped(golden *g, flight_fn one)
{
    json_t *run;
    const char *classifier = flight_text(g->config, "classifier", NULL);
    gd_model *model = NULL, *guide = NULL;
    size_t i;
    flight f;

    if (!flight_begin(&f, g))
        return;
    if (open_shipped(&f, &model, flight_text(g->config, "model", ""), false) != GD_OK ||
        (classifier && open_shipped(&f, &guide, classifier, true) != GD_OK))
        golden_fail(g, "%s", gd_error());
    else
        json_array_foreach(json_object_get(g->config, "runs"), i, run)
        {
            const bool guided = json_object_get(run, "guidance") != NULL;
            gd_engine *engine;
            if (gd_engine_make(&engine, model, guided ? guide : NULL, false, 1) != GD_OK) {
                golden_fail(g, "%s", gd_error());
                break;
            }
            f.denoiser = *gd_engine_denoiser(engine);
            one(&f, begin_run(&f, run));
            end_run(&f);
            gd_engine_free(engine);
        }
    gd_model_close(model);
    gd_model_close(guide);
    gd_schedule_free(f.schedule);
}
