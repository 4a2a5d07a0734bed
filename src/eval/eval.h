/* eval.h - how good a set of images is: FID, sFID, Inception Score, precision and recall, with KID,
 * density and coverage (spec/evaluation.md).
 *
 * Everything here has the same bits for any number of threads and any batch size: images keep their
 * index, sums run over chunks of fixed size in order of the index, tiles are bounded by shape. */
#ifndef GD_EVAL_H
#define GD_EVAL_H

#include "base/base.h"

/* ---- moments.c: mean and covariance, in one pass and in double ---- */

typedef struct gd_statistics {
    int width;
    int64_t count;      /* of samples; 0: not known (read from a file) */
    double *mean;       /* block: [width] */
    double *covariance; /* block: [width][width], divided by count - 1 */
} gd_statistics;
void gd_statistics_free(gd_statistics *s); /* zeroed is fine */

typedef struct gd_moments gd_moments;
GD_CHECKED gd_status gd_moments_make(gd_moments **out, int width);
/* rows: [n][width], the next n samples in order */
void gd_moments_add(gd_moments *m, const float *rows, int64_t n);
/* GD_EUSAGE with fewer than 2 samples, GD_EFAILED if one was not finite.  `out` then owns it. */
GD_CHECKED gd_status gd_moments_finish(gd_moments *m, gd_statistics *out);
void gd_moments_free(gd_moments *m); /* NULL is fine */

/* ---- frechet.c ---- */

/* |mu1 - mu2|^2 + Tr S1 + Tr S2 - 2 Tr (S1 S2)^(1/2), by symmetric eigenproblems on this thread */
GD_CHECKED gd_status gd_frechet(double *out, const gd_statistics *a, const gd_statistics *b);

/* ---- inception_score.c ---- */

enum { GD_IS_SPLIT = 5000 }; /* the authors' split_size */
typedef struct gd_inception_score gd_inception_score;
GD_CHECKED gd_status gd_inception_score_make(gd_inception_score **out, int classes, int64_t split);
/* logits (or logarithms of probabilities): [n][classes], the next n samples in order */
void gd_inception_score_add(gd_inception_score *s, const float *logits, int64_t n);
/* The mean over the splits of exp of the mean KL(p || split's mean p); 0 ln 0 counts as 0 */
double gd_inception_score_value(const gd_inception_score *s);
void gd_inception_score_free(gd_inception_score *s); /* NULL is fine */

/* ---- manifold.c: precision, recall, density, coverage ---- */

/* Features of a set: [count][width], borrowed */
typedef struct gd_features {
    const float *data;
    int64_t count;
    int width;
} gd_features;

typedef struct gd_manifold {
    double precision, recall; /* Kynkaanniemi et al. 2019, k = 3, squared distances, <= */
    double density, coverage; /* Naeem et al. 2020, k = 5, of `samples` in the manifold of `ref` */
    bool has_density;         /* both need 6 reference images */
} gd_manifold;
enum { GD_NEAREST = 6 }; /* a point itself and its 5 nearest neighbours */
/* Squared distances of each point to the nearest points of its own set, itself first, ascending:
 * out [count][GD_NEAREST], infinite where the set has fewer. half, tick: see below. */
typedef void gd_tick(void *ctx, double share);
GD_CHECKED gd_status gd_nearest_distances(float *out, const gd_features *set, bool half,
                                          gd_tick *tick, void *ctx);
/* half: the authors' float16 distances, block by block of 10,000, float32 where one overflows.
 * GD_EUSAGE: fewer than 4 points in a set. `tick` (may be NULL) is called now and then with the
 * share that is done, on this thread. */
GD_CHECKED gd_status gd_manifold_measure(gd_manifold *out, const gd_features *ref,
                                         const gd_features *samples, bool half, gd_tick *tick,
                                         void *ctx);

/* ---- kid.c ---- */

/* Binkowski et al. 2018: unbiased MMD^2 with kernel (x.y / d + 1)^3, mean and standard deviation
 * over 100 subsets of 1,000 (of the smaller set, where it has fewer) */
typedef struct gd_kid {
    double mean, deviation;
    int subset;
} gd_kid;
GD_CHECKED gd_status gd_kid_measure(gd_kid *out, const gd_features *ref,
                                    const gd_features *samples);

/* ---- extract.c: features by a classifier ---- */

struct gd_model;
typedef struct gd_extractor gd_extractor;
/* The activations before the classifier's last projection, at t = 0.  GD_EMISMATCH for a model of
 * another kind. */
GD_CHECKED gd_status gd_extractor_make(gd_extractor **out, const struct gd_model *classifier);
void gd_extractor_free(gd_extractor *e); /* NULL is fine */
int gd_extractor_width(const gd_extractor *e);
int gd_extractor_classes(const gd_extractor *e);
/* x: [C][S][S] in [-1,1] of one image; features: [width]; logits: [classes] */
void gd_extractor_run(gd_extractor *e, const float *x, float *features, float *logits);

#endif
