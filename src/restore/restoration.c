/* SPDX-License-Identifier: MIT */
/* restoration.c - a model, an operator and a solver together, with every default settled. */
#include "restore/restore_private.h"

#include "nn/nn.h"

#include <math.h>
#include <string.h>

/* ---- which solver ---- */

/* Linear operators: DDNM without noise, with it DDRM (docs/restoration.md, "Measured"), without a
 * closed form DiffPIR.  Others: by their derivative, or, where there is no noise to sample with,
 * one most likely image. */
static const char *choose(const gd_operator *op, double sigma_y)
{
    if (!op->linear)
        return sigma_y > 0 && strcmp(op->kind->name, "jpeg") != 0 ? "daps" : "reddiff";
    if (sigma_y == 0 && op->has_pinv)
        return "ddnm";
    return op->has_spectrum ? "ddrm" : "diffpir";
}

/* The released configurations (spec, table of defaults) */
static void publish(gd_restore_options *o, const char *solver, const char *op)
{
    const bool inpaint = strcmp(op, "inpaint") == 0, blur = strcmp(op, "blur") == 0;

    if (strcmp(solver, "diffpir") == 0) {
        o->lambda = inpaint ? 1 : blur ? 7 : 6;
        o->zeta = inpaint ? 1 : blur ? 0.3 : 0.25;
        o->steps = inpaint ? 20 : 100;
        o->final_x0 = false;
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
    } else if (strcmp(solver, "ddrm") == 0) {
        o->steps = 20;
        o->clip = false;
    } else if (strcmp(solver, "ddnm") == 0) {
        o->clip = false;
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

/* What the solver's own levels are for */
static gd_status check_model(const gd_restoration *r, const gd_model *model)
{
    if (r->restorer == &gd_restorer_consistency &&
        gd_model_get_config(model)->diffusion.precond != GD_PRECOND_CONSISTENCY)
        return gd_fail(GD_EUSAGE,
                       "solver consistency: %s is no consistency model\nhint: --solver auto",
                       gd_model_path(model));
    return GD_OK;
}

static gd_status settle_solver(gd_restoration *r, const gd_model *model,
                               const gd_restoration_settings *s)
{
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;
    const bool consistency = d->precond == GD_PRECOND_CONSISTENCY;
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
        words.name = consistency && r->op->linear && r->op->has_pinv && s->sigma_y == 0
                         ? "consistency"
                         : choose(r->op, s->sigma_y);
    GD_TRY(gd_restorer_find(&r->restorer, words.name));
    GD_TRY(check_model(r, model));
    gd_restorer_defaults(r->restorer, op, s->sigma_y, &r->options);
    if (consistency)
        r->options.eta = 1; /* the difference from its image is not the noise */
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
    if (r->restorer == &gd_restorer_sdedit)
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

/* For solvers on the training steps: floor(i T / N), from the noisiest usable level also where N
 * does not divide T */
static gd_status make_steps(gd_restoration *r)
{
    const int n = r->options.steps, usable = gd_usable_levels(r->schedule);
    int64_t all = r->schedule->n;
    int *ts;

    if (r->restorer->respaced || r->restorer == &gd_restorer_consistency || n == 0)
        return GD_OK;
    if (n > usable)
        return gd_fail(GD_EUSAGE, "%s: %d steps, the model has %d%s", r->restorer->name, n, usable,
                       usable < all ? " whose noise leaves anything of an image" : "");
    if ((n - 1) * all / n >= usable)
        all = usable;
    ts = gd_alloc(r->mem, (size_t)n * sizeof *ts);
    for (int i = 0; ts && i < n; i++)
        ts[i] = (int)(i * all / n);
    r->options.ts = ts;
    r->options.n_ts = n;
    return ts ? GD_OK : GD_ENOMEM;
}

/* ---- opening ---- */

/* A consistency model gives an image, not the mean of all: steps begin from it with fresh noise
 * (Song et al. 2023, algorithm 4). */
static gd_status check_score(gd_restoration *r, const gd_model *model)
{
    const gd_precond precond = gd_model_get_config(model)->diffusion.precond;

    if (precond != GD_PRECOND_CONSISTENCY)
        return GD_OK;
    if ((r->restorer->needs & GD_NEEDS_SCORE) || r->options.ddim)
        return gd_fail(GD_EUSAGE,
                       "%s: a consistency model gives no score, which %s needs; use ddnm, ddrm, "
                       "repaint or dps, or images to images with ddpm steps",
                       gd_model_path(model), r->restorer->name);
    return GD_OK;
}

static gd_status check_options(gd_restoration *r, const gd_model *model)
{
    const bool gradient = r->restorer->needs & GD_NEEDS_VJP;

    GD_TRY(check_score(r, model));
    return gd_restorer_check(r->restorer, gradient, r->op, &r->options);
}

static bool needs_gradient(const gd_restoration *r, const gd_restoration_settings *s)
{
    return s->gradient || (r->restorer->needs & GD_NEEDS_VJP);
}

/* The network's images: tiles of the model's own size where the image is larger */
static int tile_of(const gd_restoration *r, const gd_restoration_settings *s, int own)
{
    const int side = GD_MAX(r->shape.h, r->shape.w);

    if (s->tile > 0)
        return s->tile;
    if (s->whole || needs_gradient(r, s) || side <= own)
        return 0;
    gd_log(GD_LOG_NOTE, "the image is larger than the model's %dx%d: the network sees tiles", own,
           own);
    return own;
}

static gd_status open_network(gd_restoration *r, const gd_model *model, const gd_model *classifier,
                              const gd_restoration_settings *s)
{
    const gd_model_config *c = gd_model_get_config(model);
    gd_network_options n = { .h = r->shape.h,
                             .w = r->shape.w,
                             .tile = tile_of(r, s, c->net.image_size),
                             .gradient = needs_gradient(r, s),
                             .recompute = s->recompute,
                             .bf16 = s->bf16,
                             .label = s->label,
                             .scale = s->scale < 0 ? c->guidance_scale : s->scale,
                             .seed = s->seed };
    const int side = n.tile > 0 ? n.tile : GD_MAX(r->shape.h, r->shape.w);
    gd_status status;

    r->n_lanes = gd_engine_lanes(s->images, side);
    n.threads = r->n_lanes > 1 ? 1 : 0;
    GD_TRY(gd_network_prior_make(&r->network, model, classifier, r->schedule, &n));
    status = gd_restoration_open_lanes(r, s);
    if (status != GD_ENOMEM || r->n_lanes == 1)
        return status;
    gd_restoration_close_lanes(r);
    gd_network_prior_free(r->network);
    r->network = NULL;
    n.threads = 0;
    return gd_network_prior_make(&r->network, model, classifier, r->schedule, &n);
}

static gd_status open(gd_restoration *r, const gd_model *model, const gd_model *classifier,
                      const gd_restoration_settings *s)
{
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;

    GD_TRY(gd_operator_parse(&r->op, s->op ? s->op : "denoise", r->shape, s->seed));
    GD_TRY(settle_solver(r, model, s));
    GD_TRY(check_options(r, model));
    GD_TRY(make_schedule(r, d, s));
    GD_TRY(make_steps(r));
    GD_TRY(open_network(r, model, classifier, s));
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
                                      s->w > 0 ? s->w : c->image_size },
                           .n_lanes = 1 };
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

gd_status gd_restoration_gradient(gd_restoration *r, uint64_t number, const double *y,
                                  gd_edit_loss loss, void *loss_ctx, double *x, double *g)
{
    gd_network_prior_image(r->network, number, r->label);
    return gd_edit_gradient(r->prior, y, &r->options, loss, loss_ctx, x, g);
}

void gd_restoration_close(gd_restoration *r)
{
    gd_restoration_close_lanes(r);
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
