/* case.c - a case's folder: its JSON, its tensors, its memory. */
#include "golden.h"

#include <stdlib.h>

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
    else
        g->seen = golden_alloc(g, (size_t)gd_bundle_count(g->tensors));
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

const gd_array *golden_find(golden *g, const char *format, ...)
{
    const char *name;
    va_list ap;

    va_start(ap, format);
    name = vname(g, format, ap);
    va_end(ap);
    return g->tensors ? gd_bundle_find(g->tensors, name) : NULL;
}

/* The tensor's elements of `element` bytes, as its own type or as float; NULL if absent or of
 * another type */
static void *read_tensor(golden *g, int64_t *count, const char *name, gd_dtype dtype)
{
    const gd_array *a = g->tensors ? gd_bundle_find(g->tensors, name) : NULL;
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
