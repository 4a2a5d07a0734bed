/* SPDX-License-Identifier: MIT */
/* mixture.h - the analytic prior of the sampler cases: sum_k w_k N(m_k, s_k^2 I), component k of
 * class c_k, with its exact denoiser in double. */
#ifndef TESTS_GOLDEN_MIXTURE_H
#define TESTS_GOLDEN_MIXTURE_H

#include "diffusion/solver.h"
#include "golden.h"

typedef struct mixture {
    int64_t components, count; /* elements of an image */
    const double *mean, *deviation, *weight;
    const int64_t *of_class;
} mixture;

/* Tensors in.gmm.*; false: one is missing, and the case has failed */
bool mixture_read(mixture *m, golden *g);
/* The exact prediction x0 [count] at x; label -1: all components */
void mixture_denoise(const mixture *m, const gd_level *at, int64_t label, const double *x,
                     double *x0);

/* A gd_denoiser over the mixture.  scale: of classifier or classifier-free guidance, which are one
 * formula on exact denoisers; guided false: by the labels given, or all components. */
typedef struct mixture_run {
    mixture m;
    bool guided;
    double scale;
    double other[4096]; /* [count]: the unconditional prediction */
} mixture_run;
gd_status mixture_predict(void *run, int n, const double *x, const gd_level *at, const int64_t *y,
                          double *x0);

#endif
