/* SPDX-License-Identifier: MIT */
/* weights.c - the reference set's weights: a counter-based generator, so that big networks need not
 * be stored.  Source: the set's README. */
#include "golden.h"

#include <math.h>
#include <string.h>

static uint64_t fnv1a64(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

void golden_fill(float *w, int64_t first, int64_t n, long seed, const char *name, int e,
                 float offset)
{
    char key[GD_MAX_NAME + 32];
    const float scale = ldexpf(1.0f, e - 23);

    snprintf(key, sizeof key, "%ld:%s", seed, name);
    const uint64_t h = fnv1a64(key);
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = h + (uint64_t)(first + i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        w[i] = (float)((int32_t)(z >> 40) - (1 << 23)) * scale + offset;
    }
}

/* ---- one row of a table: [name, shape, e, offset] ---- */

static const char *row_name(json_t *row)
{
    return json_string_value(json_array_get(row, 0));
}

static int64_t row_count(json_t *row)
{
    json_t *shape = json_array_get(row, 1), *d;
    int64_t n = 1;
    size_t i;

    json_array_foreach(shape, i, d) n *= json_integer_value(d);
    return n;
}

static void row_fill(json_t *spec, json_t *row, float *out)
{
    golden_fill(out, 0, row_count(row), (long)json_integer_value(json_object_get(spec, "seed")),
                row_name(row), (int)json_integer_value(json_array_get(row, 2)),
                (float)json_number_value(json_array_get(row, 3)));
}

/* ---- the generator against what the case says of its weights ---- */

/* Sum, sum of |a|, sum of a^2, projection on r of all parameters one after another */
static void add_up(double sum[4], const float *w, const float *r, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        sum[0] += w[i];
        sum[1] += fabs((double)w[i]);
        sum[2] += (double)w[i] * w[i];
        sum[3] += (double)w[i] * r[i];
    }
}

static void compare_stored(golden *g, const char *prefix, json_t *row, const float *w)
{
    int64_t n;
    float *stored = golden_f32(g, &n, "%s.%s", prefix, row_name(row));

    if (!stored || n != row_count(row))
        golden_fail(g, "%s.%s is said to be stored and is not", prefix, row_name(row));
    else if (memcmp(stored, w, (size_t)n * sizeof *w) != 0)
        golden_fail(g, "%s.%s: the generator gives other weights", prefix, row_name(row));
}

static void check_prefix(golden *g, const char *prefix, json_t *spec)
{
    json_t *checksum = json_object_get(spec, "checksum"), *row;
    const bool stored = golden_get_bool(g, spec, "stored", false);
    double sum[4] = { 0 };
    char key[GD_MAX_NAME];
    int64_t first = 0, n;
    size_t i;

    snprintf(key, sizeof key, "proj:%s", prefix);
    json_array_foreach(json_object_get(spec, "table"), i, row)
    {
        void *block;
        n = row_count(row);
        if (gd_block_make(&block, (size_t)n * 2 * sizeof(float) + 1, "weights") != GD_OK) {
            golden_fail(g, "%s", gd_error());
            return;
        }
        float *w = block, *r = w + n;
        row_fill(spec, row, w);
        golden_fill(r, first, n, 0, key, 0, 0);
        add_up(sum, w, r, n);
        if (stored)
            compare_stored(g, prefix, row, w);
        gd_block_free(block);
        first += n;
    }
    for (i = 0; i < 4 && checksum; i++) {
        const double said = json_number_value(json_array_get(checksum, i));
        if (!(fabs(sum[i] - said) <= 1e-10 * (i == 2 ? sum[2] : sum[1]))) /* order of summation */
            golden_fail(g, "weights of %s: checksum %zu is %.17g, not %.17g", prefix, i, sum[i],
                        said);
    }
}

void golden_check_weights(golden *g)
{
    const char *prefix;
    json_t *spec;

    json_object_foreach(json_object_get(g->json, "weights"), prefix, spec)
        check_prefix(g, prefix, spec);
}

/* ---- for networks ---- */

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const golden_weights *w = ctx;
    json_t *spec = json_object_get(json_object_get(w->g->json, "weights"), w->prefix), *row;
    const int64_t n = type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3];
    size_t i;

    json_array_foreach(json_object_get(spec, "table"), i, row)
    {
        const size_t skip = w->scope ? strlen(w->scope) : 0;
        if (strncmp(row_name(row), w->scope ? w->scope : "", skip) != 0 ||
            strcmp(row_name(row) + skip, name) != 0)
            continue;
        if (row_count(row) != n)
            return gd_fail(GD_EMISMATCH, "%s has %lld elements, the network wants %lld", name,
                           (long long)row_count(row), (long long)n);
        row_fill(spec, row, dst);
        return GD_OK;
    }
    return gd_fail(GD_EMISMATCH, "the case has no parameter %s", name);
}

gd_weights golden_source(golden_weights *w)
{
    return (gd_weights){ fetch, w };
}
