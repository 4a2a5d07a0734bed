/* SPDX-License-Identifier: MIT */
/* kind_cm_sampler.c - consistency_models' karras_sample, by the engine that `guided sample` runs.
 */
#include "flight.h"

#include <string.h>

static const struct {
    const char *name, *ours;
} samplers[] = {
    { "onestep", "consistency" },
    { "multistep", "consistency" },
    { "progdist", "euler" },
    { "heun", "heun" },
    { "dpm", "dpm2" },
    { "ancestral", "euler-a" },
    { "euler", "euler" },
};

static const gd_solver *solver_of(flight *f)
{
    const char *name = flight_text(f->run, "sampler", "");
    const gd_solver *found;

    for (int i = 0; i < COUNT(samplers); i++)
        if (strcmp(name, samplers[i].name) == 0 &&
            gd_solver_find(&found, samplers[i].ours) == GD_OK)
            return found;
    golden_fail(f->g, "sampler %s is not known", name);
    return NULL;
}

static double number_of(flight *f, const char *key, double absent)
{
    json_t *value = json_object_get(f->run, key);

    return value ? json_number_value(value) : absent;
}

/* One call from the noisiest level, or calls at the entries of ts but the last */
static gd_status consistency_grid(flight *f, const gd_sigma_range *range, const gd_sigma_map *map)
{
    json_t *ts = json_object_get(f->run, "ts"), *item;
    const int points = golden_int(f->run, "steps", 0);
    gd_consistency_calls calls = { points, ts ? 0 : 2, { 0, points - 1 } };
    size_t i;

    json_array_foreach(ts, i, item)
    {
        if (calls.n <= GD_MAX_CONSISTENCY_CALLS)
            calls.at[calls.n++] = (int)json_integer_value(item);
    }
    return gd_grid_consistency(&f->grid, range, &calls, map);
}

static gd_status make_grid(flight *f)
{
    const char *sampler = flight_text(f->run, "sampler", "");
    const gd_sigma_map map = { .kind = GD_TIME_NONE };
    const gd_sigma_range range = { .spacing = GD_SIGMA_KARRAS,
                                   .min = number_of(f, "sigma_min", 0.002),
                                   .max = number_of(f, "sigma_max", 80),
                                   .rho = number_of(f, "rho", 7) };
    const int steps = golden_int(f->run, "steps", 0);

    if (strcmp(sampler, "onestep") == 0 || strcmp(sampler, "multistep") == 0)
        return consistency_grid(f, &range, &map);
    if (strcmp(sampler, "progdist") != 0)
        return gd_grid_sigma(&f->grid, &range, steps, &map);
    GD_TRY(gd_grid_sigma(&f->grid, &range, steps + 1, &map));
    f->grid->steps--; /* ends at the least level, not at 0 */
    return GD_OK;
}

static void fly(flight *f)
{
    const gd_solver *solver = solver_of(f);
    gd_solver_options options = flight_options(f);

    if (!solver)
        return;
    if (make_grid(f) != GD_OK) {
        golden_fail(f->g, "%s: %s", f->name, gd_error());
        return;
    }
    options.eta = solver->eta;
    flight_run(f, solver, &options, 1);
}

static gd_status make_engine(gd_engine **engine, gd_model **m, golden *g, gd_model_config *c,
                             bool distilled)
{
    static golden_weights source;

    source = (golden_weights){ g, "model", NULL };
    const gd_weights weights = golden_source(&source);
    c->diffusion.precond = distilled ? GD_PRECOND_CONSISTENCY : GD_PRECOND_CONSISTENCY_EDM;
    GD_TRY(gd_model_wrap(m, c, &weights));
    return gd_engine_make(engine, *m, NULL, false, 1);
}

static void run_all(golden *g, const gd_denoiser *distilled, const gd_denoiser *edm)
{
    const gd_array *noise = golden_find(g, "in.noise");
    flight f = { .g = g, .start = golden_f32(g, NULL, "in.noise"), .clamped = true };
    json_t *run;
    size_t i;

    if (!noise || noise->rank != 5) {
        golden_fail(g, "no in.noise");
        return;
    }
    f.images = (int)noise->dim[1];
    f.count = noise->dim[2] * noise->dim[3] * noise->dim[4];
    f.noise = f.start + f.images * f.count;
    json_array_foreach(json_object_get(g->config, "runs"), i, run)
    {
        f.run = run;
        f.name = flight_text(run, "name", "");
        f.denoiser = golden_bool(run, "distillation", false) ? *distilled : *edm;
        f.clipped = golden_bool(run, "clip_denoised", true);
        fly(&f);
        gd_grid_free(f.grid);
        f.grid = NULL;
    }
}

void golden_cm_sample(golden *g)
{
    gd_engine *engine[2] = { NULL };
    gd_model *model[2] = { NULL };
    gd_model_config c;

    if (!golden_cm_config(g, &c))
        return;
    if (make_engine(&engine[0], &model[0], g, &c, true) != GD_OK ||
        make_engine(&engine[1], &model[1], g, &c, false) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else
        run_all(g, gd_engine_denoiser(engine[0]), gd_engine_denoiser(engine[1]));
    for (int i = 0; i < 2; i++) {
        gd_engine_free(engine[i]);
        gd_model_close(model[i]);
    }
}
