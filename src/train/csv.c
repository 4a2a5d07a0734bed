/* SPDX-License-Identifier: MIT */
/* csv.c - progress.csv: a row for each interval, columns as they come
 * (docs/reference/training.md#logs). */
#include "train/train_private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = GD_MAX_MEANS + 8 };

struct train_csv {
    char path[GD_MAX_PATH];
    char column[MAX_COLUMNS][32];
    int n;
};

static int column_of(const train_csv *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->column[i], name) == 0)
            return i;
    return -1;
}

static void read_header(train_csv *c, const char *line, size_t length)
{
    for (size_t at = 0; at < length && c->n < MAX_COLUMNS;) {
        const size_t n = strcspn(line + at, ",\r\n");
        snprintf(c->column[c->n++], sizeof c->column[0], "%.*s", (int)GD_MIN(n, 31), line + at);
        at += n + 1;
    }
}

/* Value of the k-th field of a line; -1: it has none */
static double field(const char *line, int k)
{
    for (; k > 0 && *line && *line != '\n'; line++)
        k -= *line == ',';
    while (*line == ' ' || *line == '\t')
        line++;
    /* strtod would pass over the line's end */
    return k == 0 && *line && !strchr("\r\n\v\f", *line) ? strtod(line, NULL) : -1;
}

/* A line may be empty: their number does not follow from the bytes. */
static size_t count_lines(const char *text, size_t bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n += text[i] == '\n';
    return n;
}

static char *header(const train_csv *c, char *out)
{
    for (int i = 0; i < c->n; i++)
        out += sprintf(out, "%s%s", i ? "," : "", c->column[i]);
    return out + sprintf(out, "\n");
}

/* The file again: its present header, `commas` more behind each old row, without the rows from
 * `step` on */
static gd_status rewrite(const train_csv *c, const char *old, size_t bytes, int commas,
                         int64_t step)
{
    const size_t room = bytes + MAX_COLUMNS * sizeof c->column[0] +
                        (count_lines(old, bytes) + 1) * (size_t)(commas + 1);
    const int step_column = column_of(c, "step");
    char *text = malloc(room), *to = text;
    const char *at = memchr(old, '\n', bytes), *end = old + bytes;
    gd_status s;

    if (!text)
        return gd_fail(GD_ENOMEM, "%s: out of memory", c->path);
    to = header(c, to);
    for (at = at ? at + 1 : end; at < end;) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        if (!next) /* a row that a crash cut short */
            break;
        if (step_column < 0 || field(at, step_column) < (double)step) {
            memcpy(to, at, (size_t)(next - at));
            to += next - at;
            memset(to, ',', (size_t)commas);
            to += commas;
            *to++ = '\n';
        }
        at = next + 1;
    }
    s = gd_file_put(c->path, GD_OWN, text, (size_t)(to - text));
    free(text);
    return s;
}

/* NULL where there is no file */
static gd_status read_file(const train_csv *c, char **text, size_t *bytes)
{
    *text = NULL;
    return gd_path_exists(c->path) ? gd_text_read(text, bytes, c->path) : GD_OK;
}

gd_status train_csv_open(train_csv **out, const char *folder, int64_t step)
{
    train_csv *c = calloc(1, sizeof *c);
    size_t bytes = 0;
    char *text = NULL;
    gd_status s;

    if (!c)
        return gd_fail(GD_ENOMEM, "progress.csv: out of memory");
    snprintf(c->path, sizeof c->path, "%.4000s/progress.csv", folder);
    s = read_file(c, &text, &bytes);
    if (s == GD_OK && text) {
        read_header(c, text, strcspn(text, "\n"));
        s = rewrite(c, text, bytes, 0, step);
    }
    gd_block_free(text);
    if (s != GD_OK) {
        free(c);
        return s;
    }
    *out = c;
    return GD_OK;
}

void train_csv_close(train_csv *c)
{
    free(c);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* New names go behind the others, sorted among themselves; old rows are padded. */
static gd_status add_columns(train_csv *c, const gd_means *m)
{
    const int before = c->n;
    size_t bytes = 0;
    char *text;
    gd_status s;

    for (int i = 0; i < m->n; i++)
        if (column_of(c, m->of[i].name) < 0 && c->n < MAX_COLUMNS)
            snprintf(c->column[c->n++], sizeof c->column[0], "%s", m->of[i].name);
    if (c->n == before)
        return GD_OK;
    qsort(c->column[before], (size_t)(c->n - before), sizeof c->column[0], by_text);
    GD_TRY(read_file(c, &text, &bytes));
    s = rewrite(c, text ? text : "", text ? bytes : 0, c->n - before, INT64_MAX);
    gd_block_free(text);
    return s;
}

gd_status train_csv_add(train_csv *c, const gd_means *m)
{
    char row[MAX_COLUMNS * 32], *to = row;

    GD_TRY(add_columns(c, m));
    for (int i = 0; i < c->n; i++) {
        const double v = gd_means_get(m, c->column[i]);
        to += sprintf(to, "%s", i ? "," : "");
        if (v == v)
            to += sprintf(to, "%.10g", v);
    }
    to += sprintf(to, "\n");
    return gd_file_append(c->path, GD_OWN, row, (size_t)(to - row), false);
}

gd_status train_csv_sync(const train_csv *c)
{
    return gd_file_sync(c->path);
}

/* ---- reading a column, for the curve ---- */

gd_status train_csv_column(const train_csv *c, const char *name, double **values, int *n)
{
    const int k = column_of(c, name);
    size_t bytes = 0;
    char *text;

    *values = NULL;
    *n = 0;
    GD_TRY(read_file(c, &text, &bytes));
    if (text && k >= 0)
        *values = malloc((count_lines(text, bytes) + 1) * sizeof **values);
    if (text && k >= 0 && !*values) {
        gd_block_free(text);
        return gd_fail(GD_ENOMEM, "%s: out of memory", c->path);
    }
    for (char *at = text ? strchr(text, '\n') : NULL; *values && at && at[1];
         at = strchr(at + 1, '\n'))
        (*values)[(*n)++] = field(at + 1, k);
    gd_block_free(text);
    return GD_OK;
}
