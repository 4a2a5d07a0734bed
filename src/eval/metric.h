/* SPDX-License-Identifier: MIT */
/* metric.h - the table of metrics: what --metrics takes, what each rests on and what it reports.
 * A metric is a file that defines gd_metric_NAME, and its name in GD_METRICS. */
#ifndef GD_EVAL_METRIC_H
#define GD_EVAL_METRIC_H

#include "eval/extra.h"

/* In the order of reports */
#define GD_METRICS(X)                                                                              \
    X(is)                                                                                          \
    X(fid)                                                                                         \
    X(sfid)                                                                                        \
    X(pr)                                                                                          \
    X(kid)                                                                                         \
    X(dc)                                                                                          \
    X(cmmd)                                                                                        \
    X(infinity)                                                                                    \
    X(memorisation)                                                                                \
    X(vendi)

enum { GD_MAX_METRICS = 24, GD_MAX_FIGURES = 3 };

/* What a metric rests on */
typedef enum gd_need {
    GD_NEED_POOL = 1,     /* mean and covariance of features, of both sets; a file may hold them */
    GD_NEED_SPATIAL = 2,  /* those of spatial features */
    GD_NEED_SCORE = 4,    /* class probabilities of the samples */
    GD_NEED_FEATURES = 8, /* features of the images of both sets */
    GD_NEED_UNIT_LENGTH = 16, /* features of length 1: CLIP's */
    GD_NEED_REFERENCE = GD_NEED_POOL | GD_NEED_SPATIAL | GD_NEED_FEATURES
} gd_need;

/* Where the standard error of a figure comes from */
typedef enum gd_error_bar {
    GD_BAR_NONE,
    GD_BAR_REDRAWN,           /* the bootstrap */
    GD_BAR_MEASURED,          /* the metric itself */
    GD_BAR_SUBSETS,           /* the deviation over 100 subsets, of which the figure is the mean */
    GD_BAR_SHARE_OF_SAMPLES,  /* a binomial share of the samples with features */
    GD_BAR_SHARE_OF_REFERENCE /* of the reference images */
} gd_error_bar;

/* A number of a report */
typedef struct gd_figure {
    const char *key, *name;               /* in JSON; in tables, NULL: in JSON alone */
    const char *vision_key, *vision_name; /* in features of a Vision Transformer; NULL: the same */
    const char *format;                   /* printf's, of a double */
    gd_error_bar bar;
    const char *note; /* printed behind it; NULL: none */
    bool minor;       /* not on cards, nor where reports are compared */
    bool beside;      /* printed in brackets on the line of the figure before it; minor */
    bool fidelity;    /* the dialect of torch-fidelity alone has it */
} gd_figure;

typedef struct gd_measured {
    double value[GD_MAX_FIGURES], deviation[GD_MAX_FIGURES]; /* deviation 0: none */
    void *more; /* block: what `detail`, `basis` and `print` report besides */
} gd_measured;

/* Two sets that are compared, and how */
typedef struct gd_comparison {
    gd_features ref, samples;
    const gd_statistics *ref_pool; /* NULL where GD_NEED_POOL is not wanted */
    const gd_survey *of_ref, *of_samples;
    gd_features held;         /* images that were not trained on */
    const gd_survey *of_held; /* NULL: there are none */
    bool half;                /* the authors' float16 distances */
    bool fidelity;            /* as torch-fidelity measures */
    uint64_t seed;
    gd_tick *tick; /* NULL: none */
    void *ctx;
    gd_manifold manifold; /* computed once, by gd_comparison_manifold */
    bool has_manifold;
} gd_comparison;

/* How a metric is measured in torch-fidelity's dialect */
typedef enum gd_in_fidelity {
    GD_FIDELITY_SAME,
    GD_FIDELITY_VGG16, /* in features of VGG16, left out without its weights */
    GD_FIDELITY_NONE   /* left out */
} gd_in_fidelity;

struct json_t;
typedef struct gd_metric {
    const char *word, *alias; /* of --metrics; alias may be NULL */
    const char *about;        /* "precision and recall" */
    unsigned needs;           /* gd_need */
    bool standard;  /* measured without --metrics, where the network has what the metric needs */
    bool has_limit; /* --fail-above takes it: smaller is better */
    const struct gd_metric *with; /* measured too; NULL: none */
    int least, least_ref;         /* images of samples, of the reference */
    const char *least_for;        /* what needs so many */
    gd_in_fidelity in_fidelity;
    gd_need frechet; /* the Frechet distance of these statistics, measured side by side with others;
                        0: `measure` */
    gd_status (*measure)(gd_measured *out, gd_comparison *c);
    gd_status (*redraw)(double *out, gd_redrawn *r); /* GD_BAR_REDRAWN without `frechet` */
    /* NULL: none.  Lists behind the figures, in JSON and as text; what they rest on */
    void (*detail)(struct json_t *report, const gd_measured *m);
    void (*print)(FILE *out, const gd_measured *m);
    void (*basis)(struct json_t *report, const gd_measured *m, const gd_comparison *c);
    gd_figure figure[GD_MAX_FIGURES]; /* key NULL: no more; the first is the metric's value */
} gd_metric;

#define GD_DECLARE_METRIC(name) extern const gd_metric gd_metric_##name;
GD_METRICS(GD_DECLARE_METRIC)
#undef GD_DECLARE_METRIC

int gd_metric_count(void);
const gd_metric *gd_metric_at(int i);
int gd_metric_index(const gd_metric *m);
/* By `length` letters of its word or alias; -1: none */
int gd_metric_find(const char *word, size_t length);
/* All words with commas between them */
void gd_metric_words(char *out, size_t size);
/* What it needs and features of this shape do not have: bits of gd_need */
unsigned gd_metric_missing(const gd_metric *m, const gd_extractor_shape *shape);

/* The standard error of a figure, from what was measured and the numbers of rows; NAN: none */
double gd_figure_error(const gd_figure *f, double value, double deviation, int64_t samples,
                       int64_t ref);

/* Precision, recall, density and coverage of these sets */
GD_CHECKED gd_status gd_comparison_manifold(const gd_manifold **out, gd_comparison *c);
/* The index in its set of the image of a row */
int64_t gd_image_of_row(const gd_survey *s, int64_t row);

#endif
