/* SPDX-License-Identifier: MIT */
/* objective.c - one update's images through the network in microbatches: noise, losses, gradients
 * (docs/reference/diffusion.md#training-losses, docs/reference/training.md#updates, #classifiers).
 */
#include "train/train.h"

#include <math.h>
#include <string.h>

/* ---- means ---- */

/* Of a new name too; -1: no room */
static int place_of(gd_means *m, const char *name)
{
    int i = 0;

    while (i < m->n && strcmp(m->of[i].name, name) != 0)
        i++;
    if (i == GD_MAX_MEANS)
        return -1;
    if (i == m->n) {
        snprintf(m->of[i].name, sizeof m->of[i].name, "%s", name);
        m->n++;
    }
    return i;
}

void gd_means_add(gd_means *m, const char *name, double value)
{
    const int i = place_of(m, name);

    if (i < 0)
        return;
    m->of[i].sum += value;
    m->of[i].count++;
}

void gd_means_merge(gd_means *m, const gd_means *more)
{
    for (int k = 0; k < more->n; k++) {
        const int i = place_of(m, more->of[k].name);
        if (i < 0)
            return;
        m->of[i].sum += more->of[k].sum;
        m->of[i].count += more->of[k].count;
    }
}

double gd_means_get(const gd_means *m, const char *name)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->of[i].name, name) == 0)
            return m->of[i].sum / (double)m->of[i].count;
    return NAN;
}

/* ---- one microbatch ---- */

struct gd_microbatch {
    gd_learner *l;
    int64_t image, low;      /* elements of one image */
    float *x_t, *out, *dout; /* blocks, as the others: [microbatch] images */
    float *t;                /* [microbatch] */
    gd_loss *loss;           /* [microbatch] */
    double *top1, *top5;     /* [microbatch] */
    gd_level_pass level;     /* of losses at noise levels */
};

typedef struct micro {
    gd_microbatch *w;
    const gd_objective *o;
    const gd_train_batch *b;
} micro;

static double weight_of(const micro *m, int i)
{
    return m->b->weight ? m->b->weight[i] : 1;
}

static void noise_image(void *ctx, int64_t i)
{
    const micro *m = ctx;
    const int64_t at = i * m->w->image;
    float *x_t = m->w->x_t + i * m->w->image;

    if (m->b->noise)
        gd_q_sample(m->o->process, m->b->t[i], m->b->x0 + at, m->b->noise + at, x_t, m->w->image);
    else
        memcpy(x_t, m->b->x0 + at, (size_t)m->w->image * sizeof *x_t);
}

static void diffusion_image(void *ctx, int64_t i)
{
    const micro *m = ctx;
    const int64_t at = i * m->w->image, out = gd_learner_out_count(m->w->l);

    gd_training_loss(&m->w->loss[i], m->w->dout + i * out, m->o->process, m->o->loss_type,
                     &m->o->by_snr, m->b->t[i], m->b->x0 + at, m->w->x_t + i * m->w->image,
                     m->b->noise + at, m->w->out + i * out, m->w->image,
                     m->b->share * weight_of(m, (int)i));
}

static void level_image(void *ctx, int64_t i)
{
    const micro *m = ctx;
    const gd_microbatch *w = m->w;
    const int64_t at = i * w->image;
    const gd_scaling c = gd_precondition(m->o->levels->form, w->level.sigma[i]);

    w->loss[i].loss =
        gd_level_loss_of(m->o->levels, &c, w->level.sigma[i], w->level.x + at, w->level.target + at,
                         w->out + at, w->image, m->b->share * weight_of(m, (int)i), w->dout + at);
    w->loss[i].is_bound = true; /* no terms beside it */
    w->loss[i].has_vb = false;
}

/* Cross-entropy, its gradient, and whether the label is the largest logit or among the five */
static void classifier_image(void *ctx, int64_t i)
{
    const micro *m = ctx;
    const int64_t classes = gd_learner_out_count(m->w->l), y = m->b->y[i];
    const float *logit = m->w->out + i * classes;
    float *d = m->w->dout + i * classes;
    double most = logit[0], sum = 0;
    int larger = 0;

    for (int64_t c = 0; c < classes; c++)
        most = GD_MAX(most, logit[c]);
    for (int64_t c = 0; c < classes; c++) {
        sum += exp(logit[c] - most);
        larger += logit[c] > logit[y];
    }
    for (int64_t c = 0; c < classes; c++)
        d[c] = (float)(m->b->share * (exp(logit[c] - most) / sum - (c == y)));
    m->w->loss[i] = (gd_loss){ .loss = log(sum) + most - logit[y] };
    m->w->top1[i] = larger < 1;
    m->w->top5[i] = larger < 5;
}

/* ---- logging ---- */

static void note_quarter(gd_means *means, const micro *m, int i, const char *name, double value)
{
    char quarter[32];
    const gd_level_rule *levels = m->o->levels;
    const int n = levels ? gd_level_count(levels) : m->o->process->schedule->n,
              q = 4 * m->b->t[i] / n;

    if (levels && levels->kind == GD_LEVEL_EDM) /* its levels are drawn, not numbered */
        return;
    snprintf(quarter, sizeof quarter, "%s_q%d", name, q);
    gd_means_add(means, quarter, value);
}

/* The authors log the microbatch's mean, and each image in its quarter. */
static void note(gd_means *means, const micro *m, const char *name, size_t offset, size_t stride,
                 const void *values)
{
    double sum = 0;

    for (int i = 0; i < m->b->n; i++) {
        double v = *(const double *)((const char *)values + offset + (size_t)i * stride);
        v *= weight_of(m, i);
        note_quarter(means, m, i, name, v);
        sum += v;
    }
    gd_means_add(means, name, sum / m->b->n);
}

static void note_losses(gd_means *means, const micro *m)
{
    const gd_microbatch *w = m->w;
    const bool val = m->o->validation;

    if (m->o->classifier) {
        note(means, m, val ? "val_loss" : "train_loss", offsetof(gd_loss, loss), sizeof(gd_loss),
             w->loss);
        note(means, m, val ? "val_acc@1" : "train_acc@1", 0, sizeof(double), w->top1);
        note(means, m, val ? "val_acc@5" : "train_acc@5", 0, sizeof(double), w->top5);
        return;
    }
    note(means, m, "loss", offsetof(gd_loss, loss), sizeof(gd_loss), w->loss);
    if (!w->loss[0].is_bound)
        note(means, m, "mse", offsetof(gd_loss, mse), sizeof(gd_loss), w->loss);
    if (w->loss[0].has_vb)
        note(means, m, "vb", offsetof(gd_loss, vb), sizeof(gd_loss), w->loss);
}

/* ---- the whole of it ---- */

static gd_status check_finite(const micro *m)
{
    for (int i = 0; i < m->b->n; i++) {
        const char *layer = "";
        if (isfinite(m->w->loss[i].loss))
            continue;
        layer = gd_learner_probe(m->w->l);
        return gd_fail(GD_EFAILED, "the loss is not finite%s%s",
                       *layer ? "; first bad layer: " : "", layer);
    }
    return GD_OK;
}

/* The authors' classifier_train.py passes the index of the step itself to the classifier, also
 * where rescale_timesteps scales what diffusion models get. */
static float network_t(const gd_objective *o, int t)
{
    return o->classifier ? (float)t : gd_schedule_model_t(o->process->schedule, t);
}

/* The network's input of a loss at noise levels: c_in x_s and the preconditioner's time */
static gd_status prepare_levels(const micro *m)
{
    const gd_objective *o = m->o;
    gd_microbatch *w = m->w;

    if (o->follower)
        gd_follower_set_keys(o->follower, m->b->keys);
    GD_TRY(gd_level_prepare(&w->level, o->levels, m->b, w->image));
    for (int i = 0; i < m->b->n; i++) {
        const gd_scaling c = gd_precondition(o->levels->form, w->level.sigma[i]);
        w->t[i] = (float)c.time;
        for (int64_t k = 0; k < w->image; k++)
            w->x_t[i * w->image + k] = (float)c.c_in * w->level.x[i * w->image + k];
    }
    return GD_OK;
}

static gd_status prepare_steps(const micro *m)
{
    gd_par(m->b->n, noise_image, (void *)m);
    for (int i = 0; i < m->b->n; i++)
        m->w->t[i] = network_t(m->o, m->b->t[i]);
    return GD_OK;
}

gd_status gd_microbatch_run(gd_microbatch *w, const gd_objective *objective,
                            const gd_train_batch *b, gd_means *means)
{
    micro m = { w, objective, b };
    const gd_pass pass = {
        .n = b->n, .x = w->x_t, .t = w->t, .y = b->y, .low_res = b->low_res, .keys = b->keys
    };

    GD_TRY(objective->levels ? prepare_levels(&m) : prepare_steps(&m));
    gd_learner_forward(w->l, &pass, w->out);
    gd_par(b->n,
           objective->classifier ? classifier_image
           : objective->levels   ? level_image
                                 : diffusion_image,
           &m);
    GD_TRY(check_finite(&m));
    note_losses(means, &m);
    for (int i = 0; i < b->n && b->loss; i++)
        b->loss[i] = w->loss[i].loss;
    if (!objective->validation)
        gd_learner_backward(w->l, b->n, w->dout);
    return GD_OK;
}

/* ---- life ---- */

static gd_status make_buffers(gd_microbatch *w)
{
    const size_t n = (size_t)w->l->options.microbatch,
                 out = n * (size_t)gd_learner_out_count(w->l) * sizeof(float);

    GD_TRY(gd_block_make(&w->x_t, n * (size_t)w->image * sizeof(float), "noised images"));
    GD_TRY(gd_block_make(&w->out, out, "the network's output"));
    GD_TRY(gd_block_make(&w->dout, out, "the loss' gradient"));
    GD_TRY(gd_block_make(&w->t, n * sizeof *w->t, "timesteps"));
    GD_TRY(gd_block_make(&w->loss, n * sizeof *w->loss, "losses"));
    GD_TRY(gd_block_make(&w->top1, n * sizeof *w->top1, "scores"));
    return gd_block_make(&w->top5, n * sizeof *w->top5, "scores");
}

int64_t gd_drop_label(int64_t label, double u, double p, int64_t null_class)
{
    return u < p ? null_class : label;
}

gd_status gd_microbatch_make(gd_microbatch **out, gd_learner *l, const gd_level_rule *levels)
{
    const gd_net_config *c = &l->config.net;
    gd_microbatch *w = gd_alloc(l->mem, sizeof *w);
    gd_status s;

    if (!w)
        return gd_fail(GD_ENOMEM, "training: out of memory");
    w->l = l;
    w->image = (int64_t)c->in_channels * c->image_size * c->image_size;
    w->low = (int64_t)c->in_channels * c->small_size * c->small_size;
    s = make_buffers(w);
    if (s == GD_OK && levels)
        s = gd_level_pass_make(&w->level, levels, l->options.microbatch, w->image);
    if (s != GD_OK) {
        gd_microbatch_free(w);
        return s;
    }
    *out = w;
    return GD_OK;
}

void gd_microbatch_free(gd_microbatch *w)
{
    if (!w)
        return;
    gd_block_free(w->x_t);
    gd_block_free(w->out);
    gd_block_free(w->dout);
    gd_block_free(w->t);
    gd_block_free(w->loss);
    gd_block_free(w->top1);
    gd_block_free(w->top5);
    gd_level_pass_free(&w->level);
}
