/* SPDX-License-Identifier: MIT */
/* metric_manifold.c - precision and recall, density and coverage as metrics; manifold.c computes
 * them together. */
#include "eval/metric.h"

#include <jansson.h>
#include <math.h>

static gd_status measure_pr(gd_measured *out, gd_comparison *c)
{
    const gd_manifold *m;

    GD_TRY(gd_comparison_manifold(&m, c));
    out->value[0] = m->precision;
    out->value[1] = m->recall;
    /* torch-fidelity's */
    out->value[2] = 2 * m->precision * m->recall / fmax(1e-5, m->precision + m->recall);
    return GD_OK;
}

static void set_distances(json_t *report, const gd_measured *m, const gd_comparison *c)
{
    (void)m;
    json_object_set_new(report, "distances", json_string(c->half ? "float16" : "float32"));
}

const gd_metric gd_metric_pr = {
    .word = "pr",
    .about = "precision and recall (Kynkaanniemi et al. 2019)",
    .needs = GD_NEED_FEATURES,
    .standard = true,
    .least = 4, /* a point and its 3 nearest */
    .least_ref = 4,
    .least_for = "precision (k = 3)",
    .in_fidelity = GD_FIDELITY_VGG16,
    .measure = measure_pr,
    .basis = set_distances,
    .figure = { { .key = "precision",
                  .name = "Precision",
                  .format = "%.4f",
                  .bar = GD_BAR_SHARE_OF_SAMPLES },
                { .key = "recall",
                  .name = "Recall",
                  .format = "%.4f",
                  .bar = GD_BAR_SHARE_OF_REFERENCE },
                { .key = "f_score", .fidelity = true, .minor = true } },
};

static gd_status measure_dc(gd_measured *out, gd_comparison *c)
{
    const gd_manifold *m;

    GD_TRY(gd_comparison_manifold(&m, c));
    out->value[0] = m->density;
    out->value[1] = m->coverage;
    return GD_OK;
}

const gd_metric gd_metric_dc = {
    .word = "dc",
    .about = "density and coverage (Naeem et al. 2020)",
    .needs = GD_NEED_FEATURES,
    .least = 1,
    .least_ref = 6, /* a point and its 5 nearest */
    .least_for = "density (k = 5)",
    .in_fidelity = GD_FIDELITY_NONE,
    .measure = measure_dc,
    .figure = { { .key = "density", .name = "Density", .format = "%.4f" },
                { .key = "coverage",
                  .name = "Coverage",
                  .format = "%.4f",
                  .bar = GD_BAR_SHARE_OF_REFERENCE } },
};
