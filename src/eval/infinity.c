/* SPDX-License-Identifier: MIT */
/* infinity.c - the Frechet distance extrapolated to infinitely many samples. */
#include "eval/metric.h"

#include <jansson.h>
#include <math.h>

enum { POINTS = GD_INFINITY_POINTS, LEAST = 16 };

/* The first n places of a shuffle, keyed by seed and point */
static void draw(int32_t *order, int64_t count, int64_t n, uint64_t seed, int point)
{
    for (int64_t i = 0; i < count; i++)
        order[i] = (int32_t)i;
    for (int64_t i = 0; i < n; i++) {
        const int64_t k =
            i + gd_noise_below((uint32_t)(count - i), seed, (uint64_t)i, (uint32_t)point);
        const int32_t chosen = order[k];
        order[k] = order[i];
        order[i] = chosen;
    }
}

static gd_status distance_of(double *out, const gd_statistics *ref, const gd_features *f,
                             const int32_t *order, int64_t n)
{
    gd_statistics drawn = { 0 };
    gd_moments *m;
    gd_status s;

    GD_TRY(gd_moments_make(&m, f->width));
    for (int64_t i = 0; i < n; i++)
        gd_moments_add(m, f->data + (int64_t)order[i] * f->width, 1);
    s = gd_moments_finish(m, &drawn);
    gd_moments_free(m);
    if (s == GD_OK)
        s = gd_frechet(out, &drawn, ref);
    gd_statistics_free(&drawn);
    return s;
}

/* Least squares of distance = value + slope / n */
static void fit(gd_infinity *out)
{
    double x = 0, y = 0, xx = 0, xy = 0, residual = 0;

    for (int k = 0; k < POINTS; k++) {
        x += 1.0 / (double)out->n[k] / POINTS;
        y += out->distance[k] / POINTS;
    }
    for (int k = 0; k < POINTS; k++) {
        const double d = 1.0 / (double)out->n[k] - x;
        xx += d * d;
        xy += d * (out->distance[k] - y);
    }
    const double slope = xx > 0 ? xy / xx : 0;
    out->value = y - slope * x;
    out->slope = slope;
    for (int k = 0; k < POINTS; k++) {
        const double r = out->distance[k] - out->value - slope / (double)out->n[k];
        residual += r * r / (POINTS - 2);
    }
    out->error = xx > 0 ? sqrt(residual * (1.0 / POINTS + x * x / xx)) : 0;
}

gd_status gd_infinity_measure(gd_infinity *out, const gd_statistics *ref,
                              const gd_features *samples, uint64_t seed)
{
    const int64_t count = samples->count, least = count / 4;
    gd_status s = GD_OK;
    int32_t *order;

    if (count < LEAST)
        return gd_fail(GD_EUSAGE, "the distance at infinity needs %d samples or more", LEAST);
    GD_TRY(gd_block_make(&order, (size_t)count * sizeof *order, "subsets"));
    for (int k = 0; k < POINTS && s == GD_OK; k++) {
        out->n[k] = least + (count - least) * k / (POINTS - 1);
        draw(order, count, out->n[k], seed, k);
        s = distance_of(&out->distance[k], ref, samples, order, out->n[k]);
    }
    gd_block_free(order);
    if (s == GD_OK)
        fit(out);
    return s;
}

/* ---- the metric ---- */

static gd_status measure(gd_measured *out, gd_comparison *c)
{
    gd_infinity *f;

    GD_TRY(gd_block_make(&f, sizeof *f, "distance at infinity"));
    out->more = f;
    GD_TRY(gd_infinity_measure(f, c->ref_pool, &c->samples, c->seed));
    out->value[0] = f->value;
    out->deviation[0] = f->error;
    return GD_OK;
}

static void set_points(json_t *report, const gd_measured *m)
{
    const gd_infinity *f = m->more;
    json_t *points = json_array();

    for (int k = 0; k < POINTS; k++)
        json_array_append_new(points, json_pack("[I,f]", (json_int_t)f->n[k], f->distance[k]));
    json_object_set_new(report, "fid_at", points);
}

const gd_metric gd_metric_infinity = {
    .word = "fid-inf",
    .about = "FID of infinitely many samples (Chong & Forsyth 2020)",
    .needs = GD_NEED_POOL | GD_NEED_FEATURES,
    .with = &gd_metric_fid, /* whose statistics of the reference it takes */
    .least = 1,
    .least_ref = 1,
    .measure = measure,
    .detail = set_points,
    .figure = { { .key = "fid_infinity",
                  .name = "FID infinity",
                  .format = "%.6f",
                  .bar = GD_BAR_MEASURED } },
};
