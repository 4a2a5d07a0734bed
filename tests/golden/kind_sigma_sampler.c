/* SPDX-License-Identifier: MIT */
/* kind_sigma_sampler.c - the solvers in sigma space: all states, noise levels, network times, the
 * number of calls. */
#include "flight.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *ours;
} names[] = {
    { "heun", "heun" },
    { "euler", "euler" },
    { "dpm2", "dpm2" },
    { "euler_ancestral", "euler-a" },
    { "lms", "lms" },
    { "dpmpp_2m", "dpmpp-2m" },
    { "dpmpp_2s_ancestral", "dpmpp-2s-a" },
    { "dpmpp_2m_sde", "dpmpp-2m-sde" },
    { "dpmpp_3m_sde", "dpmpp-3m-sde" },
};
static const gd_solver *solver_of(flight *f)
{
    const char *name = flight_text(f->run, "solver", "");
    const gd_solver *found;

    for (int i = 0; i < COUNT(names); i++)
        if (strcmp(name, names[i].name) == 0 && gd_solver_find(&found, names[i].ours) == GD_OK)
            return found;
    golden_fail(f->g, "solver %s is not known", name);
    return NULL;
}

static gd_status make_grid(flight *f)
{
    const char *spacing = flight_text(f->run, "grid", "edm"),
               *time = flight_text(f->run, "time_map", "log");
    gd_sigma_map map = { .kind = GD_TIME_NONE, .schedule = f->schedule };
    gd_sigma_range range = { .min = json_number_value(json_object_get(f->run, "sigma_min")),
                             .max = json_number_value(json_object_get(f->run, "sigma_max")),
                             .rho = json_number_value(json_object_get(f->run, "rho")) };

    range.spacing = flight_spacing(f->g, spacing);
    if (f->schedule)
        map.kind = flight_time_kind(f->g, time);
    return gd_grid_sigma(&f->grid, &range, golden_int(f->run, "steps", 0), &map);
}

static double sigma_of(const flight *f, const gd_level *at)
{
    (void)f;
    return at->sigma;
}

static double time_of(const flight *f, const gd_level *at)
{
    (void)f;
    return at->time;
}

/* The table's ends, from which users take the range of levels */
static void check_table(flight *f)
{
    json_t *ends = json_object_get(f->g->config, "sigma_table_ends");

    for (size_t i = 0; ends && i < 2; i++) {
        const double stored = json_number_value(json_array_get(ends, i)),
                     found = gd_sigma_of(f->schedule, i ? f->schedule->n - 1 : 0);
        golden_record(f->g, "sigma_table_ends", fabs(found / stored - 1) / 1e-9,
                      fabs(found / stored - 1));
    }
}

static void one(flight *f, double scale)
{
    const gd_solver *solver = solver_of(f);
    gd_solver_options options = flight_options(f);

    check_table(f);
    if (!solver || make_grid(f) != GD_OK) {
        golden_fail(f->g, "%s: %s", f->name, gd_error());
        return;
    }
    if (!json_object_get(f->run, "eta"))
        options.eta = solver->eta;
    options.lower_order_below = -1; /* k-diffusion has no such rule */
    flight_run(f, solver, &options, scale);
    flight_compare_levels(f, "out.sigma", sigma_of, 1e-12);
    flight_compare_levels(f, "out.tau", time_of, 1e-7);
}

void golden_sigma_sampler_gmm(golden *g)
{
    flight_mixture(g, one);
}

void golden_sigma_sampler_adm(golden *g)
{
    flight_networks(g, one);
}

void golden_sigma_sampler_shipped(golden *g)
{
    flight_shipped(g, one);
}
