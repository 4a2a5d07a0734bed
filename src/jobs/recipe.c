/* SPDX-License-Identifier: MIT */
/* recipe.c - the command that makes a picture again: stored in its recipe, printed by guided info.
 */
#include "jobs/jobs.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- keeping ---- */

/* These options select pictures, outputs, display or resources, but do not change a picture.  The
 * seed is in the recipe even if it was not given. */
static bool decides_nothing(const char *name)
{
    static const char *const names[] = { "num",     "first",   "output",     "format",  "overwrite",
                                         "resume",  "threads", "memory",     "json",    "quiet",
                                         "verbose", "config",  "seed",       "preview", "progress",
                                         "dry-run", "share",   "keep-stages" };

    for (int i = 0; i < COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The main name of the option that an authors' name means */
static const job_option *first_name(const job_kind *c, const job_option *o)
{
    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].offset == o->offset)
            return &c->options[i];
    return o;
}

static void add_option(json_t *list, const job_option *o, const char *text)
{
    const bool is_switch = o->type == JOB_SWITCH;
    char name[96];

    snprintf(name, sizeof name, "--%s%s", is_switch && strcmp(text, "false") == 0 ? "no-" : "",
             o->name);
    json_array_append_new(list, json_string(name));
    if (!is_switch)
        json_array_append_new(list, gd_json_text(text));
}

gd_status job_recipe_add_command(json_t *recipe, const job_kind *c, const job_words *w)
{
    json_t *list = json_array();
    char name[96];

    json_array_append_new(list, json_string(c->name));
    for (int i = 0; i < w->n_given; i++) {
        const job_given *g = &w->given[i];
        /* the authors' respacing selects another sampler than --steps with the same value */
        const job_option *o = strcmp(g->option->name, "timestep_respacing") == 0
                                  ? g->option
                                  : first_name(c, g->option);
        bool own = false;
        for (int k = 0; k < c->n_options; k++)
            own = own || &c->options[k] == g->option;
        if (own && !decides_nothing(o->name))
            add_option(list, o, g->text);
    }
    for (int i = 0; i < w->n_flags; i++) {
        snprintf(name, sizeof name, "--%s", w->flag[i].name);
        json_array_append_new(list, json_string(name));
        json_array_append_new(list, gd_json_text(w->flag[i].value));
    }
    return json_object_set_new(recipe, "command", list) == 0
               ? GD_OK
               : gd_fail(GD_ENOMEM, "recipe: out of memory");
}

/* ---- printing ---- */

/* Bytes that a terminal cannot show; a shell word contains them as $'\x1B'. */
static bool needs_escapes(const char *word)
{
    char plain[4096];

    gd_escape(plain, sizeof plain, word, strlen(word), "");
    return strcmp(plain, word) != 0;
}

static void print_escaped(const char *word)
{
    fprintf(job_out(), " $'");
    for (; *word; word++) {
        if ((unsigned char)*word < ' ' || (unsigned char)*word > '~')
            fprintf(job_out(), "\\x%02X", (unsigned char)*word);
        else
            fprintf(job_out(), *word == '\'' || *word == '\\' ? "\\%c" : "%c", *word);
    }
    fputc('\'', job_out());
}

static void print_quoted(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./,=+:@%";

    if (*word && word[strspn(word, plain)] == '\0') {
        fprintf(job_out(), " %s", word);
        return;
    }
    if (needs_escapes(word)) {
        print_escaped(word);
        return;
    }
    fprintf(job_out(), " '");
    for (; *word; word++) {
        if (*word == '\'')
            fprintf(job_out(), "'\\''");
        else
            fputc(*word, job_out());
    }
    fputc('\'', job_out());
}

/* A word written by gd_json_text */
static void print_word(const char *text)
{
    char word[4096];

    snprintf(word, sizeof word, "%s", text);
    gd_unescape(word);
    print_quoted(word);
}

/* A free name beside the picture: STEM-again.png */
static void print_output(const char *path)
{
    char name[4096];
    const size_t n = strlen(path), stem = n > 4 ? n - 4 : n; /* without ".png" */

    snprintf(name, sizeof name, "%s%.*s-again%s", *path == '-' ? "./" : "", (int)stem, path,
             path + stem);
    fprintf(job_out(), " -o");
    print_quoted(name);
}

static void print_command(const json_t *recipe, const char *image, const char *path)
{
    const json_t *num = json_object_get(recipe, "num"), *first = json_object_get(recipe, "first");
    const char *seed = json_string_value(json_object_get(recipe, "seed"));
    json_t *word;
    size_t i;

    fprintf(job_out(), "guided");
    json_array_foreach(json_object_get(recipe, "command"), i, word)
        print_word(json_string_value(word));
    if (image) {
        fprintf(job_out(), " -n 1 --first %s", image);
    } else {
        if (json_is_integer(num))
            fprintf(job_out(), " -n %lld", (long long)json_integer_value(num));
        if (json_integer_value(first) > 0)
            fprintf(job_out(), " --first %lld", (long long)json_integer_value(first));
    }
    if (seed) {
        fprintf(job_out(), " --seed");
        print_quoted(seed);
    }
    print_output(path);
    fprintf(job_out(), "\n");
}

/* ---- checks before printing, because users paste the command into a shell ---- */

/* Does `text` parse as a value of the option `o`? */
static bool parses(const job_kind *c, const job_option *o, const char *text)
{
    size_t bytes = 0;
    void *values;
    bool good;

    for (int i = 0; i < c->n_options; i++)
        bytes = GD_MAX(bytes, c->options[i].offset + 2 * sizeof(uint64_t));
    values = calloc(1, bytes);
    good = values && job_value_set(o, text, values) == GD_OK;
    free(values);
    return good;
}

static bool is_flag(const char *name, const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_.,+-";

    return gd_flag_known(name) && value && *value && value[strspn(value, plain)] == '\0';
}

/* The number of words from `at` on that form one option, as job_recipe_add_command writes it; 0:
 * none */
static int option_at(const job_kind *c, const json_t *list, size_t at)
{
    const char *name = json_string_value(json_array_get(list, at)),
               *value = json_string_value(json_array_get(list, at + 1));
    const job_option *o;

    if (!name || strncmp(name, "--", 2) != 0)
        return 0;
    name += 2;
    for (int i = 0; i < c->n_options; i++) {
        o = &c->options[i];
        const bool negated = strncmp(name, "no-", 3) == 0 && strcmp(o->name, name + 3) == 0;
        if ((!negated && strcmp(o->name, name) != 0) || decides_nothing(first_name(c, o)->name))
            continue;
        if (o->type == JOB_SWITCH)
            return 1;
        return !negated && value && strlen(value) < 4096 && parses(c, o, value) ? 2 : 0;
    }
    return is_flag(name, value) ? 2 : 0;
}

/* Accepts only commands that this program writes: a verb that makes pictures, its options, valid
 * values */
static bool is_command(const json_t *list)
{
    const char *verb = json_string_value(json_array_get(list, 0));
    static const job_kind *const makers[] = { &job_sample,  &job_upsample, &job_restore,
                                              &job_img2img, &job_purify,   &job_invert };
    const job_kind *c = NULL;
    int n;

    for (int i = 0; verb && i < COUNT(makers); i++)
        if (strcmp(verb, makers[i]->name) == 0)
            c = makers[i];
    for (size_t at = 1; c && at < json_array_size(list); at += (size_t)n)
        if ((n = option_at(c, list, at)) == 0)
            return false;
    return c != NULL;
}

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0' && strlen(text) <= 20;
}

/* Can one image of a run be made alone?  Yes with guided's own noise, which is keyed by the image
 */
static bool stands_alone(const json_t *recipe)
{
    const char *rng = json_string_value(json_object_get(recipe, "rng"));
    return rng && strcmp(rng, "guided") == 0;
}

gd_status job_recipe_print(const char *recipe, const char *image, const char *path)
{
    const char *seed;
    json_t *j;
    gd_status s = GD_OK;

    GD_TRY(gd_json_parse(&j, recipe, strlen(recipe), 4, path));
    seed = json_string_value(json_object_get(j, "seed"));
    if (image && (!is_number(image) || !stands_alone(j)))
        image = NULL;
    if (is_command(json_object_get(j, "command")) && (!seed || is_number(seed)))
        print_command(j, image, path);
    else
        s = gd_fail(GD_EFORMAT,
                    "%s: its recipe contains no command that this program can print\nhint: guided "
                    "info --json %s",
                    path, path);
    json_decref(j);
    return s;
}
