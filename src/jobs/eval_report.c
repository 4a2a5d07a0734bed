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

static void set(json_t *j, const char *key, bool wanted, double value)
{
    if (wanted) /* JSON has no NaN */
        json_object_set_new(j, key, isfinite(value) ? json_real(value) : json_null());
}

static void set_values(json_t *j, const eval_run *r)
{
    const bool error = r->o.bootstrap > 0;
    const bool *w = r->wanted;

    set(j, "inception_score", w[EVAL_IS], r->samples.survey.inception_score);
    set(j, "inception_score_deviation", w[EVAL_IS] && error, r->deviations.inception_score);
    set(j, "fid", w[EVAL_FID], r->fid);
    set(j, "fid_deviation", w[EVAL_FID] && error, r->deviations.fid);
    set(j, "sfid", w[EVAL_SFID], r->sfid);
    set(j, "sfid_deviation", w[EVAL_SFID] && error, r->deviations.sfid);
    set(j, "precision", w[EVAL_PR], r->manifold.precision);
    set(j, "recall", w[EVAL_PR], r->manifold.recall);
    set(j, "kid", w[EVAL_KID], r->kid.mean);
    set(j, "kid_deviation", w[EVAL_KID], r->kid.deviation);
    set(j, "density", w[EVAL_DC], r->manifold.density);
    set(j, "coverage", w[EVAL_DC], r->manifold.coverage);
}

static const char *origin(bool wanted, bool stored)
{
    return !wanted ? "none" : stored ? "stored" : "computed";
}

static void set_side(json_t *j, const eval_run *r, const eval_side *side, const char *name)
{
    char key[64];
    const bool wanted = r->wanted[EVAL_FID] || r->wanted[EVAL_SFID];
    const bool stored = r->wanted[EVAL_FID] ? side->pool_stored : side->spatial_stored;

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

    json_object_set_new(j, "guided", json_string(GUIDED_VERSION));
    json_object_set_new(j, "network", json_string(n->model ? "classifier" : "inception"));
    if (n->extractor) {
        json_object_set_new(j, "features", gd_json_text(n->path));
        json_object_set_new(j, "features_format", json_string(gd_extractor_format(n->extractor)));
        json_object_set_new(j, "features_hash", json_string(n->hash));
    }
    json_object_set_new(j, "width", json_integer(n->shape.width));
    json_object_set_new(j, "dialect", json_string(r->o.dialect));
    if (r->o.ref) {
        json_object_set_new(j, "reference", gd_json_text(r->ref.path));
        set_side(j, r, &r->ref, "reference");
    }
    json_object_set_new(j, "samples", gd_json_text(r->samples.path));
    set_side(j, r, &r->samples, "sample");
    if (r->wanted[EVAL_IS])
        json_object_set_new(j, "inception_score_split", json_integer(GD_IS_SPLIT));
    if (r->wanted[EVAL_PR])
        json_object_set_new(j, "distances", json_string(r->o.half ? "float16" : "float32"));
    if (r->wanted[EVAL_KID])
        json_object_set_new(j, "kid_subset", json_integer(r->kid.subset));
    if (r->o.bootstrap > 0) {
        json_object_set_new(j, "bootstrap", json_integer(r->o.bootstrap));
        json_object_set_new(j, "seed", json_integer((json_int_t)r->o.seed));
    }
}

static gd_status put_json(const eval_run *r)
{
    json_t *j = json_object();
    char *text = NULL;
    gd_status s = GD_OK;

    if (j) {
        set_values(j, r);
        set_used(j, r);
        text = gd_json_dump(j, JSON_COMPACT);
        json_decref(j);
    }
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

static void row(const char *name, bool wanted, const char *format, double value, double deviation)
{
    if (!wanted)
        return;
    fprintf(job_out(), "%-16s ", name);
    fprintf(job_out(), format, value);
    if (deviation > 0)
        fprintf(job_out(), " +- %.2g", deviation);
    fprintf(job_out(), "\n");
}

static void print_table(const eval_run *r)
{
    const gd_deviations *d = &r->deviations;
    const bool *w = r->wanted;

    row("Inception Score", w[EVAL_IS], "%.6f", r->samples.survey.inception_score,
        d->inception_score);
    row("FID", w[EVAL_FID], "%.6f", r->fid, d->fid);
    row("sFID", w[EVAL_SFID], "%.6f", r->sfid, d->sfid);
    row("Precision", w[EVAL_PR], "%.4f", r->manifold.precision, 0);
    row("Recall", w[EVAL_PR], "%.4f", r->manifold.recall, 0);
    row("KID", w[EVAL_KID], "%.6g", r->kid.mean, r->kid.deviation);
    row("Density", w[EVAL_DC], "%.4f", r->manifold.density, 0);
    row("Coverage", w[EVAL_DC], "%.4f", r->manifold.coverage, 0);
    if (r->network.model)
        fprintf(job_out(),
                "(features of %s: a classifier's, before its last projection, at t = 0; they "
                "compare with nothing else)\n",
                r->network.path);
}

static void print_cost(const eval_run *r)
{
    gd_log(GD_LOG_NOTE, "%lld images in %.1f s, peak memory %.0f MiB", (long long)r->surveyed,
           r->seconds, (double)gd_peak_bytes() / 1048576);
}

gd_status eval_report(const eval_run *r)
{
    if (r->o.json)
        GD_TRY(put_json(r));
    if (!r->o.json || *r->o.json)
        print_table(r);
    if (!r->o.quiet)
        print_cost(r);
    return GD_OK;
}
