/* SPDX-License-Identifier: MIT */
/* extra.h - more that features of two sets tell: the distance without its bias, copies of training
 * images, diversity, classes by themselves. */
#ifndef GD_EVAL_EXTRA_H
#define GD_EVAL_EXTRA_H

#include "eval/eval.h"

/* ---- infinity.c: Chong & Forsyth 2020 ---- */

/* The Frechet distance of n samples is biased by a term in 1 / n: of subsets of n_k samples a line
 * over 1 / n_k is fitted, and `value` is where it meets 0. */
enum { GD_INFINITY_POINTS = 8 };
typedef struct gd_infinity {
    double value, error; /* of the intercept: its standard error from the residuals */
    double slope;        /* distance = value + slope / n */
    int64_t n[GD_INFINITY_POINTS];
    double distance[GD_INFINITY_POINTS];
} gd_infinity;
/* GD_EUSAGE: fewer than 16 samples */
GD_CHECKED gd_status gd_infinity_measure(gd_infinity *out, const gd_statistics *ref,
                                         const gd_features *samples, uint64_t seed);

/* ---- memorisation.c ---- */

/* A sample and its nearest reference image; ratio: their distance over that of the reference image
 * to its own nearest neighbour in its set.  Below 1 the sample is no authentic one (Alaa et
 * al. 2022). */
typedef struct gd_nearest_pair {
    int64_t sample, ref;
    double distance, ratio;
    /* With held-out images: the nearest of them, and `distance` over the distance to it */
    int64_t held;
    double held_ratio;
} gd_nearest_pair;
enum { GD_PAIRS = 8 };
typedef struct gd_memorisation {
    double authenticity; /* share of samples with a ratio above 1 */
    double median_ratio;
    bool has_held;
    double nearer_share; /* of samples with a held_ratio below 1 */
    double held_ratio;   /* its median */
    gd_nearest_pair
        pair[GD_PAIRS]; /* of the lowest ratios, held_ratios where they are, ascending */
    int n_pairs;
} gd_memorisation;
/* held: images that were not trained on, or NULL.  GD_EUSAGE: fewer than 2 reference images, no
 * held-out one */
GD_CHECKED gd_status gd_memorisation_measure(gd_memorisation *out, const gd_features *ref,
                                             const gd_features *held, const gd_features *samples);

/* ---- vendi.c: Friedman & Dieng 2023 ---- */

/* exp of the entropy of the eigenvalues of K / n, K the cosine similarities: between 1 (all alike)
 * and n (all orthogonal) */
GD_CHECKED gd_status gd_vendi_measure(double *out, const gd_features *set);

/* ---- per_class.c ---- */

typedef struct gd_class_scores {
    int64_t label, n_ref, n_samples;
    double distance;          /* Frechet, NAN with fewer than 2 images in a set */
    double precision, recall; /* NAN with fewer than 4 */
} gd_class_scores;
/* Labels of the rows, -1: none.  *out: [*n], a block, of the labels that both sets have, ascending
 */
GD_CHECKED gd_status gd_per_class_measure(gd_class_scores **out, int *n, const gd_features *ref,
                                          const int32_t *ref_label, const gd_features *samples,
                                          const int32_t *sample_label);

#endif
