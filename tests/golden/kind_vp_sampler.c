/* kind_vp_sampler.c - the solvers in continuous time, on the mixture, on the case's networks and on
 * shipped models: all states, the grid's times, network times, the number of calls. */
#include "mixture.h"
#include "nets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STATES = 512 };

typedef struct flight {
    golden *g;
    json_t *run;
    const char *name;
    int images;
    int64_t count; /* elements of an image */
    gd_denoiser denoiser;
    gd_schedule *schedule;
    gd_vp vp;
    gd_grid *grid;
    const float *start, *noise; /* [n][count]; [steps][n][count] */
    int states;
    double *state[MOST_STATES]; /* [n][count] */
} flight;

static const char *text_of(json_t *o, const char *key, const char *absent)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : absent;
}

/* ---- what a run says ---- */

static const gd_solver *solver_of(golden *g, json_t *run)
{
    const char *name = text_of(run, "solver", ""), *variant = text_of(run, "variant", "bh2");
    const int order = golden_int(run, "order", 2);
    const gd_solver *found;
    char ours[32];

    if (strcmp(name, "dpmpp_multistep") == 0)
        snprintf(ours, sizeof ours, "dpmpp-%dm", GD_MAX(order, 2));
    else if (strcmp(name, "dpmpp_singlestep") == 0)
        snprintf(ours, sizeof ours, "dpmpp-%ds", order);
    else if (strcmp(name, "sde_dpmpp_2m") == 0)
        snprintf(ours, sizeof ours, "dpmpp-2m-sde");
    else
        snprintf(ours, sizeof ours, "%s-%s-%d", name, variant, GD_MAX(order, 2));
    if (gd_solver_find(&found, ours) == GD_OK)
        return found;
    golden_fail(g, "%s", gd_error());
    return NULL;
}

static gd_solver_options options_of(json_t *run)
{
    return (gd_solver_options){
        .order = golden_int(run, "order", 0),
        .taylor = strcmp(text_of(run, "solver_type", "midpoint"), "taylor") == 0,
        .lower_order_below = golden_bool(run, "lower_order_final", true) ? 0 : -1,
        .denoise_to_zero = golden_bool(run, "denoise_to_zero", false),
    };
}

static gd_threshold threshold_of(golden *g, json_t *run)
{
    json_t *x0 = json_object_get(run, "x0");
    const char *kind = text_of(x0, "kind", "none");
    gd_threshold t = { .ratio = json_number_value(json_object_get(x0, "ratio")),
                       .most = json_number_value(json_object_get(x0, "max")) };

    if (strcmp(kind, "clip") == 0)
        t.kind = GD_THRESHOLD_CLIP;
    else if (strcmp(kind, "dynamic") == 0)
        t.kind = GD_THRESHOLD_DYNAMIC;
    else if (strcmp(kind, "dynamic_diffusers") == 0)
        t.kind = GD_THRESHOLD_DYNAMIC_CAPPED;
    else if (strcmp(kind, "none") != 0)
        golden_fail(g, "x0.kind %s is not known", kind);
    return t;
}

static gd_skip skip_of(golden *g, json_t *run)
{
    const char *skip = text_of(run, "skip", "time_uniform");

    if (strcmp(skip, "logSNR") == 0)
        return GD_SKIP_LOG_SNR;
    if (strcmp(skip, "time_quadratic") == 0)
        return GD_SKIP_QUADRATIC;
    if (strcmp(skip, "time_uniform") != 0)
        golden_fail(g, "skip %s is not known", skip);
    return GD_SKIP_TIME;
}

static gd_status make_grid(flight *f, const gd_solver *solver)
{
    json_t *indices = json_object_get(f->run, "indices");
    const int steps = golden_int(f->run, "steps", 0), n = (int)json_array_size(indices);
    const gd_skip skip = skip_of(f->g, f->run);

    f->vp.stretched = strcmp(text_of(f->run, "time_input", "index"), "stretched") == 0;
    if (indices) {
        double *t = golden_alloc(f->g, (size_t)n * sizeof *t);
        for (int k = 0; k < n; k++)
            t[k] = (double)(json_integer_value(json_array_get(indices, (size_t)k)) + 1) / f->vp.n;
        return gd_grid_vp_at(&f->grid, &f->vp, n - 1, t);
    }
    if (solver->grid == GD_GRID_SINGLESTEP)
        return gd_grid_singlestep(&f->grid, &f->vp, skip, steps, solver->order);
    if (solver->grid == GD_GRID_STRIDED)
        return gd_grid_strided(&f->grid, f->schedule, steps,
                               strcmp(text_of(f->run, "final", "one"), "abar0") == 0);
    return gd_grid_vp(&f->grid, &f->vp, skip, steps);
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
    golden_compare(g, name, found, all);
}

typedef double (*level_fn)(const flight *f, const gd_level *at);

static double time_of(const flight *f, const gd_level *at)
{
    return gd_vp_t(&f->vp, gd_lambda(at));
}

static double lambda_of(const flight *f, const gd_level *at)
{
    (void)f;
    return gd_lambda(at);
}

static double network_time_of(const flight *f, const gd_level *at)
{
    (void)f;
    return at->time;
}

static double stretched_time_of(const flight *f, const gd_level *at)
{
    return (time_of(f, at) - 1.0 / f->vp.n) * 1000;
}

static double index_of(const flight *f, const gd_level *at)
{
    return time_of(f, at) * f->vp.n - 1;
}

/* One number per outer point of the grid, where the case has them */
static void compare_levels(flight *f, const char *what, level_fn value, double absolute)
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
    if (n != gd_array_count(a))
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
    compare_levels(f, "out.t", time_of, 1e-12);
    compare_levels(f, "out.lambda", lambda_of, 1e-9);
    compare_levels(f, "out.tau", network_time_of, 1e-7);
    compare_levels(f, "out.tau_index", index_of, 1e-7);
    compare_levels(f, "out.tau_stretched", stretched_time_of, 1e-7);
}

/* PLMS: the index of every call, of which the second repeats the first step's end */
static void compare_indices(flight *f)
{
    golden *g = f->g;
    const char *name = result_name(f, "out.index");
    int64_t n, found[MOST_STATES];

    if (!golden_i64(g, &n, "%s", name))
        return;
    for (int k = 0; k <= f->grid->steps && k < MOST_STATES; k++)
        found[k] = f->grid->level[k == 0 ? 0 : GD_MIN(k, f->grid->steps - 1)].index;
    for (int k = 2; k <= f->grid->steps; k++)
        found[k] = f->grid->level[k - 1].index;
    if (n == f->grid->steps + 1)
        golden_compare_bytes(g, name, found, (size_t)n * sizeof *found);
    else
        golden_fail(g, "%s: %d calls, stored %lld", name, f->grid->steps + 1, (long long)n);
}

static void fly(flight *f, const gd_solver *solver, double scale, const int64_t *y)
{
    golden *g = f->g;
    const gd_trajectory r = { .denoiser = &f->denoiser,
                              .process = { .schedule = f->schedule, .mean_type = GD_MEAN_EPSILON },
                              .solver = solver,
                              .options = options_of(f->run),
                              .scale = scale,
                              .threshold = threshold_of(g, f->run),
                              .grid = f->grid,
                              .noise = give_noise,
                              .noise_ctx = f,
                              .after_step = remember,
                              .step_ctx = f };
    const int64_t all = f->images * f->count;
    float *x = golden_alloc(g, (size_t)all * sizeof *x);

    f->states = 1;
    f->state[0] = golden_alloc(g, (size_t)all * sizeof(double));
    for (int64_t i = 0; i < all; i++)
        f->state[0][i] = f->start[i];
    if (gd_trajectory_run(&r, 0, f->images, y, x,
                          golden_alloc(g, gd_trajectory_bytes(&r, f->images))) != GD_OK) {
        golden_fail(g, "%s: %s", f->name, gd_error());
        return;
    }
    compare_all(f, gd_trajectory_calls(&r));
    compare_indices(f);
}

/* ---- the kinds ---- */

static bool begin(flight *f, golden *g)
{
    const gd_array *a = golden_find(g, "in.x_T");
    json_t *c = g->config;
    const int cut = golden_int(c, "N_after_clip", 0);

    *f = (flight){ .g = g, .start = golden_f32(g, NULL, "in.x_T") };
    if (!a || a->rank != 4 ||
        gd_schedule_make(&f->schedule, text_of(c, "noise_schedule", "linear"),
                         golden_int(c, "diffusion_steps", 1000), "",
                         golden_bool(c, "rescale_timesteps", false)) != GD_OK) {
        golden_fail(g, "no in.x_T, or no schedule: %s", gd_error());
        return false;
    }
    f->images = (int)a->dim[0];
    f->count = a->dim[1] * a->dim[2] * a->dim[3];
    f->noise = golden_f32(g, NULL, "in.noise");
    f->vp = gd_vp_make(f->schedule);
    if (cut && cut != f->vp.n)
        golden_fail(g, "the schedule keeps %d entries, not %d", f->vp.n, cut);
    return true;
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

/* Labels of the run, or (networks) of the case */
static const int64_t *labels_of(flight *f)
{
    json_t *y = json_object_get(f->run, "y");
    int64_t *labels = golden_alloc(f->g, (size_t)f->images * sizeof *labels);

    for (int i = 0; i < f->images; i++)
        labels[i] = json_integer_value(json_array_get(y, (size_t)i));
    return y ? labels : golden_i64(f->g, NULL, "in.y");
}

static void fly_run(flight *f, json_t *run, mixture_run *m)
{
    json_t *guidance = json_object_get(run, "guidance");
    const double scale = json_number_value(json_object_get(guidance, "scale"));
    const gd_solver *solver;

    f->run = run;
    f->name = text_of(run, "name", "");
    if (strcmp(f->g->kind, "plms_gmm") == 0)
        solver = &gd_solver_plms;
    else
        solver = solver_of(f->g, run);
    if (m) {
        m->guided = guidance != NULL;
        m->scale = scale;
    }
    if (!solver || make_grid(f, solver) != GD_OK) {
        golden_fail(f->g, "%s: %s", f->name, gd_error());
        return;
    }
    fly(f, solver, scale, labels_of(f));
    gd_grid_free(f->grid);
    f->grid = NULL;
}

void golden_vp_sampler_gmm(golden *g)
{
    json_t *run;
    size_t i;
    mixture_run m = { 0 };
    flight f;

    if (!begin(&f, g) || !mixture_read(&m.m, g))
        return;
    f.denoiser = mixture_denoiser(&m, g);
    json_array_foreach(json_object_get(g->config, "runs"), i, run)
    {
        fly_run(&f, run, &m);
    }
    gd_schedule_free(f.schedule);
}

void golden_vp_sampler_adm(golden *g)
{
    json_t *run, *classifier = json_object_get(g->config, "classifier");
    const gd_array *a = golden_find(g, "in.x_T");
    golden_nets nets = { .g = g };
    size_t i;
    flight f;

    if (!begin(&f, g))
        return;
    nets.size = (gd_net_size){ 1, (int)a->dim[2], (int)a->dim[3], 0, 0 };
    if (golden_nets_add(&nets, json_object_get(g->config, "model"), GD_NET_UNET) &&
        (!classifier || golden_nets_add(&nets, classifier, GD_NET_CLASSIFIER)))
        json_array_foreach(json_object_get(g->config, "runs"), i, run)
        {
            f.denoiser = golden_nets_denoiser(&nets, json_object_get(run, "guidance") != NULL);
            fly_run(&f, run, NULL);
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
        { "noise_schedule", text_of(f->g->config, "noise_schedule", "linear") },
        { "image_size", size }
    };

    snprintf(path, sizeof path, "%s/models/%s", shared ? shared : "../shared", name);
    snprintf(size, sizeof size, "%lld", (long long)a->dim[3]);
    return gd_model_open(out, path, flags, COUNT(flags));
}

void golden_vp_sampler_shipped(golden *g)
{
    json_t *run;
    const char *classifier = text_of(g->config, "classifier", NULL);
    gd_model *model = NULL, *guide = NULL;
    size_t i;
    flight f;

    if (!begin(&f, g))
        return;
    if (open_shipped(&f, &model, text_of(g->config, "model", ""), false) != GD_OK ||
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
            fly_run(&f, run, NULL);
            gd_engine_free(engine);
        }
    gd_model_close(model);
    gd_model_close(guide);
    gd_schedule_free(f.schedule);
}
