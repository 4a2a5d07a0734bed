/* solver.h - sampling as a problem, and the solvers of it.
 *
 * A solver owns its loop: it walks a grid of noise levels, calls the denoiser where and as often as
 * its paper does, and keeps its history in local variables and buffers.  Guidance, thresholding,
 * progress, cancellation and previews live behind gd_evaluate, gd_denoise and gd_step_done.  The
 * state is double; networks get it as float. */
#ifndef GD_SOLVER_H
#define GD_SOLVER_H

#include "diffusion/diffusion.h"

/* ---- grid.c: the noise levels of a trajectory ---- */

/* x = alpha x_0 + sigma eps.  Variance preserving levels have alpha^2 + sigma^2 = 1; in sigma space
 * (Karras et al. 2022) alpha is 1. */
typedef struct gd_level {
    double alpha, sigma;
    double time; /* input of the network */
    int index;   /* step of the respaced schedule; -1: between its entries, or behind its end */
} gd_level;

/* From noise to image (an encoding solver's: from image to noise); the last level is where the
 * trajectory ends. */
struct gd_grid {
    int steps;
    gd_level level[]; /* [steps + 1] */
};

/* A block of `steps` levels and the end, all zero: for the functions that fill it. */
GD_CHECKED gd_status gd_grid_make(gd_grid **out, int steps);
/* Every step of the schedule from `first` (n - 1: all) down to 0, then the image; ascending: from 0
 * to `first`, then the level that follows it. */
GD_CHECKED gd_status gd_grid_discrete(gd_grid **out, const gd_schedule *schedule, int first,
                                      bool ascending);
void gd_grid_free(gd_grid *grid); /* NULL is fine */

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
    int calls;            /* of the networks so far */
    const gd_level *last; /* level of the latest call */
    /* of the latest gd_evaluate: the input as the networks had it [n], the raw output ([C] or [2C]
     * an image), and scale * grad log p(y | x) [n] */
    float *input, *out, *gradient;
    float *noise;                               /* [n], of the latest gd_draw */
    float *mean, *variance, *log_variance, *x0; /* [count] each: working space for one image */
    float *time;                                /* [images] */
    double *prediction;                /* [n] for gd_denoise's result, where a solver has one */
    double *buffer[GD_SOLVER_BUFFERS]; /* [n] each: as many as the solver declares */
};

/* One call of the networks at x [n]: fills input, out and gradient.  At levels that are not
 * variance preserving the networks get x / sqrt(alpha^2 + sigma^2). */
GD_CHECKED gd_status gd_evaluate(gd_problem *p, const gd_level *at, const double *x);
/* The predicted image x0 [n] at x, guided (Dhariwal & Nichol 2021, algorithm 2: eps - sigma grad)
 * and then clipped where the process says so.  One network call. */
GD_CHECKED gd_status gd_denoise(gd_problem *p, const gd_level *at, const double *x, double *x0);
/* Standard normal noise of step k >= 1 into p->noise.  Every step draws once, used or not, so that
 * a step's numbers do not depend on options. */
void gd_draw(gd_problem *p, int k);
/* Step k is finished: x [n] is checked (GD_EFAILED when not finite) and goes to after_step with its
 * prediction x0 [n]. */
GD_CHECKED gd_status gd_step_done(gd_problem *p, int k, const double *x, const double *x0);
bool gd_guided(const gd_problem *p); /* gd_problem.gradient is filled */

/* ---- the solvers ---- */

struct gd_solver {
    const char *name, *about;
    /* x [n]: the state at the grid's first level, replaced by that at its last */
    gd_status (*solve)(gd_problem *p, double *x);
    int buffers;             /* of gd_problem.buffer */
    int (*calls)(int steps); /* network calls on a grid of so many steps; NULL: one a step */
    bool takes_eta;          /* gd_solver_options.eta has an effect */
    bool ascends;            /* encodes: from image to noise */
};

#endif
