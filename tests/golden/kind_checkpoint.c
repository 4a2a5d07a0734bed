/* SPDX-License-Identifier: MIT */
/* kind_checkpoint.c - torch.save files, good and bad. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- good: the tree of a file against config.structure ---- */

static void compare_tensor(golden *g, const gd_bundle *b, const gd_pickle_node *n, const char *name)
{
    const gd_array *stored = golden_find(g, "%s", name);
    int64_t count = gd_array_count(n->tensor);
    float *found = golden_alloc(g, (size_t)count * sizeof *found),
          *expected = golden_f32(g, NULL, "%s", name);

    if (!stored || stored->rank != n->tensor->rank ||
        memcmp(stored->dim, n->tensor->dim, (size_t)stored->rank * 8) != 0) {
        golden_fail(g, "%s: another shape", name);
        return;
    }
    golden_saw(g, name);
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

/* ---- written again by us, it reads as the same ---- */

static gd_status copy_tensor(golden *g, gd_torch_writer *w, const gd_bundle *b, const gd_array *a)
{
    const size_t bytes = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
    void *data = golden_alloc(g, bytes + 1);

    GD_TRY(gd_bundle_read(b, a, data));
    return gd_torch_add(w, data, bytes);
}

static gd_status copy_tensors(golden *g, gd_torch_writer *w, const gd_bundle *b,
                              const gd_pickle_node *n)
{
    const int items = n->kind == GD_PICKLE_DICT ? 2 * n->count : n->count;

    if (n->kind == GD_PICKLE_TENSOR)
        return copy_tensor(g, w, b, n->tensor);
    for (int i = 0; i < items; i++)
        GD_TRY(copy_tensors(g, w, b, n->item[i]));
    return GD_OK;
}

static gd_status write_again(golden *g, const char *path, const gd_bundle *b,
                             const gd_pickle_node *root)
{
    gd_torch_writer *w;
    gd_status s;

    GD_TRY(gd_torch_begin(&w, path, true, root));
    s = copy_tensors(g, w, b, root);
    if (s == GD_OK)
        return gd_torch_commit(w);
    gd_torch_abort(w);
    return s;
}

static void check_writing(golden *g, const gd_bundle *b, const gd_pickle_node *root)
{
    char path[64];
    const gd_pickle_node *again;
    gd_bundle *copy;

    snprintf(path, sizeof path, "/tmp/golden-%ld.pt", (long)getpid());
    if (write_again(g, path, b, root) != GD_OK || gd_pickle_open(&copy, &again, path) != GD_OK) {
        golden_fail(g, "written again: %s", gd_error());
    } else {
        compare_tree(g, copy, again, golden_whole(g, g->config, "structure"));
        gd_bundle_close(copy);
    }
    unlink(path);
}

void golden_checkpoint(golden *g)
{
    json_t *files = golden_at(g, g->config, "files"), *file;
    const char *expect = golden_text(g, g->config, "expect", "load");
    const gd_pickle_node *root;
    char path[4400];
    gd_bundle *b;
    size_t i;

    golden_reads_all(g);
    json_array_foreach(files, i, file)
    {
        snprintf(path, sizeof path, "%s/%s", g->folder, json_string_value(file));
        if (gd_pickle_open(&b, &root, path) != GD_OK) {
            if (strcmp(expect, "load or refuse") != 0)
                golden_fail(g, "%s", gd_error());
            continue;
        }
        compare_tree(g, b, root, golden_whole(g, g->config, "structure"));
        check_writing(g, b, root);
        gd_bundle_close(b);
    }
}

/* ---- bad ---- */

/* Refusing a file may take a second of processor time and 64 MiB above the file's size, or less if
 * the case has stricter limits */
enum { MAX_SECONDS = 1, MAX_KIB = 64 * 1024 };

enum outcome { REFUSED, OPENED, TOO_LONG, TOO_BIG, CONTROL_DIFFERS };

static double seconds_of(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           1e-6 * (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

static gd_status open_bundle(const char *path)
{
    gd_bundle *b;

    GD_TRY(gd_bundle_open(&b, path));
    gd_bundle_close(b);
    return GD_OK;
}

/* GUIDED_PATIENCE: how many times slower than a machine an emulator may be */
static double patience(void)
{
    const char *times = getenv("GUIDED_PATIENCE");
    return times ? strtod(times, NULL) : 1;
}

static enum outcome try_refuse(golden *g, const char *path, gd_status (*open)(const char *path))
{
    const double wall = golden_number(g, g->config, "max_seconds_each", INFINITY),
                 resident = golden_number(g, g->config, "max_rss_mb", INFINITY),
                 start = gd_seconds();
    struct rusage before, after;
    struct stat info = { 0 };

    stat(path, &info);
    getrusage(RUSAGE_SELF, &before);
    const gd_status s = open(path);
    getrusage(RUSAGE_SELF, &after);
    if (seconds_of(&after) - seconds_of(&before) > MAX_SECONDS * patience() ||
        gd_seconds() - start > wall * patience())
        return TOO_LONG;
    if (after.ru_maxrss - before.ru_maxrss > MAX_KIB + info.st_size / 1024 ||
        (double)after.ru_maxrss > resident * 1024)
        return TOO_BIG;
    return s != GD_OK && *gd_error() ? REFUSED : OPENED;
}

static enum outcome try_control(golden *g, const char *path)
{
    const enum outcome seen = try_refuse(g, path, open_bundle);
    gd_bundle *b;
    int64_t n;

    if (seen != OPENED || gd_bundle_open(&b, path) != GD_OK)
        return seen;
    const gd_array *w = gd_bundle_find(b, "w");
    const float *stored = golden_f32(g, &n, "out.control.w");
    float *found = golden_alloc(g, (size_t)n * sizeof *found);
    if (!w || gd_array_count(w) != n || gd_bundle_read_f32(b, w, found) != GD_OK ||
        memcmp(found, stored, (size_t)n * sizeof *found) != 0)
        return CONTROL_DIFFERS;
    gd_bundle_close(b);
    return OPENED;
}

/* In a process of its own: a crash is a result, and the memory's high-water mark is this file's.
 * open NULL: a control, which must open. */
static void in_child(golden *g, const char *path, gd_status (*open)(const char *path))
{
    static const char *const text[] = { "is refused", "is not refused", "takes more than a second",
                                        "takes more than 64 MiB above its size",
                                        "has another content" };
    int status = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(open ? try_refuse(g, path, open) : try_control(g, path));
    if (child < 0 || waitpid(child, &status, 0) != child)
        golden_fail(g, "%s: no process for it", path);
    else if (!WIFEXITED(status) || WEXITSTATUS(status) >= COUNT(text))
        golden_fail(g, "%s: crash, status %d", path, status);
    else if (WEXITSTATUS(status) != (open ? REFUSED : OPENED))
        golden_fail(g, "%s %s", path, text[WEXITSTATUS(status)]);
}

void golden_must_refuse(golden *g, const char *path, gd_status (*open)(const char *path))
{
    in_child(g, path, open);
}

static const char *path_of(golden *g, const char *name)
{
    char *path = golden_alloc(g, 4400);

    snprintf(path, 4400, "%s/%s", g->folder, name);
    return path;
}

void golden_checkpoint_bad(golden *g)
{
    const char *never = golden_text(g, g->config, "must_not_exist", NULL);
    json_t *item;
    size_t i;

    golden_reads_all(g);
    if (!golden_find(g, "out.control.w")) {
        golden_fail(g, "no tensor out.control.w");
        return;
    }
    golden_saw(g, "out.control.w");
    if (strcmp(golden_text(g, g->config, "expect", "refuse"), "refuse") != 0 ||
        strcmp(golden_text(g, g->config, "load_as", "model state dict"), "model state dict") != 0)
        golden_fail(g, "files that are to be refused as model state dicts are all that is known");
    golden_remarks(g, g->config, "max_seconds_each max_rss_mb");
    json_array_foreach(golden_at(g, g->config, "files"), i, item)
    {
        golden_remarks(g, item, "why torch_1_13");
        in_child(g, path_of(g, golden_text(g, item, "file", "")), open_bundle);
    }
    json_array_foreach(golden_at(g, g->config, "controls"), i, item)
        in_child(g, path_of(g, json_string_value(item)), NULL);
    if (never && gd_path_exists(never))
        golden_fail(g, "%s was made: a file ran something", never);
}
