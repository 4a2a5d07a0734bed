/* SPDX-License-Identifier: MIT */
/* kind_vp_sampler.c - the solvers in continuous time: all states, the grid's times, network times,
 * the number of calls. */
#include "flight.h"

#include <string.h>

static const gd_solver *solver_of(golden *g, json_t *run)
{
    const char *name = flight_text(run, "solver", ""),
               *variant = flight_text(run, "variant", "bh2");
    const int order = golden_int(run, "order", 2);
    const gd_solver *found;
    char ours[32];

    if (strcmp(g->kind, "plms_gmm") == 0)
        return &gd_solver_plms;
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

static gd_skip skip_of(golden *g, json_t *run)
{
    const char *skip = flight_text(run, "skip", "time_uniform");

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

    f->vp.stretched = strcmp(flight_text(f->run, "time_input", "index"), "stretched") == 0;
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
                               strcmp(flight_text(f->run, "final", "one"), "abar0") == 0);
    return gd_grid_vp(&f->grid, &f->vp, skip, steps);
}

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

/* PLMS: the index of every call, of which the second repeats the first step's end */
static void compare_indices(flight *f)
{
    golden *g = f->g;
    char name[200];
    int64_t n, found[MOST_STATES];

    snprintf(name, sizeof name, "out.index.%s", f->name);
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

static void one(flight *f, double scale)
{
    const gd_solver *solver = solver_of(f->g, f->run);
    const int cut = golden_int(f->g->config, "N_after_clip", 0);
    gd_solver_options options = flight_options(f);

    f->vp = gd_vp_make(f->schedule);
    if (cut && cut != f->vp.n)
        golden_fail(f->g, "the schedule keeps %d entries, not %d", f->vp.n, cut);
    if (!solver || make_grid(f, solver) != GD_OK) {
        golden_fail(f->g, "%s: %s", f->name, gd_error());
        return;
    }
    options.eta = solver == &gd_solver_dpmpp_2m_sde ? 1 : 0;
    flight_run(f, solver, &options, scale);
    flight_compare_levels(f, "out.t", time_of, 1e-12);
    flight_compare_levels(f, "out.lambda", lambda_of, 1e-9);
    flight_compare_levels(f, "out.tau", network_time_of, 1e-7);
    flight_compare_levels(f, "out.tau_index", index_of, 1e-7);
    flight_compare_levels(f, "out.tau_stretched", stretched_time_of, 1e-7);
    compare_indices(f);
}

void golden_vp_sampler_gmm(golden *g)
{
    flight_mixture(g, one);
}

void golden_vp_sampler_adm(golden *g)
{
    flight_networks(g, one);
}

void golden_vp_sampler_shipped(golden *g)
{
    flight_shipped(g, one);
}
