/* loss.c - the training losses of one image and their gradient with respect to the network's output
 * (spec diffusion.md 8, 9).  Table entries are rounded to float first, as the authors' code does;
 * the sums are in double. */
#include "diffusion/diffusion.h"

#include <math.h>

/* What one step's Gaussians depend on besides the image */
typedef struct coefficients {
    double x0_from_xt, x0_from_eps;   /* x0 = x0_from_xt * x_t - x0_from_eps * eps */
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
                         .x0_from_eps = (float)s->sqrt_recipm1_alpha_bar[t],
                         .mean_x0 = (float)s->posterior_mean_coef1[t],
                         .mean_xt = (float)s->posterior_mean_coef2[t],
                         .true_log_variance = (float)s->posterior_log_variance[t],
                         .log_low = (float)s->posterior_log_variance[t],
                         .log_high = (float)log(s->beta[t]),
                         .fixed_log_variance = (float)s->posterior_log_variance[t] };
    if (p->var_type == GD_VAR_FIXED_LARGE)
        c->fixed_log_variance = (float)log(t == 0 ? s->posterior_variance[1] : s->beta[t]);
    c->mean_slope = p->mean_type == GD_MEAN_EPSILON   ? -c->mean_x0 * c->x0_from_eps
                    : p->mean_type == GD_MEAN_START_X ? c->mean_x0
                                                      : 1;
    c->log_var_slope = p->var_type == GD_VAR_LEARNED_RANGE ? (c->log_high - c->log_low) / 2
                       : p->var_type == GD_VAR_LEARNED     ? 1
                                                           : 0;
}

static double model_mean(const coefficients *c, gd_mean_type type, double out, double x_t)
{
    if (type == GD_MEAN_PREVIOUS_X)
        return out;
    if (type == GD_MEAN_EPSILON)
        out = c->x0_from_xt * x_t - c->x0_from_eps * out;
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

/* ---- one element of the variational bound, in nats ---- */

typedef struct term {
    double value, d_mean, d_log_variance;
} term;

/* KL(N(true_mean, true_lv) || N(mean, lv)) */
static term kl(double true_mean, double true_lv, double mean, double lv)
{
    const double ratio = exp(true_lv - lv), precision = exp(-lv), d = true_mean - mean;

    return (term){ .value = 0.5 * (-1 + lv - true_lv + ratio + d * d * precision),
                   .d_mean = -d * precision,
                   .d_log_variance = 0.5 * (1 - ratio - d * d * precision) };
}

/* The authors' approximation of the normal distribution function, and its slope */
static double cdf(double z, double *slope)
{
    const double root = 0.79788456080286535588, cubic = 0.044715;
    const double th = tanh(root * (z + cubic * z * z * z));

    *slope = 0.5 * (1 - th * th) * root * (1 + 3 * cubic * z * z);
    return 0.5 * (1 + th);
}

/* -log of the probability that N(mean, exp(lv)) gives x's bin of 256 */
static term decoder_nll(double x, double mean, double lv)
{
    const double least = 1e-12, bin = 1.0 / 255, scale = exp(-0.5 * lv), centred = x - mean;
    const double upper = scale * (centred + bin), lower = scale * (centred - bin);
    double d_upper, d_lower;
    double p_upper = cdf(upper, &d_upper), p_lower = cdf(lower, &d_lower), p;

    if (x < -0.999)
        p_lower = d_lower = 0;
    else if (x > 0.999) {
        p_upper = 1;
        d_upper = 0;
    }
    p = p_upper - p_lower;
    if (p < least)
        return (term){ .value = -log(least) };
    return (term){ .value = -log(p),
                   .d_mean = scale * (d_upper - d_lower) / p,
                   .d_log_variance = 0.5 * (upper * d_upper - lower * d_lower) / p };
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
        const term e = im->t == 0 ? decoder_nll(im->x0[i], mean, lv)
                                  : kl(true_mean, im->c.true_log_variance, mean, lv);
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
        const double target = type == GD_MEAN_EPSILON ? im->noise[i]
                              : type == GD_MEAN_START_X
                                  ? im->x0[i]
                                  : im->c.mean_x0 * im->x0[i] + im->c.mean_xt * im->x_t[i];
        const double d = im->out[i] - target;
        sum += d * d;
        im->gradient[i] += (float)(weight * 2 * d / (double)im->n);
    }
    return sum / (double)im->n;
}

void gd_training_loss(gd_loss *loss, float *gradient, const gd_process *p, gd_loss_type type, int t,
                      const float *x0, const float *x_t, const float *noise, const float *out,
                      int64_t n, double weight)
{
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
    loss->mse = squared_error(&im, weight);
    loss->has_vb = learned(p);
    if (loss->has_vb) {
        scale = type == GD_LOSS_RESCALED_MSE ? p->schedule->n / 1000.0 : 1;
        loss->vb = scale * bound(&im, weight * scale, false);
    }
    loss->loss = loss->mse + loss->vb;
}
