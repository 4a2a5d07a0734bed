/* SPDX-License-Identifier: MIT */
/* kind_grids.c - tables of noise levels and network times, by name. */
#include "diffusion/solver.h"
#include "flight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A table of the case in float64: found equals it to `relative`, zeros exactly */
static void compare_table(golden *g, const char *what, const char *name, const double *found, int n,
                          double relative)
{
    char full[200];
    const gd_array *a;
    const double *stored;

    snprintf(full, sizeof full, "out64.%s%s%s", what, *name ? "." : "", name);
    a = golden_find(g, "%s", full);
    stored = a ? golden_f64(g, full) : NULL;
    if (!stored || gd_array_count(a) != n) {
        golden_fail(g, "%s is absent or has not %d entries", full, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        const double d = fabs(found[i] - stored[i]),
                     allowed = relative * fmax(fabs(stored[i]), 1e-3) + 1e-12;
        golden_record(g, full, d / allowed, d / fmax(fabs(stored[i]), 1e-3));
    }
}

static gd_skip skip_of(const char *skip)
{
    return strcmp(skip, "logSNR") == 0           ? GD_SKIP_LOG_SNR
           : strcmp(skip, "time_quadratic") == 0 ? GD_SKIP_QUADRATIC
                                                 : GD_SKIP_TIME;
}

/* One schedule in three manners of time */
static void vp_table(golden *g, json_t *c)
{
    const char *name = flight_text(c, "name", "");
    const int steps = golden_int(c, "steps", 1), n_train = golden_int(c, "diffusion_steps", 1000);
    double *t = golden_alloc(g, (size_t)(steps + 1) * sizeof *t),
           *found = golden_alloc(g, (size_t)(steps + 1) * sizeof *found);
    gd_schedule *s;

    if (gd_schedule_make(&s, flight_text(c, "noise_schedule", ""), n_train, "", false) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    gd_vp vp = gd_vp_make(s);
    if (vp.n != golden_int(c, "N_after_clip", 0))
        golden_fail(g, "%s keeps %d entries", name, vp.n);
    gd_vp_times(&vp, skip_of(flight_text(c, "skip", "")), steps, 1, 1.0 / vp.n, t);
    compare_table(g, "t", name, t, steps + 1, 1e-9);
    for (int k = 0; k <= steps; k++) {
        const gd_level at = gd_vp_level(&vp, t[k]);
        found[k] = gd_lambda(&at);
    }
    compare_table(g, "lambda", name, found, steps + 1, 1e-9);
    for (int k = 0; k <= steps; k++)
        found[k] = gd_vp_level(&vp, t[k]).time;
    compare_table(g, "tau_index", name, found, steps + 1, 1e-8);
    s->rescale_timesteps = true;
    for (int k = 0; k <= steps; k++)
        found[k] = gd_vp_level(&vp, t[k]).time;
    compare_table(g, "tau_rescaled", name, found, steps + 1, 1e-8);
    vp.stretched = true;
    for (int k = 0; k <= steps; k++)
        found[k] = gd_vp_level(&vp, t[k]).time;
    compare_table(g, "tau_stretched", name, found, steps + 1, 1e-8);
    gd_schedule_free(s);
}

static void sigma_table(golden *g, json_t *c)
{
    const char *name = flight_text(c, "name", ""), *grid = flight_text(c, "grid", "");
    const int steps = golden_int(c, "steps", 1);
    const gd_sigma_map map = { .kind = GD_TIME_NONE };
    const gd_sigma_range range = {
        .spacing = flight_spacing(g, grid),
        .min = json_number_value(json_object_get(c, "sigma_min")),
        .max = json_number_value(json_object_get(c, "sigma_max")),
        .rho = json_number_value(json_object_get(c, "rho")),
    };
    double *found = golden_alloc(g, (size_t)(steps + 1) * sizeof *found);
    gd_grid *made;

    if (gd_grid_sigma(&made, &range, steps, &map) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    for (int k = 0; k <= steps; k++)
        found[k] = made->level[k].sigma;
    /* the authors hold the iDDPM table's alpha_bar in float32 */
    compare_table(g, "sigma", name, found, steps + 1,
                  range.spacing == GD_SIGMA_IDDPM ? 1e-6 : 1e-9);
    gd_grid_free(made);
}

static void map_table(golden *g, json_t *c)
{
    const char *name = flight_text(c, "name", "");
    const gd_array *a = golden_find(g, "in.sigma");
    gd_sigma_map map = { .kind = flight_time_kind(g, flight_text(c, "how", "log")) };
    gd_schedule *s;

    if (!a || gd_schedule_make(&s, flight_text(c, "noise_schedule", ""),
                               golden_int(c, "diffusion_steps", 1000), "", false) != GD_OK) {
        golden_fail(g, "%s: no sigmas, or no schedule", name);
        return;
    }
    const int n = (int)gd_array_count(a);
    const double *sigma = golden_f64(g, "in.sigma");
    double *found = golden_alloc(g, (size_t)n * sizeof *found);
    map.schedule = s;
    for (int i = 0; i < n; i++)
        found[i] = gd_sigma_level(&map, sigma[i]).time;
    compare_table(g, "t_of_sigma", name, found, n, 1e-8);
    gd_schedule_free(s);
}

void golden_grids(golden *g)
{
    double u[GD_IDDPM_LEVELS];
    json_t *c;
    size_t i;

    gd_iddpm_levels(u);
    if (golden_find(g, "out64.iddpm_table"))
        compare_table(g, "iddpm_table", "", u, GD_IDDPM_LEVELS, 1e-6);
    json_array_foreach(json_object_get(g->config, "vp"), i, c)
    {
        vp_table(g, c);
    }
    json_array_foreach(json_object_get(g->config, "sigma"), i, c)
    {
        sigma_table(g, c);
    }
    json_array_foreach(json_object_get(g->config, "maps"), i, c)
    {
        map_table(g, c);
    }
}
