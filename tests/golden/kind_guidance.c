/* SPDX-License-Identifier: MIT */
/* kind_guidance.c - guidance by another network, in an interval, with fewer gradients: the formulas
 * of one step, and whole DDPM and DDIM loops. */
#include "diffusion/solver.h"
#include "flight.h"
#include "nets.h"

#include <string.h>

/* ---- formulas ---- */

/* Guides the first 3 channels of each image; the others stay those of the conditional network. */
static void compare_formula(golden *g, const char *name, const gd_guidance *how, const char *good,
                            const char *bad)
{
    const gd_array *a = golden_find(g, "%s", good);
    const float *from = golden_f32(g, NULL, "%s", good), *other = golden_f32(g, NULL, "%s", bad);
    const int64_t pixels = a->dim[2] * a->dim[3], image = a->dim[1] * pixels;
    float *out = golden_alloc(g, (size_t)gd_array_count(a) * sizeof *out);

    memcpy(out, from, (size_t)gd_array_count(a) * sizeof *out);
    for (int64_t i = 0; i < a->dim[0]; i++)
        gd_guidance_combine(how, out + i * image, other + i * image, 3 * pixels);
    golden_compare(g, name, out, gd_array_count(a));
}

/* out.WHAT.SCALE with the scale as Python prints it */
static char *name_of(golden *g, const char *what, double scale)
{
    char *name = golden_alloc(g, 100);

    snprintf(name, 100, "out.%s.%.15g", what, scale);
    if (!strpbrk(name + strlen(what) + 5, ".e"))
        strcat(name, ".0");
    return name;
}

void golden_guidance_formulas(golden *g)
{
    json_t *c;
    size_t i;
    char name[100];

    json_array_foreach(json_object_get(g->config, "scales"), i, c)
    {
        const gd_guidance how = { .scale = json_number_value(c) };
        compare_formula(g, name_of(g, "cfg", how.scale), &how, "in.out_cond", "in.out_uncond");
    }
    json_array_foreach(json_object_get(g->config, "rescale"), i, c)
    {
        const gd_guidance how = { .scale = json_number_value(json_object_get(c, "scale")),
                                  .rescale = json_number_value(json_object_get(c, "phi")) };
        snprintf(name, sizeof name, "out.rescale.%d", (int)i);
        compare_formula(g, name, &how, "in.out_cond", "in.out_uncond");
    }
    json_array_foreach(json_object_get(g->config, "autoguidance"), i, c)
    {
        const gd_guidance how = { .scale = json_number_value(c) };
        compare_formula(g, name_of(g, "autoguidance", how.scale), &how, "in.D_good", "in.D_bad");
    }
}

/* ---- loops ---- */

typedef struct loops {
    golden *g;
    golden_nets nets, uncond, bad;
    gd_schedule *schedule;
    int steps[64]; /* with a gradient */
} loops;

/* The constructor's arguments with those of `changes` in place of them; null removes one */
static json_t *changed(json_t *config, json_t *changes)
{
    json_t *out = json_deep_copy(config), *value;
    const char *key;

    json_object_foreach(changes, key, value)
    {
        if (json_is_null(value))
            json_object_del(out, key);
        else
            json_object_set(out, key, value);
    }
    return out;
}

/* The network that a kind of guidance needs beside the model */
static gd_denoiser other_of(loops *l, const char *kind)
{
    json_t *c = l->g->config;

    if (strcmp(kind, "cfg_pair") == 0) {
        if (!l->uncond.model.u.exec) {
            json_t *config =
                changed(json_object_get(c, "model_direct"), json_object_get(c, "uncond_direct"));
            golden_nets_add_named(&l->uncond, config, "uncond");
            json_decref(config);
        }
        return golden_nets_denoiser(&l->uncond, false);
    }
    if (strcmp(kind, "autoguidance") == 0) {
        if (!l->bad.model.u.exec) {
            json_t *config =
                changed(json_object_get(c, "model_direct"), json_object_get(c, "bad_direct"));
            golden_nets_add_named(&l->bad, config, "bad");
            json_decref(config);
        }
        return golden_nets_denoiser(&l->bad, false);
    }
    return golden_nets_denoiser(&l->nets, false);
}

static gd_guidance guidance_of(loops *l, json_t *run, gd_denoiser *other)
{
    json_t *how = json_object_get(run, "guidance"), *interval = json_object_get(run, "interval"),
           *steps = json_object_get(how, "steps");
    const char *kind = flight_text(how, "kind", "");
    gd_guidance out = { .scale = json_number_value(json_object_get(how, "scale")),
                        .rescale = json_number_value(json_object_get(how, "phi")),
                        .low = json_number_value(json_array_get(interval, 0)),
                        .high = json_number_value(json_array_get(interval, 1)),
                        .null_class = golden_int(l->g->config, "null_class", 0),
                        .hold_gradient = golden_bool(how, "hold", false) };

    if (strcmp(kind, "cfg") == 0)
        out.other_label = GD_OTHER_NULL_CLASS;
    else if (strcmp(kind, "autoguidance") == 0)
        out.other_label = GD_OTHER_SAME_LABEL;
    else if (strcmp(kind, "cfg_pair") != 0 && strcmp(kind, "classifier") != 0 &&
             strcmp(kind, "compress") != 0)
        golden_fail(l->g, "guidance %s is not known", kind);
    if (strcmp(kind, "classifier") != 0 && strcmp(kind, "compress") != 0) {
        *other = other_of(l, kind);
        out.other = other;
    }
    for (size_t i = 0; i < json_array_size(steps) && i < COUNT(l->steps); i++)
        l->steps[i] = (int)json_integer_value(json_array_get(steps, i));
    out.gradient_steps = steps ? l->steps : NULL;
    out.n_gradient_steps = (int)json_array_size(steps);
    return out;
}

static void one_loop(loops *l, flight *f, json_t *run)
{
    const char *loop = flight_text(run, "loop", "ddpm");
    const bool ddim = strcmp(loop, "ddim") == 0;
    gd_denoiser other;
    flight_extra extra = { .process = { .schedule = l->schedule,
                                        .var_type = GD_VAR_LEARNED_RANGE,
                                        .clip_denoised =
                                            golden_bool(l->g->config, "clip_denoised", true) },
                           .guidance = guidance_of(l, run, &other) };
    const bool classifier = !extra.guidance.other;
    gd_solver_options options = { .eta = json_number_value(json_object_get(run, "eta")) };

    f->run = run;
    f->name = flight_text(run, "name", "");
    f->denoiser = golden_nets_denoiser(&l->nets, classifier);
    if (gd_grid_discrete(&f->grid, l->schedule, l->schedule->n - 1, false) != GD_OK) {
        golden_fail(l->g, "%s", gd_error());
        return;
    }
    f->extra = &extra;
    flight_run(f, ddim ? &gd_solver_ddim : &gd_solver_ddpm, &options, extra.guidance.scale);
    gd_grid_free(f->grid);
}

void golden_guided_adm_loops(golden *g)
{
    json_t *run, *c = g->config;
    const gd_array *a = golden_find(g, "in.x_T");
    loops l = { .g = g };
    size_t i;
    flight f;

    if (!flight_begin(&f, g) ||
        gd_schedule_make(&l.schedule, flight_text(c, "noise_schedule", "linear"),
                         golden_int(c, "diffusion_steps", 1000),
                         flight_text(c, "timestep_respacing", ""),
                         golden_bool(c, "rescale_timesteps", false)) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    l.nets = l.uncond = l.bad =
        (golden_nets){ .g = g, .size = { 1, (int)a->dim[2], (int)a->dim[3], 0, 0 } };
    if (golden_nets_add(&l.nets, json_object_get(c, "model_direct"), GD_NET_UNET) &&
        golden_nets_add(&l.nets, json_object_get(c, "classifier"), GD_NET_CLASSIFIER))
        json_array_foreach(json_object_get(c, "runs"), i, run)
        {
            one_loop(&l, &f, run);
        }
    golden_nets_release(&l.nets);
    golden_nets_release(&l.uncond);
    golden_nets_release(&l.bad);
    gd_schedule_free(l.schedule);
    gd_schedule_free(f.schedule);
}
