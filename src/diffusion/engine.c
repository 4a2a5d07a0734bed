/* SPDX-License-Identifier: MIT */
/* engine.c - the networks behind a denoiser.  An image is always alone in its network, so that
 * results do not depend on the batch; images of a batch can be worked on side by side, each on a
 * lane of its own with one thread. */
#include "diffusion/solver.h"
#include "nn/nn.h"

#include <stdio.h>

typedef struct lane {
    gd_runner *model, *classifier;
    gd_status status; /* of the call under way */
    char error[1024];
} lane;

struct gd_engine {
    gd_denoiser denoiser;
    lane *lane; /* block */
    int n_lanes;
    const float *low_res;
    int64_t image_count, low_res_count;
    gd_preconditioner *preconditioner; /* NULL: a network for discrete steps */
    float *logits; /* block: [n][classes], of the latest guide; NULL: not kept */
    int classes;
    int staged;    /* images that the two blocks are for */
    float *scaled; /* block: x / alpha, then D */
    void *work;    /* block: gd_predict_x0_bytes */
};

int gd_engine_lanes(int64_t images, int size)
{
    enum { LARGE = 64 }; /* from there on an image keeps many threads busy, and memory counts */
    const int threads = gd_threads();
    const bool even = images >= 4 * threads || (images >= threads && images % threads == 0);

    return even && size <= LARGE ? threads : 1;
}

/* A call of predict or guide: out is the network's output or the gradient */
typedef struct batch {
    gd_engine *e;
    bool guide;
    int n;
    const float *x, *t;
    const int64_t *y;
    float *out;
} batch;

static gd_status run_image(const batch *b, const lane *l, int i)
{
    const gd_engine *e = b->e;
    const float *x = b->x + i * e->image_count;
    const float *low_res = e->low_res ? e->low_res + i * e->low_res_count : NULL;
    const int64_t out_count = e->image_count / e->denoiser.channels * e->denoiser.out_channels;

    if (b->guide) {
        GD_TRY(
            gd_runner_run(l->classifier, x, b->t + i, b->y + i, NULL, b->out + i * e->image_count));
        if (e->logits)
            gd_runner_logits(l->classifier, e->logits + (int64_t)i * e->classes);
        return GD_OK;
    }
    return gd_runner_run(l->model, x, b->t + i, b->y ? b->y + i : NULL, low_res,
                         b->out + i * out_count);
}

/* Every n_lanes-th image; errors belong to a thread, so the text is kept */
static void run_lane(void *ctx, int64_t k)
{
    const batch *b = ctx;
    lane *l = &b->e->lane[k];

    l->status = GD_OK;
    for (int i = (int)k; i < b->n && l->status == GD_OK; i += b->e->n_lanes)
        l->status = run_image(b, l, i);
    if (l->status != GD_OK)
        snprintf(l->error, sizeof l->error, "%s", gd_error());
}

static gd_status run_batch(const batch *b)
{
    const gd_engine *e = b->e;

    gd_par(e->n_lanes, run_lane, (void *)b);
    for (int k = 0; k < e->n_lanes; k++)
        if (e->lane[k].status != GD_OK)
            return gd_fail(e->lane[k].status, "%s", e->lane[k].error);
    return GD_OK;
}

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    return run_batch(&(batch){ ctx, false, n, x, t, y, out });
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    return run_batch(&(batch){ ctx, true, n, x, t, y, gradient });
}

gd_status gd_engine_keep_logits(gd_engine *e, int images)
{
    if (!e->denoiser.guide || e->logits)
        return GD_OK;
    return gd_block_make(&e->logits, (size_t)(images * e->classes) * sizeof *e->logits, "logits");
}

const float *gd_engine_logits(const gd_engine *e, int i, int *classes)
{
    *classes = e->logits ? e->classes : 0;
    return e->logits ? e->logits + (int64_t)i * e->classes : NULL;
}

/* ---- networks with a preconditioner ---- */

/* The largest batch is known at its first call. */
static gd_status stage(gd_engine *e, int n)
{
    if (n <= e->staged)
        return GD_OK;
    gd_block_free(e->scaled);
    gd_block_free(e->work);
    e->scaled = NULL;
    e->work = NULL;
    e->staged = 0;
    GD_TRY(gd_block_make(&e->scaled, (size_t)(n * e->image_count) * sizeof(float), "images"));
    GD_TRY(gd_block_make(&e->work, gd_predict_x0_bytes(&e->denoiser, n), "images"));
    e->staged = n;
    return GD_OK;
}

/* Preconditioners know x = x_0 + s eps: levels with another alpha are divided by it. */
static gd_status denoise(void *ctx, int n, const double *x, const gd_level *at, const int64_t *y,
                         double *x0)
{
    enum { MAX_AT_ONCE = 64 };
    gd_engine *e = ctx;
    double sigma[MAX_AT_ONCE];
    int part;

    GD_TRY(stage(e, n));
    for (int first = 0; first < n; first += part) {
        const int64_t count = (part = GD_MIN(n - first, MAX_AT_ONCE)) * e->image_count;
        const double *from = x + first * e->image_count;
        for (int i = 0; i < part; i++)
            sigma[i] = at->sigma / at->alpha;
        for (int64_t k = 0; k < count; k++)
            e->scaled[k] = (float)(from[k] / at->alpha);
        GD_TRY(gd_predict_x0(&e->denoiser, e->preconditioner, part, e->scaled, sigma,
                             y ? y + first : NULL, e->scaled, e->work));
        for (int64_t k = 0; k < count; k++)
            x0[first * e->image_count + k] = e->scaled[k];
    }
    return GD_OK;
}

static gd_status make_preconditioner(gd_engine *e, const gd_model *model)
{
    const gd_diffusion_config *d = &gd_model_get_config(model)->diffusion;
    float levels[GD_EDM_LEVELS];

    if (d->precond == GD_PRECOND_STEPS)
        return GD_OK;
    GD_TRY(gd_preconditioner_make(&e->preconditioner, d, NULL, NULL));
    if (d->precond == GD_PRECOND_IDDPM) {
        GD_TRY(gd_model_levels(model, levels));
        gd_preconditioner_set_levels(e->preconditioner, levels);
    }
    e->denoiser.denoise = denoise;
    return GD_OK;
}

const gd_preconditioner *gd_engine_preconditioner(const gd_engine *e)
{
    return e->preconditioner;
}

static gd_status check_fit(const gd_model *model, const gd_model *classifier)
{
    const gd_net_config *m = &gd_model_get_config(model)->net,
                        *c = &gd_model_get_config(classifier)->net;

    if (c->kind != GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: not a classifier", gd_model_path(classifier));
    if (c->image_size != m->image_size)
        return gd_fail(GD_EMISMATCH, "%s: the classifier is for %dx%d images, %s makes %dx%d",
                       gd_model_path(classifier), c->image_size, c->image_size,
                       gd_model_path(model), m->image_size, m->image_size);
    if (c->in_channels != m->in_channels)
        return gd_fail(GD_EMISMATCH, "%s: the classifier takes %d channels, %s has %d",
                       gd_model_path(classifier), c->in_channels, gd_model_path(model),
                       m->in_channels);
    if (m->num_classes > 0 && c->out_channels != m->num_classes)
        return gd_fail(GD_EMISMATCH, "%s: the classifier knows %d classes, %s has %d",
                       gd_model_path(classifier), c->out_channels, gd_model_path(model),
                       m->num_classes);
    return GD_OK;
}

static gd_status make_lanes(gd_engine *e, const gd_model *model, const gd_model *classifier,
                            const gd_net_size *size, bool bf16)
{
    const int threads = e->n_lanes > 1 ? 1 : gd_threads();
    lane *first = e->lane;

    if (classifier)
        GD_TRY(gd_runner_make(&first->classifier, classifier, size, true, bf16, threads));
    GD_TRY(gd_runner_make(&first->model, model, size, false, bf16, threads));
    for (int k = 1; k < e->n_lanes; k++) {
        if (classifier)
            GD_TRY(gd_runner_make_beside(&e->lane[k].classifier, first->classifier));
        GD_TRY(gd_runner_make_beside(&e->lane[k].model, first->model));
    }
    return GD_OK;
}

static gd_status make(gd_engine *e, const gd_model *model, const gd_model *classifier, bool bf16)
{
    const gd_net_config *c = &gd_model_get_config(model)->net;
    const gd_net_size size = gd_net_natural_size(c, 1);

    e->denoiser = (gd_denoiser){ .ctx = e,
                                 .channels = c->in_channels,
                                 .height = size.h,
                                 .width = size.w,
                                 .out_channels = c->out_channels,
                                 .predict = predict };
    e->image_count = (int64_t)c->in_channels * size.h * size.w;
    e->low_res_count = (int64_t)c->in_channels * size.low_h * size.low_w;
    GD_TRY(make_preconditioner(e, model));
    if (classifier) {
        GD_TRY(check_fit(model, classifier));
        e->denoiser.guide = guide;
        e->classes = gd_model_get_config(classifier)->net.out_channels;
    }
    GD_TRY(gd_block_make(&e->lane, (size_t)e->n_lanes * sizeof *e->lane, "engine"));
    return make_lanes(e, model, classifier, &size, bf16);
}

gd_status gd_engine_make(gd_engine **out, const gd_model *model, const gd_model *classifier,
                         bool bf16, int lanes)
{
    gd_engine *e;
    gd_status s;

    if (gd_model_get_config(model)->net.kind == GD_NET_CLASSIFIER)
        return gd_fail(GD_EMISMATCH, "%s: a classifier, not a diffusion model",
                       gd_model_path(model));
    GD_TRY(gd_block_make(&e, sizeof *e, "engine"));
    e->n_lanes = lanes;
    s = make(e, model, classifier, bf16);
    if (s != GD_OK) {
        gd_engine_free(e);
        if (s == GD_ENOMEM && lanes > 1)
            return gd_engine_make(out, model, classifier, bf16, 1);
        return s;
    }
    *out = e;
    return GD_OK;
}

void gd_engine_free(gd_engine *e)
{
    if (!e)
        return;
    for (int k = e->lane ? e->n_lanes - 1 : -1; k >= 0; k--) { /* the first owns the weights */
        gd_runner_free(e->lane[k].model);
        gd_runner_free(e->lane[k].classifier);
    }
    gd_block_free(e->lane);
    gd_preconditioner_free(e->preconditioner);
    gd_block_free(e->logits);
    gd_block_free(e->scaled);
    gd_block_free(e->work);
    gd_block_free(e);
}

const gd_denoiser *gd_engine_denoiser(const gd_engine *e)
{
    return &e->denoiser;
}

size_t gd_engine_bytes(const gd_engine *e)
{
    size_t bytes = 0;

    for (int k = 0; k < e->n_lanes; k++) {
        bytes += gd_runner_bytes(e->lane[k].model);
        bytes += e->lane[k].classifier ? gd_runner_bytes(e->lane[k].classifier) : 0;
    }
    return bytes;
}

void gd_engine_set_low_res(gd_engine *e, const float *low_res)
{
    e->low_res = low_res;
}

gd_mean_type gd_config_mean_type(const gd_diffusion_config *d)
{
    return d->predict_v ? GD_MEAN_V : d->predict_xstart ? GD_MEAN_START_X : GD_MEAN_EPSILON;
}

gd_var_type gd_config_var_type(const gd_diffusion_config *d)
{
    if (d->learn_sigma)
        return GD_VAR_LEARNED_RANGE;
    return d->sigma_small ? GD_VAR_FIXED_SMALL : GD_VAR_FIXED_LARGE;
}

gd_loss_type gd_config_loss_type(const gd_diffusion_config *d)
{
    if (d->use_kl)
        return GD_LOSS_RESCALED_KL;
    return d->rescale_learned_sigmas ? GD_LOSS_RESCALED_MSE : GD_LOSS_MSE;
}

gd_mean_type gd_model_mean_type(const gd_model *model)
{
    return gd_config_mean_type(&gd_model_get_config(model)->diffusion);
}

gd_var_type gd_model_var_type(const gd_model *model)
{
    return gd_config_var_type(&gd_model_get_config(model)->diffusion);
}
