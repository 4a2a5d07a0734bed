/* SPDX-License-Identifier: MIT */
/* mixture.c - the exact denoiser of a mixture of Gaussians. */
#include "mixture.h"

#include <math.h>

bool mixture_read(mixture *m, golden *g)
{
    const gd_array *a = golden_find(g, "in.gmm.mean");

    *m = (mixture){ .mean = golden_f64(g, "in.gmm.mean"),
                    .deviation = golden_f64(g, "in.gmm.std"),
                    .weight = golden_f64(g, "in.gmm.weight"),
                    .of_class = golden_i64(g, &m->components, "in.gmm.class") };
    if (!a || !m->deviation || !m->weight || !m->of_class) {
        golden_fail(g, "in.gmm is not whole");
        return false;
    }
    m->components = a->dim[0];
    m->count = gd_array_count(a) / m->components;
    return true;
}

static double distance2(const double *x, double alpha, const double *mean, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - alpha * mean[i]) * (x[i] - alpha * mean[i]);
    return sum;
}

void mixture_denoise(const mixture *m, const gd_level *at, int64_t label, const double *x,
                     double *x0)
{
    enum { MOST = 64 };
    const double a = at->alpha, s2 = at->sigma * at->sigma;
    double share[MOST], top = -INFINITY, sum = 0;

    for (int64_t k = 0; k < m->components; k++) {
        const double v = a * a * m->deviation[k] * m->deviation[k] + s2;
        share[k] = label >= 0 && m->of_class[k] != label
                       ? -INFINITY
                       : log(m->weight[k]) - 0.5 * (double)m->count * log(v) -
                             distance2(x, a, m->mean + k * m->count, m->count) / (2 * v);
        top = fmax(top, share[k]);
    }
    for (int64_t k = 0; k < m->components; k++)
        sum += share[k] = exp(share[k] - top);
    for (int64_t i = 0; i < m->count; i++)
        x0[i] = 0;
    for (int64_t k = 0; k < m->components; k++) {
        const double d2 = m->deviation[k] * m->deviation[k], v = a * a * d2 + s2,
                     w = share[k] / sum / v;
        for (int64_t i = 0; i < m->count && w > 0; i++)
            x0[i] += w * (a * d2 * x[i] + s2 * m->mean[k * m->count + i]);
    }
}

gd_status mixture_predict(void *ctx, int n, const double *x, const gd_level *at, const int64_t *y,
                          double *x0)
{
    mixture_run *r = ctx;
    const int64_t count = r->m.count;

    for (int i = 0; i < n; i++) {
        mixture_denoise(&r->m, at, y ? y[i] : -1, x + i * count, x0 + i * count);
        if (!r->guided)
            continue;
        mixture_denoise(&r->m, at, -1, x + i * count, r->other);
        for (int64_t e = 0; e < count; e++)
            x0[i * count + e] = r->other[e] + r->scale * (x0[i * count + e] - r->other[e]);
    }
    return GD_OK;
}
