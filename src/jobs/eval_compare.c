/* SPDX-License-Identifier: MIT */
/* eval_compare.c - guided eval compare A.json B.json ..: reports and cards side by side, and which
 * differences are larger than their error bars. */
#include "jobs/eval.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { MOST = JOB_MAX_WORDS, MOST_BYTES = 64 << 20, DEPTH = 8 };

typedef struct report {
    const char *path;
    json_t *file, *one; /* the report of one dialect in it */
} report;

/* ---- reading ---- */

/* Of a card or of several dialects: that of `dialect`, NULL: the first */
static json_t *report_in(json_t *file, const char *dialect)
{
    json_t *list = json_object_get(file, "dialects");

    if (!list)
        return file;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(one, "dialect"));
        if (!dialect || (name && strcmp(name, dialect) == 0))
            return one;
    }
    return NULL;
}

static gd_status parse(report *to, const char *dialect)
{
    gd_mapped map;
    gd_status s;

    GD_TRY(gd_map_file(&map, to->path));
    s = map.bytes > MOST_BYTES
            ? gd_fail(GD_EFORMAT, "%s: too large for a report", to->path)
            : gd_json_parse(&to->file, (const char *)map.data, map.bytes, DEPTH, to->path);
    gd_unmap(&map);
    GD_TRY(s);
    to->one = report_in(to->file, dialect);
    if (!to->one)
        return gd_fail(GD_EFORMAT, "%s: holds no report of the dialect %s", to->path, dialect);
    if (!json_object_get(to->one, "guided") || !json_object_get(to->one, "samples"))
        return gd_fail(GD_EFORMAT,
                       "%s: no report of guided eval\nhint: --json FILE and --card write them",
                       to->path);
    return GD_OK;
}

/* ---- what may be compared ---- */

static const char *text_of(const report *r, const char *key)
{
    const char *text = json_string_value(json_object_get(r->one, key));

    return text ? text : "";
}

/* Figures that rest on other features or images are not comparable: said for each. */
static void check_protocol(const report *a, const report *b)
{
    static const struct {
        const char *key, *name;
    } same[] = { { "dialect", "dialects" },
                 { "features_hash", "weights of the network" },
                 { "reference", "references" },
                 { "distances", "precisions of distances" } };

    for (int i = 0; i < COUNT(same); i++)
        if (strcmp(text_of(a, same[i].key), text_of(b, same[i].key)) != 0)
            fprintf(job_out(), "not comparable: %s and %s have other %s (%s, %s)\n", a->path,
                    b->path, same[i].name, text_of(a, same[i].key), text_of(b, same[i].key));
    const json_int_t n = json_integer_value(json_object_get(a->one, "sample_images")),
                     m = json_integer_value(json_object_get(b->one, "sample_images"));
    if (n != m)
        fprintf(
            job_out(),
            "caution: %lld and %lld samples: FID, sFID, KID's and recall's bias depends on it\n",
            (long long)n, (long long)m);
}

/* A figure of the table, under one of its two keys */
typedef struct number {
    const gd_figure *figure;
    const char *key, *name;
} number;
enum { MAX_NUMBERS = GD_MAX_METRICS * GD_MAX_FIGURES * 2 };

static int list_numbers(number out[MAX_NUMBERS])
{
    int n = 0;

    for (int k = 0; k < gd_metric_count() * GD_MAX_FIGURES; k++) {
        const gd_figure *f = &gd_metric_at(k / GD_MAX_FIGURES)->figure[k % GD_MAX_FIGURES];
        if (!f->key || !f->name || f->minor)
            continue;
        out[n++] = (number){ f, f->key, f->name };
        if (f->vision_key)
            out[n++] = (number){ f, f->vision_key, f->vision_name };
    }
    return n;
}

/* The standard error that a report has of a number, or that follows from its counts; NAN: none */
static double error_of(const report *r, const number *k, double value)
{
    char key[64];
    const json_t *deviation;

    snprintf(key, sizeof key, "%s_deviation", k->key);
    deviation = json_object_get(r->one, key);
    return gd_figure_error(k->figure, value, deviation ? json_number_value(deviation) : NAN,
                           json_integer_value(json_object_get(r->one, "sample_features")),
                           json_integer_value(json_object_get(r->one, "reference_features")));
}

/* The error of a difference; not hypot, whose newest version would ask wheels for glibc 2.35 */
static double both(double a, double b)
{
    return sqrt(a * a + b * b);
}

static const char *verdict(double difference, double error)
{
    const double times = 2; /* standard deviations of the difference */

    if (!isfinite(error))
        return "no error bar (--bootstrap N)";
    return fabs(difference) > times * error ? "exceeds the error bars" : "within the error bars";
}

/* ---- the table ---- */

static void print_number(const report *r, int n, const number *k)
{
    double value[MOST] = { 0 }, deviation[MOST];
    bool has[MOST], any = false;

    for (int i = 0; i < n; i++) {
        const json_t *x = json_object_get(r[i].one, k->key);
        has[i] = json_is_number(x);
        any |= has[i];
        value[i] = json_number_value(x);
        deviation[i] = error_of(&r[i], k, value[i]);
    }
    if (!any)
        return;
    fprintf(job_out(), "%-16s", k->name);
    for (int i = 0; i < n; i++) {
        char text[64] = "-";
        if (has[i] && isfinite(deviation[i]))
            snprintf(text, sizeof text, "%.5g +- %.2g", value[i], deviation[i]);
        else if (has[i])
            snprintf(text, sizeof text, "%.5g", value[i]);
        fprintf(job_out(), " %20s", text);
    }
    for (int i = 1; i < n; i++)
        if (has[0] && has[i])
            fprintf(job_out(), "   %+.4g: %s", value[i] - value[0],
                    verdict(value[i] - value[0], both(deviation[0], deviation[i])));
    fprintf(job_out(), "\n");
}

static void print_table(const report *r, int n)
{
    number numbers[MAX_NUMBERS];
    const int n_numbers = list_numbers(numbers);

    fprintf(job_out(), "%-16s", "");
    for (int i = 0; i < n; i++)
        fprintf(job_out(), " %20.20s", text_of(&r[i], "samples"));
    fprintf(job_out(), "\n");
    for (int k = 0; k < n_numbers; k++)
        print_number(r, n, &numbers[k]);
    for (int i = 1; i < n; i++)
        check_protocol(&r[0], &r[i]);
}

static json_t *difference(const report *a, const report *b)
{
    json_t *j = json_object();
    number numbers[MAX_NUMBERS];
    const int n_numbers = list_numbers(numbers);

    for (int k = 0; k < n_numbers; k++) {
        const json_t *x = json_object_get(a->one, numbers[k].key),
                     *y = json_object_get(b->one, numbers[k].key);
        if (!json_is_number(x) || !json_is_number(y))
            continue;
        const double u = json_number_value(x), v = json_number_value(y);
        const double error = both(error_of(a, &numbers[k], u), error_of(b, &numbers[k], v));
        json_t *row = json_pack("{s:f,s:f,s:f}", "first", u, "other", v, "difference", v - u);
        json_object_set_new(row, "error", gd_json_number(error));
        json_object_set_new(row, "exceeds",
                            isfinite(error) ? json_boolean(fabs(v - u) > 2 * error) : json_null());
        json_object_set_new(j, numbers[k].key, row);
    }
    return j;
}

static gd_status put_json(const eval_run *r, const report *of, int n)
{
    json_t *list = json_array();

    for (int i = 1; i < n; i++) {
        json_t *j = difference(&of[0], &of[i]);
        json_object_set_new(j, "report", gd_json_text(of[i].path));
        json_array_append_new(list, j);
    }
    return eval_put_json(
        r, json_pack("{s:o,s:o}", "report", gd_json_text(of[0].path), "compared", list));
}

gd_status eval_compare(eval_run *r)
{
    const char *dialect = strcmp(r->o.dialect, "adm") == 0 ? NULL : r->o.dialect;
    const int n = r->words.n_words - 1;
    report of[MOST] = { { 0 } };
    gd_status s = GD_OK;

    if (n < 2)
        return gd_fail(GD_EUSAGE, "eval compare: two reports or more are compared\nhint: guided "
                                  "eval compare a.json b.json");
    GD_TRY(eval_report_check(r));
    for (int i = 0; i < n && s == GD_OK; i++) {
        of[i].path = r->words.word[i + 1];
        s = parse(&of[i], dialect);
    }
    if (s == GD_OK && r->o.json)
        s = put_json(r, of, n);
    if (s == GD_OK && (!r->o.json || *r->o.json))
        print_table(of, n);
    for (int i = 0; i < n; i++)
        json_decref(of[i].file);
    return s;
}
