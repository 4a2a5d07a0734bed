/* recognise.c - what network a file holds: its own guided.config, or what keys and shapes say; then
 * flags; then a strict check of every key. */
#include "nn/config_private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 20 };

/* ---- keys ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const gd_array *const *)a)->name, (*(const gd_array *const *)b)->name);
}

static gd_status sort_keys(nn_keys *keys, const gd_bundle *bundle, gd_arena *arena)
{
    static const char prefix[] = "module.";
    const size_t n_prefix = sizeof prefix - 1;

    *keys = (nn_keys){ .path = gd_bundle_path(bundle),
                       .n = gd_bundle_count(bundle),
                       .prefix_bytes = n_prefix };
    keys->sorted = gd_alloc(arena, (size_t)GD_MAX(keys->n, 1) * sizeof *keys->sorted);
    if (!keys->sorted)
        return GD_ENOMEM;
    for (int i = 0; i < keys->n; i++) {
        keys->sorted[i] = gd_bundle_array(bundle, i);
        if (strncmp(keys->sorted[i]->name, prefix, n_prefix) != 0)
            keys->prefix_bytes = 0;
    }
    qsort(keys->sorted, (size_t)keys->n, sizeof *keys->sorted, by_name);
    return GD_OK;
}

const char *nn_key_name(const nn_keys *keys, int i)
{
    return keys->sorted[i]->name + keys->prefix_bytes;
}

const gd_array *nn_key_find(const nn_keys *keys, const char *name)
{
    int low = 0, high = keys->n - 1;

    while (low <= high) {
        const int middle = (low + high) / 2, order = strcmp(nn_key_name(keys, middle), name);

        if (order == 0)
            return keys->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return NULL;
}

/* ---- the strict check ---- */

typedef struct expected {
    const gd_param_spec *spec;
    const gd_param_spec **sorted;
    int n;
} expected;

static int spec_by_name(const void *a, const void *b)
{
    return strcmp((*(const gd_param_spec *const *)a)->name,
                  (*(const gd_param_spec *const *)b)->name);
}

static gd_status expect(expected *e, const gd_model_config *config, gd_arena *arena)
{
    gd_param_spec *spec;

    GD_TRY(gd_config_params(config, arena, &spec, &e->n));
    e->spec = spec;
    e->sorted = gd_alloc(arena, (size_t)e->n * sizeof *e->sorted);
    if (!e->sorted)
        return GD_ENOMEM;
    for (int i = 0; i < e->n; i++)
        e->sorted[i] = &spec[i];
    qsort(e->sorted, (size_t)e->n, sizeof *e->sorted, spec_by_name);
    return GD_OK;
}

static bool is_expected(const expected *e, const char *name)
{
    int low = 0, high = e->n - 1;

    while (low <= high) {
        const int middle = (low + high) / 2, order = strcmp(e->sorted[middle]->name, name);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return false;
}

static bool fits(const gd_array *a, const gd_param_spec *spec)
{
    return a && a->rank == spec->rank &&
           memcmp(a->dim, spec->dim, (size_t)spec->rank * sizeof *spec->dim) == 0;
}

static const char *shape_text(char out[96], const int64_t *dim, int rank)
{
    int used = snprintf(out, 96, "[");

    for (int d = 0; d < rank && used < 72; d++) /* a number has up to 20 letters */
        used += snprintf(out + used, 96 - (size_t)used, "%s%lld", d ? ", " : "", (long long)dim[d]);
    snprintf(out + used, 96 - (size_t)used, "]");
    return out;
}

static void report(int row, const char *name, const char *wanted, const char *found)
{
    if (row < MAX_ROWS)
        gd_detail("  %-44.60s expected %-20s %s", name, wanted, found);
}

/* Number of keys that differ; with `say`, a row of the table for each */
static int differences(const nn_keys *keys, const expected *e, bool say)
{
    char wanted[96], shape[96], found[128];
    int rows = 0;

    for (int i = 0; i < e->n; i++) {
        const gd_param_spec *spec = &e->spec[i];
        const gd_array *a = nn_key_find(keys, spec->name);

        if (fits(a, spec))
            continue;
        if (a)
            snprintf(found, sizeof found, "found %s", shape_text(shape, a->dim, a->rank));
        if (say)
            report(rows, spec->name, shape_text(wanted, spec->dim, spec->rank),
                   a ? found : "missing");
        rows++;
    }
    for (int i = 0; i < keys->n; i++) {
        const gd_array *a = keys->sorted[i];

        if (is_expected(e, nn_key_name(keys, i)))
            continue;
        snprintf(found, sizeof found, "found %s", shape_text(shape, a->dim, a->rank));
        if (say)
            report(rows, nn_key_name(keys, i), "no such key", found);
        rows++;
    }
    return rows;
}

static gd_status check_keys(const nn_keys *keys, const gd_model_config *config, gd_arena *arena)
{
    expected e;

    GD_TRY(expect(&e, config, arena));
    const int rows = differences(keys, &e, false);
    if (rows == 0)
        return GD_OK;
    gd_status s = gd_fail(GD_EFORMAT, "%s: %d keys expected, %d found, %d differ", keys->path, e.n,
                          keys->n, rows);
    differences(keys, &e, true);
    if (rows > MAX_ROWS)
        gd_detail("  ... and %d more", rows - MAX_ROWS);
    gd_detail("hint: the file was read as %s; the authors' flags (--num_res_blocks N ...) override "
              "what was read",
              config->preset[0] ? config->preset : nn_kind_names[config->net.kind]);
    return s;
}

/* Weights as a plan wants them (packed.c): the configuration is all that says what they are. */
static gd_status check_packed(const nn_keys *keys, const char *packed_for)
{
    if (keys->n == 1 && nn_key_find(keys, NN_PACKED) && keys->sorted[0]->dtype == GD_U8 &&
        keys->sorted[0]->rank == 1 && gd_is_text(packed_for, strlen(packed_for)))
        return GD_OK;
    return gd_fail(
        GD_EFORMAT,
        "%s: expected one array of bytes, \"%s\", as weights that are packed, and a text "
        "that says for what",
        keys->path, NN_PACKED);
}

/* ---- all together ---- */

gd_status gd_config_recognise(gd_model_config *out, gd_arena *arena, char **assumed,
                              const gd_bundle *bundle, const gd_flag *flags, int n_flags)
{
    const char *json = gd_bundle_meta(bundle, "guided.config");
    const char *packed_for = gd_bundle_meta(bundle, NN_PACKED_FOR);
    nn_keys keys;

    *assumed = NULL;
    GD_TRY(sort_keys(&keys, bundle, arena));
    if (packed_for && !json)
        return gd_fail(GD_EFORMAT, "%s: guided.packed without guided.config", keys.path);
    if (json)
        GD_TRY(gd_config_from_json(out, json, keys.path));
    else
        GD_TRY(nn_infer(out, arena, assumed, &keys, flags, n_flags));
    GD_TRY(nn_flags_set(out, flags, n_flags, true));
    nn_report_unused(flags, n_flags, out->net.kind, keys.path);
    if (nn_config_check(out) != GD_OK) {
        gd_context("%s", keys.path);
        return GD_EFORMAT;
    }
    return packed_for ? check_packed(&keys, packed_for) : check_keys(&keys, out, arena);
}
