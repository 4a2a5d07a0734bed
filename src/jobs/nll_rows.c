/* SPDX-License-Identifier: MIT */
/* nll_rows.c - the table of guided nll. */
#include "jobs/nll.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char csv_header[] = "image,name,label,total_bpd,prior_bpd,vb,mse,xstart_mse\n";

/* Reads the numbers after the quoted name */
static bool read_csv(nll_row *row, const char *line)
{
    const char *at = strrchr(line, '"');

    return at && sscanf(at + 1, ",%*d,%lf,%lf,%lf,%lf,%lf", &row->total, &row->prior, &row->vb,
                        &row->mse, &row->xstart_mse) == 5;
}

static bool read_json(nll_row *row, const char *line, const char *path)
{
    double *const field[] = { &row->total, &row->prior, &row->vb, &row->mse, &row->xstart_mse };
    static const char *const key[] = { "total_bpd", "prior_bpd", "vb", "mse", "xstart_mse" };
    json_t *j;
    bool whole = true;

    if (gd_json_parse(&j, line, strlen(line), 2, path) != GD_OK)
        return false;
    for (int i = 0; i < COUNT(key); i++) {
        const json_t *v = json_object_get(j, key[i]);
        whole = whole && json_is_number(v);
        *field[i] = json_number_value(v);
    }
    json_decref(j);
    return whole;
}

/* Sums the numbers as printed, so that a resumed run has the same sums */
static bool take(nll_rows *r, const char *line)
{
    nll_row row = { 0 };

    if (r->json ? !read_json(&row, line, r->path ? r->path : "row") : !read_csv(&row, line))
        return false;
    r->sum.total += row.total;
    r->sum.prior += row.prior;
    r->sum.vb += row.vb;
    r->sum.mse += row.mse;
    r->sum.xstart_mse += row.xstart_mse;
    r->n++;
    return true;
}

static gd_status go_on(nll_rows *r, int64_t most)
{
    const size_t head = r->json ? 0 : sizeof csv_header - 1;
    char *text, *line, *end;
    size_t bytes;
    gd_status s = GD_OK;

    GD_TRY(gd_text_read(&text, &bytes, r->path));
    if (r->json ? *text && *text != '{' : strncmp(text, csv_header, head) != 0)
        s = gd_fail(GD_EFORMAT, "%s: not a table of guided nll", r->path);
    line = text + head;
    while (s == GD_OK && r->n < most && (end = strchr(line, '\n'))) {
        *end = '\0';
        const bool whole = take(r, line);
        *end = '\n';
        if (!whole)
            break;
        line = end + 1;
    }
    if (s == GD_OK)
        s = gd_file_put(r->path, GD_OVERWRITE, text, (size_t)(line - text));
    gd_block_free(text);
    return s;
}

gd_status nll_rows_open(nll_rows *r, const char *path, gd_replace replace, bool resume,
                        int64_t most)
{
    *r = (nll_rows){ .path = path };
    if (!path)
        return GD_OK;
    r->json = gd_ends_with(path, ".json") || gd_ends_with(path, ".jsonl");
    if (resume && gd_path_exists(path))
        return go_on(r, most);
    return gd_file_put(path, replace, csv_header, r->json ? 0 : sizeof csv_header - 1);
}

/* Only a malicious name contains quotes or line ends; the table uses both as separators. */
static int print_row(char *out, size_t size, const nll_row *row, bool json)
{
    char name[sizeof row->name];

    snprintf(name, sizeof name, "%s", row->name);
    for (char *at = name; *at; at++)
        *at = *at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '_' : *at;
    return snprintf(out, size,
                    json ? "{\"image\":%lld,\"name\":\"%s\",\"label\":%lld,\"total_bpd\":%.9g,"
                           "\"prior_bpd\":%.9g,\"vb\":%.9g,\"mse\":%.9g,\"xstart_mse\":%.9g}\n"
                         : "%lld,\"%s\",%lld,%.9g,%.9g,%.9g,%.9g,%.9g\n",
                    (long long)row->image, name, (long long)row->label, row->total, row->prior,
                    row->vb, row->mse, row->xstart_mse);
}

gd_status nll_rows_add(nll_rows *r, const nll_row *row)
{
    char text[1024];
    const int bytes = print_row(text, sizeof text, row, r->json);

    if (!take(r, text))
        return gd_fail(GD_EFAILED, "image %lld: the row cannot be read back",
                       (long long)row->image);
    return r->path ? gd_file_append(r->path, GD_OVERWRITE, text, (size_t)bytes, r->durable) : GD_OK;
}
