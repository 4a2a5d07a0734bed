/* folder.c - one picture, or a tree of image files, in the authors' order: each folder's entries by
 * name, folders among the files (spec training.md 1). */
#include "data/data_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_FILES = 1 << 28, MOST_DEPTH = 64 };

typedef struct tree {
    const char **file; /* block: paths below the root */
    int64_t n, capacity;
} tree;

static gd_status add_file(gd_dataset *set, tree *t, const char *path)
{
    if (t->n == t->capacity) {
        const int64_t capacity = t->capacity ? 2 * t->capacity : 1024;
        void *wider = realloc(t->file, (size_t)capacity * sizeof *t->file);
        if (!wider || capacity > MOST_FILES)
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

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static gd_status list(gd_dataset *set, tree *t, const char *below, int depth);

static gd_status add_entry(gd_dataset *set, tree *t, const char *below, const char *name, int depth)
{
    char path[4096], full[8192];
    struct stat info;

    if (snprintf(path, sizeof path, "%s%s%s", below, *below ? "/" : "", name) >= (int)sizeof path)
        return gd_fail(GD_EFORMAT, "%s: a path of more than %zu bytes", set->path, sizeof path);
    if (data_is_image_name(name))
        return add_file(set, t, path);
    snprintf(full, sizeof full, "%.4000s/%s", set->path, path);
    if (stat(full, &info) != 0 || !S_ISDIR(info.st_mode))
        return GD_OK;
    if (depth == MOST_DEPTH)
        return gd_fail(GD_EFORMAT, "%s: folders deeper than %d: a circle of links?", path,
                       MOST_DEPTH);
    return list(set, t, path, depth + 1);
}

static gd_status list(gd_dataset *set, tree *t, const char *below, int depth)
{
    char full[8192];
    struct dirent **entry;
    gd_status s = GD_OK;
    int n;

    snprintf(full, sizeof full, "%.4000s%s%.4000s", set->path, *below ? "/" : "", below);
    n = scandir(full, &entry, not_dots, by_bytes);
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

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The folder below the root; NULL for a file that lies in the root */
static const char *folder_class(gd_arena *mem, const char *path)
{
    const char *slash = strchr(path, '/');
    return slash ? gd_sprintf(mem, "%.*s", (int)(slash - path), path) : NULL;
}

static bool all_in_folders(const tree *t)
{
    for (int64_t i = 0; i < t->n; i++)
        if (!strchr(t->file[i], '/'))
            return false;
    return t->n > 0;
}

static gd_status label(gd_dataset *set, const tree *t)
{
    gd_labels how = set->options.labels;
    const char **names;

    if (how == GD_LABELS_AUTO)
        how = all_in_folders(t) ? GD_LABELS_FOLDER : GD_LABELS_NAME;
    if (how == GD_LABELS_NONE || t->n == 0)
        return GD_OK;
    names = gd_alloc(set->mem, (size_t)t->n * sizeof *names);
    if (!names)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int64_t i = 0; i < t->n; i++) {
        names[i] = how == GD_LABELS_FOLDER ? folder_class(set->mem, t->file[i])
                                           : data_authors_class(set->mem, base_name(t->file[i]));
        if (!names[i])
            return gd_fail(GD_EFORMAT,
                           "%s/%s lies in no class folder\nhint: --labels name, or none", set->path,
                           t->file[i]);
    }
    return data_label_by_name(set, names);
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
    const char *name = base_name(set->path);
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

gd_status data_open_folder(gd_dataset *set)
{
    static const data_kind kind = { read_file, path_of, close_folder, fingerprint };
    tree *t = gd_alloc(set->mem, sizeof *t);

    if (!t)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = t;
    GD_TRY(list(set, t, "", 0));
    set->count = t->n;
    return label(set, t);
}
