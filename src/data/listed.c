/* SPDX-License-Identifier: MIT */
/* listed.c - what sets of named pictures share, files of a folder and members of a zip: which files
 * count, their order, and their labels, so that both containers give the same set. */
#include "data/data_private.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

/* ---- which files count ---- */

bool data_is_hidden(const char *name, size_t length)
{
    static const char *const system[] = { "__MACOSX", "Thumbs.db", "desktop.ini" };

    if (length > 0 && name[0] == '.')
        return true;
    for (int i = 0; i < COUNT(system); i++)
        if (strlen(system[i]) == length && strncasecmp(name, system[i], length) == 0)
            return true;
    return false;
}

bool data_has_hidden(const char *path)
{
    while (*path) {
        const size_t n = strcspn(path, "/");
        if (data_is_hidden(path, n))
            return true;
        path += n + (path[n] == '/');
    }
    return false;
}

/* A folder's entries by name, folders among the files: "a/x" before "a-b" before "a.png" */
int data_path_order(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    const int left = *a == '/' ? 1 : (unsigned char)*a, right = *b == '/' ? 1 : (unsigned char)*b;
    return left - right;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- what was found and not used ---- */

/* Each suffix once */
static void add_suffix(data_passed *p, const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *suffix = dot && strlen(dot) < 12 ? dot : name;
    const size_t used = strlen(p->suffixes);
    char word[80];

    snprintf(word, sizeof word, " %.64s", suffix);
    for (const char *at = p->suffixes; (at = strstr(at, word)); at++)
        if (at[strlen(word)] == '\0' || at[strlen(word)] == ' ')
            return;
    if (used + strlen(word) < sizeof p->suffixes)
        memcpy(p->suffixes + used, word, strlen(word) + 1);
}

void data_pass_over(data_passed *p, const char *path)
{
    const char *name = base_name(path);

    if (strcmp(name, "run.json") == 0) /* guided sample writes it beside pictures */
        return;
    if (p->n++ == 0)
        snprintf(p->first, sizeof p->first, "%.200s", path);
    add_suffix(p, name);
}

void data_report_passed(const data_passed *p, const char *path)
{
    if (p->n > 0)
        gd_log(GD_LOG_NOTE, "%s: %lld file%s passed over, no picture by name:%s (%s%s)", path,
               (long long)p->n, p->n == 1 ? "" : "s", p->suffixes, p->first,
               p->n > 1 ? ", .." : "");
}

/* ---- labels by number: dataset.json of StyleGAN and EDM ---- */

static int64_t index_of(const char *const *path, int64_t n, const char *name)
{
    int64_t low = 0, high = n;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = data_path_order(name, path[middle]);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

static gd_status take_rows(gd_dataset *set, const char *const *path, const json_t *list,
                           int64_t *labels)
{
    json_t *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        const char *name = json_string_value(json_array_get(row, 0));
        const json_t *number = json_array_get(row, 1);
        const int64_t at = name ? index_of(path, set->count, name) : -1;
        if (at < 0 && name && data_has_hidden(name))
            continue;
        if (at < 0 || !json_is_integer(number))
            return gd_fail(GD_EFORMAT, "%s: %s: labels: row %zu names no image with a number",
                           set->path, DATA_JSON, i);
        labels[at] = json_integer_value(number);
    }
    for (int64_t k = 0; k < set->count; k++)
        if (labels[k] < 0)
            return gd_fail(GD_EFORMAT, "%s: %s: no label for %s", set->path, DATA_JSON, path[k]);
    return data_label_by_number(set, labels);
}

static gd_status label_by_json(gd_dataset *set, const char *const *path, const json_t *list)
{
    int64_t *labels;
    gd_status s;

    GD_TRY(gd_block_make(&labels, GD_MAX((size_t)set->count, 1) * sizeof *labels, "labels"));
    for (int64_t i = 0; i < set->count; i++)
        labels[i] = -1;
    s = take_rows(set, path, list, labels);
    gd_block_free(labels);
    return s;
}

/* "labels": null is a set without classes.  A file without "labels" is another program's. */
static gd_status read_json(gd_dataset *set, const char *const *path, const char *text, size_t bytes,
                           bool *used)
{
    char name[4200];
    json_t *root;
    gd_status s = GD_OK;

    snprintf(name, sizeof name, "%.4000s: %s", set->path, DATA_JSON);
    GD_TRY(gd_json_parse(&root, text, bytes, 8, name));
    const json_t *list = json_object_get(root, "labels");
    *used = list != NULL;
    if (json_is_array(list))
        s = label_by_json(set, path, list);
    else if (list && !json_is_null(list))
        s = gd_fail(GD_EFORMAT, "%s: labels: expected a list or null", name);
    json_decref(root);
    return s;
}

/* ---- labels by folder and name ---- */

/* The folders of a file, all of them: "train/cat"; NULL for a file that lies in the root */
static const char *folder_class(gd_arena *mem, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? gd_sprintf(mem, "%.*s", (int)(slash - path), path) : NULL;
}

static bool all_in_folders(const char *const *path, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!strchr(path[i], '/'))
            return false;
    return n > 0;
}

static gd_status label_by_path(gd_dataset *set, const char *const *path, gd_labels how)
{
    const char **names = gd_alloc(set->mem, (size_t)set->count * sizeof *names);

    if (!names)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int64_t i = 0; i < set->count; i++) {
        names[i] = how == GD_LABELS_FOLDER ? folder_class(set->mem, path[i])
                                           : data_authors_class(set->mem, base_name(path[i]));
        if (!names[i])
            return gd_fail(GD_EFORMAT,
                           "%s/%s lies in no class folder\nhint: --labels name, or none", set->path,
                           path[i]);
    }
    return data_label_by_name(set, names);
}

gd_status data_label_listed(gd_dataset *set, const char *const *path, const char *json,
                            size_t json_bytes)
{
    gd_labels how = set->options.labels;
    bool used = false;

    if (how == GD_LABELS_NONE || set->count == 0)
        return GD_OK;
    if (json && how == GD_LABELS_AUTO)
        GD_TRY(read_json(set, path, json, json_bytes, &used));
    if (used)
        return GD_OK;
    if (json)
        gd_log(GD_LOG_NOTE, "%s: %s passed over: %s", set->path, DATA_JSON,
               how == GD_LABELS_AUTO ? "it has no \"labels\"" : "--labels has the last word");
    if (how == GD_LABELS_AUTO) {
        how = all_in_folders(path, set->count) ? GD_LABELS_FOLDER : GD_LABELS_NAME;
        set->labels_guessed = how == GD_LABELS_NAME;
    }
    return label_by_path(set, path, how);
}
