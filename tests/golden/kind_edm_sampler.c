/* SPDX-License-Identifier: MIT */
/* kind_edm_sampler.c - EDM's sampler on EDM's networks, by the engine that `guided sample` runs. */
#include "flight.h"

#include <math.h>

/* The authors' range, as far as the network was made for it; iDDPM's levels are those of its table
 */
static gd_status make_grid(flight *f, const gd_preconditioner *p, const double *levels)
{
    gd_sigma_map map = { .kind = GD_TIME_NONE, .levels = levels, .n_levels = GD_EDM_LEVELS };
    json_t *low = json_object_get(f->run, "sigma_min"),
           *high = json_object_get(f->run, "sigma_max");
    double least, most;
    gd_sigma_range range = { .spacing = GD_SIGMA_KARRAS,
                             .rho = json_number_value(json_object_get(f->run, "rho")) };

    gd_precondition_range(p, &least, &most);
    range.min = fmax(least, low ? json_number_value(low) : 0.002);
    range.max = fmin(most, high ? json_number_value(high) : 80);
    return gd_grid_sigma(&f->grid, &range, golden_int(f->run, "steps", 0), &map);
}

static double sigma_of(const flight *f, const gd_level *at)
{
    (void)f;
    return at->sigma;
}

static void fly(flight *f, const gd_engine *engine, const double *levels)
{
    const gd_solver *heun;
    const gd_solver_options options = flight_options(f);

    if (gd_solver_find(&heun, "heun") != GD_OK ||
        make_grid(f, gd_engine_preconditioner(engine), levels) != GD_OK) {
        golden_fail(f->g, "%s: %s", f->name, gd_error());
        return;
    }
    flight_run(f, heun, &options, 1);
    flight_compare_levels(f, "out.sigma", sigma_of, 1e-6); /* the range is float32 there */
}

static void run_all(golden *g, const gd_engine *engine)
{
    const float *u = golden_f32(g, NULL, "in.u");
    double *levels = u ? golden_alloc(g, GD_EDM_LEVELS * sizeof *levels) : NULL;
    json_t *run;
    flight f;
    size_t i;

    if (!flight_begin(&f, g))
        return;
    for (int k = 0; u && k < GD_EDM_LEVELS; k++)
        levels[k] = u[k];
    if (u)
        gd_preconditioner_set_levels((gd_preconditioner *)gd_engine_preconditioner(engine), u);
    f.labels = golden_class_labels(g, "in.class_labels", f.images);
    f.denoiser = *gd_engine_denoiser(engine);
    json_array_foreach(json_object_get(g->config, "runs"), i, run)
    {
        f.run = run;
        f.name = flight_text(run, "name", "");
        fly(&f, engine, levels);
        gd_grid_free(f.grid);
        f.grid = NULL;
    }
}

void golden_sigma_sampler_edm(golden *g)
{
    golden_weights source = { g, "net", "model." };
    const gd_weights weights = golden_source(&source);
    gd_engine *engine = NULL;
    gd_model *m = NULL;
    gd_model_config c;

    if (!golden_edm_config(g, &c))
        return;
    if (gd_model_wrap(&m, &c, &weights) != GD_OK ||
        gd_engine_make(&engine, m, NULL, false, 1) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else
        run_all(g, engine);
    gd_engine_free(engine);
    gd_model_close(m);
}
