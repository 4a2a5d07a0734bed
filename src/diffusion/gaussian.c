/* SPDX-License-Identifier: MIT */
/* gaussian.c - one element of the variational bound, in nats, with its slopes
 * (docs/reference/diffusion.md#discretised-likelihood). */
#include "diffusion/diffusion.h"

#include <math.h>

gd_bound_term gd_normal_kl(double true_mean, double true_lv, double mean, double lv)
{
    const double ratio = exp(true_lv - lv), precision = exp(-lv), d = true_mean - mean;

    return (gd_bound_term){ .value = 0.5 * (-1 + lv - true_lv + ratio + d * d * precision),
                            .d_mean = -d * precision,
                            .d_log_variance = 0.5 * (1 - ratio - d * d * precision) };
}

double gd_normal_cdf(double z, double *slope)
{
    const double root = 0.79788456080286535588, cubic = 0.044715; /* sqrt(2 / pi) */
    const double th = tanh(root * (z + cubic * z * z * z));

    *slope = 0.5 * (1 - th * th) * root * (1 + 3 * cubic * z * z);
    return 0.5 * (1 + th);
}

gd_bound_term gd_decoder_nll(double x, double mean, double lv)
{
    const double least = 1e-12, bin = 1.0 / 255, scale = exp(-0.5 * lv), centred = x - mean;
    const double upper = scale * (centred + bin), lower = scale * (centred - bin);
    double d_upper, d_lower;
    double p_upper = gd_normal_cdf(upper, &d_upper), p_lower = gd_normal_cdf(lower, &d_lower), p;

    if (x < -0.999)
        p_lower = d_lower = 0;
    else if (x > 0.999) {
        p_upper = 1;
        d_upper = 0;
    }
    p = p_upper - p_lower;
    if (p < least)
        return (gd_bound_term){ .value = -log(least) };
    return (gd_bound_term){ .value = -log(p),
                            .d_mean = scale * (d_upper - d_lower) / p,
                            .d_log_variance = 0.5 * (upper * d_upper - lower * d_lower) / p };
}
