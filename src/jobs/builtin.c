/* SPDX-License-Identifier: MIT */
/* builtin.c - the models that come with the program, by name: guided models, --model NAME. */
#include "jobs/jobs.h"
#include "jobs/option_rows.h"

#include <jansson.h>
#include <string.h>

/* The first row is the default of --model; the first row with an upsampler is the default of guided
 * upsample. */
static const job_builtin builtins[] = {
    { "fashion32",
      "garments, grey, 32x32, ten classes, guided by a noisy classifier (Fashion-MNIST, MIT)",
      { "fashion32/diffusion.safetensors", "fashion32/classifier.safetensors", NULL } },
    { "emoji",
      "emoji in colour, 32x32, nine groups, guided by a noisy classifier (Noto Color Emoji, OFL)",
      { "emoji/diffusion.safetensors", "emoji/classifier.safetensors", NULL } },
    { "fashion8-32",
      "garments by a stack: 8x8, enlarged to 32x32 (Fashion-MNIST, MIT)",
      { "fashion32/base8.safetensors", NULL, "fashion32/upsampler.safetensors" } },
};

static const char *const roles[] = { "model", "classifier", "upsampler" };

static const job_builtin *find(const char *name)
{
    for (int i = 0; i < COUNT(builtins); i++)
        if (name && strcmp(builtins[i].name, name) == 0)
            return &builtins[i];
    return NULL;
}

/* The first model that has a file of this role */
static const job_builtin *first_with(job_role role)
{
    for (int i = 0; i < COUNT(builtins); i++)
        if (builtins[i].file[role])
            return &builtins[i];
    return NULL;
}

/* A name with a separator or a suffix is a file name, never a built-in model. */
static bool looks_like_name(const char *text)
{
    return !strpbrk(text, "/.");
}

static gd_status unknown(const char *name)
{
    const char *names[COUNT(builtins)];
    char all[256] = "";

    for (int i = 0; i < COUNT(builtins); i++) {
        const size_t used = strlen(all);
        names[i] = builtins[i].name;
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = gd_nearest(name, names, COUNT(names));
    gd_status s = gd_fail(GD_EFORMAT, "%s: No such file or directory", name);
    if (near)
        gd_detail("hint: did you mean %s?", near);
    gd_detail("hint: built-in models are %s; guided models describes them", all);
    return s;
}

gd_status job_builtin_path(const char **path, char *file, job_role role)
{
    const job_builtin *b = *path ? find(*path) : first_with(role);

    if (*path && gd_path_exists(*path)) {
        if (b)
            gd_log(GD_LOG_NOTE, "%s: uses the file or folder of this name, not the built-in model",
                   *path);
        return GD_OK;
    }
    if (*path && !b)
        return looks_like_name(*path) ? unknown(*path) : GD_OK;
    if (b && !b->file[role])
        return gd_fail(GD_EUSAGE, "the built-in %s has no %s", b->name, roles[role]);
    const char *found = b ? job_locate(file, b->file[role]) : NULL;
    if (!found && *path)
        return gd_fail(GD_EUSAGE, "the built-in %s is not installed (GUIDED_MODELS)", *path);
    if (!found)
        return gd_fail(GD_EUSAGE,
                       "no --model given, and the built-in one is not installed (GUIDED_MODELS)");
    *path = found;
    return GD_OK;
}

gd_status job_model_open(gd_model **out, const char *path, job_role role, const gd_flag *flags,
                         int n_flags)
{
    char built_in[4096];

    GD_TRY(job_builtin_path(&path, built_in, role));
    return gd_model_open(out, path, flags, n_flags);
}

const job_builtin *job_builtin_meant(const char *model)
{
    if (!model)
        return &builtins[0];
    return gd_path_exists(model) ? NULL : find(model);
}

/* ---- guided models ---- */

typedef struct options {
    bool json;
} options;

static const job_option table[] = {
    OPTION_JSON(offsetof(options, json)),
};

static bool is_installed(const job_builtin *b)
{
    char path[4096];

    for (int role = 0; role < JOB_ROLES; role++)
        if (b->file[role] && !job_locate(path, b->file[role]))
            return false;
    return true;
}

static void print(const job_builtin *b, bool first)
{
    fprintf(job_out(), "%-12s  %s%s%s\n", b->name, b->about, first ? " (default)" : "",
            is_installed(b) ? "" : ": not installed");
}

static json_t *describe(const job_builtin *b, bool first)
{
    json_t *j = json_pack("{s:s, s:s, s:b, s:b}", "name", b->name, "about", b->about, "default",
                          first, "installed", is_installed(b));
    char path[4096];

    for (int role = 0; j && role < JOB_ROLES; role++)
        if (b->file[role] && job_locate(path, b->file[role]))
            json_object_set_new(j, roles[role], gd_json_text(path));
    return j;
}

static gd_status print_json(void)
{
    json_t *all = json_array();

    for (int i = 0; i < COUNT(builtins); i++)
        json_array_append_new(all, describe(&builtins[i], i == 0));
    return job_print_json(all);
}

static gd_status run(gd_job *job)
{
    options o = { 0 };
    job_words w = { .n_words = 0 };

    GD_TRY(job_parse(job, &o, &w));
    if (w.n_words > 0)
        return gd_fail(GD_EUSAGE,
                       "models: unexpected word %s\nhint: guided info %s shows one model",
                       w.word[0], w.word[0]);
    if (o.json)
        return print_json();
    for (int i = 0; i < COUNT(builtins); i++)
        print(&builtins[i], i == 0);
    return GD_OK;
}

const job_kind job_models = {
    "models",
    "list the built-in models",
    "models [options]",
    "guided models",
    table,
    COUNT(table),
    run,
    "Prints a line for each model that comes with the program. --model, eval's --features and "
    "guided info accept its name; a file or folder of the same name has precedence. With --model "
    "NAME the model's own classifier guides, unless --classifier or --unguided is given."
};
