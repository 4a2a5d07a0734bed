/* SPDX-License-Identifier: MIT */
/* measurement_noise.c - the scales in which programs state noise, and DPS's Poisson noise. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

gd_status gd_noise_scale(double *sigma, const char *scale)
{
    static const struct {
        const char *name;
        double factor;
    } scales[] = { { "pm1", 1 }, { "01", 2 }, { "255", 2 / 255. } };

    for (int i = 0; i < COUNT(scales); i++)
        if (strcmp(scales[i].name, scale) == 0) {
            *sigma *= scales[i].factor;
            return GD_OK;
        }
    return gd_fail(GD_EUSAGE, "there is no noise scale \"%s\": pm1 ([-1, 1]), 01 ([0, 1]) or 255",
                   scale);
}

double gd_poisson_mean(double x, double rate)
{
    return 255 * rate * fmin(fmax((x + 1) / 2, 0), 1);
}

double gd_poisson_value(double count, double rate)
{
    return fmin(fmax(2 * count / (255 * rate) - 1, -1), 1);
}

/* Exponential waiting times until `mean` has passed: exact for every mean */
static int64_t draw_count(double mean, uint64_t seed, uint64_t image, int64_t element)
{
    enum { AT_ONCE = 64 };
    float u[AT_ONCE];
    double time = 0;
    int64_t count = 0;

    for (uint32_t block = 0;; block++) {
        /* 64 numbers take 16 blocks of 4; elements have rows of their own by `step` */
        gd_noise_uniform(u, AT_ONCE, seed ^ (image * 0x9e3779b97f4a7c15u),
                         (uint64_t)block * (AT_ONCE / 4), (uint32_t)element);
        for (int i = 0; i < AT_ONCE; i++) {
            time -= log1p(-(double)u[i]);
            if (time > mean)
                return count;
            count++;
        }
    }
}

void gd_poisson_noise(double *y, int64_t n, double rate, uint64_t seed, uint64_t image)
{
    for (int64_t i = 0; i < n; i++)
        y[i] =
            gd_poisson_value((double)draw_count(gd_poisson_mean(y[i], rate), seed, image, i), rate);
}
