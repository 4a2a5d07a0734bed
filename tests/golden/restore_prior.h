/* SPDX-License-Identifier: MIT */
/* restore_prior.h - what stands for the network in a case: stored outputs, an exact mixture, or a
 * network; and the exact denoiser of a mixture of normal distributions. */
#ifndef TESTS_RESTORE_PRIOR_H
#define TESTS_RESTORE_PRIOR_H

#include "restore_case.h"

/* sum_k w_k N(m_k, C_k), each C_k by its eigenvectors (rows) */
typedef struct restore_mixture {
    int k, n;
    double *weight, *mean, *vectors, *values; /* [k], [k][n], [k][n][n], [k][n] */
    double *share, *moved, *work;             /* [k], [k][n], [2n] */
    double alpha, sigma;                      /* of the latest restore_mixture_denoise */
} restore_mixture;
/* C [k][n][n] is destroyed and kept */
bool restore_mixture_make(golden *g, restore_mixture *m, int k, int n, double *weight, double *mean,
                          double *c);
/* x0 = E[x_0 | x = alpha x_0 + sigma z] */
void restore_mixture_denoise(restore_mixture *m, double alpha, double sigma, const double *x,
                             double *x0);
/* J^T c of the latest call; J is symmetric times alpha / sigma^2 */
void restore_mixture_vjp(restore_mixture *m, const double *c, double *g);

/* A prior whose calls are recorded */
typedef struct restore_prior {
    golden *g;
    gd_prior prior;
    gd_prior inner; /* of a network */
    restore_mixture mix;
    bool exact;            /* levels are sigma, states are not scaled */
    double **input, *time; /* of each call: [calls][n], [calls] */
    int calls, most;
    gd_schedule *schedule;
    gd_model *model, *classifier;
    gd_network_prior *network;
} restore_prior;
/* By config.net; false: the case has failed.  Release with restore_prior_free whatever happened. */
bool restore_prior_make(golden *g, restore_prior *p, bool gradient);
void restore_prior_free(restore_prior *p);

#endif
