/* SPDX-License-Identifier: MIT */
/* recipe_names.c - files in the recipe of a picture.  Pictures are shared, so their recipes contain
 * names and hashes of files but not their folders. */
#include "jobs/args.h"
#include "jobs/maker.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- removing folders from paths ---- */

/* The part of a path after its folder; a built-in model keeps its own folder:
 * fashion32/diffusion... */
static const char *short_name(const char *path)
{
    char file[GD_MAX_PATH];
    const char *slash = strrchr(path, '/'), *at = slash;

    while (at && at > path && at[-1] != '/')
        at--;
    if (at && at > path && job_locate(file, at) && strcmp(file, path) == 0)
        return at;
    return slash ? slash + 1 : path;
}

/* The same for one file or several separated by commas */
static json_t *short_names(const char *paths)
{
    char out[JOB_MAX_STAGES * GD_MAX_PATH] = "", one[GD_MAX_PATH];
    size_t used = 0;

    while (*paths && used < sizeof out) {
        const size_t n = strcspn(paths, ",");
        snprintf(one, sizeof one, "%.*s", (int)GD_MIN(n, sizeof one - 1), paths);
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%s", short_name(one),
                                 paths[n] ? "," : "");
        paths += n + (paths[n] == ',');
    }
    return json_string(out);
}

static bool names_files(const char *key)
{
    static const char *const keys[] = { "model", "classifier", "upsampler", "labels", "input" };
    const char *stage = strncmp(key, "stage", 5) == 0 ? strchr(key, '_') : NULL;

    for (int i = 0; i < COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0 || (stage && strcmp(stage + 1, keys[i]) == 0))
            return true;
    return false;
}

/* "--model", or "--stage2-classifier" */
static bool takes_files(const job_kind *c, const char *word)
{
    const job_option *o =
        strncmp(word, "--", 2) == 0 ? job_option_find(c, word + 2, strlen(word + 2)) : NULL;

    return o && o->type == JOB_TEXT &&
           (strcmp(o->argument, "FILE") == 0 || strcmp(o->argument, "FILES") == 0 ||
            strcmp(o->argument, "PATH") == 0);
}

static void shorten_command(json_t *list)
{
    const char *verb = json_string_value(json_array_get(list, 0));
    const job_kind *c = verb && strcmp(verb, job_upsample.name) == 0 ? &job_upsample : &job_sample;

    for (size_t i = 1; i + 1 < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i)),
                   *value = json_string_value(json_array_get(list, i + 1));
        if (word && value && takes_files(c, word))
            json_array_set_new(list, ++i, short_names(value));
    }
}

gd_status job_recipe_for_picture(char **out, const char *recipe)
{
    const char *key;
    json_t *j, *value;
    void *next;

    *out = NULL;
    GD_TRY(gd_json_parse(&j, recipe, strlen(recipe), 4, "recipe"));
    json_object_foreach_safe(j, next, key, value)
    {
        if (json_is_string(value) && names_files(key))
            json_object_set_new(j, key, short_names(json_string_value(value)));
    }
    shorten_command(json_object_get(j, "command"));
    *out = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(j);
    return *out ? GD_OK : gd_fail(GD_ENOMEM, "recipe: out of memory");
}

/* ---- finding the files ---- */

/* Tries the given path, the picture's folder, the built-in models; returns the given path if none
 * exists, so that opening it fails */
static const char *find_one(job_recipe *r, const char *name, const char *picture)
{
    const char *slash = strrchr(picture, '/');
    char path[GD_MAX_PATH];
    const char *found = NULL;

    if (!name || *name == '/' || gd_path_exists(name))
        return name;
    snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - picture + 1) : 0, picture, name);
    if (gd_path_exists(path) || job_locate(path, name))
        found = path;
    return found ? gd_strdup(r->names, found) : name;
}

gd_status job_recipe_find_files(job_recipe *r, const char *picture)
{
    job_sampling *c = &r->choice;

    GD_TRY(gd_arena_make(&r->names));
    c->model = find_one(r, c->model, picture);
    c->classifier = find_one(r, c->classifier, picture);
    c->labels = find_one(r, c->labels, picture);
    if (c->upsampler && !strchr(c->upsampler, ','))
        c->upsampler = find_one(r, c->upsampler, picture);
    for (int k = 0; k < JOB_MAX_STAGES; k++)
        c->stage[k].classifier = find_one(r, c->stage[k].classifier, picture);
    return GD_OK;
}
