/* SPDX-License-Identifier: MIT */
/* process.c - the forward process and one reverse step's distribution
 * (docs/reference/diffusion.md#reverse-step). Coefficients are rounded to float first, as the
 * authors' code does. */
#include "diffusion/diffusion.h"

#include <math.h>

/* out = a x + b y; the coefficients are rounded to float here */
static void combine(float *out, double a, const float *x, double b, const float *y, int64_t n)
{
    const float fa = (float)a, fb = (float)b;

    for (int64_t i = 0; i < n; i++)
        out[i] = fa * x[i] + fb * y[i];
}

void gd_q_sample(const gd_process *p, int t, const float *x0, const float *noise, float *x_t,
                 int64_t n)
{
    combine(x_t, p->schedule->sqrt_alpha_bar[t], x0, p->schedule->sqrt_one_minus_alpha_bar[t],
            noise, n);
}

void gd_q_posterior_mean(const gd_process *p, int t, const float *x0, const float *x_t, float *mean,
                         int64_t n)
{
    combine(mean, p->schedule->posterior_mean_coef1[t], x0, p->schedule->posterior_mean_coef2[t],
            x_t, n);
}

void gd_x0_from_eps(const gd_process *p, int t, const float *x_t, const float *eps, float *x0,
                    int64_t n)
{
    combine(x0, p->schedule->sqrt_recip_alpha_bar[t], x_t, -p->schedule->sqrt_recipm1_alpha_bar[t],
            eps, n);
}

/* (xprev - coef2 x_t) / coef1, in the authors' order: 1/coef1 * xprev - coef2/coef1 * x_t */
void gd_x0_from_xprev(const gd_process *p, int t, const float *x_t, const float *xprev, float *x0,
                      int64_t n)
{
    const double c1 = p->schedule->posterior_mean_coef1[t],
                 c2 = p->schedule->posterior_mean_coef2[t];

    combine(x0, 1.0 / c1, xprev, -(c2 / c1), x_t, n);
}

void gd_eps_from_x0(const gd_process *p, int t, const float *x_t, const float *x0, float *eps,
                    int64_t n)
{
    const float a = (float)p->schedule->sqrt_recip_alpha_bar[t],
                b = (float)p->schedule->sqrt_recipm1_alpha_bar[t];

    for (int64_t i = 0; i < n; i++)
        eps[i] = isinf(a) ? x_t[i] : (a * x_t[i] - x0[i]) / b; /* the last step of zero-snr */
}

/* Learned range: v = -1 is the posterior's (clipped) log variance, v = 1 that of beta; not clamped
 */
static void learned_range(const gd_process *p, int t, const float *v, int64_t n, float *variance,
                          float *log_variance)
{
    const float low = (float)p->schedule->posterior_log_variance[t],
                high = (float)log(p->schedule->beta[t]);

    for (int64_t i = 0; i < n; i++) {
        const float f = (v[i] + 1) / 2;
        log_variance[i] = f * high + (1 - f) * low;
        variance[i] = expf(log_variance[i]);
    }
}

static void fixed(const gd_process *p, int t, int64_t n, float *variance, float *log_variance)
{
    const gd_schedule *s = p->schedule;
    double v = s->posterior_variance[t], log_v = s->posterior_log_variance[t];

    if (p->var_type == GD_VAR_FIXED_LARGE) {
        v = t == 0 ? s->posterior_variance[1] : s->beta[t];
        log_v = log(v);
    }
    for (int64_t i = 0; i < n; i++) {
        variance[i] = (float)v;
        log_variance[i] = (float)log_v;
    }
}

static void variances(const gd_process *p, int t, const float *v, int64_t n, float *variance,
                      float *log_variance)
{
    if (p->var_type == GD_VAR_LEARNED_RANGE) {
        learned_range(p, t, v, n, variance, log_variance);
    } else if (p->var_type == GD_VAR_LEARNED) {
        for (int64_t i = 0; i < n; i++) {
            log_variance[i] = v[i];
            variance[i] = expf(v[i]);
        }
    } else {
        fixed(p, t, n, variance, log_variance);
    }
}

void gd_p_mean_variance(const gd_process *p, int t, const float *x_t, const float *out, int64_t n,
                        float *mean, float *variance, float *log_variance, float *x0)
{
    variances(p, t, out + n, n, variance, log_variance);
    if (p->mean_type == GD_MEAN_EPSILON)
        gd_x0_from_eps(p, t, x_t, out, x0, n);
    else if (p->mean_type == GD_MEAN_PREVIOUS_X)
        gd_x0_from_xprev(p, t, x_t, out, x0, n);
    else if (p->mean_type == GD_MEAN_V)
        combine(x0, p->schedule->sqrt_alpha_bar[t], x_t, -p->schedule->sqrt_one_minus_alpha_bar[t],
                out, n);
    for (int64_t i = 0; i < n; i++) {
        const float v = p->mean_type == GD_MEAN_START_X ? out[i] : x0[i];
        x0[i] = p->clip_denoised && v < -1 ? -1.0f : p->clip_denoised && v > 1 ? 1.0f : v;
    }
    if (p->mean_type == GD_MEAN_PREVIOUS_X)
        for (int64_t i = 0; i < n; i++)
            mean[i] = out[i];
    else
        gd_q_posterior_mean(p, t, x0, x_t, mean, n);
}

void gd_condition_mean(float *mean, const float *variance, const float *gradient, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        mean[i] += variance[i] * gradient[i];
}

void gd_condition_score(const gd_process *p, int t, const float *x_t, const float *gradient,
                        float *x0, float *mean, int64_t n)
{
    const float shift = sqrtf(1 - (float)p->schedule->alpha_bar[t]);

    if (p->schedule->alpha_bar[t] == 0) /* x_t is noise alone: eps does not determine x_0 */
        return;
    gd_eps_from_x0(p, t, x_t, x0, mean, n); /* mean holds eps until it is known */
    for (int64_t i = 0; i < n; i++)
        mean[i] -= shift * gradient[i];
    gd_x0_from_eps(p, t, x_t, mean, x0, n);
    gd_q_posterior_mean(p, t, x0, x_t, mean, n);
}
