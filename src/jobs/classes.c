/* SPDX-License-Identifier: MIT */
/* classes.c - the class of each image, by number, range or name. */
#define _GNU_SOURCE
#include "jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

void job_names_free(job_names *s)
{
    gd_block_free(s->text);
    gd_block_free(s->name);
    *s = (job_names){ 0 };
}

gd_status job_names_read(job_names *out, const char *path, int count)
{
    size_t bytes;

    *out = (job_names){ 0 };
    GD_TRY(gd_text_read(&out->text, &bytes, path));
    GD_TRY(gd_block_make(&out->name, ((size_t)count + 1) * sizeof *out->name, "class names"));
    for (char *line = strtok(out->text, "\n"); line; line = strtok(NULL, "\n")) {
        if (out->n == count)
            return gd_fail(GD_EMISMATCH, "%s: has more names than the model's %d classes", path,
                           count);
        out->name[out->n++] = line;
    }
    return GD_OK;
}

gd_status job_names_of_model(job_names *s, const gd_model *model)
{
    const int count = gd_model_class_count(model);
    char path[4096];

    *s = (job_names){ 0 };
    if (!gd_model_class_name(model, 0))
        return count == 1000 && job_locate(path, "imagenet_classes.txt")
                   ? job_names_read(s, path, count)
                   : GD_OK;
    GD_TRY(gd_block_make(&s->name, (size_t)count * sizeof *s->name, "class names"));
    for (; s->n < count; s->n++)
        s->name[s->n] = gd_model_class_name(model, s->n);
    return GD_OK;
}

static gd_status two_classes(const job_names *s, const char *word, int a, int b)
{
    return gd_fail(GD_EUSAGE,
                   "--class %s: matches classes %d (%s) and %d (%s)\nhint: give #%d or #%d", word,
                   a, s->name[a], b, s->name[b], a, b);
}

static gd_status find_text(const job_names *s, const char *word, int *found)
{
    *found = -1;
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->name[i], word) != 0)
            continue;
        if (*found >= 0)
            return two_classes(s, word, *found, i);
        *found = i;
    }
    return GD_OK;
}

/* *found: the only class with this name; -1: none.  GD_EUSAGE: several.  A model stores names that
 * are not valid text in escaped form, so the raw form is tried too. */
static gd_status find_exact(const job_names *s, const char *word, int *found)
{
    char text[1024];

    GD_TRY(find_text(s, word, found));
    gd_escape(text, sizeof text, word, strlen(word), NULL);
    return *found >= 0 || strcmp(text, word) == 0 ? GD_OK : find_text(s, text, found);
}

/* Does `word` equal a whole part of the name between commas, ignoring case? */
static bool is_part(const char *name, const char *word)
{
    const size_t n = strlen(word);

    for (const char *at = name; (at = strcasestr(at, word)); at++) {
        const bool starts = at == name || (at - name >= 2 && at[-1] == ' ' && at[-2] == ',');
        if (starts && (at[n] == '\0' || at[n] == ','))
            return true;
    }
    return false;
}

/* *found: the only class whose name has the word as a comma part; -1: none.  GD_EUSAGE for several:
 * "crane" is a bird and a machine. */
static gd_status find_part(const job_names *s, const char *word, int *found)
{
    *found = -1;
    for (int i = 0; i < s->n; i++) {
        if (!is_part(s->name[i], word))
            continue;
        if (*found >= 0)
            return two_classes(s, word, *found, i);
        *found = i;
    }
    return GD_OK;
}

static gd_status add(job_classes *c, int64_t label, const char *word, int capacity)
{
    if (label < 0 || label >= c->count)
        return gd_fail(GD_EUSAGE, "--class %s: class %lld is outside 0 to %d", word,
                       (long long)label, c->count - 1);
    if (c->n == capacity)
        return gd_fail(GD_EUSAGE, "--class: more than %d classes", capacity);
    c->label[c->n++] = label;
    return GD_OK;
}

static gd_status unknown_class(const job_classes *c, const job_names *s, const char *word)
{
    const char *near = s->n ? gd_nearest(word, s->name, s->n) : NULL;
    gd_status status = gd_fail(GD_EUSAGE, "--class %s: no such class name", word);

    if (near)
        gd_detail("hint: did you mean \"%s\"?", near);
    else
        gd_detail("hint: a number from 0 to %d, a range, or a name%s", c->count - 1,
                  s->n ? "" : "; this model has no class names (--labels FILE)");
    return status;
}

/* Parses "7" or "3-5"; false: another form */
static bool read_range(const char *word, long *first, long *last)
{
    char *end;

    if (*word < '0' || *word > '9')
        return false;
    *first = *last = strtol(word, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        *last = strtol(end + 1, &end, 10);
    return *end == '\0';
}

/* Class names can be numbers other than the indices, as for folders 0, 1, 2, 10.  Then a number
 * that is no name is ambiguous. */
static bool has_other_numbers(const job_names *s)
{
    for (int i = 0; i < s->n; i++) {
        const char *name = s->name[i];
        if (*name && strspn(name, "0123456789") == strlen(name) && strtol(name, NULL, 10) != i)
            return true;
    }
    return false;
}

static gd_status ambiguous(const job_names *s, const char *word)
{
    gd_status status = gd_fail(
        GD_EUSAGE, "--class %s: the class names are numbers, and none of them is %s", word, word);

    gd_detail("hint: #%s means the class with that index; %d classes: %s, %s%s", word, s->n,
              s->name[0], s->n > 1 ? s->name[1] : "", s->n > 2 ? ", .." : "");
    return status;
}

static gd_status add_range(job_classes *c, long first, long last, const char *word, int capacity)
{
    if (last < first)
        return gd_fail(GD_EUSAGE, "--class %s: the range is reversed\nhint: --class %ld-%ld", word,
                       last, first);
    if (first < 0 || last >= c->count)
        return gd_fail(GD_EUSAGE, "--class %s: outside 0 to %d", word, c->count - 1);
    for (long k = first; k <= last; k++)
        GD_TRY(add(c, k, word, capacity));
    return GD_OK;
}

/* Tries an exact name, then #INDEX and numbers, then a part of a name: "goose" of "goose, anser" */
static gd_status add_word(job_classes *c, const job_names *s, const char *word, int capacity)
{
    long first, last;
    int found;

    GD_TRY(find_exact(s, word, &found));
    if (found >= 0)
        return add(c, found, word, capacity);
    if (word[0] == '#' && read_range(word + 1, &first, &last))
        return add_range(c, first, last, word, capacity);
    if (read_range(word, &first, &last))
        return has_other_numbers(s) ? ambiguous(s, word)
                                    : add_range(c, first, last, word, capacity);
    GD_TRY(find_part(s, word, &found));
    return found >= 0 ? add(c, found, word, capacity) : unknown_class(c, s, word);
}

static gd_status read_words(job_classes *c, const job_names *s, const char *spec, int capacity)
{
    char word[256];
    int found;

    GD_TRY(find_exact(s, spec, &found));
    if (found >= 0) /* names may contain commas */
        return add(c, found, spec, capacity);
    while (*spec) {
        const size_t n = strcspn(spec, ",");
        snprintf(word, sizeof word, "%.*s", (int)GD_MIN(n, sizeof word - 1), spec);
        GD_TRY(add_word(c, s, word[0] == ' ' ? word + 1 : word, capacity));
        spec += n + (spec[n] == ',');
    }
    return c->n > 0 ? GD_OK : gd_fail(GD_EUSAGE, "--class: no class given");
}

static gd_status fill(job_classes *out, job_names *s, const char *spec, const gd_model *model,
                      int count)
{
    enum { MORE = 1024 };

    GD_TRY(gd_block_make(&out->label, (size_t)(count + MORE) * sizeof *out->label, "classes"));
    out->random = spec && strcmp(spec, "random") == 0;
    if (out->random)
        return GD_OK;
    if (!spec || strcmp(spec, "all") == 0 || strcmp(spec, "balanced") == 0) {
        for (; out->n < count; out->n++)
            out->label[out->n] = out->n;
        return GD_OK;
    }
    if (s->n == 0)
        GD_TRY(job_names_of_model(s, model));
    return read_words(out, s, spec, count + MORE);
}

gd_status job_classes_read(job_classes *out, const char *spec, const gd_model *model, int count,
                           const char *labels_file)
{
    job_names s = { 0 };
    gd_status status;

    *out = (job_classes){ .count = count };
    if (count == 0 && labels_file)
        return gd_fail(GD_EUSAGE, "--labels: neither the model nor the classifier has classes");
    if (count == 0)
        return spec
                   ? gd_fail(GD_EUSAGE, "--class: neither the model nor the classifier has classes")
                   : GD_OK;
    if (labels_file) /* read even if no name is looked up, so that a missing file is an error */
        GD_TRY(job_names_read(&s, labels_file, count));
    status = fill(out, &s, spec, model, count);
    job_names_free(&s);
    return status;
}

gd_status job_labels_fit(gd_dataset *set, const char *path, const gd_model *model,
                         const char *remedy)
{
    const int n = gd_model_class_count(model);
    job_names names = { 0 };
    char line[512];
    gd_status s = GD_OK;

    if (n == 0 || gd_dataset_classes(set) == 0)
        return GD_OK;
    const gd_labels_doubt doubt = gd_dataset_doubt(set, line, sizeof line);
    if (doubt == GD_LABELS_REFUSED)
        return gd_fail(GD_EMISMATCH, "%s: %s\nhint: %s", path, line, remedy);
    if (gd_model_class_name(model, 0))
        s = job_names_of_model(&names, model);
    if (s == GD_OK)
        s = gd_dataset_match_classes(set, names.name, names.n);
    job_names_free(&names);
    if (s == GD_OK && gd_dataset_classes(set) > n)
        s = gd_fail(GD_EMISMATCH, "%s: has %d classes, but %s has %d", path,
                    gd_dataset_classes(set), gd_model_path(model), n);
    return s;
}

int64_t job_class_of(const job_classes *c, uint64_t seed, int64_t image)
{
    if (c->count == 0)
        return -1;
    return c->random ? gd_noise_below((uint32_t)c->count, seed, (uint64_t)image, 0)
                     : c->label[image % c->n];
}

void job_classes_free(job_classes *c)
{
    gd_block_free(c->label);
    c->label = NULL;
}
