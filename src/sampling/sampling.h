/* SPDX-License-Identifier: MIT */
/* sampling.h - images from models: one stage (a model, its guide, its solver), and stacks of them.
 * Every client samples through it: sample, upsample, verify, large runs, training grids, benches,
 * the public API. */
#ifndef GD_SAMPLING_H
#define GD_SAMPLING_H

#include "diffusion/solver.h"
#include "nn/nn.h"

/* ---- stage.c: one model ready to sample ---- */

/* Everything that decides an image beside the models, its number and its label */
typedef struct gd_stage_options {
    const char *steps;   /* "250", "ddim25", "10,10,20"; NULL: the solver's own number */
    const char *sampler; /* a solver's name; NULL: ddim where steps begin with ddim, else ddpm */
    gd_solver_options solver; /* eta below 0: the solver's own */
    double scale;             /* of the classifier's gradient; below 0: the model's own */
    /* Guidance by another network (gd_guidance): an unconditional partner, a weaker model with the
     * same labels, or the model itself with the label null_class (below 1: none, as class 0 is no
     * null class) */
    const struct gd_model *uncond, *weaker;
    int null_class;
    double guidance_scale;                 /* 0: none */
    double guidance_rescale;               /* 0 to 1 */
    double guidance_low, guidance_high;    /* noise levels sigma / alpha; high 0: everywhere */
    int gradient_every;                    /* the classifier's gradient; 0 and 1: at every step */
    bool hold_gradient;                    /* the last one between them, not none */
    gd_threshold_kind threshold;           /* instead of clip, where it is dynamic */
    double threshold_ratio, threshold_max; /* 0: 0.995 and 1 */
    gd_skip skip;                          /* of solvers in continuous time */
    gd_sigma_spacing spacing;              /* of solvers in sigma space */
    double sigma_min, sigma_max, rho;      /* 0: the schedule's ends, 7 */
    bool clip, bf16;
    uint64_t seed;        /* of the run: an upsampler draws with a key of its own */
    double low_res_noise; /* standard deviation added to an upsampler's input */
} gd_stage_options;

typedef struct gd_stage {
    gd_stage_options o; /* texts are not read after gd_stage_open */
    const gd_model *model, *classifier;
    gd_schedule *schedule;
    gd_grid *grid;
    gd_schedule *branch_schedule; /* of gd_stage_branch */
    gd_grid *branch_grid;
    gd_engine *engine, *other; /* other: of guidance by another network */
    gd_trajectory trajectory;  /* before_step, after_step, step_ctx: the owner may set them */
    gd_torch_rng *torch;       /* the owner's, for its numbers; NULL: counter-based noise */
    int size, small, channels; /* small: of an upsampler's input, 0 otherwise */
    int classes;               /* labels are 0 .. classes - 1, of the model or what guides it */
    int64_t image, low_image;  /* elements */
    float *low_res, *noise;    /* blocks: an upsampler's input */
    int *gradient_steps;       /* block */
    double *levels; /* block: of iDDPM's preconditioner, to which noise levels are rounded */
    void *work;     /* block */
} gd_stage;

/* The solver of a sampler's name and of steps (either may be NULL), and *steps where it is NULL */
GD_CHECKED gd_status gd_stage_solver(const gd_solver **solver, const char **steps,
                                     const char *sampler);
/* For a network with a preconditioner: what its authors sample with, where both are NULL */
void gd_stage_defaults(const char **sampler, const char **steps, const gd_model *model);
/* Few network calls for a network for discrete steps that predicts the mean image: solver, steps,
 * spacing and threshold as guided sample names them, those that are NULL (docs/sampling.md says by
 * which study).  Spacing and threshold stay where the sampler is the caller's.  false: a network
 * with defaults of few calls already (gd_stage_defaults). */
bool gd_stage_fast(const char **sampler, const char **steps, const char **spacing,
                   const char **threshold, const gd_model *model);
/* Solver, schedule and noise levels: quick, nothing is loaded.  The models (classifier NULL:
 * unguided) must outlive the stage.  GD_EUSAGE: an option that cannot be; GD_EMISMATCH: a
 * classifier instead of a diffusion model.  Close it whatever happened. */
GD_CHECKED gd_status gd_stage_open(gd_stage *s, const gd_model *model, const gd_model *classifier,
                                   const gd_stage_options *options);
/* From network call `call` on another solver, with as many steps as are left, from the noise level
 * at which the first one stands; before gd_stage_prepare.  GD_EUSAGE: no step begins with that
 * call, or the solver cannot start there. */
GD_CHECKED gd_status gd_stage_branch(gd_stage *s, int call, const char *sampler);
void gd_stage_set_seed(gd_stage *s, uint64_t seed);
int gd_stage_calls(const gd_stage *s); /* network calls of an image */
/* Networks and memory for batches of at most `batch` images; nothing is allocated afterwards. */
GD_CHECKED gd_status gd_stage_prepare(gd_stage *s, int batch);
/* Images first .. first + n - 1.  low: [n][small][small][C] bytes, an upsampler's input, NULL for
 * others; labels [n], ignored by an unconditional stage; out: [n][C][size][size]. */
GD_CHECKED gd_status gd_stage_run(gd_stage *s, int64_t first, int n, const uint8_t *low,
                                  const int64_t *labels, float *out);
/* The same from a low-resolution image in [-1,1] as it is, [n][C][small][small] */
GD_CHECKED gd_status gd_stage_run_from(gd_stage *s, int64_t first, int n, const float *low_res,
                                       const int64_t *labels, float *out);
size_t gd_stage_bytes(const gd_stage *s); /* of memory that a prepared stage holds */
void gd_stage_close(gd_stage *s);

/* ---- words.c: options as people write them, with the command's names in messages ---- */

/* "0.28,1.61": noise levels sigma / alpha between which guidance acts */
GD_CHECKED gd_status gd_stage_interval(gd_stage_options *o, const char *text);
GD_CHECKED gd_status gd_stage_threshold(gd_stage_options *o, const char *word);
/* Of the noise levels of this solver.  GD_EUSAGE: it does not walk such levels, so that the option
 * would have no effect. */
GD_CHECKED gd_status gd_stage_spacing(gd_stage_options *o, const char *word,
                                      const gd_solver *solver);

/* ---- stack.c: a base model and the upsamplers behind it ---- */

enum { GD_MAX_STAGES = 5 };

typedef struct gd_stack {
    gd_stage stage[GD_MAX_STAGES]; /* 0: the base model; opened by the owner before prepare */
    int n_stages;
    int batch;                     /* most images of one call */
    float *picture[GD_MAX_STAGES]; /* blocks: of one batch, by stage */
    uint8_t *bytes;                /* block: what goes from stage to stage */
} gd_stack;

/* Stage k enlarges what stage k - 1 makes: GD_EMISMATCH where sizes, channels or labels do not fit;
 * stage 0 is no upsampler. */
GD_CHECKED gd_status gd_stack_check(const gd_stack *stack, int k);
int gd_stack_calls(const gd_stack *stack); /* network calls of an image, all stages together */
/* Memory for batches of at most `batch` images; nothing is allocated afterwards. */
GD_CHECKED gd_status gd_stack_prepare(gd_stack *stack, int batch);
/* Images first .. first + n - 1 with labels [n].  finished() gets each picture of each image: part
 * k by stage k, x [C][size][size]. */
typedef gd_status (*gd_picture_fn)(void *ctx, int64_t image, int64_t label, int part,
                                   const float *x);
GD_CHECKED gd_status gd_stack_run(gd_stack *stack, int64_t first, int n, const int64_t *labels,
                                  gd_picture_fn finished, void *ctx);
void gd_stack_close(gd_stack *stack);

#endif
