/* SPDX-License-Identifier: MIT */
/* compare.c - found against stored: the tolerance rules of the reference set's README. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which results were compared ---- */

static int index_of(golden *g, const char *name)
{
    const int n = g->tensors ? gd_bundle_count(g->tensors) : 0;

    for (int i = 0; i < n; i++)
        if (strcmp(gd_bundle_array(g->tensors, i)->name, name) == 0)
            return i;
    return -1;
}

void golden_saw(golden *g, const char *name)
{
    const int i = index_of(g, name);

    if (i < 0)
        golden_fail(g, "the case has no tensor %s", name);
    else {
        g->n_seen += !g->seen[i];
        g->seen[i] = true;
    }
}

void golden_leave_out(golden *g, const char *name, const char *why)
{
    golden_saw(g, name);
    g->n_left_out++;
    snprintf(g->left_out, sizeof g->left_out, "%s", why);
}

void golden_check_all_seen(golden *g)
{
    static const char *const results[] = { "out.", "grad.", "samp.", "stat." };
    const int n = g->tensors ? gd_bundle_count(g->tensors) : 0;

    for (int i = 0; i < n; i++)
        for (int k = 0; k < COUNT(results); k++)
            if (!g->seen[i] &&
                strncmp(gd_bundle_array(g->tensors, i)->name, results[k], strlen(results[k])) == 0)
                golden_fail(g, "%s was not compared", gd_bundle_array(g->tensors, i)->name);
}

/* ---- elements ---- */

/* Any numeric tensor */
static double *read_f64(golden *g, const gd_array *a)
{
    const int64_t n = gd_array_count(a);
    double *out = golden_alloc(g, (size_t)n * sizeof *out);

    if (a->dtype == GD_F64) {
        if (gd_bundle_read(g->tensors, a, out) != GD_OK)
            golden_fail(g, "%s", gd_error());
    } else if (a->dtype == GD_I64) {
        const int64_t *wide = golden_i64(g, NULL, "%s", a->name);
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)wide[i]; /* steps and labels: far below 2^53 */
    } else {
        const float *single = golden_f32(g, NULL, "%s", a->name);
        for (int64_t i = 0; i < n; i++)
            out[i] = single[i];
    }
    return out;
}

/* "Tensors not listed": 3e-6 of the largest for F32, relative 1e-12 for F64, 1e-9 near
 * cancellation, equality for integers */
static void default_tolerance(const gd_array *a, const double *stored, double *atol, double *rtol)
{
    double largest = 0;

    *atol = *rtol = 0;
    if (a->dtype == GD_F64)
        *rtol =
            strstr(a->name, "log_one_minus_") || strstr(a->name, "sqrt_recipm1_") ? 1e-9 : 1e-12;
    for (int64_t i = 0; i < gd_array_count(a) && a->dtype == GD_F32; i++)
        largest = fmax(largest, isfinite(stored[i]) ? fabs(stored[i]) : 0);
    *atol = 3e-6 * largest;
}

static void tolerance_of(golden *g, const gd_array *a, const double *stored, double *atol,
                         double *rtol)
{
    json_t *listed = json_object_get(g->tolerance, a->name);

    if (!listed) {
        default_tolerance(a, stored, atol, rtol);
        return;
    }
    *atol = json_number_value(json_object_get(listed, "atol"));
    *rtol = json_number_value(json_object_get(listed, "rtol"));
}

double *golden_f64(golden *g, const char *name)
{
    const gd_array *a = golden_find(g, "%s", name);
    return a ? read_f64(g, a) : NULL;
}

typedef struct verdict {
    double ratio;    /* worst |difference| / allowed */
    double relative; /* largest |difference| / largest |stored| */
} verdict;

/* Equal values, infinities too, are no difference; anything else that is not finite fails */
static verdict judge(const double *found, const double *stored, int64_t n, double atol, double rtol)
{
    double ratio = 0, difference = 0, largest = 0;

    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(found[i] - stored[i]), allowed = atol + rtol * fabs(stored[i]);
        if (isfinite(stored[i]))
            largest = fmax(largest, fabs(stored[i]));
        if (found[i] == stored[i])
            continue;
        ratio = fmax(ratio, isfinite(d) && allowed > 0 ? d / allowed : INFINITY);
        difference = fmax(difference, isfinite(d) ? d : INFINITY);
    }
    return (verdict){ ratio, difference == 0 ? 0 : difference / fmax(largest, 1e-300) };
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* An optimiser's state: Adam divides by sqrt(v), so a share of the elements may be off by up to
 * `far` where the gradient is rounding noise; the others by `near` */
static verdict judge_outliers(golden *g, json_t *listed, const double *found, const double *stored,
                              int64_t n, double near)
{
    const double far = json_number_value(json_object_get(listed, "outlier_atol"));
    const double share = json_number_value(json_object_get(listed, "outlier_fraction"));
    const int64_t outliers = GD_MIN(n, GD_MAX(1, (int64_t)(share * (double)n)));
    double *d = golden_alloc(g, (size_t)n * sizeof *d);
    const verdict all = judge(found, stored, n, far, 0);

    for (int64_t i = 0; i < n; i++)
        d[i] = fabs(found[i] - stored[i]);
    qsort(d, (size_t)n, sizeof *d, by_value);
    return (verdict){ outliers < n ? fmax(all.ratio, d[n - outliers - 1] / near) : all.ratio,
                      all.relative };
}

void golden_record(golden *g, const char *name, double ratio, double relative)
{
    if (!(ratio <= 1))
        golden_fail(g, "%s is off by %.3g times what is allowed, relative %.2g", name, ratio,
                    relative);
    if (*g->worst_name && ratio <= g->worst)
        return;
    g->worst = ratio;
    g->worst_relative = relative;
    snprintf(g->worst_name, sizeof g->worst_name, "%s", name);
}

static void record(golden *g, const char *name, verdict v)
{
    golden_record(g, name, v.ratio, v.relative);
}

static const gd_array *expect(golden *g, const char *name, int64_t count)
{
    const gd_array *a = golden_find(g, "%s", name);

    if (!a)
        golden_fail(g, "the case has no tensor %s", name);
    else if (gd_array_count(a) != count)
        golden_fail(g, "%s has %lld elements, computed were %lld", name,
                    (long long)gd_array_count(a), (long long)count);
    else {
        golden_saw(g, name);
        return a;
    }
    return NULL;
}

void golden_compare_f64(golden *g, const char *name, const double *found, int64_t count)
{
    const gd_array *a = expect(g, name, count), *truth = NULL;
    double atol, rtol;
    verdict v;

    if (!a)
        return;
    const double *stored = read_f64(g, a);
    tolerance_of(g, a, stored, &atol, &rtol);
    if (json_object_get(json_object_get(g->tolerance, name), "outlier_atol"))
        v = judge_outliers(g, json_object_get(g->tolerance, name), found, stored, count, atol);
    else
        v = judge(found, stored, count, atol, rtol);
    if (v.ratio > 1 && strncmp(name, "out.", 4) == 0)
        truth = golden_find(g, "out64.%s", name + 4);
    if (truth && gd_array_count(truth) == count) {
        const verdict w = judge(found, read_f64(g, truth), count, atol, rtol);
        v = w.ratio < v.ratio ? w : v;
    }
    record(g, name, v);
}

static double *widen(golden *g, const float *x, int64_t n)
{
    double *out = golden_alloc(g, (size_t)n * sizeof *out);

    for (int64_t i = 0; i < n; i++)
        out[i] = x[i];
    return out;
}

void golden_compare(golden *g, const char *name, const float *found, int64_t count)
{
    golden_compare_f64(g, name, widen(g, found, count), count);
}

void golden_compare_within(golden *g, const char *name, const float *found, const float *stored,
                           int64_t count, double allowed)
{
    record(g, name, judge(widen(g, found, count), widen(g, stored, count), count, allowed, 0));
}

void golden_compare_bytes(golden *g, const char *name, const void *found, size_t bytes)
{
    const gd_array *a = golden_find(g, "%s", name);

    if (!a || (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype) != bytes) {
        golden_fail(g, "%s is absent or of another size", name);
        return;
    }
    golden_saw(g, name);
    void *stored = golden_alloc(g, bytes);
    if (gd_bundle_read(g->tensors, a, stored) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else if (memcmp(stored, found, bytes) != 0)
        golden_fail(g, "%s is not equal", name);
}

/* ---- tensors too big to store: every k-th element, and sums over all ---- */

/* The smallest prime >= max(2, ceil(n / 512)) */
static int64_t sample_stride(int64_t n)
{
    for (int64_t k = GD_MAX(2, (n + 511) / 512);; k++) {
        bool prime = true;
        for (int64_t d = 2; d * d <= k && prime; d++)
            prime = k % d != 0;
        if (prime)
            return k;
    }
}

void golden_compare_part(golden *g, const char *name, const float *found, int64_t count)
{
    const int64_t stride = sample_stride(count), n = (count + stride - 1) / stride;
    char sampled[GD_MAX_NAME];

    snprintf(sampled, sizeof sampled, "samp.%s", name);
    if (golden_find(g, "%s", name))
        golden_compare(g, name, found, count);
    if (!golden_find(g, "%s", sampled))
        return;
    float *part = golden_alloc(g, (size_t)n * sizeof *part);
    for (int64_t i = 0; i < n; i++)
        part[i] = found[i * stride];
    golden_compare(g, sampled, part, n);
}

static int row_of(golden *g, const char *prefix, const char *parameter)
{
    json_t *order = json_object_get(json_object_get(g->json, "stat_order"), prefix), *item;
    size_t i;

    json_array_foreach(order, i,
                       item) if (strcmp(json_string_value(item), parameter) == 0) return (int)i;
    return -1;
}

void golden_compare_stat(golden *g, const char *what, const char *prefix, const char *parameter,
                         const float *found, int64_t count)
{
    enum { SUM, SUM_ABS, SUM_SQUARES, PROJECTION, COLUMNS };
    const gd_array *a = golden_find(g, "stat.%s.%s", what, prefix);
    const int row = row_of(g, prefix, parameter);
    char key[GD_MAX_NAME];
    double sum[COLUMNS] = { 0 }, largest = 0;

    if (!a || row < 0)
        return;
    const double *stored = read_f64(g, a), *s = stored + row * COLUMNS;
    const double rtol = json_number_value(json_object_get(
        json_object_get(json_object_get(g->json, "stat_rel_tolerance"), a->name), "rtol"));
    for (int64_t i = 0; i < a->dim[0]; i++)
        largest = fmax(largest, stored[i * COLUMNS + SUM_ABS]);
    golden_saw(g, a->name);
    if (s[SUM_ABS] < 1e-7 * largest)
        return;
    float *r = golden_alloc(g, (size_t)count * sizeof *r);
    snprintf(key, sizeof key, "proj:%s.%s", prefix, parameter);
    golden_fill(r, 0, count, 0, key, 0, 0);
    for (int64_t i = 0; i < count; i++) {
        const double x = found[i];
        sum[SUM] += x;
        sum[SUM_ABS] += fabs(x);
        sum[SUM_SQUARES] += x * x;
        sum[PROJECTION] += x * r[i];
    }
    for (int k = 0; k < COLUMNS; k++) {
        const double scale = k == SUM_SQUARES ? s[SUM_SQUARES] : s[SUM_ABS];
        verdict v = judge(&sum[k], &s[k], 1, rtol * scale, 0);
        v.relative = fabs(sum[k] - s[k]) / scale;
        snprintf(key, sizeof key, "%s of %s", a->name, parameter);
        record(g, key, v);
    }
}
