/* SPDX-License-Identifier: MIT */
/* levels.c - losses at noise levels: what D(x; s), a network with a preconditioner, is trained to
 * be. Karras et al. 2022 (EDM), Song et al. 2023 (consistency distillation and training), Salimans
 * & Ho 2022 (progressive distillation), as openai/consistency_models computes them. */
#include "train/train.h"

#include <math.h>

const char *const gd_level_loss_names[GD_N_LEVEL_LOSSES] = { "edm", "cd", "ct", "progdist" };
const char *const gd_level_weight_names[GD_N_LEVEL_WEIGHTS] = { "uniform", "snr", "snr+1", "karras",
                                                                "truncated-snr" };

int gd_level_count(const gd_level_rule *r)
{
    return r->kind == GD_LEVEL_EDM           ? 1
           : r->kind == GD_LEVEL_PROGRESSIVE ? r->scales
                                             : r->scales - 1;
}

double gd_level_sigma(const gd_level_rule *r, double share)
{
    const double a = pow(r->sigma_max, 1 / r->rho), b = pow(r->sigma_min, 1 / r->rho);

    return pow(a + share * (b - a), r->rho);
}

double gd_level_weight_of(const gd_level_rule *r, double s)
{
    const double snr = 1 / (s * s);

    switch (r->weight) {
    case GD_LEVEL_SNR:
        return snr;
    case GD_LEVEL_SNR_PLUS_1:
        return snr + 1;
    case GD_LEVEL_KARRAS:
        return snr + 1 / (r->sigma_data * r->sigma_data);
    case GD_LEVEL_TRUNCATED_SNR:
        return fmax(snr, 1);
    default:
        return 1;
    }
}

/* ---- what the prediction is compared with ---- */

typedef struct solving {
    const gd_level_rule *r;
    const gd_train_batch *b;
    int64_t count; /* elements of an image */
    float *d;      /* [n][count]: predictions */
    void *work;
} solving;

/* The teacher's prediction at x and these levels; without a teacher the image itself */
static gd_status predict(const solving *s, const float *x, const double *sigma)
{
    const gd_level_rule *r = s->r;

    if (r->teacher)
        return gd_predict_x0(r->teacher, r->teacher_form, s->b->n, x, sigma, s->b->y, s->d,
                             s->work);
    for (int64_t i = 0; i < s->b->n * s->count; i++)
        s->d[i] = s->b->x0[i];
    return GD_OK;
}

/* Euler's step of dx/ds = (x - D(x; s)) / s of each image; slope [n][count] or NULL: kept there */
static gd_status euler(const solving *s, const float *x, const double *from, const double *to,
                       float *out, float *slope)
{
    GD_TRY(predict(s, x, from));
    for (int64_t i = 0; i < s->b->n * s->count; i++) {
        const int64_t k = i / s->count;
        const float d = (float)((x[i] - s->d[i]) / from[k]);
        if (slope)
            slope[i] = d;
        out[i] = (float)(x[i] + d * (to[k] - from[k]));
    }
    return GD_OK;
}

/* Heun's: the mean of the slopes at both ends */
static gd_status heun(const solving *s, const float *x, const double *from, const double *to,
                      float *out, float *slope)
{
    GD_TRY(euler(s, x, from, to, out, slope));
    GD_TRY(predict(s, out, to));
    for (int64_t i = 0; i < s->b->n * s->count; i++) {
        const int64_t k = i / s->count;
        const double end = (out[i] - s->d[i]) / to[k];
        out[i] = (float)(x[i] + (slope[i] + end) * (to[k] - from[k]) / 2);
    }
    return GD_OK;
}

/* What one step of the student from s to s'' must predict for two of the teacher's to end there */
static gd_status progressive(const solving *s, const gd_level_pass *p)
{
    const gd_level_rule *r = s->r;
    const int64_t n = s->b->n * s->count;

    for (int i = 0; i < s->b->n; i++)
        p->next[i] = gd_level_sigma(r, (s->b->t[i] + 0.5) / r->scales);
    GD_TRY(euler(s, p->x, p->sigma, p->next, p->target, NULL));
    for (int i = 0; i < s->b->n; i++)
        p->last[i] = gd_level_sigma(r, (s->b->t[i] + 1.0) / r->scales);
    GD_TRY(euler(s, p->target, p->next, p->last, p->target, NULL));
    for (int64_t i = 0; i < n; i++) {
        const double from = p->sigma[i / s->count], to = p->last[i / s->count];
        p->target[i] = (float)(p->x[i] - from * (p->target[i] - p->x[i]) / (to - from));
    }
    return GD_OK;
}

/* The target network's prediction at the next level, on the teacher's path or, without a teacher,
 * with the same noise */
static gd_status consistent(const solving *s, const gd_level_pass *p)
{
    const gd_level_rule *r = s->r;

    for (int i = 0; i < s->b->n; i++)
        p->next[i] = gd_level_sigma(r, (s->b->t[i] + 1.0) / (r->scales - 1));
    GD_TRY((r->teacher ? heun : euler)(s, p->x, p->sigma, p->next, p->target, p->slope));
    return gd_predict_x0(r->target, r->form, s->b->n, p->target, p->next, s->b->y, p->target,
                         s->work);
}

static void set_levels(const gd_level_rule *r, const gd_train_batch *b, double *sigma)
{
    for (int i = 0; i < b->n; i++)
        sigma[i] = r->kind == GD_LEVEL_EDM ? b->sigma[i]
                   : r->kind == GD_LEVEL_PROGRESSIVE
                       ? gd_level_sigma(r, (double)b->t[i] / r->scales)
                       : gd_level_sigma(r, b->t[i] / (r->scales - 1.0));
}

gd_status gd_level_prepare(const gd_level_pass *p, const gd_level_rule *r, const gd_train_batch *b,
                           int64_t count)
{
    const solving s = { r, b, count, p->slope + b->n * count, p->work };

    set_levels(r, b, p->sigma);
    for (int64_t i = 0; i < b->n * count; i++)
        p->x[i] = (float)(b->x0[i] + b->noise[i] * p->sigma[i / count]);
    if (r->kind == GD_LEVEL_PROGRESSIVE)
        return progressive(&s, p);
    if (r->kind != GD_LEVEL_EDM)
        return consistent(&s, p);
    for (int64_t i = 0; i < b->n * count; i++)
        p->target[i] = b->x0[i];
    return GD_OK;
}

/* ---- memory ---- */

static size_t network_bytes(const gd_level_rule *r, int n)
{
    const size_t a = r->target ? gd_predict_x0_bytes(r->target, n) : 0,
                 b = r->teacher ? gd_predict_x0_bytes(r->teacher, n) : 0;

    return GD_MAX(a, b);
}

gd_status gd_level_pass_make(gd_level_pass *out, const gd_level_rule *r, int n, int64_t count)
{
    enum { IMAGES = 4, LEVELS = 3 };
    const size_t floats = (size_t)n * (size_t)count;
    double *at;

    *out = (gd_level_pass){ 0 };
    GD_TRY(gd_block_make(&out->work, GD_MAX(network_bytes(r, n), 64), "loss"));
    GD_TRY(gd_block_make(&at, (size_t)n * LEVELS * sizeof *at + floats * IMAGES * 4, "loss"));
    out->sigma = at;
    out->next = at + n;
    out->last = at + 2 * n;
    out->x = (float *)(at + (size_t)LEVELS * (size_t)n);
    out->target = out->x + floats;
    out->slope = out->target + floats; /* and behind it the predictions */
    return GD_OK;
}

void gd_level_pass_free(gd_level_pass *p)
{
    gd_block_free(p->work);
    gd_block_free(p->sigma);
    *p = (gd_level_pass){ 0 };
}

/* ---- the loss ---- */

double gd_level_loss_of(const gd_level_rule *r, const gd_scaling *c, double sigma, const float *x,
                        const float *target, const float *out, int64_t n, double weight,
                        float *gradient)
{
    const double w = gd_level_weight_of(r, sigma), per_element = w / (double)n;
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
        const double d = (float)c->c_skip * x[i] + (float)c->c_out * out[i] - target[i];
        const double slope = r->absolute ? (d > 0) - (d < 0) : 2 * d;
        sum += r->absolute ? fabs(d) : d * d;
        gradient[i] = (float)(weight * per_element * c->c_out * slope);
    }
    return per_element * sum;
}
