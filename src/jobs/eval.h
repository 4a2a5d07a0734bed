/* SPDX-License-Identifier: MIT */
/* eval.h - what the files of guided eval share: options, the network, the two sets. */
#ifndef GD_JOBS_EVAL_H
#define GD_JOBS_EVAL_H

#include "jobs/jobs.h"
#include "eval/eval.h"
#include "eval/lint.h"
#include "eval/metric.h"

typedef struct eval_options {
    const char *ref, *samples, *features, *inception, *metrics, *dialect, *fail_above, *cache,
        *json, *output, *vgg16, *card, *validation, *held_out;
    int threads, memory, batch, crop, images, bootstrap;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool pad, grey, half, overwrite, quiet, per_class;
} eval_options;

/* Where features come from */
typedef struct eval_network {
    gd_model *model;            /* --features; else the Inception network at `path` */
    const char *path;           /* NULL: none was found */
    char built_in[4096];        /* `path`, where --features is a built-in classifier */
    char vit[64];               /* name of the Vision Transformer of --features; "": another kind */
    gd_extractor *extractor;    /* for images of the size below */
    const gd_extractor *beside; /* the 2015 network of another dialect, or NULL */
    int height, width;
    gd_extractor_shape shape;
    char hash[33];
} eval_network;

typedef struct eval_side {
    const char *path;
    gd_images *images;
    gd_statistics pool, spatial; /* stored in the file, or computed */
    bool pool_stored, spatial_stored;
    gd_survey survey;
    gd_survey vgg16; /* features alone, for torch-fidelity's precision and recall */
} eval_side;

typedef struct eval_run {
    gd_dist *dist; /* ranks that share the images; the first compares and reports */
    bool first;
    eval_options o;
    job_words words;
    eval_network network;
    eval_side ref, samples;
    eval_side held; /* --held-out */
    job_progress progress;
    const gd_dialect *dialect; /* the first of --dialect */
    const gd_dialect *dialects[GD_MOST_VIEWS];
    int n_dialects;
    /* By gd_metric_index */
    bool wanted[GD_MAX_METRICS];
    double limit[GD_MAX_METRICS]; /* --fail-above; infinite: none */
    gd_measured result[GD_MAX_METRICS];
    bool has_frechet;         /* the Frechet distances are there already */
    bool measuring;           /* the progress of a metric is shown */
    gd_class_scores *classes; /* block: [n_classes] */
    int n_classes;
    int64_t surveyed; /* images that the network or the cache saw */
    double start, seconds;
} eval_run;

/* ---- eval.c ---- */

/* What only the first rank does, while the others wait for its end */
GD_CHECKED gd_status eval_alone(eval_run *r, gd_status (*work)(eval_run *r));

/* The sets are found and opened as options and words name them */
GD_CHECKED gd_status eval_open_both(eval_run *r);

/* ---- eval_metrics.c: which metrics are wanted, and their values ---- */

/* --metrics, or what the network that was found can measure */
GD_CHECKED gd_status eval_metrics_choose(eval_run *r);
/* --fail-above, of metrics that are wanted */
GD_CHECKED gd_status eval_limits_read(eval_run *r);
bool eval_wants(const eval_run *r, const gd_metric *m);
unsigned eval_needs(const eval_run *r); /* of all that is wanted: bits of gd_need */
/* What is wanted, from the surveys of both sides */
GD_CHECKED gd_status eval_measure(eval_run *r);
GD_CHECKED gd_status eval_check_limits(const eval_run *r);
/* The statistics of a side that a Frechet distance is measured between */
const gd_statistics *eval_statistics(const eval_side *side, gd_need kind);
gd_features eval_features(const eval_run *r, const eval_side *side);
void eval_forget_results(eval_run *r);

/* The figures of the metrics that are wanted, one after another; begin with { 0 } */
typedef struct eval_figure {
    const gd_metric *metric;
    const gd_measured *result;
    const gd_figure *figure;
    const char *key, *name; /* in features of this run's network; name NULL: in JSON alone */
    double value, deviation;
    bool last; /* of its metric */
    int next;
} eval_figure;
bool eval_next_figure(eval_figure *f, const eval_run *r);
double eval_figure_value(const eval_run *r, const char *key); /* NAN: not measured */

/* ---- eval_all.c: several dialects, each image read once ---- */

/* --dialect: names with commas, or all */
GD_CHECKED gd_status eval_dialects_read(eval_run *r);
GD_CHECKED gd_status eval_all(eval_run *r);

/* ---- eval_network.c ---- */

/* Finds the network that options, environment and data folder name; none is no error yet. */
GD_CHECKED gd_status eval_network_find(eval_run *r);
/* The message that says which file is missing */
GD_CHECKED gd_status eval_network_missing(void);
/* An extractor for images of the size of this side's */
GD_CHECKED gd_status eval_network_ready(eval_run *r, const eval_side *side);
void eval_network_close(eval_network *n);

/* ---- eval_sets.c ---- */

GD_CHECKED gd_status eval_open(eval_run *r, eval_side *side, const char *path);
/* What a survey of this side has to find; the statistics that it found become the side's */
gd_survey_options eval_survey_options(eval_run *r, const eval_side *side);
void eval_take_survey(eval_run *r, eval_side *side);
/* The network over the images of a side, as far as the metrics need it */
GD_CHECKED gd_status eval_survey(eval_run *r, eval_side *side);
bool eval_needs_images(const eval_run *r, const eval_side *side);
void eval_close(eval_side *side);

/* ---- eval_report.c ---- */

/* A --json file that may not be written is found before any work. */
GD_CHECKED gd_status eval_report_check(const eval_run *r);
GD_CHECKED gd_status eval_report(const eval_run *r);
struct json_t;
struct json_t *eval_report_object(const eval_run *r); /* NULL: out of memory */
void eval_report_cost(const eval_run *r);

/* ---- eval_classes.c: --per-class ---- */

GD_CHECKED gd_status eval_measure_classes(eval_run *r);
void eval_classes_set(struct json_t *j, const eval_run *r);
void eval_classes_print(const eval_run *r);

/* ---- eval_protocol.c: published references ---- */

void eval_protocol_say(const eval_run *r);
void eval_protocol_set(struct json_t *j, const eval_run *r);

/* ---- eval_card.c ---- */

/* FILE.html and FILE.json of finished runs, the first of which names the sets */
GD_CHECKED gd_status eval_card_check(const eval_run *r);
GD_CHECKED gd_status eval_card(const eval_run *r, const eval_run *run, int n);

/* ---- eval_compare.c: guided eval compare ---- */

GD_CHECKED gd_status eval_compare(eval_run *r);

/* ---- eval_lint.c: guided eval lint ---- */

GD_CHECKED gd_status eval_lint(eval_run *r);
/* ref: a set whose channels are compared, or NULL */
GD_CHECKED gd_status eval_lint_set(gd_lint *out, const char *path, const char *ref, bool quiet);
struct json_t *eval_lint_object(const gd_lint *lint, const char *path); /* NULL: out of memory */
/* Prints a report as --json wants it; takes `report`, NULL: out of memory */
GD_CHECKED gd_status eval_put_json(const eval_run *r, struct json_t *report);

/* ---- eval_ratio.c: --validation ---- */

GD_CHECKED gd_status eval_ratio(eval_run *r);

/* ---- eval_stats.c: guided eval stats ---- */

GD_CHECKED gd_status eval_stats(eval_run *r);

#endif
