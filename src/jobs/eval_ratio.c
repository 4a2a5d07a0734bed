/* SPDX-License-Identifier: MIT */
/* eval_ratio.c - FDr^k: in each of k representations the Frechet distance of the samples to the
 * training images over that of validation images to the same, and the mean of these ratios. */
#include "jobs/eval.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REF, SAMPLES, VALIDATION, SETS, MAX_NETWORKS = 16 };

typedef struct representation {
    char path[GD_MAX_PATH], name[64], hash[33];
    int width;
    double samples, validation; /* distances to the reference */
} representation;

typedef struct ratio_run {
    eval_run *r;
    const char *set[SETS];
    gd_images *images[SETS];
    representation network[MAX_NETWORKS];
    int n;
} ratio_run;

static gd_status split_features(ratio_run *t)
{
    for (const char *at = t->r->o.features; at && *at;) {
        const int n = (int)strcspn(at, ",");
        if (t->n == MAX_NETWORKS || n == 0 || n >= GD_MAX_PATH)
            return gd_fail(GD_EUSAGE, "--features %s: expected at most %d files, A,B,C",
                           t->r->o.features, MAX_NETWORKS);
        snprintf(t->network[t->n++].path, GD_MAX_PATH, "%.*s", n, at);
        at += n + (at[n] == ',');
    }
    return t->n > 0 ? GD_OK
                    : gd_fail(GD_EUSAGE, "--validation: no representation\nhint: --features A,B,C, "
                                         "files of DINOv2, CLIP, MAE, SigLIP2 or Inception");
}

static gd_status check_options(const ratio_run *t)
{
    const eval_options *o = &t->r->o;

    if (!o->ref || !o->samples)
        return gd_fail(GD_EUSAGE, "--validation: three sets are compared\nhint: --ref TRAIN "
                                  "--samples PATH --validation PATH");
    if (o->inception || o->metrics || o->fail_above || o->bootstrap || o->output)
        return gd_fail(GD_EUSAGE,
                       "--validation: measures ratios of Frechet distances alone, "
                       "without --%s\nhint: the 2015 network's file goes into --features",
                       o->inception    ? "inception"
                       : o->metrics    ? "metrics"
                       : o->fail_above ? "fail-above"
                       : o->bootstrap  ? "bootstrap"
                                       : "output");
    return GD_OK;
}

static gd_status open_sets(ratio_run *t)
{
    const gd_images_options o = { .channels = 3, .grey = t->r->o.grey, .crop = t->r->o.crop };

    GD_TRY(check_options(t));
    GD_TRY(split_features(t));
    if (t->r->first)
        GD_TRY(eval_report_check(t->r));
    for (int i = 0; i < t->n; i++)
        GD_TRY(
            gd_extractor_known(t->network[i].name, sizeof t->network[i].name, t->network[i].path));
    for (int k = 0; k < SETS; k++) {
        GD_TRY(gd_images_open(&t->images[k], t->set[k], &o));
        if (gd_images_count(t->images[k]) < 2)
            return gd_fail(GD_EFORMAT, "%s: %lld images, a covariance needs 2 or more", t->set[k],
                           (long long)gd_images_count(t->images[k]));
    }
    return GD_OK;
}

static gd_status tick(void *ctx, int64_t n)
{
    eval_run *r = ctx;

    for (int64_t i = 0; i < n; i++)
        job_progress_step(&r->progress);
    return gd_stop_wanted()
               ? gd_fail(GD_EINTERRUPTED, "stopped after %lld of %lld images%s",
                         (long long)r->progress.done, (long long)r->progress.total,
                         r->o.cache ? "\nhint: the same command goes on from there" : "")
               : GD_OK;
}

/* A network that takes images of the set's size */
static gd_status ready(ratio_run *t, gd_extractor **e, representation *network, int k)
{
    const int height = gd_images_height(t->images[k]), width = gd_images_width(t->images[k]);

    if (*e && gd_extractor_set_size(*e, height, width))
        return GD_OK;
    gd_extractor_free(*e);
    *e = NULL;
    GD_TRY(gd_extractor_open(e, network->path, t->r->o.batch, height, width));
    network->width = gd_extractor_get_shape(*e).width;
    return gd_extractor_hash(*e, network->hash);
}

static gd_status survey(ratio_run *t, gd_extractor **e, representation *network, int k,
                        gd_survey *out)
{
    const eval_options *o = &t->r->o;
    const gd_survey_options options = { .cache = o->cache,
                                        .tag = o->dialect,
                                        .batch = o->batch,
                                        .pool = true,
                                        .dist = t->r->dist,
                                        .tick = tick,
                                        .ctx = t->r };

    GD_TRY(gd_dist_agree(t->r->dist, ready(t, e, network, k), NULL));
    if (gd_images_count(t->images[k]) <= network->width && !o->quiet)
        gd_log(GD_LOG_NOTE,
               "%s: N = %lld images, fewer than the %d features of %s: the distance is biased (too "
               "high)",
               t->set[k], (long long)gd_images_count(t->images[k]), network->width, network->name);
    gd_images_rewind(t->images[k]);
    return gd_survey_run(out, *e, t->images[k], &options);
}

static gd_status distances(representation *network, const gd_survey *survey)
{
    const gd_statistics *a[2] = { &survey[SAMPLES].pool, &survey[VALIDATION].pool },
                        *b[2] = { &survey[REF].pool, &survey[REF].pool };
    double value[2];

    GD_TRY(gd_frechet_all(value, a, b, 2));
    network->samples = value[0];
    network->validation = value[1];
    return value[1] > 0 ? GD_OK
                        : gd_fail(GD_EFAILED,
                                  "%s: the validation images are at distance 0 from the "
                                  "reference: they are the same",
                                  network->name);
}

static gd_status measure(ratio_run *t, representation *network)
{
    gd_survey found[SETS] = { { 0 } };
    gd_extractor *e = NULL;
    gd_status s = GD_OK;

    for (int k = 0; k < SETS && s == GD_OK; k++)
        s = survey(t, &e, network, k, &found[k]);
    gd_extractor_free(e);
    if (s == GD_OK)
        s = gd_dist_agree(t->r->dist, t->r->first ? distances(network, found) : GD_OK, NULL);
    for (int k = 0; k < SETS; k++)
        gd_survey_free(&found[k]);
    return s;
}

/* ---- report ---- */

static double mean_ratio(const ratio_run *t)
{
    double sum = 0;

    for (int i = 0; i < t->n; i++)
        sum += t->network[i].samples / t->network[i].validation;
    return sum / t->n;
}

static json_t *report_of(const ratio_run *t)
{
    static const char *const names[SETS] = { "reference", "samples", "validation" };
    json_t *j = json_pack("{s:s, s:f}", "guided", GUIDED_VERSION, "fdr", mean_ratio(t)),
           *list = json_array();

    for (int k = 0; k < SETS; k++)
        json_object_set_new(j, names[k],
                            json_pack("{s:o, s:I}", "path", gd_json_text(t->set[k]), "images",
                                      (json_int_t)gd_images_count(t->images[k])));
    for (int i = 0; i < t->n; i++) {
        const representation *n = &t->network[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:s, s:i, s:f, s:f, s:f}", "network", n->name,
                                        "features", gd_json_text(n->path), "features_hash", n->hash,
                                        "width", n->width, "fd", n->samples, "fd_validation",
                                        n->validation, "ratio", n->samples / n->validation));
    }
    json_object_set_new(j, "representations", list);
    return j;
}

static void print_table(const ratio_run *t)
{
    fprintf(job_out(), "%-28s %14s %16s %10s\n", "", "FD of samples", "FD of validation", "ratio");
    for (int i = 0; i < t->n; i++) {
        const representation *n = &t->network[i];
        fprintf(job_out(), "%-28s %14.6f %16.6f %10.4f\n", n->name, n->samples, n->validation,
                n->samples / n->validation);
    }
    fprintf(job_out(), "%-28s %42.4f\n", t->n == 1 ? "FDr" : "FDr, mean of the ratios",
            mean_ratio(t));
}

static gd_status report(const ratio_run *t)
{
    if (t->r->o.json)
        GD_TRY(eval_put_json(t->r, report_of(t)));
    if (!t->r->o.json || *t->r->o.json)
        print_table(t);
    return GD_OK;
}

/* ---- all ---- */

static gd_status work(ratio_run *t)
{
    int64_t images = 0;

    GD_TRY(gd_dist_agree(t->r->dist, open_sets(t), NULL));
    for (int k = 0; k < SETS; k++)
        images += gd_images_count(t->images[k]);
    job_progress_start(&t->r->progress, "images", t->n * images, t->r->o.quiet);
    for (int i = 0; i < t->n; i++)
        GD_TRY(measure(t, &t->network[i]));
    job_progress_end(&t->r->progress);
    return gd_dist_agree(t->r->dist, t->r->first ? report(t) : GD_OK, NULL);
}

gd_status eval_ratio(eval_run *r)
{
    ratio_run *t;
    gd_status s;

    GD_TRY(gd_block_make(&t, sizeof *t, "ratios"));
    *t = (ratio_run){ .r = r, .set = { r->o.ref, r->o.samples, r->o.validation } };
    s = work(t);
    for (int k = 0; k < SETS; k++)
        gd_images_close(t->images[k]);
    gd_block_free(t);
    return s;
}
