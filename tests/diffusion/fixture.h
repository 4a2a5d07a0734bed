/* SPDX-License-Identifier: MIT */
/* fixture.h - small arrays and processes for the tests of the diffusion layer. */
#ifndef TESTS_DIFFUSION_FIXTURE_H
#define TESTS_DIFFUSION_FIXTURE_H

#include "diffusion/solver.h"

enum { PIXELS = 48 }; /* elements of an image, channels included */

/* Repeatable numbers in [-scale, scale) */
void fixture_fill(float *out, int64_t n, float scale, unsigned seed);
/* Largest |a - b| */
double fixture_distance(const float *a, const float *b, int64_t n);
gd_schedule *fixture_schedule(const char *kind, const char *spacing);

/* One step of a solver of one image [PIXELS] at respaced step t: the network's output [2 * PIXELS],
 * the gradient (NULL: unguided) and the noise are given. */
typedef struct fixture_step {
    const gd_solver *solver;
    const gd_process *process;
    int t;
    double eta;
    const float *out, *gradient, *noise;
    const float *start;
    float x0[PIXELS]; /* the step's prediction, afterwards */
} fixture_step;
void fixture_run_step(fixture_step *step, float *x);

/* What a run tells its caller, in order: one draw and one announcement a step.  The callbacks' ctx
 * begins with it. */
typedef struct fixture_watch {
    const gd_trajectory *run;
    int draws, befores;
    int stop_at; /* the step before which the caller stops */
    bool ordered;
} fixture_watch;
void fixture_noise(void *ctx, int64_t first, int n, int step, float *out);
gd_status fixture_before_step(void *ctx, int64_t first, int n, int step, int n_steps);

#endif
