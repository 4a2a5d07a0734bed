/* SPDX-License-Identifier: MIT */
/* eval_report.c - what guided eval found: a table in the authors' order, or JSON. */
#include "jobs/eval.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

gd_status eval_report_check(const eval_run *r)
{
    const char *path = r->o.json;

    return path && *path ? gd_file_check(path, r->o.overwrite ? GD_OVERWRITE : GD_KEEP) : GD_OK;
}

static bool has_deviation(const eval_run *r, gd_error_bar bar)
{
    return bar == GD_BAR_MEASURED || bar == GD_BAR_SUBSETS ||
           (bar == GD_BAR_REDRAWN && r->o.bootstrap > 0);
}

/* Figures, and what is behind those of a metric after its last */
static void set_values(json_t *j, const eval_run *r)
{
    char key[64];

    for (eval_figure f = { 0 }; eval_next_figure(&f, r);) {
        json_object_set_new(j, f.key, gd_json_number(f.value));
        if (has_deviation(r, f.figure->bar)) {
            snprintf(key, sizeof key, "%s_deviation", f.key);
            json_object_set_new(j, key, gd_json_number(f.deviation));
        }
        if (f.last && f.metric->detail)
            f.metric->detail(j, f.result);
    }
    if (r->o.per_class)
        eval_classes_set(j, r);
}

static const char *origin(bool wanted, bool stored)
{
    return !wanted ? "none" : stored ? "stored" : "computed";
}

static void set_side(json_t *j, const eval_run *r, const eval_side *side, const char *name)
{
    char key[64];
    const unsigned needs = eval_needs(r);
    const bool wanted = needs & (GD_NEED_POOL | GD_NEED_SPATIAL);
    const bool stored = needs & GD_NEED_POOL ? side->pool_stored : side->spatial_stored;

    snprintf(key, sizeof key, "%s_images", name);
    json_object_set_new(j, key, json_integer(gd_images_count(side->images)));
    snprintf(key, sizeof key, "%s_statistics", name);
    json_object_set_new(j, key, json_string(origin(wanted, stored)));
    if (side->survey.kept == 0)
        return;
    snprintf(key, sizeof key, "%s_features", name);
    json_object_set_new(j, key, json_integer(side->survey.kept));
}

/* What the values rest on */
static void set_used(json_t *j, const eval_run *r)
{
    const eval_network *n = &r->network;
    const gd_comparison how = { .half = r->o.half, .fidelity = r->dialect->fidelity };

    json_object_set_new(j, "guided", json_string(GUIDED_VERSION));
    json_object_set_new(j, "network",
                        json_string(*n->vit    ? n->vit
                                    : n->model ? "classifier"
                                               : "inception"));
    if (n->extractor) {
        json_object_set_new(j, "features", gd_json_text(n->path));
        json_object_set_new(j, "features_format", json_string(gd_extractor_format(n->extractor)));
        json_object_set_new(j, "features_hash", json_string(n->hash));
    }
    json_object_set_new(j, "width", json_integer(n->shape.width));
    json_object_set_new(j, "dialect", json_string(r->dialect->name));
    if (r->o.ref) {
        json_object_set_new(j, "reference", gd_json_text(r->ref.path));
        set_side(j, r, &r->ref, "reference");
    }
    eval_protocol_set(j, r);
    json_object_set_new(j, "samples", gd_json_text(r->samples.path));
    set_side(j, r, &r->samples, "sample");
    if (r->o.held_out) {
        json_object_set_new(j, "held_out", gd_json_text(r->held.path));
        json_object_set_new(j, "held_out_images", json_integer(r->held.survey.kept));
    }
    for (int k = 0; k < gd_metric_count(); k++)
        if (r->wanted[k] && gd_metric_at(k)->basis)
            gd_metric_at(k)->basis(j, &r->result[k], &how);
    if (r->o.bootstrap > 0) {
        json_object_set_new(j, "bootstrap", json_integer(r->o.bootstrap));
        json_object_set_new(j, "seed", json_integer((json_int_t)r->o.seed));
    }
}

json_t *eval_report_object(const eval_run *r)
{
    json_t *j = json_object();

    if (j) {
        set_values(j, r);
        set_used(j, r);
    }
    return j;
}

gd_status eval_put_json(const eval_run *r, json_t *report)
{
    char *text = gd_json_dump(report, JSON_COMPACT);
    gd_status s = GD_OK;

    json_decref(report);
    if (!text)
        return gd_fail(GD_ENOMEM, "report: out of memory");
    const size_t n = strlen(text);
    if (!*r->o.json)
        s = job_print_line("%s", text);
    text[n] = '\n'; /* in the place of the zero */
    if (*r->o.json)
        s = gd_file_put(r->o.json, r->o.overwrite, text, n + 1);
    free(text);
    return s;
}

static void print_figure(const eval_figure *f)
{
    FILE *out = job_out();
    const bool more = !f->last && f->figure[1].beside;

    fprintf(out, f->figure->beside ? " (%s " : "%-16s ", f->name);
    fprintf(out, f->figure->format, f->value);
    if (f->deviation > 0)
        fprintf(out, " +- %.2g", f->deviation);
    if (f->figure->note)
        fprintf(out, " %s", f->figure->note);
    fprintf(out, "%s%s", f->figure->beside ? ")" : "", more ? "" : "\n");
}

static void print_table(const eval_run *r)
{
    for (eval_figure f = { 0 }; eval_next_figure(&f, r);) {
        if (f.name)
            print_figure(&f);
        if (f.last && f.metric->print)
            f.metric->print(job_out(), f.result);
    }
    if (r->n_classes > 0)
        eval_classes_print(r);
    if (*r->network.vit)
        fprintf(job_out(), "(features of %s, %s)\n", r->network.vit, r->network.path);
    if (r->network.model)
        fprintf(job_out(),
                "(features of %s: a classifier's, before its last projection, at t = 0; they "
                "compare with nothing else)\n",
                r->network.path);
}

void eval_report_cost(const eval_run *r)
{
    gd_log(GD_LOG_NOTE, "%lld images in %.1f s, peak memory %.0f MiB", (long long)r->surveyed,
           r->seconds, (double)gd_peak_bytes() / 1048576);
}

gd_status eval_report(const eval_run *r)
{
    if (r->o.json)
        GD_TRY(eval_put_json(r, eval_report_object(r)));
    if (!r->o.json || *r->o.json)
        print_table(r);
    if (!r->o.quiet)
        eval_report_cost(r);
    return GD_OK;
}
