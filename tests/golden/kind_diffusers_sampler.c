/* SPDX-License-Identifier: MIT */
/* kind_diffusers_sampler.c - the schedulers of diffusers: their grids, order rules and loops. */
#include "diffusion/solver.h"
#include "flight.h"
#include "mixture.h"

#include <math.h>
#include <string.h>

/* The mixture's epsilon at an entry of the schedule, as a network gives it */
typedef struct formula {
    mixture_run run;
    const gd_schedule *schedule;
    int64_t count;
    golden *g;
} formula;

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    formula *w = ctx;
    const gd_schedule *s = w->schedule;
    double *wide = golden_alloc(w->g, (size_t)(2 * w->count) * sizeof *wide), *x0 = wide + w->count;
    int entry = 0;

    while (entry + 1 < s->n && s->original[entry] < (int)t[0])
        entry++;
    const gd_level at = { .alpha = s->sqrt_alpha_bar[entry],
                          .sigma = s->sqrt_one_minus_alpha_bar[entry] };
    for (int i = 0; i < n; i++) {
        for (int64_t e = 0; e < w->count; e++)
            wide[e] = x[i * w->count + e];
        mixture_denoise(&w->run.m, &at, y ? y[i] : -1, wide, x0);
        for (int64_t e = 0; e < w->count; e++)
            out[i * w->count + e] = (float)((wide[e] - at.alpha * x0[e]) / at.sigma);
    }
    return GD_OK;
}

static gd_status denoise(void *ctx, int n, const double *x, const gd_level *at, const int64_t *y,
                         double *x0)
{
    formula *w = ctx;

    return mixture_predict(&w->run, n, x, at, y, x0);
}

static const gd_solver *solver_of(golden *g, json_t *run)
{
    const char *name = flight_text(run, "scheduler", "");
    const int order = golden_int(run, "order", 2);
    const gd_solver *found;
    char ours[32];

    if (strcmp(name, "dpmpp") == 0)
        snprintf(ours, sizeof ours, "dpmpp-%dm", GD_MAX(order, 2));
    else if (strcmp(name, "sde") == 0)
        snprintf(ours, sizeof ours, "dpmpp-2m-sde");
    else if (strcmp(name, "unipc") == 0)
        snprintf(ours, sizeof ours, "unipc-%s-%d", flight_text(run, "variant", "bh2"),
                 GD_MAX(order, 2));
    else
        snprintf(ours, sizeof ours, "%s", name);
    if (gd_solver_find(&found, ours) == GD_OK)
        return found;
    golden_fail(g, "%s", gd_error());
    return NULL;
}

static gd_status make_grid(flight *f)
{
    const char *spacing = flight_text(f->run, "spacing", "linspace");
    const char *schedule = flight_text(f->g->config, "noise_schedule", "");
    gd_diffusers_grid how = { .clip = golden_bool(f->run, "clip", false),
                              .karras = golden_bool(f->run, "karras", false),
                              .truncate = strcmp(schedule, "cosine") == 0,
                              .end_first =
                                  strcmp(flight_text(f->run, "final", "zero"), "sigma_min") == 0 };

    if (strcmp(spacing, "leading") == 0)
        how.spacing = GD_DIFFUSERS_LEADING;
    else if (strcmp(spacing, "trailing") == 0)
        how.spacing = GD_DIFFUSERS_TRAILING;
    else if (strcmp(spacing, "linspace") != 0)
        return gd_fail(GD_EUSAGE, "spacing %s is not known", spacing);
    return gd_grid_diffusers(&f->grid, f->schedule, golden_int(f->run, "steps", 0), &how);
}

static void compare_times(flight *f, const gd_schedule *respaced)
{
    char name[200];
    int64_t n, found[MOST_STATES];

    snprintf(name, sizeof name, "out.timesteps.%s", f->name);
    golden_i64(f->g, &n, "%s", name);
    for (int k = 0; k < f->grid->steps && k < MOST_STATES; k++)
        found[k] = respaced ? respaced->original[f->grid->level[k].index]
                            : (int64_t)f->grid->level[k].time;
    if (n == f->grid->steps)
        golden_compare_bytes(f->g, name, found, (size_t)n * sizeof *found);
    else
        golden_fail(f->g, "%s: %d steps", name, f->grid->steps);
}

static double sigma_of(const flight *f, const gd_level *at)
{
    (void)f;
    return at->sigma / at->alpha;
}

/* DDIM and DDPM: the authors' discrete loops on diffusers' leading spacing */
static void fly_discrete(flight *f, formula *w, const gd_solver *solver)
{
    const char *variance = flight_text(f->run, "variance", "fixed_small");
    gd_solver_options options = flight_options(f);
    flight_extra extra = { .process = { .clip_denoised = true,
                                        .var_type = strcmp(variance, "fixed_large") == 0
                                                        ? GD_VAR_FIXED_LARGE
                                                        : GD_VAR_FIXED_SMALL } };
    gd_schedule *respaced;
    char spacing[32];

    snprintf(spacing, sizeof spacing, "leading%d", golden_int(f->run, "steps", 0));
    if (gd_schedule_make(&respaced, flight_text(f->g->config, "noise_schedule", ""),
                         f->schedule->n_train, spacing, false) != GD_OK ||
        gd_grid_discrete(&f->grid, respaced, respaced->n - 1, false) != GD_OK) {
        golden_fail(f->g, "%s", gd_error());
        return;
    }
    extra.process.schedule = w->schedule = respaced;
    options.keep_epsilon = !golden_bool(f->run, "use_clipped", false);
    f->denoiser.predict = predict;
    f->denoiser.denoise = NULL;
    f->extra = &extra;
    flight_run(f, solver, &options, 0);
    f->extra = NULL;
    compare_times(f, respaced);
    gd_schedule_free(respaced);
}

static void fly_multistep(flight *f, const gd_solver *solver)
{
    enum { FEW = 15 };
    gd_solver_options options = flight_options(f);

    if (make_grid(f) != GD_OK) {
        golden_fail(f->g, "%s: %s", f->name, gd_error());
        return;
    }
    options.eta = solver->eta;
    options.lower_order_below =
        strcmp(flight_text(f->run, "scheduler", ""), "unipc") == 0 ? 0 : FEW;
    f->denoiser.predict = NULL;
    f->denoiser.denoise = denoise;
    flight_run(f, solver, &options, 0);
    compare_times(f, NULL);
    flight_compare_levels(f, "out.sigma", sigma_of, 1e-9);
}

void golden_diffusers_sampler_gmm(golden *g)
{
    const gd_array *a = golden_find(g, "in.x_T");
    formula w = { .g = g };
    json_t *run;
    size_t i;
    flight f;

    if (!flight_begin(&f, g) || !mixture_read(&w.run.m, g))
        return;
    w.count = f.count;
    f.denoiser = (gd_denoiser){ .ctx = &w,
                                .channels = (int)a->dim[1],
                                .height = (int)a->dim[2],
                                .width = (int)a->dim[3],
                                .out_channels = (int)a->dim[1] };
    json_array_foreach(json_object_get(g->config, "runs"), i, run)
    {
        const gd_solver *solver = solver_of(g, run);
        f.run = run;
        f.name = flight_text(run, "name", "");
        if (solver && solver->grid == GD_GRID_DISCRETE)
            fly_discrete(&f, &w, solver);
        else if (solver)
            fly_multistep(&f, solver);
        gd_grid_free(f.grid);
        f.grid = NULL;
    }
    gd_schedule_free(f.schedule);
}
