/* SPDX-License-Identifier: MIT */
/* recipe.c - two recipes of one folder: which options differ. */
#include "records/records_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A file's name says nothing where its content's hash is there */
static bool named_by_hash(const json_t *object, const char *key)
{
    char name[128];

    snprintf(name, sizeof name, "%.100s_hash", key);
    return json_object_get(object, name) != NULL;
}

static bool listed(const char *list, const char *key)
{
    const size_t n = strlen(key);

    for (const char *at = list; at && *at; at += *at == ',') {
        if (strncmp(at, key, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

static void detail(const char *key, json_t *run, json_t *now)
{
    char *a = gd_json_dump(run, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)),
         *b = gd_json_dump(now, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));

    gd_detail("  %-18s the run %.80s, now %.80s", key, a ? a : "without", b ? b : "without");
    free(a);
    free(b);
}

/* Keys of `from` that `to` has otherwise; with `only_new`, those that `to` has not at all */
static int differ(const char *path, json_t *from, json_t *to, const char *open, bool only_new,
                  int n)
{
    const char *key;
    json_t *value;

    json_object_foreach(from, key, value)
    {
        json_t *other = json_object_get(to, key);
        if ((only_new && other) || json_equal(value, other) || named_by_hash(from, key) ||
            listed(open, key))
            continue;
        if (n++ == 0 && gd_fail(GD_EEXISTS, "%s: made with other options", path) == GD_OK)
            return n;
        if (only_new)
            detail(key, NULL, value);
        else
            detail(key, value, other);
    }
    return n;
}

gd_status gd_records_compare(const char *path, const char *run, const char *now, const char *open)
{
    json_t *a = NULL, *b = NULL;
    gd_status s;
    int n;

    GD_TRY(gd_json_parse(&a, run, strlen(run), 4, path));
    s = gd_json_parse(&b, now, strlen(now), 4, "recipe");
    if (s == GD_OK && !json_is_object(a))
        s = gd_fail(GD_EFORMAT, "%s: no recipe of a run", path);
    if (s == GD_OK) {
        n = differ(path, a, b, open, false, 0);
        n = differ(path, b, a, open, true, n);
        if (n > 0) {
            gd_detail("hint: give the run's options to go on with it, or another --output");
            s = GD_EEXISTS;
        }
    }
    json_decref(a);
    json_decref(b);
    return s;
}
