/* SPDX-License-Identifier: MIT */
/* solver.h - sampling as a problem, and the solvers of it.
 *
 * A solver owns its loop: it walks a grid of noise levels, calls the denoiser where and as often as
 * its paper does, and keeps its history in local variables and buffers.  Guidance, thresholding,
 * progress, cancellation and previews live behind gd_evaluate, gd_denoise and gd_step_done.  The
 * state is double; networks get it as float. */
#ifndef GD_SOLVER_H
#define GD_SOLVER_H

#include "diffusion/diffusion.h"

#include <math.h>

/* ---- grid.c: the noise levels of a trajectory ---- */

/* x = alpha x_0 + sigma eps.  Variance preserving levels have alpha^2 + sigma^2 = 1; in sigma space
 * (Karras et al. 2022) alpha is 1. */
typedef struct gd_level {
    double alpha, sigma;
    double time; /* input of the network */
    int index;   /* step of the respaced schedule; -1: between its entries, or behind its end */
    int order;   /* singlestep solvers: calls of the step that begins here; 0 inside it */
} gd_level;

/* The network's time at a level of sigma space: the training step whose sigma / alpha it is */
typedef enum gd_time_kind {
    GD_TIME_LOG,         /* between entries linear in log sigma */
    GD_TIME_NEAREST_LOG, /* of the entry nearest in log sigma */
    GD_TIME_NEAREST,     /* of the entry nearest in sigma */
    GD_TIME_NONE         /* the denoiser needs sigma alone */
} gd_time_kind;
typedef struct gd_sigma_map {
    gd_time_kind kind;
    const gd_schedule *schedule; /* not respaced; not read by GD_TIME_NONE */
    /* where not NULL, levels are rounded to the nearest of these [n_levels], descending */
    const double *levels;
    int n_levels;
} gd_sigma_map;
gd_level gd_sigma_level(const gd_sigma_map *map, double sigma);
double gd_sigma_of(const gd_schedule *schedule, int i); /* sigma / alpha of an entry */

/* From noise to image (an encoding solver's: from image to noise); the last level is where the
 * trajectory ends. */
struct gd_grid {
    int steps;
    gd_sigma_map map; /* of a grid in sigma space, for levels between its own */
    double start;     /* the first state is unit noise times this */
    gd_level level[]; /* [steps + 1] */
};

/* A block of `steps` levels and the end, all zero: for the functions that fill it. */
GD_CHECKED gd_status gd_grid_make(gd_grid **out, int steps);
/* Every step of the schedule from `first` (n - 1: all) down to 0, then the image; ascending: from 0
 * to `first`, then the level that follows it. */
GD_CHECKED gd_status gd_grid_discrete(gd_grid **out, const gd_schedule *schedule, int first,
                                      bool ascending);
void gd_grid_free(gd_grid *grid); /* NULL is fine */

static inline double gd_lambda(const gd_level *at)
{
    return log(at->alpha / at->sigma); /* half the log of the signal-to-noise ratio */
}

/* ---- vp_grid.c: the schedule in continuous time (Lu et al. 2022, DPM-Solver, appendix D) ---- */

/* log alpha is linear in t between t_i = (i + 1) / n and goes on with the slopes of its ends.  The
 * noisy end is cut where lambda < -5.1, so that n may be less than the schedule's. */
typedef struct gd_vp {
    const gd_schedule *schedule; /* not respaced */
    int n;
    bool stretched; /* times as the authors' wrapper of ADM networks passes them: (t - 1/n) 1000 */
} gd_vp;
gd_vp gd_vp_make(const gd_schedule *schedule);
gd_level gd_vp_level(const gd_vp *vp, double t); /* t in (0, 1] */
double gd_vp_t(const gd_vp *vp, double lambda);
/* Where t lies, spread evenly over [end, start] in time, in lambda, in the square root of time */
typedef enum gd_skip { GD_SKIP_TIME, GD_SKIP_LOG_SNR, GD_SKIP_QUADRATIC } gd_skip;
/* t [steps + 1], descending from `start` to `end` */
void gd_vp_times(const gd_vp *vp, gd_skip skip, int steps, double start, double end, double *t);
/* t [steps + 1], descending */
GD_CHECKED gd_status gd_grid_vp_at(gd_grid **out, const gd_vp *vp, int steps, const double *t);
/* From t = 1 to 1 / n */
GD_CHECKED gd_status gd_grid_vp(gd_grid **out, const gd_vp *vp, gd_skip skip, int steps);
/* The same for a singlestep solver of this order that makes `calls` network calls */
GD_CHECKED gd_status gd_grid_singlestep(gd_grid **out, const gd_vp *vp, gd_skip skip, int calls,
                                        int order);
/* n entries of a schedule that is not respaced, in strides of n_train / n, then the image itself or
 * (to_first) the schedule's first entry */
GD_CHECKED gd_status gd_grid_strided(gd_grid **out, const gd_schedule *schedule, int n,
                                     bool to_first);

/* ---- diffusers_grid.c: the schedulers of Hugging Face's diffusers ---- */

typedef enum gd_diffusers_spacing {
    GD_DIFFUSERS_LINSPACE,
    GD_DIFFUSERS_LEADING,
    GD_DIFFUSERS_TRAILING
} gd_diffusers_spacing;
typedef struct gd_diffusers_grid {
    gd_diffusers_spacing spacing;
    bool clip;   /* entries with lambda < -5.1 are left out (lambda_min_clipped) */
    bool karras; /* Karras levels, whose times are rounded (of a cosine schedule: truncated) */
    bool truncate;
    bool end_first; /* the last level is the schedule's first entry, not the image */
} gd_diffusers_grid;
/* Variance preserving levels at integer times, of a schedule that is not respaced */
GD_CHECKED gd_status gd_grid_diffusers(gd_grid **out, const gd_schedule *schedule, int steps,
                                       const gd_diffusers_grid *how);

/* ---- sigma_grid.c: levels in sigma space ---- */

typedef enum gd_sigma_spacing {
    GD_SIGMA_KARRAS,      /* even in sigma^(1/rho) (Karras et al. 2022, eq. 5) */
    GD_SIGMA_EXPONENTIAL, /* even in log sigma */
    GD_SIGMA_VP,          /* even in the time of the VP process of Song et al. 2021 */
    GD_SIGMA_VE,          /* sigma^2 geometric, as their VE process */
    GD_SIGMA_IDDPM        /* entries of the table of Nichol & Dhariwal 2021 (Karras' table 1) */
} gd_sigma_spacing;
typedef struct gd_sigma_range {
    gd_sigma_spacing spacing;
    double min, max; /* 0: the spacing's own */
    double rho;      /* 0: 7 */
} gd_sigma_range;
enum { GD_IDDPM_LEVELS = 1001 };
void gd_iddpm_levels(double u[GD_IDDPM_LEVELS]);                    /* descending to 0 */
gd_sigma_range gd_sigma_range_settled(const gd_sigma_range *range); /* no zeros are left */
/* Levels of a consistency model's calls (Song et al. 2023: ts of steps): numbers at [n], ascending,
 * of Karras' `points`.  A call at each but the last, which decides how much noise stays. */
enum { GD_CONSISTENCY_POINTS = 40, GD_MAX_CONSISTENCY_CALLS = 64 };
typedef struct gd_consistency_calls {
    int points, n;
    int at[GD_MAX_CONSISTENCY_CALLS + 1];
} gd_consistency_calls;
/* "2": so many calls at even distances of 40 points; "0,22,39/40": the numbers and the points */
GD_CHECKED gd_status gd_consistency_calls_read(gd_consistency_calls *out, const char *steps);
GD_CHECKED gd_status gd_grid_consistency(gd_grid **out, const gd_sigma_range *range,
                                         const gd_consistency_calls *calls,
                                         const gd_sigma_map *map);
/* `steps` levels, then 0 */
GD_CHECKED gd_status gd_grid_sigma(gd_grid **out, const gd_sigma_range *range, int steps,
                                   const gd_sigma_map *map);

/* ---- problem.c: what a solver sees ---- */

enum { GD_SOLVER_BUFFERS = 8 };

/* One batch of images.  Arrays hold `images` images of `count` elements one after the other,
 * n = images * count elements in all. */
struct gd_problem {
    const gd_trajectory *run; /* process, solver's options, guidance */
    const gd_grid *grid;
    const int64_t *y; /* [images] labels, or NULL */
    int64_t first, count, n;
    int images;
    int calls;     /* of the networks so far */
    int begun;     /* steps drawn for before a branch, which draws on */
    int step;      /* of the solver, from 0: of the latest gd_draw */
    double *state; /* [n]: where the run begins and ends */
    bool branched; /* `state` and `last` are those at the branch's call, which was not made */
    gd_level last; /* of the latest call */
    bool guided;   /* the latest call has a gradient */
    bool holding;  /* gradient is that of an earlier call, to be held */
    /* of the latest gd_evaluate: the input as the networks had it [n], the raw output ([C] or [2C]
     * an image), and scale * grad log p(y | x) [n] */
    float *input, *out, *gradient;
    float *other;                               /* the other network's output, where there is one */
    float *noise;                               /* [n], of the latest gd_draw */
    float *mean, *variance, *log_variance, *x0; /* [count] each: working space for one image */
    float *time;                                /* [images] */
    double *prediction;                /* [n] for gd_denoise's result, where a solver has one */
    int64_t *other_y;                  /* [images] */
    double *other_x0;                  /* [n], where there is another network */
    double *sorted;                    /* [count]: working space of thresholding */
    double *buffer[GD_SOLVER_BUFFERS]; /* [n] each: as many as the solver declares */
};

/* One call of the networks at x [n]: fills input, out and gradient.  At levels that are not
 * variance preserving the networks get x / sqrt(alpha^2 + sigma^2). */
GD_CHECKED gd_status gd_evaluate(gd_problem *p, const gd_level *at, const double *x);
/* The predicted image x0 [n] at x, guided (Dhariwal & Nichol 2021, algorithm 2: eps - sigma grad)
 * and then thresholded.  One network call. */
GD_CHECKED gd_status gd_denoise(gd_problem *p, const gd_level *at, const double *x, double *x0);
/* Standard normal noise of step k >= 1 into p->noise.  Every step draws once, used or not, so that
 * a step's numbers do not depend on options. */
void gd_draw(gd_problem *p, int k);
/* Where the options ask for it, x becomes the prediction at the grid's last level: one more call.
 */
GD_CHECKED gd_status gd_denoise_to_zero(gd_problem *p, double *x);
/* Step k is finished: x [n] is checked (GD_EFAILED when not finite) and goes to after_step with its
 * prediction x0 [n]. */
GD_CHECKED gd_status gd_step_done(gd_problem *p, int k, const double *x, const double *x0);
bool gd_guided(const gd_problem *p); /* the latest call has a gradient */

/* ---- guidance.c ---- */

bool gd_guidance_active(const gd_guidance *guidance, const gd_level *at);
/* out [n] pushed away from other [n], one image's epsilon (or x_0) without learned variances */
void gd_guidance_combine(const gd_guidance *guidance, float *out, const float *other, int64_t n);
void gd_guidance_combine64(const gd_guidance *guidance, double *x0, const double *other, int64_t n);
/* The classifier's gradient is computed at this step. */
bool gd_gradient_due(const gd_guidance *guidance, int step);

/* ---- the solvers ---- */

/* What noise levels a solver walks */
typedef enum gd_grid_kind {
    GD_GRID_DISCRETE,   /* every step of the respaced schedule */
    GD_GRID_VP,         /* continuous time */
    GD_GRID_SINGLESTEP, /* continuous time, with the levels inside a step */
    GD_GRID_STRIDED,    /* every (n_train / n)-th step of the training schedule */
    GD_GRID_SIGMA,      /* sigma space */
    GD_GRID_CONSISTENCY /* the levels of a consistency model's calls */
} gd_grid_kind;

struct gd_solver {
    const char *name, *about;
    /* x [n]: the state at the grid's first level, replaced by that at its last */
    gd_status (*solve)(gd_problem *p, double *x);
    int buffers;                       /* of gd_problem.buffer */
    int (*calls)(const gd_grid *grid); /* of the networks; NULL: one a step */
    gd_grid_kind grid;
    int order;         /* of a singlestep solver */
    const char *steps; /* default; NULL: 250 */
    bool takes_eta;    /* gd_solver_options.eta has an effect */
    double eta;        /* default */
    bool ascends;      /* encodes: from image to noise */
};

#endif
