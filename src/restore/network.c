/* SPDX-License-Identifier: MIT */
/* network.c - a diffusion model of any family, and a classifier, as the prior of a restoration. */
#include "restore/restore_private.h"

#include "nn/nn.h"

#include <math.h>
#include <string.h>

struct gd_network_prior {
    gd_prior prior;
    gd_runner *model, *classifier;
    gd_network_options options;
    gd_mean_type mean_type;
    const gd_network_prior *beside;    /* whose weights and preconditioner these are; NULL: own */
    gd_preconditioner *preconditioner; /* NULL: a network for discrete steps */
    gd_cover tiles;
    gd_scaling scaling; /* of the latest prediction; its c_in includes all scales of x */
    double outside;     /* of the network's output in eps */
    uint64_t image;
    int64_t n, out_n; /* elements of an image and of a network's output of its size */
    float *x, *g, *noise, *out, *c, *tile, *tile_out; /* one block */
    void *block;
    gd_arena *mem;
};

static void narrow(float *out, double scale, const double *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(scale * in[i]);
}

/* ---- predictions ---- */

/* p->out of p->x; what tiles give is mixed where they overlap */
static gd_status run_network(gd_network_prior *p, double time)
{
    const float t = (float)time;
    const int64_t *label = p->options.label >= 0 ? &p->options.label : NULL;
    const int channels = (int)(p->out_n / (p->n / p->prior.shape.c));

    if (p->tiles.n == 1)
        return gd_runner_run(p->model, p->x, &t, label, NULL, p->out);
    memset(p->out, 0, (size_t)p->out_n * sizeof *p->out);
    for (int k = 0; k < p->tiles.n; k++) {
        gd_cover_take(&p->tiles, k, p->x, p->tile);
        GD_TRY(gd_runner_run(p->model, p->tile, &t, label, NULL, p->tile_out));
        gd_cover_add(&p->tiles, k, channels, p->tile_out, p->out);
    }
    return GD_OK;
}

static gd_status predict_steps(gd_network_prior *p, const gd_level *at, const double *x,
                               double *eps)
{
    narrow(p->x, 1, x, p->n);
    GD_TRY(run_network(p, at->time));
    for (int64_t i = 0; i < p->n; i++)
        eps[i] = gd_prediction_eps(p->mean_type, at->alpha, at->sigma, x[i], p->out[i]);
    return GD_OK;
}

/* u = x / alpha has noise of s = sigma / alpha, eps = (u - D(u; s)) / s.  Beyond the levels that
 * the network was made for: below them it hears the lowest, and above the largest, where u is
 * scaled to that level. */
static gd_status predict_level(gd_network_prior *p, const gd_level *at, const double *x,
                               double *eps)
{
    const double s = at->sigma / at->alpha;
    double low, high, shrink;

    gd_precondition_range(p->preconditioner, &low, &high);
    shrink = s > high ? high / s : 1;
    p->scaling = gd_precondition(p->preconditioner, fmin(fmax(s, low), high));
    p->scaling.c_in *= shrink / at->alpha;
    p->scaling.c_skip *= shrink;
    p->outside = -p->scaling.c_out / s;
    narrow(p->x, p->scaling.c_in, x, p->n);
    GD_TRY(run_network(p, p->scaling.time));
    for (int64_t i = 0; i < p->n; i++)
        eps[i] = (1 - p->scaling.c_skip) / at->sigma * x[i] + p->outside * p->out[i];
    return GD_OK;
}

static gd_status predict(void *ctx, const gd_level *at, const double *x, double *eps, double *v)
{
    gd_network_prior *p = ctx;

    GD_TRY(p->preconditioner ? predict_level(p, at, x, eps) : predict_steps(p, at, x, eps));
    for (int64_t i = 0; i < p->n; i++)
        v[i] = p->out_n > p->n ? p->out[p->n + i] : 0;
    return GD_OK;
}

/* eps = in x + out F(scale x): J^T c = in c + scale J_F^T (out c, cv) */
static gd_status vjp(void *ctx, const gd_level *at, const double *c, const double *cv, double *g)
{
    gd_network_prior *p = ctx;
    double in, out, scale = 1;

    if (p->preconditioner) {
        in = (1 - p->scaling.c_skip) / at->sigma;
        out = p->outside;
        scale = p->scaling.c_in;
    } else {
        in = gd_prediction_eps(p->mean_type, at->alpha, at->sigma, 1, 0);
        out = gd_prediction_eps(p->mean_type, at->alpha, at->sigma, 0, 1);
    }
    narrow(p->c, out, c, p->n);
    for (int64_t i = p->n; i < p->out_n; i++)
        p->c[i] = cv ? (float)cv[i - p->n] : 0;
    GD_TRY(gd_runner_vjp(p->model, p->c, p->g));
    for (int64_t i = 0; i < p->n; i++)
        g[i] = in * c[i] + scale * p->g[i];
    return GD_OK;
}

static gd_status guide(void *ctx, const gd_level *at, const double *x, double *gradient)
{
    gd_network_prior *p = ctx;
    const float t = (float)at->time;

    narrow(p->x, 1, x, p->n);
    GD_TRY(gd_runner_run(p->classifier, p->x, &t, &p->options.label, NULL, p->g));
    for (int64_t i = 0; i < p->n; i++)
        gradient[i] = p->options.scale * p->g[i];
    return GD_OK;
}

static void noise(void *ctx, int draw, int64_t n, double *z)
{
    gd_network_prior *p = ctx;

    /* in runs of the image's size: a measurement can be larger */
    for (int64_t first = 0; first < n; first += p->n) {
        const int64_t count = GD_MIN(n - first, p->n);
        gd_noise_normal(p->noise, count, p->options.seed + (uint64_t)(first / p->n), p->image,
                        (uint32_t)draw);
        for (int64_t i = 0; i < count; i++)
            z[first + i] = p->noise[i];
    }
}

/* ---- what fits ---- */

/* Each level but the last halves what the network sees */
static gd_status check_size(const gd_model *model, gd_shape image, gd_shape tile)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;
    const int multiple = 1 << (c->n_levels - 1);

    if (tile.h % multiple == 0 && tile.w % multiple == 0)
        return GD_OK;
    if (tile.h < image.h && tile.w < image.w)
        return gd_fail(GD_EMISMATCH, "%s: cannot make tiles of %d: sides must be multiples of %d",
                       gd_model_path(model), tile.h, multiple);
    return gd_fail(GD_EMISMATCH, "%s: cannot make images of %dx%d: sides must be multiples of %d",
                   gd_model_path(model), image.w, image.h, multiple);
}

static gd_status check_classifier(const gd_model *model, const gd_model *classifier,
                                  const gd_network_options *o)
{
    const gd_net_config *c = &gd_model_get_config(model)->net,
                        *k = &gd_model_get_config(classifier)->net;

    if (k->kind != GD_NET_CLASSIFIER || k->image_size != c->image_size ||
        k->in_channels != c->in_channels || (o->h > 0 && o->h != k->image_size) ||
        (o->w > 0 && o->w != k->image_size))
        return gd_fail(GD_EMISMATCH, "%s: not a classifier of %dx%d images with %d channels",
                       gd_model_path(classifier), o->w > 0 ? o->w : c->image_size,
                       o->h > 0 ? o->h : c->image_size, c->in_channels);
    if (o->label < 0 || o->label >= k->out_channels)
        return gd_fail(GD_EUSAGE, "%s: a class from 0 to %d is needed (--class)",
                       gd_model_path(classifier), k->out_channels - 1);
    return GD_OK;
}

static gd_status check(const gd_model *model, const gd_model *classifier,
                       const gd_network_options *o)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;

    if (c->kind != GD_NET_UNET)
        return gd_fail(GD_EMISMATCH, "%s: restoration needs a diffusion model, not %s",
                       gd_model_path(model),
                       c->kind == GD_NET_CLASSIFIER ? "a classifier" : "an upsampler");
    if (gd_model_get_config(model)->diffusion.one_call_sigma > 0)
        return gd_fail(GD_EMISMATCH,
                       "%s: a generator of one call knows one noise level; restoration needs a "
                       "diffusion model",
                       gd_model_path(model));
    if (c->num_classes > 0 && (o->label < 0 || o->label >= c->num_classes))
        return gd_fail(GD_EUSAGE, "%s: a class from 0 to %d is needed (--class)",
                       gd_model_path(model), c->num_classes - 1);
    return classifier ? check_classifier(model, classifier, o) : GD_OK;
}

/* ---- making ---- */

static gd_status make_preconditioner(gd_network_prior *p, const gd_model *model)
{
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;
    float levels[GD_EDM_LEVELS];

    if (d->precond == GD_PRECOND_STEPS)
        return GD_OK;
    GD_TRY(gd_preconditioner_make(&p->preconditioner, d, NULL, NULL));
    if (d->precond != GD_PRECOND_IDDPM)
        return GD_OK;
    GD_TRY(gd_model_levels(model, levels));
    gd_preconditioner_set_levels(p->preconditioner, levels);
    return GD_OK;
}

static gd_status make_buffers(gd_network_prior *p)
{
    const int64_t tile_n = p->tiles.n > 1 ? gd_shape_count(p->tiles.tile) : 0,
                  tile_out = tile_n * p->out_n / p->n;
    float *f;

    GD_TRY(gd_block_make(&p->block,
                         (size_t)(3 * p->n + 2 * p->out_n + tile_n + tile_out) * sizeof *f,
                         "restoration"));
    f = p->block;
    p->x = f;
    p->g = p->x + p->n;
    p->noise = p->g + p->n;
    p->out = p->noise + p->n;
    p->c = p->out + p->out_n;
    p->tile = p->c + p->out_n;
    p->tile_out = p->tile + tile_n;
    return GD_OK;
}

static gd_status make_runners(gd_network_prior *p, const gd_model *model,
                              const gd_model *classifier)
{
    const gd_network_options *o = &p->options;
    const int threads = o->threads > 0 ? o->threads : gd_threads();
    const gd_net_size size = { .n = 1, .h = p->tiles.tile.h, .w = p->tiles.tile.w };

    if (classifier)
        GD_TRY(gd_runner_make(&p->classifier, classifier, &size, true, o->bf16, threads));
    return o->gradient ? gd_runner_make_vjp(&p->model, model, &size, o->bf16, o->recompute, threads)
                       : gd_runner_make(&p->model, model, &size, false, o->bf16, threads);
}

static gd_status make(gd_network_prior *p, const gd_model *model, const gd_model *classifier,
                      const gd_schedule *schedule)
{
    const gd_network_options *o = &p->options;
    const gd_net_config *c = &gd_model_get_config(model)->net;
    const gd_shape image = { c->in_channels, o->h > 0 ? o->h : c->image_size,
                             o->w > 0 ? o->w : c->image_size };

    GD_TRY(
        gd_cover_make(&p->tiles, image, o->tile > 0 ? o->tile : GD_MAX(image.h, image.w), p->mem));
    GD_TRY(check_size(model, image, p->tiles.tile));
    if (o->gradient && p->tiles.n > 1)
        return gd_fail(GD_EUSAGE, "the network's gradient is of whole images, not of tiles");
    GD_TRY(make_preconditioner(p, model));
    p->mean_type = gd_model_mean_type(model);
    p->prior =
        (gd_prior){ .ctx = p,
                    .shape = image,
                    .schedule = schedule,
                    .var_type = p->preconditioner ? GD_VAR_FIXED_SMALL : gd_model_var_type(model),
                    .predict = predict,
                    .vjp = o->gradient ? vjp : NULL,
                    .guide = classifier ? guide : NULL,
                    .noise = noise };
    p->n = gd_shape_count(image);
    p->out_n = p->n / c->in_channels * c->out_channels;
    GD_TRY(make_buffers(p));
    return make_runners(p, model, classifier);
}

static gd_status new_prior(gd_network_prior **out)
{
    gd_status s;

    GD_TRY(gd_block_make(out, sizeof **out, "restoration"));
    s = gd_arena_make(&(*out)->mem);
    if (s != GD_OK)
        gd_network_prior_free(*out);
    return s;
}

gd_status gd_network_prior_make(gd_network_prior **out, const gd_model *model,
                                const gd_model *classifier, const gd_schedule *schedule,
                                const gd_network_options *options)
{
    gd_network_prior *p;
    gd_status s;

    GD_TRY(check(model, classifier, options));
    GD_TRY(new_prior(&p));
    p->options = *options;
    s = make(p, model, classifier, schedule);
    if (s != GD_OK) {
        gd_network_prior_free(p);
        return s;
    }
    *out = p;
    return GD_OK;
}

gd_status gd_network_prior_make_beside(gd_network_prior **out, const gd_network_prior *of)
{
    gd_network_prior *p;
    gd_status s;

    GD_TRY(new_prior(&p));
    gd_arena *const mem = p->mem;
    *p = *of;
    p->mem = mem;
    p->beside = of;
    p->prior.ctx = p;
    p->model = p->classifier = NULL;
    p->block = NULL;
    s = make_buffers(p);
    if (s == GD_OK)
        s = gd_runner_make_beside(&p->model, of->model);
    if (s == GD_OK && of->classifier)
        s = gd_runner_make_beside(&p->classifier, of->classifier);
    if (s != GD_OK) {
        gd_network_prior_free(p);
        return s;
    }
    *out = p;
    return GD_OK;
}

void gd_network_prior_free(gd_network_prior *p)
{
    if (!p)
        return;
    gd_runner_free(p->model);
    gd_runner_free(p->classifier);
    if (!p->beside)
        gd_preconditioner_free(p->preconditioner);
    gd_block_free(p->block);
    gd_arena_free(p->mem);
    gd_block_free(p);
}

/* ---- as the solvers see it ---- */

int gd_network_prior_tiles(const gd_network_prior *p)
{
    return p->tiles.n;
}

gd_prior *gd_network_prior_get(gd_network_prior *p)
{
    return &p->prior;
}

void gd_network_prior_image(gd_network_prior *p, uint64_t image, int64_t label)
{
    p->image = image;
    p->options.label = label;
}
