/* SPDX-License-Identifier: MIT */
/* folder.c - one picture, or a tree of image files, in the authors' order: each folder's entries by
 * name, folders among the files (docs/reference/training.md#images). */
#include "data/data_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 1 << 28, MAX_DEPTH = 64 };

typedef struct tree {
    const char **file; /* block: paths below the root */
    int64_t n, capacity;
    const char *json, *lmdb; /* paths of dataset.json and data.mdb in the root; NULL: none */
    data_passed passed;
} tree;

static gd_status add_file(gd_dataset *set, tree *t, const char *path)
{
    if (t->n == t->capacity) {
        const int64_t capacity = t->capacity ? 2 * t->capacity : 1024;
        void *wider = realloc(t->file, (size_t)capacity * sizeof *t->file);
        if (!wider || capacity > MAX_FILES)
            return gd_fail(GD_ENOMEM, "%s: too many files", set->path);
        t->file = wider;
        t->capacity = capacity;
    }
    t->file[t->n] = gd_strdup(set->mem, path);
    return t->file[t->n++] ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
}

static int not_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static int not_hidden(const struct dirent *e)
{
    return !data_is_hidden(e->d_name, strlen(e->d_name));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static gd_status list(gd_dataset *set, tree *t, const char *below, int depth);

/* A file that is no picture by name */
static gd_status take_other(gd_dataset *set, tree *t, const char *path, const char *full)
{
    const char **role = strcmp(path, DATA_JSON) == 0   ? &t->json
                        : strcmp(path, DATA_LMDB) == 0 ? &t->lmdb
                                                       : NULL;

    if (!role) {
        data_pass_over(&t->passed, path);
        return GD_OK;
    }
    *role = gd_strdup(set->mem, full);
    return *role ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
}

static gd_status add_entry(gd_dataset *set, tree *t, const char *below, const char *name, int depth)
{
    char path[4096], full[8192];
    struct stat info;

    if (snprintf(path, sizeof path, "%s%s%s", below, *below ? "/" : "", name) >= (int)sizeof path)
        return gd_fail(GD_EFORMAT, "%s: a path of more than %zu bytes", set->path, sizeof path);
    if (gd_image_named(name))
        return add_file(set, t, path);
    snprintf(full, sizeof full, "%.4000s/%s", set->path, path);
    if (stat(full, &info) != 0)
        return GD_OK;
    if (!S_ISDIR(info.st_mode))
        return take_other(set, t, path, full);
    if (depth == MAX_DEPTH)
        return gd_fail(GD_EFORMAT, "%s: folders deeper than %d: a circle of links?", path,
                       MAX_DEPTH);
    return list(set, t, path, depth + 1);
}

static gd_status list(gd_dataset *set, tree *t, const char *below, int depth)
{
    char full[8192];
    struct dirent **entry;
    gd_status s = GD_OK;
    int n;

    snprintf(full, sizeof full, "%.4000s%s%.4000s", set->path, *below ? "/" : "", below);
    n = scandir(full, &entry, set->options.hidden ? not_dots : not_hidden, by_bytes);
    if (n < 0)
        return gd_fail_errno(errno, full);
    for (int i = 0; i < n; i++) {
        if (s == GD_OK)
            s = add_entry(set, t, below, entry[i]->d_name, depth);
        free(entry[i]);
    }
    free(entry);
    return s;
}

/* ---- labels ---- */

static gd_status label(gd_dataset *set, const tree *t)
{
    gd_mapped json;
    gd_status s;

    if (!t->json)
        return data_label_listed(set, t->file, NULL, 0);
    GD_TRY(gd_map_file(&json, t->json));
    s = data_label_listed(set, t->file, (const char *)json.data, json.bytes);
    gd_unmap(&json);
    return s;
}

/* ---- reading ---- */

static void path_of(const gd_dataset *set, int64_t i, char *out, size_t size)
{
    const tree *t = set->state;
    snprintf(out, size, "%s/%s", set->path, t->file[i]);
}

static gd_status read_file(const gd_dataset *set, int64_t i, gd_image *out)
{
    char path[8192];

    path_of(set, i, path, sizeof path);
    return gd_image_open(out, path, set->options.channels);
}

static void close_folder(gd_dataset *set)
{
    tree *t = set->state;
    free(t->file);
}

static void fingerprint(const gd_dataset *set, gd_hasher *hasher)
{
    const tree *t = set->state;
    char path[8192];
    int64_t facts[3];

    for (int64_t i = 0; i < t->n; i++) {
        path_of(set, i, path, sizeof path);
        gd_hasher_add(hasher, t->file[i], strlen(t->file[i]) + 1);
        if (gd_file_facts(facts, path)) /* if not, reading it will tell */
            gd_hasher_add(hasher, facts, sizeof facts);
    }
}

/* The set's path is one picture's: its folder becomes the path. */
gd_status data_open_picture(gd_dataset *set)
{
    static const data_kind kind = { read_file, path_of, close_folder, fingerprint };
    const char *slash = strrchr(set->path, '/'), *name = slash ? slash + 1 : set->path;
    tree *t = gd_alloc(set->mem, sizeof *t);

    if (!t)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = t;
    GD_TRY(add_file(set, t, name));
    set->path = name == set->path
                    ? "."
                    : gd_sprintf(set->mem, "%.*s", (int)(name - set->path - 1), set->path);
    set->count = t->n;
    return set->path ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", name);
}

/* A folder of LSUN holds data.mdb and lock.mdb. */
static gd_status open_lmdb(gd_dataset *set, const tree *t)
{
    if (t->n > 0) {
        gd_status s =
            gd_fail(GD_EFORMAT, "%s: holds pictures (%s) and an LMDB (%s): which is the set?",
                    set->path, t->file[0], DATA_LMDB);
        gd_detail("hint: name %s itself, or move it away", t->lmdb);
        return s;
    }
    set->path = t->lmdb;
    return data_open_lmdb(set);
}

gd_status data_open_folder(gd_dataset *set)
{
    static const data_kind kind = { read_file, path_of, close_folder, fingerprint };
    tree *t = gd_alloc(set->mem, sizeof *t);

    if (!t)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = t;
    GD_TRY(list(set, t, "", 0));
    if (t->lmdb)
        return open_lmdb(set, t);
    set->count = t->n;
    data_report_passed(&t->passed, set->path);
    return label(set, t);
}

bool gd_folder_has_pictures(const char *path)
{
    gd_dataset set = { .path = path };
    tree t = { 0 };
    bool has;

    if (gd_arena_make(&set.mem) != GD_OK)
        return false;
    has = list(&set, &t, "", 0) == GD_OK && t.n > 0;
    free(t.file);
    gd_arena_free(set.mem);
    return has;
}
