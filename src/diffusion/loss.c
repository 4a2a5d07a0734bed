/* SPDX-License-Identifier: MIT */
/* loss.c - the training losses of one image and their gradient with respect to the network's output
 * (docs/reference/diffusion.md#training-losses).  Table entries are rounded to float first, as the
 * authors' code does; the sums are in double. */
#include "diffusion/diffusion.h"

#include <math.h>

/* What one step's Gaussians depend on besides the image */
typedef struct coefficients {
    double x0_from_xt, x0_from_out; /* x0 = x0_from_xt * x_t - x0_from_out * out, of eps and v */
    double alpha, sigma;
    double mean_x0, mean_xt;          /* posterior mean = mean_x0 * x0 + mean_xt * x_t */
    double true_log_variance;         /* of the posterior */
    double log_low, log_high;         /* learned range: v = -1, v = 1 */
    double fixed_log_variance;        /* where nothing is learned */
    double mean_slope, log_var_slope; /* d mean / d output, d log variance / d v */
} coefficients;

static void look_up(coefficients *c, const gd_process *p, int t)
{
    const gd_schedule *s = p->schedule;

    *c = (coefficients){ .x0_from_xt = (float)s->sqrt_recip_alpha_bar[t],
                         .x0_from_out = (float)s->sqrt_recipm1_alpha_bar[t],
                         .alpha = (float)s->sqrt_alpha_bar[t],
                         .sigma = (float)s->sqrt_one_minus_alpha_bar[t],
                         .mean_x0 = (float)s->posterior_mean_coef1[t],
                         .mean_xt = (float)s->posterior_mean_coef2[t],
                         .true_log_variance = (float)s->posterior_log_variance[t],
                         .log_low = (float)s->posterior_log_variance[t],
                         .log_high = (float)log(s->beta[t]),
                         .fixed_log_variance = (float)s->posterior_log_variance[t] };
    if (p->var_type == GD_VAR_FIXED_LARGE)
        c->fixed_log_variance = (float)log(t == 0 ? s->posterior_variance[1] : s->beta[t]);
    if (p->mean_type == GD_MEAN_V) {
        c->x0_from_xt = c->alpha;
        c->x0_from_out = c->sigma;
    }
    c->mean_slope = p->mean_type == GD_MEAN_START_X      ? c->mean_x0
                    : p->mean_type == GD_MEAN_PREVIOUS_X ? 1
                                                         : -c->mean_x0 * c->x0_from_out;
    c->log_var_slope = p->var_type == GD_VAR_LEARNED_RANGE ? (c->log_high - c->log_low) / 2
                       : p->var_type == GD_VAR_LEARNED     ? 1
                                                           : 0;
}

static double model_mean(const coefficients *c, gd_mean_type type, double out, double x_t)
{
    if (type == GD_MEAN_PREVIOUS_X)
        return out;
    if (type != GD_MEAN_START_X)
        out = c->x0_from_xt * x_t - c->x0_from_out * out;
    return c->mean_x0 * out + c->mean_xt * x_t;
}

static double model_log_variance(const coefficients *c, gd_var_type type, double v)
{
    if (type == GD_VAR_LEARNED)
        return v;
    if (type == GD_VAR_LEARNED_RANGE)
        return c->log_low + (v + 1) * c->log_var_slope;
    return c->fixed_log_variance;
}

/* ---- one image ---- */

typedef struct image {
    const gd_process *process;
    coefficients c;
    int t;
    int64_t n;
    const float *x0, *x_t, *noise, *out;
    float *gradient;
} image;

static bool learned(const gd_process *p)
{
    return p->var_type == GD_VAR_LEARNED || p->var_type == GD_VAR_LEARNED_RANGE;
}

/* Bits per dimension; its gradient times `weight` is added: to the mean's channels only where
 * `mean_too`. */
static double bound(const image *im, double weight, bool mean_too)
{
    const gd_process *p = im->process;
    const double per_element = 1 / (log(2) * (double)im->n);
    double sum = 0;

    for (int64_t i = 0; i < im->n; i++) {
        const double true_mean = im->c.mean_x0 * im->x0[i] + im->c.mean_xt * im->x_t[i];
        const double mean = model_mean(&im->c, p->mean_type, im->out[i], im->x_t[i]);
        const double lv =
            model_log_variance(&im->c, p->var_type, learned(p) ? im->out[im->n + i] : 0);
        const gd_bound_term e = im->t == 0
                                    ? gd_decoder_nll(im->x0[i], mean, lv)
                                    : gd_normal_kl(true_mean, im->c.true_log_variance, mean, lv);
        sum += e.value;
        if (mean_too)
            im->gradient[i] += (float)(weight * per_element * e.d_mean * im->c.mean_slope);
        if (learned(p))
            im->gradient[im->n + i] +=
                (float)(weight * per_element * e.d_log_variance * im->c.log_var_slope);
    }
    return sum * per_element;
}

static double squared_error(const image *im, double weight)
{
    const gd_mean_type type = im->process->mean_type;
    double sum = 0;

    for (int64_t i = 0; i < im->n; i++) {
        const double target =
            type == GD_MEAN_PREVIOUS_X
                ? im->c.mean_x0 * im->x0[i] + im->c.mean_xt * im->x_t[i]
                : gd_prediction_of(type, im->c.alpha, im->c.sigma, im->x0[i], im->noise[i]);
        const double d = im->out[i] - target;
        sum += d * d;
        im->gradient[i] += (float)(weight * 2 * d / (double)im->n);
    }
    return sum / (double)im->n;
}

void gd_training_loss(gd_loss *loss, float *gradient, const gd_process *p, gd_loss_type type,
                      const gd_snr_weight *by_snr, int t, const float *x0, const float *x_t,
                      const float *noise, const float *out, int64_t n, double weight)
{
    const double ab = p->schedule->alpha_bar[t],
                 share = gd_snr_weight_of(by_snr, p->mean_type, ab / (1 - ab));
    image im = { p, { 0 }, t, n, x0, x_t, noise, out, gradient };
    double scale = 1;

    look_up(&im.c, p, t);
    for (int64_t i = 0; i < (learned(p) ? 2 * n : n); i++)
        gradient[i] = 0;
    *loss = (gd_loss){ .is_bound = type == GD_LOSS_KL || type == GD_LOSS_RESCALED_KL };
    if (loss->is_bound) {
        scale = type == GD_LOSS_RESCALED_KL ? p->schedule->n : 1;
        loss->loss = scale * bound(&im, weight * scale, true);
        return;
    }
    loss->mse = share * squared_error(&im, weight * share);
    loss->has_vb = learned(p);
    if (loss->has_vb) {
        scale = type == GD_LOSS_RESCALED_MSE ? p->schedule->n / 1000.0 : 1;
        loss->vb = scale * bound(&im, weight * scale, false);
    }
    loss->loss = loss->mse + loss->vb;
}
