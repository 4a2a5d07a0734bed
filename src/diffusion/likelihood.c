/* SPDX-License-Identifier: MIT */
/* likelihood.c - bits per dimension of one image, with all terms of the bound
 * (docs/reference/diffusion.md#bits-per-dimension). */
#include "diffusion/diffusion.h"

#include <math.h>

typedef struct likelihood_work {
    float *x_t, *noise, *out, *mean, *variance, *log_variance, *x0, *eps;
} likelihood_work;

static int64_t image_count(const gd_denoiser *d)
{
    return (int64_t)d->channels * d->height * d->width;
}

size_t gd_likelihood_bytes(const gd_denoiser *d)
{
    const int64_t others = 7, out = (int64_t)d->out_channels * d->height * d->width;
    return (size_t)(others * image_count(d) + out) * sizeof(float);
}

static likelihood_work cut(void *work, const gd_denoiser *d)
{
    const int64_t n = image_count(d);
    float *at = work;

    return (likelihood_work){ .x_t = at,
                              .noise = at + n,
                              .mean = at + 2 * n,
                              .variance = at + 3 * n,
                              .log_variance = at + 4 * n,
                              .x0 = at + 5 * n,
                              .eps = at + 6 * n,
                              .out = at + 7 * n };
}

static double mean_square(const float *a, const float *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum / (double)n;
}

/* The bound's term of step t in bits per dimension, from what gd_p_mean_variance found */
static double bound(const gd_process *p, int t, const float *x0, const likelihood_work *w,
                    int64_t n)
{
    const gd_schedule *s = p->schedule;
    const double mean_x0 = (float)s->posterior_mean_coef1[t],
                 mean_xt = (float)s->posterior_mean_coef2[t],
                 true_lv = (float)s->posterior_log_variance[t];
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += t == 0 ? gd_decoder_nll(x0[i], w->mean[i], w->log_variance[i]).value
                      : gd_normal_kl(mean_x0 * x0[i] + mean_xt * w->x_t[i], true_lv, w->mean[i],
                                     w->log_variance[i])
                            .value;
    return sum / (log(2) * (double)n);
}

double gd_prior_bpd(const gd_process *p, const float *x0, int64_t n)
{
    const gd_schedule *s = p->schedule;
    const double scale = (float)s->sqrt_alpha_bar[s->n - 1],
                 lv = (float)s->log_one_minus_alpha_bar[s->n - 1];
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += gd_normal_kl(scale * x0[i], lv, 0, 0).value;
    return sum / (log(2) * (double)n);
}

static gd_status one_step(gd_likelihood *l, const gd_denoiser *d, const gd_process *p, int step,
                          const float *x0, const int64_t *y, const likelihood_work *w)
{
    const int t = p->schedule->n - 1 - step;
    const int64_t n = image_count(d);
    const float model_t = gd_schedule_model_t(p->schedule, t);

    gd_q_sample(p, t, x0, w->noise, w->x_t, n);
    GD_TRY(d->predict(d->ctx, 1, w->x_t, &model_t, y, w->out));
    gd_p_mean_variance(p, t, w->x_t, w->out, n, w->mean, w->variance, w->log_variance, w->x0);
    gd_eps_from_x0(p, t, w->x_t, w->x0, w->eps, n);
    l->vb[step] = bound(p, t, x0, w, n);
    l->xstart_mse[step] = mean_square(w->x0, x0, n);
    l->mse[step] = mean_square(w->eps, w->noise, n);
    if (!isfinite(l->vb[step]))
        return gd_fail(GD_EFAILED, "step t = %d: the bound is not finite", t);
    l->total += l->vb[step];
    return GD_OK;
}

gd_status gd_likelihood_run(gd_likelihood *l, const gd_denoiser *d, const gd_process *p,
                            const gd_step_noise *noise, int64_t image, const float *x0,
                            const int64_t *y, void *work)
{
    const likelihood_work w = cut(work, d);

    if (d->denoise)
        return gd_fail(GD_EUSAGE, "the bound is a sum over discrete steps, which this network does "
                                  "not have");
    l->prior = l->total = gd_prior_bpd(p, x0, image_count(d));
    for (int step = 0; step < p->schedule->n; step++) {
        noise->draw(noise->ctx, image, 1, step + 1, w.noise);
        GD_TRY(one_step(l, d, p, step, x0, y, &w));
    }
    return GD_OK;
}
