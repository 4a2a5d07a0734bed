/* SPDX-License-Identifier: MIT */
/* stage.c - one model ready to sample: alone, or as an upsampler behind other images, with the same
 * bytes either way. */
#include "sampling/sampling.h"
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    const gd_stage *s = ctx;

    if (s->torch)
        gd_torch_randn(s->torch, out, n * s->image);
    else
        gd_noise_images(out, s->image, s->o.seed, first, n, step);
}

void gd_stage_set_seed(gd_stage *s, uint64_t seed)
{
    s->o.seed = s->small > 0 ? gd_stage_seed(seed, s->size) : seed;
}

gd_status gd_stage_solver(const gd_solver **solver, const char **steps, const char *sampler)
{
    const bool ddim = *steps && strncmp(*steps, "ddim", 4) == 0;

    GD_TRY(gd_solver_find(solver, sampler ? sampler : ddim ? "ddim" : "ddpm"));
    if (!*steps)
        *steps = gd_solver_steps(*solver);
    return GD_OK;
}

void gd_stage_defaults(const char **sampler, const char **steps, const gd_model *model)
{
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;
    const bool one_call = d->precond == GD_PRECOND_CONSISTENCY || d->one_call_sigma > 0;

    if (*sampler || d->precond == GD_PRECOND_STEPS)
        return;
    *sampler = one_call ? "consistency" : "heun";
    if (!*steps)
        *steps = one_call ? "1" : "18";
}

bool gd_stage_fast(const char **sampler, const char **steps, const char **spacing,
                   const char **threshold, const gd_model *model)
{
    if (gd_model_get_config(model)->diffusion.precond != GD_PRECOND_STEPS)
        return false;
    if (!*sampler) {
        *sampler = "dpmpp-2m-sde";
        *spacing = *spacing ? *spacing : "time";
        *threshold = *threshold ? *threshold : "clip";
    }
    *steps = *steps ? *steps : "15";
    return true;
}

/* ---- noise levels ---- */

/* A network for discrete steps is given the schedule's entry at a level, others the level itself.
 */
static gd_status map_of(gd_sigma_map *out, gd_stage *s, const gd_schedule *schedule,
                        const gd_diffusion_config *d)
{
    float levels[GD_EDM_LEVELS];

    *out = (gd_sigma_map){ .kind = d->precond == GD_PRECOND_STEPS || s->classifier ? GD_TIME_LOG
                                                                                   : GD_TIME_NONE,
                           .schedule = schedule };
    if (d->precond != GD_PRECOND_IDDPM)
        return GD_OK;
    gd_block_free(s->levels);
    GD_TRY(gd_model_levels(s->model, levels));
    GD_TRY(gd_block_make(&s->levels, sizeof *s->levels * GD_EDM_LEVELS, "noise levels"));
    for (int i = 0; i < GD_EDM_LEVELS; i++)
        s->levels[i] = levels[i];
    out->levels = s->levels;
    out->n_levels = GD_EDM_LEVELS;
    return GD_OK;
}

/* The schedule's own levels, the noisiest end of a cosine schedule left out: x_0 cannot be
 * derived there.  With a preconditioner those of EDM and of consistency models, as far as the
 * network was made for them; of a generator its only one. */
static gd_status range_of(gd_sigma_range *out, const gd_stage *s, const gd_schedule *schedule,
                          const gd_diffusion_config *d)
{
    enum { NOISIEST = 160 };
    double low = 0, high = 0;
    gd_preconditioner *p;

    if (d->precond == GD_PRECOND_STEPS) {
        low = gd_sigma_of(schedule, 0);
        high = GD_MIN(gd_sigma_of(schedule, schedule->n - 1), NOISIEST);
    } else {
        GD_TRY(gd_preconditioner_make(&p, d, NULL, NULL));
        gd_precondition_range(p, &low, &high);
        gd_preconditioner_free(p);
        low = GD_MAX(low, 0.002);
        high = d->one_call_sigma > 0 ? d->one_call_sigma : GD_MIN(high, 80);
    }
    *out = (gd_sigma_range){ .spacing = s->o.spacing,
                             .min = s->o.sigma_min > 0 ? s->o.sigma_min : low,
                             .max = s->o.sigma_max > 0 ? s->o.sigma_max : high,
                             .rho = s->o.rho };
    return GD_OK;
}

/* Karras' levels */
static gd_status make_sigma_grid(gd_stage *s, int steps, const gd_diffusion_config *d)
{
    gd_sigma_range range;
    gd_sigma_map map;

    GD_TRY(map_of(&map, s, s->schedule, d));
    GD_TRY(range_of(&range, s, s->schedule, d));
    return gd_grid_sigma(&s->grid, &range, steps, &map);
}

/* Only a consistency model goes to the image in one call from any level; a generator does from one
 * level, and knows no other. */
static gd_status check_few_calls(const gd_stage *s, const gd_diffusion_config *d)
{
    const bool few = s->trajectory.solver->grid == GD_GRID_CONSISTENCY;
    const char *name = s->trajectory.solver->name;

    if (d->one_call_sigma > 0 && (!few || strcmp(s->o.steps, "1") != 0))
        return gd_fail(GD_EUSAGE,
                       "%s, steps %s: %s is a generator of one call\nhint: --sampler consistency "
                       "--steps 1",
                       name, s->o.steps, gd_model_path(s->model));
    if (few && d->one_call_sigma == 0 && d->precond != GD_PRECOND_CONSISTENCY)
        return gd_fail(GD_EUSAGE,
                       "%s: no consistency model, which the sampler consistency needs\nhint: "
                       "another --sampler; guided help samplers lists them",
                       gd_model_path(s->model));
    if (!few && d->precond == GD_PRECOND_CONSISTENCY)
        gd_log(GD_LOG_NOTE,
               "%s is a consistency model: %s expects another network, a mean image for every "
               "noise level; --sampler consistency --steps 1 is what it was trained for",
               gd_model_path(s->model), name);
    return GD_OK;
}

static gd_status make_consistency_grid(gd_stage *s, const gd_diffusion_config *d)
{
    gd_consistency_calls calls;
    gd_sigma_range range;
    gd_sigma_map map;

    GD_TRY(gd_consistency_calls_read(&calls, s->o.steps));
    GD_TRY(map_of(&map, s, s->schedule, d));
    GD_TRY(range_of(&range, s, s->schedule, d));
    return gd_grid_consistency(&s->grid, &range, &calls, &map);
}

/* Of a solver in continuous time: a count of steps, or a respacing whose entries it walks */
static gd_status make_vp_grid(gd_stage *s, const gd_diffusion_config *d)
{
    const gd_vp vp = gd_vp_make(s->schedule);
    const gd_solver *solver = s->trajectory.solver;
    char *end;
    const long steps = strtol(s->o.steps, &end, 10);
    int *kept, n;
    double *t;
    gd_status status;

    if (*end == 0 && (steps < 1 || steps > s->schedule->n))
        return gd_fail(GD_EUSAGE, "steps %s: %s takes 1 to %d", s->o.steps, solver->name,
                       s->schedule->n);
    if (*end == 0 && solver->grid == GD_GRID_SIGMA)
        return make_sigma_grid(s, (int)steps, d);
    if (*end == 0 && solver->grid == GD_GRID_STRIDED)
        return gd_grid_strided(&s->grid, s->schedule, (int)steps, false);
    if (*end == 0 && solver->grid == GD_GRID_SINGLESTEP)
        return gd_grid_singlestep(&s->grid, &vp, s->o.skip, (int)steps, solver->order);
    if (*end == 0)
        return gd_grid_vp(&s->grid, &vp, s->o.skip, (int)steps);
    if (solver->grid != GD_GRID_VP)
        return gd_fail(GD_EUSAGE, "steps %s: %s takes a count", s->o.steps, solver->name);
    GD_TRY(gd_space_timesteps(&kept, &n, s->schedule->n, s->o.steps));
    status = gd_block_make(&t, (size_t)n * sizeof *t, "noise levels");
    for (int k = 0; k < n && status == GD_OK; k++)
        t[k] = (double)(kept[n - 1 - k] + 1) / vp.n;
    if (status == GD_OK)
        status = gd_grid_vp_at(&s->grid, &vp, n - 1, t);
    gd_block_free(t);
    gd_block_free(kept);
    return status;
}

/* A classifier is given steps, those of its own schedule, even where the model is given levels. */
static gd_status make_schedule(gd_schedule **out, const gd_stage *s, const char *spacing)
{
    const gd_diffusion_config *d = &gd_model_get_config(s->model)->diffusion;

    if (s->classifier && d->precond != GD_PRECOND_STEPS)
        d = &gd_model_get_config(s->classifier)->diffusion;
    return gd_schedule_make(out, d->noise_schedule, d->steps, spacing, d->rescale_timesteps);
}

static gd_status make_grid(gd_stage *s, const gd_diffusion_config *d)
{
    const gd_grid_kind kind = s->trajectory.solver->grid;
    const bool discrete = kind == GD_GRID_DISCRETE;

    GD_TRY(check_few_calls(s, d));
    GD_TRY(make_schedule(&s->schedule, s, discrete ? s->o.steps : ""));
    if (kind == GD_GRID_CONSISTENCY)
        return make_consistency_grid(s, d);
    return discrete ? gd_grid_discrete(&s->grid, s->schedule, s->schedule->n - 1, false)
                    : make_vp_grid(s, d);
}

/* ---- guidance ---- */

static gd_status check_other(const gd_stage *s, const gd_model *other)
{
    const gd_net_config *a = &gd_model_get_config(s->model)->net,
                        *b = &gd_model_get_config(other)->net;

    if (b->kind == a->kind && b->image_size == a->image_size && b->in_channels == a->in_channels)
        return GD_OK;
    return gd_fail(GD_EMISMATCH, "%s is for %d x %d images of %d channels, %s for %d x %d of %d",
                   gd_model_path(other), b->image_size, b->image_size, b->in_channels,
                   gd_model_path(s->model), a->image_size, a->image_size, a->in_channels);
}

/* Which network is the other one, and its label */
static gd_status set_other(gd_stage *s, gd_guidance *g)
{
    const gd_stage_options *o = &s->o;
    const gd_net_config *net = &gd_model_get_config(s->model)->net;

    if (o->uncond && o->weaker)
        return gd_fail(GD_EUSAGE, "an unconditional model and a weaker one: guidance takes one");
    if ((o->uncond || o->weaker) && o->guidance_scale <= 0)
        return gd_fail(GD_EUSAGE, "%s: a second model and no scale\nhint: --guidance-scale",
                       gd_model_path(o->uncond ? o->uncond : o->weaker));
    if (o->uncond && gd_model_class_count(o->uncond) > 0)
        return gd_fail(GD_EMISMATCH, "%s is class-conditional: it is no unconditional partner",
                       gd_model_path(o->uncond));
    if (o->weaker && gd_model_class_count(o->weaker) != gd_model_class_count(s->model))
        return gd_fail(GD_EMISMATCH, "%s has %d classes, %s has %d", gd_model_path(o->weaker),
                       gd_model_class_count(o->weaker), gd_model_path(s->model),
                       gd_model_class_count(s->model));
    if (o->guidance_scale > 0 && !o->uncond && !o->weaker &&
        (o->null_class < 1 || o->null_class >= net->num_classes))
        return gd_fail(GD_EUSAGE,
                       "%s: guidance scale %g needs a second model or a null class\nhint: "
                       "--uncond-model FILE, or --null-class N of a model trained with dropped "
                       "labels (its last of %d classes)",
                       gd_model_path(s->model), o->guidance_scale, net->num_classes);
    if (o->uncond || o->weaker)
        GD_TRY(check_other(s, o->uncond ? o->uncond : o->weaker));
    g->other_label = o->uncond   ? GD_OTHER_NO_LABEL
                     : o->weaker ? GD_OTHER_SAME_LABEL
                                 : GD_OTHER_NULL_CLASS;
    g->null_class = o->null_class;
    return GD_OK;
}

static gd_status set_guidance(gd_stage *s)
{
    const gd_stage_options *o = &s->o;
    gd_guidance *g = &s->trajectory.guidance;
    const int steps = s->grid->steps;

    *g = (gd_guidance){ .scale = o->guidance_scale,
                        .rescale = o->guidance_rescale,
                        .low = o->guidance_low,
                        .high = o->guidance_high,
                        .hold_gradient = o->hold_gradient };
    GD_TRY(set_other(s, g));
    if (g->other_label == GD_OTHER_NULL_CLASS && o->null_class == s->classes - 1)
        s->classes--; /* the null class is no label */
    if (o->gradient_every < 2)
        return GD_OK;
    if (!s->classifier)
        return gd_fail(GD_EUSAGE, "gradients at every %d steps: there is no classifier",
                       o->gradient_every);
    GD_TRY(
        gd_block_make(&s->gradient_steps, (size_t)steps * sizeof *s->gradient_steps, "guidance"));
    for (int k = 0; k < steps; k += o->gradient_every)
        s->gradient_steps[g->n_gradient_steps++] = k;
    g->gradient_steps = s->gradient_steps;
    return GD_OK;
}

static void set_threshold(gd_stage *s)
{
    const gd_stage_options *o = &s->o;

    s->trajectory.threshold =
        (gd_threshold){ .kind = o->threshold ? o->threshold
                                : o->clip    ? GD_THRESHOLD_CLIP
                                             : GD_THRESHOLD_NONE,
                        .ratio = o->threshold_ratio > 0 ? o->threshold_ratio : 0.995,
                        .most = o->threshold_max > 0 ? o->threshold_max : 1 };
}

gd_status gd_stage_open(gd_stage *s, const gd_model *model, const gd_model *classifier,
                        const gd_stage_options *options)
{
    const gd_model_config *c = gd_model_get_config(model);

    *s = (gd_stage){ .o = *options,
                     .model = model,
                     .classifier = classifier,
                     .size = c->net.image_size,
                     .small = c->net.kind == GD_NET_SUPERRES ? c->net.small_size : 0,
                     .channels = c->net.in_channels,
                     .classes = gd_model_class_count(model) };
    if (c->net.kind == GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: a classifier, not a diffusion model",
                       gd_model_path(model));
    if (s->classes == 0 && classifier)
        s->classes = gd_model_class_count(classifier);
    s->image = (int64_t)s->channels * s->size * s->size;
    s->low_image = (int64_t)s->channels * s->small * s->small;
    gd_stage_set_seed(s, options->seed);
    gd_stage_defaults(&s->o.sampler, &s->o.steps, model);
    GD_TRY(gd_stage_solver(&s->trajectory.solver, &s->o.steps, s->o.sampler));
    if (s->o.solver.eta < 0)
        s->o.solver.eta = s->trajectory.solver->eta;
    else if (s->o.solver.eta > 0 && !s->trajectory.solver->takes_eta)
        return gd_fail(GD_EUSAGE, "eta %g: %s reads no eta\nhint: leave it out, or another sampler",
                       s->o.solver.eta, s->trajectory.solver->name);
    GD_TRY(make_grid(s, &c->diffusion));
    s->trajectory.process =
        (gd_process){ s->schedule, gd_model_mean_type(model), gd_model_var_type(model), s->o.clip };
    s->trajectory.grid = s->grid;
    set_threshold(s);
    s->trajectory.options = s->o.solver;
    s->trajectory.scale = s->o.scale >= 0 ? s->o.scale : c->guidance_scale;
    return set_guidance(s);
}

/* ---- a branch ---- */

/* The step of the first solver that begins with network call `call`; -1: none does */
static int step_of_call(const gd_stage *s, int call)
{
    const gd_solver *solver = s->trajectory.solver;

    if (solver->grid == GD_GRID_SIGMA && solver->calls) /* two calls a step */
        return call % 2 ? call / 2 : -1;
    return solver->calls ? -1 : call - 1;
}

/* `steps` levels from `at` on, as the solver spreads them */
static gd_status make_branch_grid(gd_stage *s, gd_grid **out, const gd_level *at, int steps)
{
    const gd_diffusion_config *d = &gd_model_get_config(s->model)->diffusion;
    const gd_branch *b = &s->trajectory.branch;
    const gd_vp vp = gd_vp_make(s->branch_schedule);
    gd_sigma_range range;
    gd_sigma_map map;
    double *t;
    gd_status status;

    if (b->solver->grid == GD_GRID_DISCRETE)
        return gd_grid_discrete(out, s->schedule, at->index, false);
    if (b->solver->grid == GD_GRID_SIGMA) {
        GD_TRY(map_of(&map, s, s->branch_schedule, d));
        GD_TRY(range_of(&range, s, s->branch_schedule, d));
        range.max = at->sigma / at->alpha;
        range.min = GD_MIN(range.min, range.max);
        return gd_grid_sigma(out, &range, steps, &map);
    }
    GD_TRY(gd_block_make(&t, (size_t)(steps + 1) * sizeof *t, "noise levels"));
    gd_vp_times(&vp, s->o.skip, steps, GD_MIN(gd_vp_t(&vp, gd_lambda(at)), 1), 1.0 / vp.n, t);
    status = gd_grid_vp_at(out, &vp, steps, t);
    gd_block_free(t);
    return status;
}

static gd_status check_branch(const gd_stage *s, int call, const gd_solver *solver)
{
    const gd_solver *first = s->trajectory.solver;
    const int step = step_of_call(s, call);

    if (first->grid == GD_GRID_SINGLESTEP || first->grid == GD_GRID_CONSISTENCY || step < 0 ||
        s->o.solver.churn > 0)
        return gd_fail(GD_EUSAGE, "--branch-call %d: no step of %s begins there%s", call,
                       first->name, s->o.solver.churn > 0 ? " with --churn" : "");
    if (solver->grid != GD_GRID_DISCRETE && solver->grid != GD_GRID_SIGMA &&
        solver->grid != GD_GRID_VP)
        return gd_fail(GD_EUSAGE, "--branch-sampler %s: it cannot start inside a run",
                       solver->name);
    if (solver->grid == GD_GRID_DISCRETE && first->grid != GD_GRID_DISCRETE)
        return gd_fail(GD_EUSAGE,
                       "--branch-sampler %s: it walks the steps of a respacing, between which %s "
                       "stops",
                       solver->name, first->name);
    return GD_OK;
}

gd_status gd_stage_branch(gd_stage *s, int call, const char *sampler)
{
    gd_branch *b = &s->trajectory.branch;
    const gd_solver *solver;
    const double eta = s->o.solver.eta;

    GD_TRY(gd_solver_find(&solver, sampler));
    GD_TRY(check_branch(s, call, solver));
    const int step = step_of_call(s, call);
    const gd_level *at = &s->grid->level[step];
    *b = (gd_branch){ .call = call, .solver = solver, .options = s->o.solver };
    b->options.eta = s->trajectory.solver->takes_eta && solver->takes_eta ? eta : solver->eta;
    GD_TRY(make_schedule(&s->branch_schedule, s, ""));
    GD_TRY(make_branch_grid(s, &s->branch_grid, at, s->grid->steps - step));
    b->grid = s->branch_grid;
    b->schedule = solver->grid == GD_GRID_DISCRETE ? s->schedule : s->branch_schedule;
    return GD_OK;
}

int gd_stage_calls(const gd_stage *s)
{
    return gd_trajectory_calls(&s->trajectory);
}

static gd_status prepare_other(gd_stage *s, int batch)
{
    const gd_model *other = s->o.uncond ? s->o.uncond : s->o.weaker;

    if (s->o.guidance_scale <= 0)
        return GD_OK;
    if (other)
        GD_TRY(gd_engine_make(&s->other, other, NULL, s->o.bf16, gd_engine_lanes(batch, s->size)));
    s->trajectory.guidance.other = gd_engine_denoiser(other ? s->other : s->engine);
    return GD_OK;
}

gd_status gd_stage_prepare(gd_stage *s, int batch)
{
    GD_TRY(gd_engine_make(&s->engine, s->model, s->classifier, s->o.bf16,
                          gd_engine_lanes(batch, s->size)));
    s->trajectory.denoiser = gd_engine_denoiser(s->engine);
    GD_TRY(prepare_other(s, batch));
    s->trajectory.noise = draw;
    s->trajectory.noise_ctx = s;
    GD_TRY(gd_block_make(&s->work, gd_trajectory_bytes(&s->trajectory, batch), "sampler"));
    if (s->small == 0)
        return GD_OK;
    GD_TRY(gd_block_make(&s->low_res, (size_t)(batch * s->low_image) * sizeof *s->low_res,
                         "low-resolution images"));
    return gd_block_make(&s->noise, (size_t)s->low_image * sizeof *s->noise,
                         "low-resolution image");
}

gd_status gd_stage_run_from(gd_stage *s, int64_t first, int n, const float *low_res,
                            const int64_t *labels, float *out)
{
    gd_engine_set_low_res(s->engine, low_res);
    return gd_trajectory_run(&s->trajectory, first, n, s->classes > 0 ? labels : NULL, out,
                             s->work);
}

gd_status gd_stage_run(gd_stage *s, int64_t first, int n, const uint8_t *low, const int64_t *labels,
                       float *out)
{
    for (int i = 0; i < n && s->small > 0; i++) {
        float *low_res = s->low_res + i * s->low_image;
        const gd_image from = { s->small, s->small, s->channels,
                                (uint8_t *)low + i * s->low_image };
        gd_image_floats(low_res, &from, false);
        gd_stage_disturb(low_res, s->noise, s->low_image, s->o.low_res_noise, s->o.seed, first + i);
    }
    return gd_stage_run_from(s, first, n, s->small > 0 ? s->low_res : NULL, labels, out);
}

size_t gd_stage_bytes(const gd_stage *s)
{
    return gd_engine_bytes(s->engine) + (s->other ? gd_engine_bytes(s->other) : 0) +
           gd_trajectory_bytes(&s->trajectory, 1) + (size_t)(2 * s->low_image) * sizeof(float);
}

void gd_stage_close(gd_stage *s)
{
    gd_block_free(s->work);
    gd_block_free(s->low_res);
    gd_block_free(s->noise);
    gd_block_free(s->gradient_steps);
    gd_block_free(s->levels);
    gd_engine_free(s->other);
    gd_engine_free(s->engine);
    gd_grid_free(s->grid);
    gd_grid_free(s->branch_grid);
    gd_schedule_free(s->schedule);
    gd_schedule_free(s->branch_schedule);
}
