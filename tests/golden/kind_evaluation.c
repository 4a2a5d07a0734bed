/* SPDX-License-Identifier: MIT */
/* kind_evaluation.c - the metrics of given activations. */
#include "golden.h"

#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *expected(golden *g, const char *key)
{
    json_t *v = golden_at(g, golden_at(g, g->json, "expected"), key);

    if (!json_is_number(v))
        golden_fail(g, "case.json expects no %s", key);
    return v;
}

static void compare_value(golden *g, const char *key, double found, double relative,
                          double absolute)
{
    const double stored = json_number_value(expected(g, key));
    const double allowed = fmax(relative * fabs(stored), absolute);
    const double difference = fabs(found - stored);

    golden_record(g, key,
                  allowed > 0       ? difference / allowed
                  : difference == 0 ? 0
                                    : INFINITY,
                  difference / fmax(fabs(stored), 1e-300));
}

static gd_features features(golden *g, const char *name)
{
    const gd_array *a = golden_find(g, "%s", name);
    gd_features f = { .data = golden_f32(g, &f.count, "%s", name) };

    f.width = a && a->rank == 2 ? (int)a->dim[1] : 1;
    f.count /= f.width;
    return f;
}

static gd_status statistics(gd_statistics *out, const gd_features *f)
{
    gd_moments *m;
    gd_status s;

    GD_TRY(gd_moments_make(&m, f->width));
    gd_moments_add(m, f->data, f->count);
    s = gd_moments_finish(m, out);
    gd_moments_free(m);
    return s;
}

/* The authors' mean is a float32 sum of float32: what F32 results are allowed, or the rounding of
 * as many additions */
static void compare_mean(golden *g, const gd_statistics *found, int64_t count)
{
    const double allowed = fmax(3e-6, 2 * sqrt((double)count) * 0x1p-24);
    const float *stored = golden_f32(g, NULL, "out.mu");
    float *rounded = golden_alloc(g, (size_t)found->width * sizeof *rounded), largest = 0;

    for (int i = 0; i < found->width; i++) {
        rounded[i] = (float)found->mean[i];
        largest = fmaxf(largest, fabsf(stored[i]));
    }
    golden_saw(g, "out.mu");
    golden_compare_within(g, "out.mu", rounded, stored, found->width, allowed * largest);
}

/* An entry is a sum whose terms cancel: its rounding is relative to sqrt(sigma_ii sigma_jj), the
 * geometric mean of its row's and its column's variance. */
static void compare_covariance(golden *g, const gd_statistics *found)
{
    const int w = found->width;
    const gd_array *a = golden_find(g, "out.sigma");
    const double *stored = golden_f64(g, "out.sigma"), rtol = 1e-12; /* of F64 results */
    double ratio = 0, relative = 0;

    if (!a || gd_array_count(a) != (int64_t)w * w) {
        golden_fail(g, "out.sigma is absent or of another size");
        return;
    }
    golden_saw(g, "out.sigma");
    for (int64_t i = 0; i < w; i++)
        for (int64_t j = 0; j < w; j++) {
            const double scale = sqrt(fabs(stored[i * w + i] * stored[j * w + j])),
                         d = fabs(found->covariance[i * w + j] - stored[i * w + j]);
            if (d == 0)
                continue;
            ratio = isfinite(d) && scale > 0 ? fmax(ratio, d / (rtol * scale)) : INFINITY;
            relative = fmax(relative, d / scale);
        }
    golden_record(g, "out.sigma", ratio, relative);
}

static gd_status compare_frechet(golden *g, const gd_features *ref, const gd_features *samples)
{
    gd_statistics a = { 0 }, b = { 0 };
    double found = NAN;
    gd_status s = statistics(&a, ref);

    if (s == GD_OK)
        s = statistics(&b, samples);
    if (s == GD_OK)
        s = gd_frechet(&found, &b, &a);
    compare_value(g, "frechet", found, 1e-6, 1e-8);
    if (s == GD_OK && golden_find(g, "out.mu")) {
        compare_mean(g, &b, samples->count);
        compare_covariance(g, &b);
    }
    gd_statistics_free(&a);
    gd_statistics_free(&b);
    return s;
}

static gd_status compare_radii(golden *g, const char *name, const gd_features *f)
{
    const int k = golden_get_int(g, golden_at(g, g->json, "expected"), "k", 3);
    float *near = golden_alloc(g, (size_t)f->count * GD_NEAREST * sizeof *near);
    float *radius = golden_alloc(g, (size_t)f->count * sizeof *radius);

    if (k != 3)
        return gd_fail(GD_EUSAGE, "k is %d: precision and recall are of the third nearest", k);
    if (!golden_find(g, "%s", name))
        return GD_OK;
    GD_TRY(gd_nearest_distances(near, f, false, NULL, NULL));
    for (int64_t i = 0; i < f->count; i++)
        radius[i] = near[i * GD_NEAREST + k];
    golden_compare(g, name, radius, f->count);
    return GD_OK;
}

static gd_status compare_manifold(golden *g, const gd_features *ref, const gd_features *samples)
{
    gd_manifold m;

    GD_TRY(gd_manifold_measure(&m, ref, samples, false, NULL, NULL));
    compare_value(g, "precision", m.precision, 0, 0);
    compare_value(g, "recall", m.recall, 0, 0);
    GD_TRY(compare_radii(g, "out.radii_ref", ref));
    return compare_radii(g, "out.radii_sample", samples);
}

/* inception_score_splitN, of every N that the case has */
static gd_status compare_scores(golden *g, const gd_features *p)
{
    static const char start[] = "inception_score_split";
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(g->json, "expected"), key, value)
    {
        gd_inception_score *score;
        if (strncmp(key, start, strlen(start)) != 0)
            continue;
        GD_TRY(gd_inception_score_make(&score, p->width, atoll(key + strlen(start))));
        gd_inception_score_add(score, p->data, p->count);
        compare_value(g, key, gd_inception_score_value(score, NULL), 1e-6, 0);
        gd_inception_score_free(score);
    }
    return GD_OK;
}

void golden_metrics(golden *g)
{
    const gd_features ref = features(g, "in.ref"), samples = features(g, "in.sample"),
                      p = features(g, "in.probabilities");

    golden_reads_all(g);
    golden_remarks(g, g->json, "salt"); /* of the generator that made the activations */
    if (g->failed)
        return;
    gd_status s = compare_frechet(g, &ref, &samples);
    if (s == GD_OK)
        s = compare_manifold(g, &ref, &samples);
    if (s == GD_OK)
        s = compare_scores(g, &p);
    if (s != GD_OK)
        golden_fail(g, "%s", gd_error());
}
