/* SPDX-License-Identifier: MIT */
/* flight.h - one run of a sampler case: a solver on a grid with stored noise, all its states kept
 * and compared. */
#ifndef TESTS_GOLDEN_FLIGHT_H
#define TESTS_GOLDEN_FLIGHT_H

#include "diffusion/solver.h"
#include "golden.h"

enum { MOST_STATES = 512 };

/* What the discrete loops need beside a solver */
typedef struct flight_extra {
    gd_process process;
    gd_guidance guidance;
} flight_extra;

typedef struct flight {
    golden *g;
    json_t *run;
    const char *name;
    int images;
    int64_t count; /* elements of an image */
    gd_denoiser denoiser;
    gd_schedule *schedule; /* NULL in sigma space alone */
    gd_vp vp;              /* of a run in continuous time */
    gd_grid *grid;
    const float *start, *noise; /* [n][count]; [steps][n][count] */
    bool clipped;               /* predictions, in every run */
    bool clamped;               /* final images, to [-1, 1] */
    const int64_t *labels;      /* of all runs; NULL: as the run or the case lists them */
    const flight_extra *extra;  /* NULL: a continuous solver, unguided or by its classifier */
    int states;
    double *state[MOST_STATES]; /* [n][count] */
} flight;

/* JSON text, or `absent` */
const char *flight_text(json_t *o, const char *key, const char *absent);
/* By the names of the cases; unknown: the case has failed */
gd_sigma_spacing flight_spacing(golden *g, const char *name);
gd_time_kind flight_time_kind(golden *g, const char *name);
/* Images and noise of the case, its schedule where it has one; false: the case has failed */
bool flight_begin(flight *f, golden *g);
/* The options that every solver's run spells the same way */
gd_solver_options flight_options(const flight *f);
gd_threshold flight_threshold(const flight *f);
/* Labels of the run, or of the case; NULL: none */
const int64_t *flight_labels(const flight *f);
/* Runs and compares states, final images and calls */
void flight_run(flight *f, const gd_solver *solver, const gd_solver_options *options, double scale);
/* One number per outer point of the grid under WHAT.RUN, where the case has them */
typedef double (*flight_level_fn)(const flight *f, const gd_level *at);
void flight_compare_levels(flight *f, const char *what, flight_level_fn value, double absolute);
/* What the denoiser runs on: for every run of the case calls one(f, run, ctx) with
 * f->denoiser of the mixture, of the case's networks, or of shipped models */
typedef void (*flight_fn)(flight *f, double scale);
void flight_mixture(golden *g, flight_fn one);
void flight_networks(golden *g, flight_fn one);
void flight_shipped(golden *g, flight_fn one);

#endif
