/* classes.c - which class each image has, by number, range or name. */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

void cli_names_free(cli_names *s)
{
    gd_block_free(s->text);
    gd_block_free(s->name);
    *s = (cli_names){ 0 };
}

gd_status cli_names_read(cli_names *out, const char *path, int count)
{
    size_t bytes;

    *out = (cli_names){ 0 };
    GD_TRY(gd_text_read(&out->text, &bytes, path));
    GD_TRY(
        gd_block_make((void **)&out->name, ((size_t)count + 1) * sizeof *out->name, "class names"));
    for (char *line = strtok(out->text, "\n"); line; line = strtok(NULL, "\n")) {
        if (out->n == count)
            return gd_fail(GD_EMISMATCH, "%s: more than the model's %d class names", path, count);
        out->name[out->n++] = line;
    }
    return GD_OK;
}

static gd_status names_of_model(cli_names *s, const gd_model *model, int count)
{
    char path[4096];

    if (!gd_model_class_name(model, 0))
        return count == 1000 && cli_locate(path, "imagenet_classes.txt")
                   ? cli_names_read(s, path, count)
                   : GD_OK;
    GD_TRY(gd_block_make((void **)&s->name, (size_t)count * sizeof *s->name, "class names"));
    for (; s->n < count; s->n++)
        s->name[s->n] = gd_model_class_name(model, s->n);
    return GD_OK;
}

/* "golden retriever" matches "golden retriever" and "n02099601 golden retriever, ..."-like lines by
 * any of their comma parts */
static int find_text(const cli_names *s, const char *word)
{
    const size_t n = strlen(word);

    for (int i = 0; i < s->n; i++) {
        const char *at = strcasestr(s->name[i], word);
        const bool starts =
            at == s->name[i] || (at && at - s->name[i] >= 2 && at[-1] == ' ' && at[-2] == ',');
        if (at && starts && (at[n] == '\0' || at[n] == ','))
            return i;
    }
    return -1;
}

/* Names that are no text stand escaped in a model; whoever types one may not know. */
static int find_name(const cli_names *s, const char *word)
{
    char text[1024];
    const int found = find_text(s, word);

    gd_escape(text, sizeof text, word, strlen(word), NULL);
    return found >= 0 || strcmp(text, word) == 0 ? found : find_text(s, text);
}

static gd_status add(cli_classes *c, int64_t label, const char *word, int capacity)
{
    if (label < 0 || label >= c->count)
        return gd_fail(GD_EUSAGE, "--class %s: class %lld is outside 0 to %d", word,
                       (long long)label, c->count - 1);
    if (c->n == capacity)
        return gd_fail(GD_EUSAGE, "--class: more than %d classes", capacity);
    c->label[c->n++] = label;
    return GD_OK;
}

static gd_status add_word(cli_classes *c, const cli_names *s, const char *word, int capacity)
{
    char *end;
    const long first = strtol(word, &end, 10);
    long last = first;

    if (end != word && *end == '-' && end[1])
        last = strtol(end + 1, &end, 10);
    if (end == word || *end) {
        const int found = find_name(s, word);
        if (found >= 0)
            return add(c, found, word, capacity);
        const char *near = s->n ? gd_nearest(word, s->name, s->n) : NULL;
        gd_status status = gd_fail(GD_EUSAGE, "--class %s: no such class name", word);
        if (near)
            gd_detail("hint: did you mean \"%s\"?", near);
        else
            gd_detail("hint: a number from 0 to %d, a range, or a name%s", c->count - 1,
                      s->n ? "" : "; this model names no classes (--labels FILE)");
        return status;
    }
    if (last < first)
        return gd_fail(GD_EUSAGE, "--class %s: a range that runs backwards\nhint: --class %ld-%ld",
                       word, last, first);
    if (first < 0 || last >= c->count)
        return gd_fail(GD_EUSAGE, "--class %s: outside 0 to %d", word, c->count - 1);
    for (long k = first; k <= last; k++)
        GD_TRY(add(c, k, word, capacity));
    return GD_OK;
}

static gd_status read_words(cli_classes *c, const cli_names *s, const char *spec, int capacity)
{
    char word[256];

    if (find_name(s, spec) >= 0) /* names may hold commas */
        return add_word(c, s, spec, capacity);
    while (*spec) {
        const size_t n = strcspn(spec, ",");
        snprintf(word, sizeof word, "%.*s", (int)GD_MIN(n, sizeof word - 1), spec);
        GD_TRY(add_word(c, s, word[0] == ' ' ? word + 1 : word, capacity));
        spec += n + (spec[n] == ',');
    }
    return c->n > 0 ? GD_OK : gd_fail(GD_EUSAGE, "--class: no class given");
}

static gd_status fill(cli_classes *out, cli_names *s, const char *spec, const gd_model *model,
                      int count)
{
    enum { MORE = 1024 };

    GD_TRY(gd_block_make((void **)&out->label, (size_t)(count + MORE) * sizeof *out->label,
                         "classes"));
    out->random = spec && strcmp(spec, "random") == 0;
    if (out->random)
        return GD_OK;
    if (!spec || strcmp(spec, "all") == 0 || strcmp(spec, "balanced") == 0) {
        for (; out->n < count; out->n++)
            out->label[out->n] = out->n;
        return GD_OK;
    }
    if (s->n == 0)
        GD_TRY(names_of_model(s, model, count));
    return read_words(out, s, spec, count + MORE);
}

gd_status cli_classes_read(cli_classes *out, const char *spec, const gd_model *model, int count,
                           const char *labels_file)
{
    cli_names s = { 0 };
    gd_status status;

    *out = (cli_classes){ .count = count };
    if (count == 0 && labels_file)
        return gd_fail(GD_EUSAGE, "--labels: the model and the classifier know no classes");
    if (count == 0)
        return spec ? gd_fail(GD_EUSAGE, "--class: the model and the classifier know no classes")
                    : GD_OK;
    if (labels_file) /* also where no name is looked up: a file that is not there is an error */
        GD_TRY(cli_names_read(&s, labels_file, count));
    status = fill(out, &s, spec, model, count);
    cli_names_free(&s);
    return status;
}

int64_t cli_class_of(const cli_classes *c, uint64_t seed, int64_t image)
{
    if (c->count == 0)
        return -1;
    return c->random ? gd_noise_below((uint32_t)c->count, seed, (uint64_t)image, 0)
                     : c->label[image % c->n];
}

void cli_classes_free(cli_classes *c)
{
    gd_block_free(c->label);
    c->label = NULL;
}
