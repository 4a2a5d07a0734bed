/* eval.h - what the files of guided eval share: options, the network, the two sets. */
#ifndef GD_JOBS_EVAL_H
#define GD_JOBS_EVAL_H

#include "jobs/jobs.h"
#include "eval/eval.h"

/* In the authors' order; each is also a word of --metrics */
typedef enum eval_metric {
    EVAL_IS,
    EVAL_FID,
    EVAL_SFID,
    EVAL_PR,
    EVAL_KID,
    EVAL_DC,
    EVAL_METRICS
} eval_metric;

typedef struct eval_options {
    const char *ref, *samples, *features, *inception, *metrics, *dialect, *fail_above, *cache,
        *json, *output;
    int threads, memory, batch, crop, images, bootstrap;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool pad, grey, half, overwrite, quiet;
} eval_options;

/* Where features come from */
typedef struct eval_network {
    gd_model *model;         /* --features; else the Inception network at `path` */
    const char *path;        /* NULL: none was found */
    char built_in[4096];     /* `path`, where --features is a built-in classifier */
    gd_extractor *extractor; /* for images of the size below */
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
} eval_side;

typedef struct eval_run {
    gd_dist *dist; /* ranks that share the images; the first compares and reports */
    bool first;
    eval_options o;
    job_words words;
    eval_network network;
    eval_side ref, samples;
    job_progress progress;
    gd_dialect dialect;
    bool wanted[EVAL_METRICS];
    double limit[EVAL_METRICS]; /* --fail-above; infinite: none */
    double fid, sfid;
    gd_manifold manifold;
    gd_kid kid;
    gd_deviations deviations;
    int64_t surveyed; /* images that the network or the cache saw */
    double start, seconds;
} eval_run;

extern const char *const eval_metric_names[EVAL_METRICS];

/* ---- eval.c ---- */

/* What only the first rank does, while the others wait for its end */
GD_CHECKED gd_status eval_alone(eval_run *r, gd_status (*work)(eval_run *r));

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
/* The network over the images of a side, as far as the metrics need it */
GD_CHECKED gd_status eval_survey(eval_run *r, eval_side *side);
bool eval_needs_images(const eval_run *r, const eval_side *side);
void eval_close(eval_side *side);

/* ---- eval_report.c ---- */

/* A --json file that may not be written is found before any work. */
GD_CHECKED gd_status eval_report_check(const eval_run *r);
GD_CHECKED gd_status eval_report(const eval_run *r);

/* ---- eval_stats.c: guided eval stats ---- */

GD_CHECKED gd_status eval_stats(eval_run *r);

#endif
