/* SPDX-License-Identifier: MIT */
/* prediction.c - what a network predicts of x_t = alpha x_0 + sigma eps, and how its squared error
 * is weighted.  v: Salimans & Ho 2022, appendix D. */
#include "diffusion/diffusion.h"

#include <math.h>

double gd_prediction_of(gd_mean_type type, double alpha, double sigma, double x0, double eps)
{
    return type == GD_MEAN_START_X ? x0 : type == GD_MEAN_V ? alpha * eps - sigma * x0 : eps;
}

double gd_prediction_x0(gd_mean_type type, double alpha, double sigma, double x_t, double out)
{
    return type == GD_MEAN_START_X ? out
           : type == GD_MEAN_V     ? alpha * x_t - sigma * out
                                   : (x_t - sigma * out) / alpha;
}

double gd_prediction_eps(gd_mean_type type, double alpha, double sigma, double x_t, double out)
{
    return type == GD_MEAN_START_X ? (x_t - alpha * out) / sigma
           : type == GD_MEAN_V     ? sigma * x_t + alpha * out
                                   : out;
}

const char *const gd_snr_weight_names[GD_N_SNR_WEIGHTS] = { "uniform", "min-snr", "p2" };

double gd_snr_weight_of(const gd_snr_weight *w, gd_mean_type type, double snr)
{
    if (w->kind == GD_SNR_P2)
        return 1 / pow(w->k + snr, w->gamma);
    if (w->kind == GD_SNR_MIN) {
        const double least = fmin(snr, w->gamma);
        return type == GD_MEAN_START_X ? least
               : type == GD_MEAN_V     ? least / (snr + 1)
               : snr > w->gamma        ? w->gamma / snr
                                       : 1;
    }
    return 1;
}
