/* kind_checkpoint.c - torch.save files, good and bad. */
#include "golden.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- good: the tree of a file against config.structure ---- */

static void compare_tensor(golden *g, const gd_bundle *b, const gd_pickle_node *n, const char *name)
{
    const gd_array *stored = golden_find(g, "%s", name);
    int64_t count = gd_array_count(n->tensor);
    float *found = golden_alloc(g, (size_t)count * 4 + 4),
          *expected = golden_f32(g, NULL, "%s", name);

    if (!stored || stored->rank != n->tensor->rank ||
        memcmp(stored->dim, n->tensor->dim, (size_t)stored->rank * 8) != 0) {
        golden_fail(g, "%s: another shape", name);
        return;
    }
    if (gd_bundle_read_f32(b, n->tensor, found) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&found[i], &expected[i], 4) != 0 &&
            !(found[i] != found[i] && expected[i] != expected[i]))
            golden_fail(g, "%s: element %lld is %g, not %g", name, (long long)i, found[i],
                        expected[i]);
}

static void compare_tree(golden *g, const gd_bundle *b, const gd_pickle_node *n, json_t *s);

static void compare_items(golden *g, const gd_bundle *b, const gd_pickle_node *n, json_t *items,
                          bool pairs)
{
    size_t i;
    json_t *item;

    if ((size_t)n->count != json_array_size(items)) {
        golden_fail(g, "%d items, expected %zu", n->count, json_array_size(items));
        return;
    }
    json_array_foreach(items, i, item)
    {
        if (!pairs) {
            compare_tree(g, b, n->item[i], item);
            continue;
        }
        compare_tree(g, b, n->item[2 * i], json_array_get(item, 0));
        compare_tree(g, b, n->item[2 * i + 1], json_array_get(item, 1));
    }
}

static void compare_tree(golden *g, const gd_bundle *b, const gd_pickle_node *n, json_t *s)
{
    json_t *dict = json_object_get(s, "dict"), *list = json_object_get(s, "list"),
           *tuple = json_object_get(s, "tuple");
    const char *tensor = json_string_value(json_object_get(s, "tensor"));
    bool same = false;

    if (dict && n->kind == GD_PICKLE_DICT)
        compare_items(g, b, n, dict, true);
    else if ((list && n->kind == GD_PICKLE_LIST) || (tuple && n->kind == GD_PICKLE_TUPLE))
        compare_items(g, b, n, list ? list : tuple, false);
    else if (json_is_array(s) && (n->kind == GD_PICKLE_LIST || n->kind == GD_PICKLE_TUPLE))
        compare_items(g, b, n, s, false);
    else if (tensor && n->kind == GD_PICKLE_TENSOR)
        compare_tensor(g, b, n, tensor);
    else {
        same = (json_is_string(s) && n->kind == GD_PICKLE_STRING &&
                strcmp(json_string_value(s), n->text) == 0) ||
               (json_is_integer(s) && n->kind == GD_PICKLE_INT &&
                json_integer_value(s) == n->integer) ||
               (json_is_real(s) && n->kind == GD_PICKLE_FLOAT && json_real_value(s) == n->real) ||
               (json_is_boolean(s) && n->kind == GD_PICKLE_BOOL &&
                json_is_true(s) == (n->integer != 0)) ||
               (json_is_null(s) && n->kind == GD_PICKLE_NONE);
        if (!same) {
            char *text = json_dumps(s, JSON_ENCODE_ANY | JSON_COMPACT);
            golden_fail(g, "a value of kind %d where %.60s is expected", (int)n->kind,
                        text ? text : "?");
            free(text);
        }
    }
}

void golden_checkpoint(golden *g)
{
    json_t *files = json_object_get(g->config, "files"), *file;
    const char *expect = json_string_value(json_object_get(g->config, "expect"));
    const gd_pickle_node *root;
    char path[4400];
    gd_bundle *b;
    size_t i;

    json_array_foreach(files, i, file)
    {
        snprintf(path, sizeof path, "%s/%s", g->folder, json_string_value(file));
        if (gd_pickle_open(&b, &root, path) != GD_OK) {
            if (!expect || strcmp(expect, "load or refuse") != 0)
                golden_fail(g, "%s", gd_error());
            continue;
        }
        compare_tree(g, b, root, json_object_get(g->config, "structure"));
        gd_bundle_close(b);
    }
}

/* ---- bad ---- */

static bool opens(golden *g, const char *name)
{
    char path[4400];
    gd_bundle *b;

    snprintf(path, sizeof path, "%s/%s", g->folder, name);
    if (gd_bundle_open(&b, path) != GD_OK)
        return false;
    gd_bundle_close(b);
    return true;
}

void golden_checkpoint_bad(golden *g)
{
    json_t *files = json_object_get(g->config, "files"),
           *controls = json_object_get(g->config, "controls"), *item;
    const char *never = json_string_value(json_object_get(g->config, "must_not_exist"));
    struct rusage before, after;
    size_t i;

    getrusage(RUSAGE_SELF, &before);
    json_array_foreach(files, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "file"));
        const double start = gd_seconds();
        if (opens(g, name))
            golden_fail(g, "%s is not refused", name);
        if (gd_seconds() - start > 1)
            golden_fail(g, "%s takes more than a second", name);
    }
    getrusage(RUSAGE_SELF, &after);
    if (after.ru_maxrss - before.ru_maxrss > 64 * 1024)
        golden_fail(g, "refusing took %ld KiB", after.ru_maxrss - before.ru_maxrss);
    if (never && gd_path_exists(never))
        golden_fail(g, "%s was made: a file ran something", never);
    json_array_foreach(controls, i, item) if (!opens(g, json_string_value(item)))
        golden_fail(g, "control %s: %s", json_string_value(item), gd_error());
}
