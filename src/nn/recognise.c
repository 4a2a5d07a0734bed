/* SPDX-License-Identifier: MIT */
/* recognise.c - what network a file holds: its own guided.config, or what follows from keys and
 * shapes; then flags; then a strict check of every key. */
#include "nn/family.h"

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
    *keys = (nn_keys){ .path = gd_bundle_path(bundle), .n = gd_bundle_count(bundle) };
    keys->sorted = gd_alloc(arena, (size_t)GD_MAX(keys->n, 1) * sizeof *keys->sorted);
    if (!keys->sorted)
        return GD_ENOMEM;
    for (int i = 0; i < keys->n; i++)
        keys->sorted[i] = gd_bundle_array(bundle, i);
    qsort(keys->sorted, (size_t)keys->n, sizeof *keys->sorted, by_name);
    return GD_OK;
}

const char *nn_key_name(const nn_keys *keys, int i)
{
    return keys->sorted[i]->name;
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

/* Parameters and, where the file has any of them, the constants of the family's files */
typedef struct expected {
    const gd_param_spec **spec, **sorted;
    int n, n_param;
} expected;

static int spec_by_name(const void *a, const void *b)
{
    return strcmp((*(const gd_param_spec *const *)a)->name,
                  (*(const gd_param_spec *const *)b)->name);
}

static gd_status expect(expected *e, const nn_keys *keys, const gd_model_config *config,
                        gd_arena *arena)
{
    gd_param_spec *param, *constant;
    bool found = false;
    int n;

    GD_TRY(gd_config_params(config, arena, &param, &e->n_param));
    GD_TRY(nn_config_constants(config, arena, &constant, &n));
    for (int i = 0; i < n; i++)
        found = found || nn_key_find(keys, constant[i].name);
    e->n = e->n_param + (found ? n : 0);
    e->spec = gd_alloc(arena, (size_t)e->n * sizeof *e->spec);
    e->sorted = gd_alloc(arena, (size_t)e->n * sizeof *e->sorted);
    if (!e->spec || !e->sorted)
        return GD_ENOMEM;
    for (int i = 0; i < e->n; i++)
        e->spec[i] = i < e->n_param ? &param[i] : &constant[i - e->n_param];
    memcpy(e->sorted, e->spec, (size_t)e->n * sizeof *e->spec);
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

/* Number of keys that differ; with `list`, a row of the table for each */
static int differences(const nn_keys *keys, const expected *e, bool list)
{
    char wanted[96], shape[96], found[128];
    int rows = 0;

    for (int i = 0; i < e->n; i++) {
        const gd_param_spec *spec = e->spec[i];
        const gd_array *a = nn_key_find(keys, spec->name);

        if (fits(a, spec))
            continue;
        if (a)
            snprintf(found, sizeof found, "found %s", shape_text(shape, a->dim, a->rank));
        if (list)
            report(rows, spec->name, shape_text(wanted, spec->dim, spec->rank),
                   a ? found : "missing");
        rows++;
    }
    for (int i = 0; i < keys->n; i++) {
        const gd_array *a = keys->sorted[i];

        if (is_expected(e, nn_key_name(keys, i)))
            continue;
        snprintf(found, sizeof found, "found %s", shape_text(shape, a->dim, a->rank));
        if (list)
            report(rows, nn_key_name(keys, i), "no such key", found);
        rows++;
    }
    return rows;
}

static gd_status check_constants(const nn_keys *keys, const expected *e,
                                 const gd_model_config *config, const gd_bundle *bundle)
{
    for (int i = e->n_param; i < e->n; i++)
        GD_TRY(nn_family_of(&config->net)
                   ->check_constant(config, bundle, nn_key_find(keys, e->spec[i]->name)));
    return GD_OK;
}

static gd_status infer(gd_model_config *out, gd_arena *arena, char **assumed, const nn_keys *keys,
                       const gd_bundle *bundle, const gd_flag *flags, int n_flags)
{
    nn_evidence e = {
        .keys = keys, .bundle = bundle, .flags = flags, .n_flags = n_flags, .arena = arena
    };
    const nn_family *family;

    GD_TRY(nn_family_find(&family, &e));
    GD_TRY(family->infer(out, &e));
    *assumed = e.assumed;
    return GD_OK;
}

/* Everything of the file but its weights, by these flags */
typedef struct reading {
    const nn_keys *keys;
    const char *json; /* guided.config, or NULL */
    gd_arena *arena;
    const gd_bundle *bundle;
    const gd_flag *flags;
    int n_flags;
} reading;

static gd_status configure(const reading *r, gd_model_config *out, char **assumed)
{
    if (r->json)
        GD_TRY(gd_config_from_json(out, r->json, r->keys->path));
    else
        GD_TRY(infer(out, r->arena, assumed, r->keys, r->bundle, r->flags, r->n_flags));
    return nn_flags_set(out, r->flags, r->n_flags, true);
}

static bool reads(const reading *r, const gd_flag *flags, int n)
{
    reading other = *r;
    gd_model_config c;
    expected e;
    char *assumed = NULL;

    other.flags = flags;
    other.n_flags = n;
    return configure(&other, &c, &assumed) == GD_OK && nn_config_check(&c) == GD_OK &&
           expect(&e, r->keys, &c, r->arena) == GD_OK && differences(r->keys, &e, false) == 0;
}

/* "--num_channels 64": the flags without which the file is read, one if that does; NULL: none */
static const char *flags_to_drop(const reading *r)
{
    gd_flag *rest = gd_alloc(r->arena, (size_t)(r->n_flags + 1) * sizeof *rest);
    const char *all = "";

    for (int i = 0; rest && i < r->n_flags; i++) {
        int n = 0;
        for (int k = 0; k < r->n_flags; k++)
            if (k != i)
                rest[n++] = r->flags[k];
        if (reads(r, rest, n))
            return gd_sprintf(r->arena, "--%.60s %.60s", r->flags[i].name, r->flags[i].value);
        all = gd_sprintf(r->arena, "%s%s--%.60s", all ? all : "", i ? ", " : "", r->flags[i].name);
    }
    return r->n_flags > 1 && reads(r, rest, 0) ? all : NULL;
}

static gd_status check_keys(const reading *r, const gd_model_config *config)
{
    const nn_keys *keys = r->keys;
    const char *drop;
    expected e;

    GD_TRY(expect(&e, keys, config, r->arena));
    const int rows = differences(keys, &e, false);
    if (rows == 0)
        return check_constants(keys, &e, config, r->bundle);
    drop = flags_to_drop(r);
    gd_status s = gd_fail(GD_EFORMAT, "%s: %d keys expected, %d found, %d differ", keys->path, e.n,
                          keys->n, rows);
    differences(keys, &e, true);
    if (rows > MAX_ROWS)
        gd_detail("  ... and %d more", rows - MAX_ROWS);
    if (drop)
        gd_detail("hint: the file holds another network than %s says: it is read without", drop);
    else
        gd_detail("hint: the file was read as %s; the authors' flags (--num_res_blocks N ...) "
                  "override what was read",
                  config->preset[0] ? config->preset : nn_kind_names[config->net.kind]);
    return s;
}

/* Weights as a plan wants them (packed.c): only the configuration describes them. */
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
                              gd_bundle *bundle, const gd_flag *flags, int n_flags)
{
    const char *json = gd_bundle_meta(bundle, "guided.config");
    const char *packed_for = gd_bundle_meta(bundle, NN_PACKED_FOR);
    nn_keys keys;

    *assumed = NULL;
    if (!packed_for) /* whose array has its own name */
        GD_TRY(nn_strip_prefixes(bundle));
    GD_TRY(sort_keys(&keys, bundle, arena));
    if (packed_for && !json)
        return gd_fail(GD_EFORMAT, "%s: guided.packed without guided.config", keys.path);
    const reading r = { &keys, json, arena, bundle, flags, n_flags };
    gd_status s = configure(&r, out, assumed);
    if (s == GD_EFORMAT && !json)
        nn_name_foreign(&keys);
    GD_TRY(s);
    nn_report_unused(flags, n_flags, out->net.kind, keys.path);
    if (nn_config_check(out) != GD_OK) {
        gd_context("%s", keys.path);
        return GD_EFORMAT;
    }
    s = packed_for ? check_packed(&keys, packed_for) : check_keys(&r, out);
    if (s != GD_EUSAGE)
        return s;
    gd_context("%s", keys.path); /* layers that do not fit together */
    return GD_EFORMAT;
}
