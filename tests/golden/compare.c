/* compare.c - tensors of a case, and the tolerance rules of the reference set. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void *golden_alloc(golden *g, size_t bytes)
{
    void *p = gd_alloc(g->mem, bytes);

    if (!p)
        abort();
    return p;
}

void golden_fail(golden *g, const char *format, ...)
{
    va_list ap;

    if (g->failed)
        return;
    g->failed = true;
    va_start(ap, format);
    vsnprintf(g->detail, sizeof g->detail, format, ap);
    va_end(ap);
}

const gd_array *golden_find(golden *g, const char *format, ...)
{
    char name[GD_MAX_NAME];
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    return g->tensors ? gd_bundle_find(g->tensors, name) : NULL;
}

float *golden_f32(golden *g, int64_t *count, const char *format, ...)
{
    char name[GD_MAX_NAME];
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    const gd_array *a = golden_find(g, "%s", name);
    if (!a)
        return NULL;
    float *out = golden_alloc(g, (size_t)gd_array_count(a) * sizeof *out + 4);
    if (gd_bundle_read_f32(g->tensors, a, out) != GD_OK)
        golden_fail(g, "%s", gd_error());
    if (count)
        *count = gd_array_count(a);
    return out;
}

int64_t *golden_i64(golden *g, int64_t *count, const char *format, ...)
{
    char name[GD_MAX_NAME];
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    const gd_array *a = golden_find(g, "%s", name);
    if (!a || a->dtype != GD_I64)
        return NULL;
    int64_t *out = golden_alloc(g, (size_t)gd_array_count(a) * sizeof *out + 8);
    if (gd_bundle_read(g->tensors, a, out) != GD_OK)
        golden_fail(g, "%s", gd_error());
    if (count)
        *count = gd_array_count(a);
    return out;
}

static double *read_f64(golden *g, const gd_array *a)
{
    double *out = golden_alloc(g, (size_t)gd_array_count(a) * sizeof *out + 8);

    if (a->dtype == GD_F64) {
        if (gd_bundle_read(g->tensors, a, out) != GD_OK)
            golden_fail(g, "%s", gd_error());
        return out;
    }
    float *single = golden_f32(g, NULL, "%s", a->name);
    for (int64_t i = 0; i < gd_array_count(a); i++)
        out[i] = single[i];
    return out;
}

/* atol and rtol of a tensor: listed, or the README's defaults */
static void allowed(golden *g, const gd_array *a, const double *stored, double *atol, double *rtol)
{
    json_t *listed = json_object_get(g->tolerance, a->name);
    double max = 0;

    *rtol = json_number_value(json_object_get(listed, "rtol"));
    *atol = json_number_value(json_object_get(listed, "atol"));
    if (listed)
        return;
    if (a->dtype == GD_F64) {
        *rtol =
            strstr(a->name, "log_one_minus_") || strstr(a->name, "sqrt_recipm1_") ? 1e-9 : 1e-12;
        return;
    }
    for (int64_t i = 0; i < gd_array_count(a); i++)
        max = fmax(max, isfinite(stored[i]) ? fabs(stored[i]) : 0);
    *atol = a->dtype == GD_F32 ? 3e-6 * max : 0;
}

/* Worst |found - stored| / allowed; equal infinities and NaN for NaN are equal */
static double worst_ratio(const double *found, const double *stored, int64_t n, double atol,
                          double rtol, double *relative)
{
    double worst = 0, max = 1e-300, difference = 0;

    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(found[i] - stored[i]), limit = atol + rtol * fabs(stored[i]);
        if (found[i] == stored[i] || (isnan(found[i]) && isnan(stored[i])))
            continue;
        const double ratio = isfinite(d) ? (limit > 0 ? d / limit : INFINITY) : INFINITY;
        worst = fmax(worst, ratio);
        difference = fmax(difference, d);
        max = fmax(max, fabs(stored[i]));
    }
    *relative = difference / max;
    return worst;
}

void golden_compare_f64(golden *g, const char *name, const double *found, int64_t count)
{
    const gd_array *a = golden_find(g, "%s", name), *truth = NULL;
    double atol, rtol, relative, ratio;

    if (!a) {
        golden_fail(g, "no tensor %s", name);
        return;
    }
    if (gd_array_count(a) != count) {
        golden_fail(g, "%s has %lld elements, computed %lld", name, (long long)gd_array_count(a),
                    (long long)count);
        return;
    }
    double *stored = read_f64(g, a);
    allowed(g, a, stored, &atol, &rtol);
    ratio = worst_ratio(found, stored, count, atol, rtol, &relative);
    if (ratio > 1 && strncmp(name, "out.", 4) == 0)
        truth = golden_find(g, "out64.%s", name + 4);
    if (truth && gd_array_count(truth) == count) {
        double true_relative,
            true_ratio = worst_ratio(found, read_f64(g, truth), count, atol, rtol, &true_relative);
        if (true_ratio < ratio) {
            ratio = true_ratio;
            relative = true_relative;
        }
    }
    if (ratio > g->worst || isnan(ratio)) {
        g->worst = ratio;
        g->worst_relative = relative;
        snprintf(g->detail, sizeof g->detail, "%s", name);
    }
}

void golden_compare(golden *g, const char *name, const float *found, int64_t count)
{
    double *wide = golden_alloc(g, (size_t)count * sizeof *wide + 8);

    for (int64_t i = 0; i < count; i++)
        wide[i] = found[i];
    golden_compare_f64(g, name, wide, count);
}

int golden_int(json_t *object, const char *key, int absent)
{
    json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? (int)json_integer_value(v) : absent;
}

bool golden_bool(json_t *object, const char *key, bool absent)
{
    json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

/* ---- generated weights ---- */

static uint64_t fnv1a64(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

/* uniform in [-2^e, 2^e) + offset, a pure function of seed and name */
static void fill(float *w, int64_t n, long seed, const char *name, int e, float offset)
{
    char key[GD_MAX_NAME + 32];
    const float scale = ldexpf(1.0f, e - 23);

    snprintf(key, sizeof key, "%ld:%s", seed, name);
    const uint64_t h = fnv1a64(key);
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = h + (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        w[i] = (float)((int32_t)(z >> 40) - (1 << 23)) * scale + offset;
    }
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    golden_weights *w = ctx;
    json_t *spec = json_object_get(json_object_get(w->g->json, "weights"), w->prefix), *table, *row;
    const gd_array *stored = golden_find(w->g, "%s.%s", w->prefix, name);
    const int64_t n = type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3];
    size_t i;

    if (stored && gd_array_count(stored) == n)
        return gd_bundle_read_f32(w->g->tensors, stored, dst);
    table = json_object_get(spec, "table");
    json_array_foreach(table, i, row)
    {
        if (strcmp(json_string_value(json_array_get(row, 0)), name) != 0)
            continue;
        fill(dst, n, (long)json_integer_value(json_object_get(spec, "seed")), name,
             (int)json_integer_value(json_array_get(row, 2)),
             (float)json_number_value(json_array_get(row, 3)));
        return GD_OK;
    }
    return gd_fail(GD_EFORMAT, "the case has no parameter %s", name);
}

gd_weights golden_source(golden_weights *w)
{
    return (gd_weights){ fetch, w };
}
