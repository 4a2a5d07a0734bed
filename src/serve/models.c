/* SPDX-License-Identifier: MIT */
/* models.c - the models that a page can offer: the built-in ones, and those of the given folders.
 */
#include "serve/serve_private.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODELS = 200, MAX_DEPTH = 2 };

typedef struct look {
    guided_context *context;
    json_t *found;
} look;

/* The file's description of itself goes into `to`; false: it is no model */
static bool describe(const look *l, json_t *to, const char *path)
{
    guided_model *model = NULL;
    guided_model_info info;

    if (guided_model_open(&model, l->context, path, NULL, 0) != GUIDED_OK)
        return false;
    guided_model_get_info(&info, model);
    json_object_set_new(to, "kind", json_string(info.kind));
    json_object_set_new(to, "image_size", json_integer(info.image_size));
    json_object_set_new(to, "small_size", json_integer(info.small_size));
    json_object_set_new(to, "channels", json_integer(info.channels));
    json_object_set_new(to, "parameters", json_integer(info.parameters));
    json_object_set_new(to, "scale", json_real(info.guidance_scale));
    json_object_set_new(to, "classes", json_integer(info.classes));
    json_t *names = info.classes > 0 ? json_array() : NULL;
    for (int i = 0; i < info.classes; i++) {
        const char *name = guided_model_class_name(model, i);
        if (name)
            json_array_append_new(names, json_string(name));
    }
    if (json_array_size(names) == (size_t)info.classes)
        json_object_set(to, "class_names", names);
    json_decref(names);
    guided_model_close(model);
    return true;
}

/* ---- built in ---- */

static void look_built_in(look *l)
{
    guided_job *job = NULL;
    json_t *all = NULL, *one;
    size_t i;

    if (guided_job_open(&job, l->context, "models") == GUIDED_OK &&
        guided_job_set(job, "json", "true") == GUIDED_OK && guided_job_run(job) == GUIDED_OK)
        all = json_loads(guided_job_result(job), 0, NULL);
    json_array_foreach(all, i, one)
    {
        const char *path = json_string_value(json_object_get(one, "model"));
        json_t *to = json_pack("{s:O*, s:O*, s:b}", "name", json_object_get(one, "name"), "about",
                               json_object_get(one, "about"), "built_in", 1);
        json_object_set_new(to, "guided", json_boolean(json_object_get(one, "classifier")));
        json_object_set_new(to, "stack", json_boolean(json_object_get(one, "upsampler")));
        if (path && describe(l, to, path))
            json_array_append(l->found, to);
        json_decref(to);
    }
    json_decref(all);
    guided_job_close(job);
}

/* ---- in folders ---- */

static bool may_be_model(const char *path)
{
    static const char *const suffixes[] = { ".pt", ".pth", ".pkl", ".safetensors", ".packed" };

    for (int i = 0; i < COUNT(suffixes); i++)
        if (gd_ends_with(path, suffixes[i]))
            return true;
    return false;
}

static bool is_run(const char *folder)
{
    char path[SERVE_PATH];

    snprintf(path, sizeof path, "%.4000s/progress.csv", folder);
    return gd_path_exists(path);
}

static void add(look *l, const char *path, const char *name)
{
    json_t *to = json_pack("{s:s, s:s, s:b}", "name", path, "about", name, "built_in", 0);

    if (json_array_size(l->found) < MAX_MODELS && to && describe(l, to, path))
        json_array_append(l->found, to);
    json_decref(to);
}

static void look_in(look *l, const char *folder, int depth)
{
    struct dirent **names = NULL;
    const int n = scandir(folder, &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        char path[SERVE_PATH];
        if (*name != '.' && snprintf(path, sizeof path, "%s/%s", folder, name) < SERVE_PATH) {
            const bool is_folder = gd_path_is_folder(path);
            if (is_folder ? is_run(path) : may_be_model(path))
                add(l, path, name);
            else if (is_folder && depth < MAX_DEPTH)
                look_in(l, path, depth + 1);
        }
        free(names[i]);
    }
    free(names);
}

void serve_models_look(serve *s)
{
    look l = { .found = json_array() };
    char *text, *before;

    if (l.found && guided_context_open(&l.context) == GUIDED_OK) {
        look_built_in(&l);
        for (int i = 0; i < s->n_folders; i++)
            look_in(&l, s->folder[i], 0);
        guided_context_close(l.context);
    }
    text = json_dumps(l.found, JSON_COMPACT);
    json_decref(l.found);
    if (!text)
        return;
    pthread_mutex_lock(&s->lock);
    before = s->models;
    s->models = text;
    pthread_mutex_unlock(&s->lock);
    free(before);
}
