/* restoration.c - a model, an operator and a solver together, with every default settled. */
#include "restore/restore_private.h"

#include "nn/nn.h"

#include <math.h>
#include <string.h>

/* ---- which solver ---- */

/* Linear operators: DDNM without noise, DDNM+ or, without a closed form, DiffPIR with it.  Others:
 * by their derivative, or, where there is no noise to sample with, one most likely image. */
static const char *choose(const gd_operator *op, double sigma_y)
{
    if (!op->linear)
        return sigma_y > 0 && strcmp(op->kind->name, "jpeg") != 0 ? "daps" : "reddiff";
    if (sigma_y == 0 && op->has_pinv)
        return "ddnm";
    return op->has_spectrum ? "ddnm" : "diffpir";
}

/* The released configurations (spec, table of defaults) */
static void publish(gd_restore_options *o, const char *solver, const char *op)
{
    const bool inpaint = strcmp(op, "inpaint") == 0, blur = strcmp(op, "blur") == 0;

    if (strcmp(solver, "diffpir") == 0) {
        o->lambda = inpaint ? 1 : blur ? 7 : 6;
        o->zeta = inpaint ? 1 : blur ? 0.3 : 0.25;
        o->final_x0 = false;
    } else if (strcmp(solver, "pigdm") == 0) {
        o->weight = "code";
    } else if (strcmp(solver, "daps") == 0) {
        o->annealing_steps = 200;
        o->tau = 0.01;
        o->lr = strcmp(op, "clip") == 0 ? 2e-5 : strcmp(op, "phase") == 0 ? 5e-5 : 1e-4;
        o->time = "vp-continuous";
        o->unchecked = true;
    } else if (strcmp(solver, "blended") == 0) {
        o->clip = false;
    } else if (strcmp(solver, "mcg") == 0) {
        o->level_t = true;
    }
}

static void set_steps(gd_restore_options *o, const char *solver, int steps)
{
    if (strcmp(solver, "daps") == 0)
        o->annealing_steps = GD_MAX(steps / o->ode_steps, 1);
    else
        o->steps = steps;
}

/* DPS's step is tuned for 1000 steps */
static void scale_step(gd_restore_options *o, const char *solver)
{
    if (strcmp(solver, "dps") == 0 || strcmp(solver, "mcg") == 0)
        o->scale *= 1000.0 / o->steps;
}

/* Networks for noise levels have no steps for the other solvers to walk. */
static gd_status check_model(const gd_restoration *r, const gd_model *model)
{
    const gd_precond precond = gd_model_get_config(model)->diffusion.precond;
    const bool few = r->restorer == &gd_restorer_consistency;

    if (few && precond != GD_PRECOND_CONSISTENCY)
        return gd_fail(GD_EUSAGE,
                       "solver consistency: %s is no consistency model\nhint: --solver auto",
                       gd_model_path(model));
    if (!few && precond == GD_PRECOND_CONSISTENCY)
        return gd_fail(GD_EUSAGE,
                       "solver %s walks the steps of a schedule, %s is a consistency model\nhint: "
                       "--solver consistency",
                       r->restorer->name, gd_model_path(model));
    if (precond != GD_PRECOND_STEPS && !few)
        return gd_fail(GD_EUSAGE,
                       "solver %s walks the steps of a schedule, which %s does not have\nhint: a "
                       "model for discrete steps, or a consistency model",
                       r->restorer->name, gd_model_path(model));
    return GD_OK;
}

static gd_status settle_solver(gd_restoration *r, const gd_model *model,
                               const gd_restoration_settings *s)
{
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;
    const char *text = s->solver ? s->solver : "auto", *op = r->op->kind->name;
    char *copy = gd_strdup(r->mem, text);
    bool scaled = false;
    gd_words words;

    if (!copy)
        return GD_ENOMEM;
    GD_TRY(gd_words_read(&words, copy));
    if (words.value)
        return gd_fail(GD_EUSAGE, "solver %s: \"%s\" is not KEY=VALUE", words.name, words.value);
    if (strcmp(words.name, "auto") == 0)
        words.name =
            d->precond == GD_PRECOND_CONSISTENCY ? "consistency" : choose(r->op, s->sigma_y);
    GD_TRY(gd_restorer_find(&r->restorer, words.name));
    GD_TRY(check_model(r, model));
    gd_restorer_defaults(r->restorer, op, s->sigma_y, &r->options);
    if (r->restorer == &gd_restorer_consistency) {
        r->options.sigma_min = d->sigma_min;
        r->options.sigma_max = d->sigma_max;
    }
    if (s->as_published)
        publish(&r->options, words.name, op);
    if (s->steps > 0)
        set_steps(&r->options, words.name, s->steps);
    for (int i = 0; i < words.n; i++) {
        GD_TRY(gd_restorer_set(r->restorer, &r->options, words.key[i], words.text[i]));
        scaled = scaled || strcmp(words.key[i], "scale") == 0;
    }
    if (!scaled)
        scale_step(&r->options, words.name);
    r->options.poisson = s->poisson;
    r->options.ddim = s->ddim;
    if (strcmp(words.name, "sdedit") == 0)
        r->options.eta = s->eta;
    return GD_OK;
}

/* ---- the schedule ---- */

/* `count` of the training steps below `below`, evenly spread, the last of them included */
static gd_status kept_below(gd_restoration *r, const gd_diffusion_config *d, int below, int count)
{
    int *kept = gd_alloc(r->mem, (size_t)below * sizeof *kept);

    if (!kept)
        return GD_ENOMEM;
    if (below < 2 || below > d->steps)
        return gd_fail(GD_EUSAGE, "t %d: the model has %d steps, at least 2 are needed", below,
                       d->steps);
    count = GD_MIN(GD_MAX(count, 2), below);
    for (int i = 0; i < count; i++)
        kept[i] = (int)nearbyint(i * (double)(below - 1) / (count - 1));
    r->options.start = count - 1;
    return gd_schedule_make_kept(&r->schedule, d->noise_schedule, d->steps, kept, count,
                                 d->rescale_timesteps);
}

static gd_status make_schedule(gd_restoration *r, const gd_diffusion_config *d,
                               const gd_restoration_settings *s)
{
    char count[24];
    const char *spacing = s->spacing;

    if (s->below > 0)
        return kept_below(r, d, s->below, s->steps > 0 ? s->steps : s->below);
    if (!spacing && r->restorer->respaced && r->options.steps < d->steps) {
        snprintf(count, sizeof count, "%d", r->options.steps);
        spacing = count;
    }
    GD_TRY(gd_schedule_make(&r->schedule, d->noise_schedule, d->steps,
                            r->restorer->respaced ? spacing : NULL, d->rescale_timesteps));
    r->options.start = (int)GD_MAX(lround(s->strength * r->schedule->n) - 1, 0);
    return GD_OK;
}

/* ---- opening ---- */

static gd_status open(gd_restoration *r, const gd_model *model, const gd_model *classifier,
                      const gd_restoration_settings *s)
{
    const gd_model_config *c = gd_model_get_config(model);
    gd_network_options n = { .h = r->shape.h,
                             .w = r->shape.w,
                             .recompute = s->recompute,
                             .bf16 = s->bf16,
                             .label = s->label,
                             .scale = s->scale < 0 ? c->guidance_scale : s->scale,
                             .seed = s->seed };

    GD_TRY(gd_operator_parse(&r->op, s->op ? s->op : "denoise", r->shape, s->seed));
    GD_TRY(settle_solver(r, model, s));
    if (!r->restorer->respaced && r->options.steps > c->diffusion.steps)
        return gd_fail(GD_EUSAGE, "%s: %d steps, the model has %d", r->restorer->name,
                       r->options.steps, c->diffusion.steps);
    GD_TRY(make_schedule(r, &c->diffusion, s));
    n.gradient = r->restorer->needs & GD_NEEDS_VJP;
    GD_TRY(gd_restorer_check(r->restorer, n.gradient, r->op, &r->options));
    GD_TRY(gd_network_prior_make(&r->network, model, classifier, r->schedule, &n));
    r->prior = gd_network_prior_get(r->network);
    r->measured = gd_alloc(r->mem, (size_t)gd_shape_count(r->op->measurement) * sizeof(double));
    if (!r->measured)
        return GD_ENOMEM;
    r->calls = gd_restorer_calls(r->restorer, r->prior, &r->options);
    return GD_OK;
}

gd_status gd_restoration_open(gd_restoration *r, const gd_model *model, const gd_model *classifier,
                              const gd_restoration_settings *s)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;

    *r = (gd_restoration){ .label = s->label,
                           .shape = { c->in_channels, s->h > 0 ? s->h : c->image_size,
                                      s->w > 0 ? s->w : c->image_size } };
    GD_TRY(gd_arena_make(&r->mem));
    return open(r, model, classifier, s);
}

gd_status gd_restoration_run(gd_restoration *r, uint64_t number, const double *y, double *x,
                             double *latent)
{
    gd_status s;

    gd_network_prior_image(r->network, number, r->label);
    s = gd_restorer_run(r->restorer, r->prior, r->op, y, &r->options, x, latent);
    if (s != GD_OK && s != GD_EINTERRUPTED)
        gd_context("image %llu", (unsigned long long)number);
    return s;
}

void gd_restoration_close(gd_restoration *r)
{
    gd_network_prior_free(r->network);
    gd_schedule_free(r->schedule);
    gd_operator_free(r->op);
    gd_arena_free(r->mem);
    *r = (gd_restoration){ 0 };
}

double gd_restoration_residual(const gd_restoration *r, const double *x, const double *y)
{
    const int64_t m = gd_shape_count(r->op->measurement);
    const uint8_t *mask = gd_operator_mask(r->op);
    const int64_t plane = (int64_t)r->shape.h * r->shape.w;
    double *ax = r->measured, sum = 0;
    int64_t measured = 0;

    gd_operator_apply(r->op, x, ax);
    for (int64_t i = 0; i < m; i++) {
        if (mask && !mask[i % plane])
            continue;
        sum += (ax[i] - y[i]) * (ax[i] - y[i]);
        measured++;
    }
    return sqrt(sum / (double)GD_MAX(measured, 1));
}
