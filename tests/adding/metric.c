/* SPDX-License-Identifier: MIT */
/* Distance between the means of the first feature */
#include "eval/metric.h"

#include <math.h>

static double mean(const gd_features *f)
{
    double sum = 0;

    for (int64_t i = 0; i < f->count; i++)
        sum += f->data[i * f->width];
    return sum / (double)f->count;
}

static gd_status measure(gd_measured *out, gd_comparison *c)
{
    out->value[0] = fabs(mean(&c->ref) - mean(&c->samples));
    return GD_OK;
}

const gd_metric gd_metric_toy = {
    .word = "toy",
    .about = "a metric of a test",
    .needs = GD_NEED_FEATURES,
    .has_limit = true,
    .least = 2,
    .least_ref = 2,
    .least_for = "the toy",
    .measure = measure,
    .figure = { { .key = "toy_distance", .name = "Toy", .format = "%.3f" } },
};
