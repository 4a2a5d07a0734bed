/* SPDX-License-Identifier: MIT */
/* case.c - a case's folder: its JSON, its tensors, its memory. */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH = 16 };

static gd_status read_json(golden *g, const char *path)
{
    gd_mapped map;
    gd_status s;

    GD_TRY(gd_map_file(&map, path));
    s = gd_json_parse(&g->json, (const char *)map.data, map.bytes, JSON_DEPTH, path);
    gd_unmap(&map);
    return s;
}

bool golden_open(golden *g, const char *folder)
{
    char path[4200];

    *g = (golden){ .folder = folder, .kind = "(none)" };
    snprintf(path, sizeof path, "%s/case.json", folder);
    if (gd_arena_make(&g->mem) != GD_OK || read_json(g, path) != GD_OK)
        return false;
    g->kind = json_string_value(json_object_get(g->json, "kind"));
    g->config = json_object_get(g->json, "config");
    g->tolerance = json_object_get(json_object_get(g->json, "tolerance"), "per_tensor");
    if (!g->kind)
        g->kind = "(none)";
    snprintf(path, sizeof path, "%s/tensors.safetensors", folder);
    if (!gd_path_exists(path))
        return true;
    if (gd_bundle_open(&g->tensors, path) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else {
        g->seen = golden_alloc(g, (size_t)gd_bundle_count(g->tensors));
        g->used = golden_alloc(g, (size_t)gd_bundle_count(g->tensors));
    }
    return true;
}

void golden_close(golden *g)
{
    gd_bundle_close(g->tensors);
    json_decref(g->json);
    gd_arena_free(g->mem);
}

void golden_fail(golden *g, const char *format, ...)
{
    va_list ap;

    if (g->failed)
        return;
    g->failed = true;
    va_start(ap, format);
    vsnprintf(g->failure, sizeof g->failure, format, ap);
    va_end(ap);
}

void *golden_alloc(golden *g, size_t bytes)
{
    void *p = gd_alloc(g->mem, bytes + 1);

    if (!p)
        abort();
    return p;
}

static const char *vname(golden *g, const char *format, va_list ap)
{
    char *name = golden_alloc(g, GD_MAX_NAME);

    vsnprintf(name, GD_MAX_NAME, format, ap);
    return name;
}

/* NULL if absent */
static const gd_array *use(golden *g, const char *name)
{
    const int n = g->tensors ? gd_bundle_count(g->tensors) : 0;

    for (int i = 0; i < n; i++) {
        const gd_array *a = gd_bundle_array(g->tensors, i);
        if (strcmp(a->name, name) != 0)
            continue;
        g->used[i] = true;
        return a;
    }
    return NULL;
}

const gd_array *golden_find(golden *g, const char *format, ...)
{
    const char *name;
    va_list ap;

    va_start(ap, format);
    name = vname(g, format, ap);
    va_end(ap);
    return use(g, name);
}

/* The tensor's elements of `element` bytes, as its own type or as float; NULL if absent or of
 * another type */
static void *read_tensor(golden *g, int64_t *count, const char *name, gd_dtype dtype)
{
    const gd_array *a = use(g, name);
    gd_status s;
    void *out;

    if (!a || (dtype != GD_F32 && a->dtype != dtype))
        return NULL;
    if (count)
        *count = gd_array_count(a);
    out = golden_alloc(g, (size_t)gd_array_count(a) * gd_dtype_bytes(dtype));
    s = dtype == GD_F32 ? gd_bundle_read_f32(g->tensors, a, out)
                        : gd_bundle_read(g->tensors, a, out);
    if (s != GD_OK)
        golden_fail(g, "%s", gd_error());
    return out;
}

float *golden_f32(golden *g, int64_t *count, const char *format, ...)
{
    const char *name;
    va_list ap;

    va_start(ap, format);
    name = vname(g, format, ap);
    va_end(ap);
    return read_tensor(g, count, name, GD_F32);
}

int64_t *golden_i64(golden *g, int64_t *count, const char *format, ...)
{
    const char *name;
    va_list ap;

    va_start(ap, format);
    name = vname(g, format, ap);
    va_end(ap);
    return read_tensor(g, count, name, GD_I64);
}

uint8_t *golden_u8(golden *g, int64_t *count, const char *format, ...)
{
    const char *name;
    va_list ap;

    va_start(ap, format);
    name = vname(g, format, ap);
    va_end(ap);
    return read_tensor(g, count, name, GD_U8);
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

/* ---- members, and which were read ---- */

void golden_reads_all(golden *g)
{
    g->reads_all = true;
}

struct golden_read {
    const json_t *object;
    const char *key;
    bool whole;
    golden_read *next;
};

static golden_read *find_read(const golden *g, const json_t *object, const char *key)
{
    golden_read *r = g->reads;

    while (r && (r->object != object || strcmp(r->key, key) != 0))
        r = r->next;
    return r;
}

static json_t *mark(golden *g, json_t *object, const char *key, bool whole)
{
    golden_read *r = find_read(g, object, key);

    if (!r) {
        r = golden_alloc(g, sizeof *r);
        *r = (golden_read){ object, gd_sprintf(g->mem, "%s", key), false, g->reads };
        g->reads = r;
    }
    r->whole |= whole;
    return json_object_get(object, key);
}

json_t *golden_at(golden *g, json_t *object, const char *key)
{
    return mark(g, object, key, false);
}

json_t *golden_whole(golden *g, json_t *object, const char *key)
{
    return mark(g, object, key, true);
}

void golden_remarks(golden *g, json_t *object, const char *keys)
{
    while (*keys) {
        const int n = (int)strcspn(keys, " ");
        golden_whole(g, object, gd_sprintf(g->mem, "%.*s", n, keys));
        keys += n + (keys[n] == ' ');
    }
}

/* The member, NULL where it is absent or null; another type fails the case */
static json_t *typed(golden *g, json_t *object, const char *key, bool right, const char *type)
{
    json_t *v = golden_at(g, object, key);

    if (!v || json_is_null(v))
        return NULL;
    if (!right)
        golden_fail(g, "%s is not %s", key, type);
    return right ? v : NULL;
}

int golden_get_int(golden *g, json_t *object, const char *key, int absent)
{
    json_t *v = typed(g, object, key, json_is_integer(json_object_get(object, key)), "an integer");
    return v ? (int)json_integer_value(v) : absent;
}

double golden_number(golden *g, json_t *object, const char *key, double absent)
{
    json_t *v = typed(g, object, key, json_is_number(json_object_get(object, key)), "a number");
    return v ? json_number_value(v) : absent;
}

bool golden_get_bool(golden *g, json_t *object, const char *key, bool absent)
{
    json_t *v = typed(g, object, key, json_is_boolean(json_object_get(object, key)), "a boolean");
    return v ? json_is_true(v) : absent;
}

const char *golden_text(golden *g, json_t *object, const char *key, const char *absent)
{
    json_t *v = typed(g, object, key, json_is_string(json_object_get(object, key)), "a string");
    return v ? json_string_value(v) : absent;
}

int golden_word(golden *g, json_t *object, const char *key, const char *const *words, int n,
                int absent)
{
    const char *word = golden_text(g, object, key, NULL);

    for (int i = 0; word && i < n; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    if (word || absent < 0)
        golden_fail(g, "%s %s is not known", key, word ? word : "(absent)");
    return GD_MAX(absent, 0);
}

void golden_require(golden *g, json_t *object, const char *key, double only)
{
    json_t *v = golden_at(g, object, key);
    const double found = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);

    if (v && !json_is_null(v) && found != only)
        golden_fail(g, "%s is %g, the runner knows only %g", key, found, only);
}

static void check_read(golden *g, json_t *v, const char *path)
{
    const char *key;
    json_t *item;
    size_t i;

    json_array_foreach(v, i, item) check_read(g, item, path);
    json_object_foreach(v, key, item)
    {
        const golden_read *r = find_read(g, v, key);
        const char *name = gd_sprintf(g->mem, "%s.%s", path, key);
        if (!r)
            golden_fail(g, "%s is not read by kind %s", name, g->kind);
        else if (!r->whole)
            check_read(g, item, name);
    }
}

/* Members of the case itself that describe it, or are looked up by name wherever they apply */
static const char descriptions[] =
    "format name section kind description reference note what weights weights_note stat_order "
    "stat_rel_tolerance tolerance tolerance_note float64_tolerance tensors ill_conditioned "
    "ill_conditioned_note allow_nonfinite npz_filename guidance_effect_per_step";

void golden_check_all_read(golden *g)
{
    const int n = g->tensors ? gd_bundle_count(g->tensors) : 0;

    if (!g->reads_all)
        return;
    golden_remarks(g, g->json, descriptions);
    golden_at(g, g->json, "config");
    check_read(g, g->json, "case");
    for (int i = 0; i < n; i++) {
        const char *name = gd_bundle_array(g->tensors, i)->name;
        if (strncmp(name, "in.", 3) == 0 && !g->used[i])
            golden_fail(g, "%s is not read by kind %s", name, g->kind);
    }
}
