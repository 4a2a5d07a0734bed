/* SPDX-License-Identifier: MIT */
/* doubt.c - are these labels classes?  And the order of another's classes. */
#include "data/data_private.h"

#include <stdlib.h>
#include <string.h>

/* Classes that have one picture; -1: out of memory */
static int count_singles(const gd_dataset *set)
{
    int64_t *pictures = calloc((size_t)set->classes, sizeof *pictures);
    int singles = 0;

    if (!pictures)
        return -1;
    for (int64_t i = 0; i < set->count; i++)
        pictures[set->label[i]]++;
    for (int c = 0; c < set->classes; c++)
        singles += pictures[c] == 1;
    free(pictures);
    return singles;
}

gd_labels_doubt gd_dataset_doubt(const gd_dataset *set, char *line, size_t size)
{
    const int singles = set->label ? count_singles(set) : 0;

    *line = '\0';
    if (!set->label || set->count < 2 || singles < 0)
        return GD_LABELS_FINE;
    if (set->classes == 1) {
        snprintf(line, size, "all %lld pictures have one class%s%.200s", (long long)set->count,
                 set->class_name ? ", " : "", set->class_name ? set->class_name[0] : "");
        return GD_LABELS_ODD;
    }
    if (singles == 0)
        return GD_LABELS_FINE;
    if (set->labels_guessed && 10 * (int64_t)singles >= 9 * set->count) {
        snprintf(line, size, "the names give no classes: %lld pictures would have %d",
                 (long long)set->count, set->classes);
        return GD_LABELS_REFUSED;
    }
    snprintf(line, size, "%d of %d classes have one picture", singles, set->classes);
    return GD_LABELS_ODD;
}

/* ---- another's classes ---- */

static int find_name(const char *const *name, int n, const char *wanted)
{
    for (int k = 0; k < n; k++)
        if (strcmp(name[k], wanted) == 0)
            return k;
    return -1;
}

gd_status gd_dataset_match_classes(gd_dataset *set, const char *const *name, int n)
{
    int32_t *to;

    if (!set->class_name || n == 0)
        return GD_OK;
    to = gd_alloc(set->mem, (size_t)set->classes * sizeof *to);
    if (!to)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int c = 0; c < set->classes; c++) {
        to[c] = find_name(name, n, set->class_name[c]);
        if (to[c] >= 0)
            continue;
        gd_status s = gd_fail(GD_EMISMATCH, "%s: class %s is not among the %d classes of the model",
                              set->path, set->class_name[c], n);
        const char *near = gd_nearest(set->class_name[c], name, n);
        gd_detail("hint: they are %s, ..%s%s; folders or names of other classes do not fit",
                  name[0], near ? "; did you mean " : "", near ? near : "");
        return s;
    }
    for (int64_t i = 0; i < set->count; i++)
        set->label[i] = to[set->label[i]];
    set->class_name = gd_alloc(set->mem, (size_t)n * sizeof *set->class_name);
    if (!set->class_name)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int k = 0; k < n; k++)
        set->class_name[k] = gd_strdup(set->mem, name[k]);
    set->classes = n;
    return GD_OK;
}
