/* network.c - a diffusion model, and a classifier, as the prior of a restoration. */
#include "restore/restore_private.h"

#include "nn/nn.h"

#include <math.h>

struct gd_network_prior {
    gd_prior prior;
    gd_runner *model, *classifier;
    gd_network_options options;
    gd_mean_type mean_type;
    gd_preconditioner *precond; /* NULL: a network for discrete steps */
    uint64_t image;
    int64_t n, out_n;
    float *x, *out, *c, *g, *noise; /* one block */
    void *block;
};

static void narrow(float *out, const double *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)in[i];
}

/* eps = (x - alpha D(x / alpha; s)) / sigma, s = sigma / alpha */
static gd_status predict_level(void *ctx, const gd_level *at, const double *x, double *eps,
                               double *v)
{
    gd_network_prior *p = ctx;
    const gd_scaling c = gd_precondition(p->precond, at->sigma / at->alpha);
    const int64_t *label = p->options.label >= 0 ? &p->options.label : NULL;
    const float t = (float)c.time;

    for (int64_t i = 0; i < p->n; i++)
        p->x[i] = (float)(c.c_in * x[i] / at->alpha);
    GD_TRY(gd_runner_run(p->model, p->x, &t, label, NULL, p->out));
    for (int64_t i = 0; i < p->n; i++) {
        const double d = c.c_skip * x[i] / at->alpha + c.c_out * p->out[i];
        eps[i] = (x[i] - at->alpha * d) / at->sigma;
        v[i] = 0;
    }
    return GD_OK;
}

static gd_status predict(void *ctx, const gd_level *at, const double *x, double *eps, double *v)
{
    gd_network_prior *p = ctx;
    const float t = (float)at->time;
    const int64_t *label = p->options.label >= 0 ? &p->options.label : NULL;

    narrow(p->x, x, p->n);
    GD_TRY(gd_runner_run(p->model, p->x, &t, label, NULL, p->out));
    for (int64_t i = 0; i < p->n; i++)
        eps[i] = gd_prediction_eps(p->mean_type, at->alpha, at->sigma, x[i], p->out[i]);
    for (int64_t i = 0; i < p->n; i++)
        v[i] = p->out_n > p->n ? p->out[p->n + i] : 0;
    return GD_OK;
}

/* eps is linear in the network's output and in x */
static gd_status vjp(void *ctx, const gd_level *at, const double *c, double *g)
{
    gd_network_prior *p = ctx;
    narrow(p->c, c, p->n);
    for (int64_t i = p->n; i < p->out_n; i++)
        p->c[i] = 0;
    GD_TRY(gd_runner_vjp(p->model, p->c, p->g));
    for (int64_t i = 0; i < p->n; i++)
        g[i] = gd_prediction_eps(p->mean_type, at->alpha, at->sigma, c[i], p->g[i]);
    return GD_OK;
}

static gd_status guide(void *ctx, const gd_level *at, const double *x, double *gradient)
{
    gd_network_prior *p = ctx;
    const float t = (float)at->time;

    narrow(p->x, x, p->n);
    GD_TRY(gd_runner_run(p->classifier, p->x, &t, &p->options.label, NULL, p->g));
    for (int64_t i = 0; i < p->n; i++)
        gradient[i] = p->options.scale * p->g[i];
    return GD_OK;
}

static void noise(void *ctx, int draw, int64_t n, double *z)
{
    gd_network_prior *p = ctx;

    /* in pieces of the image's size: a measurement can be larger */
    for (int64_t first = 0; first < n; first += p->n) {
        const int64_t count = GD_MIN(n - first, p->n);
        gd_noise_normal(p->noise, count, p->options.seed + (uint64_t)(first / p->n), p->image,
                        (uint32_t)draw);
        for (int64_t i = 0; i < count; i++)
            z[first + i] = p->noise[i];
    }
}

/* Each level but the last halves the image */
static gd_status check_size(const gd_model *model, const gd_network_options *o)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;
    const int multiple = 1 << (c->n_levels - 1);

    if (o->h % multiple == 0 && o->w % multiple == 0)
        return GD_OK;
    return gd_fail(GD_EMISMATCH, "%s: cannot make images of %dx%d: sides must be multiples of %d",
                   gd_model_path(model), o->w, o->h, multiple);
}

static gd_status check(const gd_model *model, const gd_model *classifier,
                       const gd_network_options *o)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;

    if (c->kind != GD_NET_UNET)
        return gd_fail(GD_EMISMATCH, "%s: restoration needs a diffusion model, not %s",
                       gd_model_path(model),
                       c->kind == GD_NET_CLASSIFIER ? "a classifier" : "an upsampler");
    GD_TRY(check_size(model, o));
    if (gd_model_get_config(model)->diffusion.precond != GD_PRECOND_STEPS &&
        (classifier || o->gradient))
        return gd_fail(GD_EMISMATCH,
                       "%s: its noise levels are no steps of a schedule: neither classifiers nor "
                       "solvers with the network's gradient restore with it",
                       gd_model_path(model));
    if (c->num_classes > 0 && (o->label < 0 || o->label >= c->num_classes))
        return gd_fail(GD_EUSAGE, "%s: a class from 0 to %d is needed (--class)",
                       gd_model_path(model), c->num_classes - 1);
    if (!classifier)
        return GD_OK;
    const gd_net_config *k = &gd_model_get_config(classifier)->net;
    if (k->kind != GD_NET_CLASSIFIER || k->image_size != c->image_size ||
        k->in_channels != c->in_channels || (o->h > 0 && o->h != k->image_size) ||
        (o->w > 0 && o->w != k->image_size))
        return gd_fail(GD_EMISMATCH, "%s: not a classifier of %dx%d images with %d channels",
                       gd_model_path(classifier), c->image_size, c->image_size, c->in_channels);
    if (o->label < 0 || o->label >= k->out_channels)
        return gd_fail(GD_EUSAGE, "%s: a class from 0 to %d is needed (--class)",
                       gd_model_path(classifier), k->out_channels - 1);
    return GD_OK;
}

static gd_status make(gd_network_prior *p, const gd_model *model, const gd_model *classifier,
                      const gd_schedule *schedule)
{
    const gd_network_options *o = &p->options;
    const gd_net_config *c = &gd_model_get_config(model)->net;
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;
    gd_net_size size = gd_net_natural_size(c, 1);
    float *f;

    size.h = o->h > 0 ? o->h : size.h;
    size.w = o->w > 0 ? o->w : size.w;
    p->mean_type = gd_model_mean_type(model);
    if (d->precond != GD_PRECOND_STEPS)
        GD_TRY(gd_preconditioner_make(&p->precond, d, NULL, NULL));
    p->prior = (gd_prior){ .ctx = p,
                           .shape = { c->in_channels, size.h, size.w },
                           .schedule = schedule,
                           .var_type = gd_model_var_type(model),
                           .predict = p->precond ? predict_level : predict,
                           .vjp = o->gradient ? vjp : NULL,
                           .guide = classifier ? guide : NULL,
                           .noise = noise };
    p->n = gd_shape_count(p->prior.shape);
    p->out_n = p->n / c->in_channels * c->out_channels;
    GD_TRY(gd_block_make(&p->block, (size_t)(3 * p->n + 2 * p->out_n) * sizeof *f, "restoration"));
    f = p->block;
    p->x = f;
    p->g = p->x + p->n;
    p->noise = p->g + p->n;
    p->out = p->noise + p->n;
    p->c = p->out + p->out_n;
    if (classifier)
        GD_TRY(gd_runner_make(&p->classifier, classifier, &size, true, o->bf16, gd_threads()));
    return o->gradient
               ? gd_runner_make_vjp(&p->model, model, &size, o->bf16, o->recompute, gd_threads())
               : gd_runner_make(&p->model, model, &size, false, o->bf16, gd_threads());
}

gd_status gd_network_prior_make(gd_network_prior **out, const gd_model *model,
                                const gd_model *classifier, const gd_schedule *schedule,
                                const gd_network_options *options)
{
    gd_network_prior *p;
    gd_status s;

    GD_TRY(check(model, classifier, options));
    GD_TRY(gd_block_make((void **)&p, sizeof *p, "restoration"));
    p->options = *options;
    s = make(p, model, classifier, schedule);
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
    gd_preconditioner_free(p->precond);
    gd_block_free(p->block);
    gd_block_free(p);
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
