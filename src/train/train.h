/* SPDX-License-Identifier: MIT */
/* train.h - training diffusion models, upsamplers and noisy classifiers.
 *
 * learner.c holds a network's parameters and runs its forward and backward pass; objective.c turns
 * images into losses; trainer.c makes updates of them; checkpoint.c keeps a run; run.c is the whole
 * run of a folder.  Source: docs/reference/training.md. */
#ifndef GD_TRAIN_H
#define GD_TRAIN_H

#include "data/data.h"
#include "diffusion/diffusion.h"
#include "dist/dist.h"
#include "nn/nn.h"

/* ---- learner.c: parameters with their moments and averages, and the network of a microbatch ----
 */

typedef struct gd_learner_options {
    int microbatch;              /* images of one pass, >= 1 */
    bool accumulate;             /* gradients of several passes or ranks are summed */
    bool bf16;                   /* products in bfloat16; parameters stay float32 */
    bool recompute;              /* gradient checkpointing: less memory, more time */
    double beta1, beta2, eps;    /* of AdamW; 0: 0.9, 0.999, 1e-8 */
    double ema_rate[GD_MAX_EMA]; /* of the averages; n_ema may be 0 */
    int n_ema;
} gd_learner_options;

/* Flat arrays hold every parameter in state_dict order, without gaps. */
typedef struct gd_learner {
    gd_arena *mem;
    gd_model_config config;
    gd_learner_options options;
    gd_param_spec *spec;
    int64_t *offset; /* [n_param] into the flat arrays */
    int n_param;
    int64_t total;
    float *p, *m, *v, *ema[GD_MAX_EMA];
    int64_t updates; /* AdamW's count */
    struct gd_learner_network *network;
} gd_learner;

/* Fresh averages are copies of the parameters.  GD_ENOMEM states how much is needed. */
GD_CHECKED gd_status gd_learner_make(gd_learner **out, const gd_model_config *config,
                                     const gd_weights *weights, const gd_learner_options *options);
void gd_learner_free(gd_learner *l); /* NULL is fine */
size_t gd_learner_bytes(const gd_learner *l);
const gd_plan *gd_learner_plan(const gd_learner *l); /* of one pass, forward and backward */
gd_exec *gd_learner_exec(gd_learner *l);

/* One pass over at most options.microbatch images */
typedef struct gd_pass {
    int n;
    const float *x;       /* [n][C][H][W] */
    const float *t;       /* [n]: what the schedule tells the network */
    const int64_t *y;     /* [n], NULL: none */
    const float *low_res; /* [n][C][h][w], upsamplers only */
    const uint32_t *keys; /* [n][2], of the dropout; NULL where there is none */
} gd_pass;
/* out: [n][...] as the network gives it */
void gd_learner_forward(gd_learner *l, const gd_pass *pass, float *out);
/* Gradient of sum(out * dout) of the last forward pass; added to those since the last update when
 * accumulating */
void gd_learner_backward(gd_learner *l, int n, const float *dout);
int64_t gd_learner_out_count(const gd_learner *l); /* elements of one image's output */
/* NULL where the output does not depend on the parameter: it stays as it is */
const float *gd_learner_gradient(const gd_learner *l, int param);
/* All of them, [total] in the order of the parameters, to be changed before the update; only when
 * accumulating */
float *gd_learner_gradients(gd_learner *l);
/* sqrt of the sum of squares over all parameters; summed in an order fixed by shape */
double gd_learner_gradient_norm(const gd_learner *l);
/* Drop the gradients since the last update. */
void gd_learner_forget(gd_learner *l);
/* AdamW and the averages, then the network gets the new parameters.  *norm: of the parameters
 * before, like gd_learner_gradient_norm */
GD_CHECKED gd_status gd_learner_update(gd_learner *l, double lr, double weight_decay, double *norm);
/* After p was filled from a file */
GD_CHECKED gd_status gd_learner_refresh(gd_learner *l);
/* Name of the first layer whose result is not finite in the last pass; "" if none */
const char *gd_learner_probe(gd_learner *l);

/* ---- levels.c: losses at noise levels, of networks with a preconditioner ---- */

struct gd_train_batch;
typedef enum gd_level_loss {
    GD_LEVEL_EDM,         /* the image, at levels whose logarithm is normal */
    GD_LEVEL_DISTILL,     /* consistency distillation: one Heun step of the teacher */
    GD_LEVEL_CONSISTENCY, /* consistency training: no teacher */
    GD_LEVEL_PROGRESSIVE, /* two Euler steps of the teacher in one */
    GD_N_LEVEL_LOSSES
} gd_level_loss;
typedef enum gd_level_weight {
    GD_LEVEL_UNIFORM,
    GD_LEVEL_SNR, /* s^-2 */
    GD_LEVEL_SNR_PLUS_1,
    GD_LEVEL_KARRAS,        /* s^-2 + 1 / sigma_data^2 */
    GD_LEVEL_TRUNCATED_SNR, /* max(s^-2, 1) */
    GD_N_LEVEL_WEIGHTS
} gd_level_weight;
extern const char *const gd_level_loss_names[GD_N_LEVEL_LOSSES];
extern const char *const gd_level_weight_names[GD_N_LEVEL_WEIGHTS];
typedef struct gd_level_rule {
    gd_level_loss kind;
    gd_level_weight weight;
    bool absolute; /* |d|, not d^2 */
    int scales;    /* Karras' levels are so many points, of progressive distillation steps */
    double sigma_min, sigma_max, rho, sigma_data;
    const gd_preconditioner *form; /* of the network and its target */
    const gd_denoiser *target;     /* consistency losses */
    const gd_denoiser *teacher;    /* NULL: none; with a form of its own */
    const gd_preconditioner *teacher_form;
} gd_level_rule;
int gd_level_count(const gd_level_rule *r);                  /* batch.t is below it */
double gd_level_sigma(const gd_level_rule *r, double share); /* 0: sigma_max, 1: sigma_min */
double gd_level_weight_of(const gd_level_rule *r, double sigma);

/* One pass over n images: x_s and what the network's prediction there is compared with */
typedef struct gd_level_pass {
    double *sigma, *next, *last; /* [n]; next, last: of the teacher's steps */
    float *x, *target, *slope;   /* [n][C][H][W]; slope: working space of two */
    void *work;
} gd_level_pass;
GD_CHECKED gd_status gd_level_pass_make(gd_level_pass *out, const gd_level_rule *r, int n,
                                        int64_t count);
void gd_level_pass_free(gd_level_pass *p);
/* Fills sigma, x and target of a batch whose images have `count` elements. */
GD_CHECKED gd_status gd_level_prepare(const gd_level_pass *p, const gd_level_rule *r,
                                      const struct gd_train_batch *b, int64_t count);
/* One image's loss, a mean over its n elements, from the network's output `out`; gradient [n] of
 * weight * loss with respect to out */
double gd_level_loss_of(const gd_level_rule *r, const gd_scaling *c, double sigma, const float *x,
                        const float *target, const float *out, int64_t n, double weight,
                        float *gradient);

/* ---- follower.c: the network of an average of the parameters, without gradients ---- */

typedef struct gd_follower gd_follower;
/* values [total] in the order of the learner's parameters; both outlive it.  Passes of at most the
 * learner's microbatch */
GD_CHECKED gd_status gd_follower_make(gd_follower **out, const gd_learner *l, const float *values);
void gd_follower_free(gd_follower *f);                    /* NULL is fine */
GD_CHECKED gd_status gd_follower_refresh(gd_follower *f); /* after the values have changed */
const gd_denoiser *gd_follower_denoiser(gd_follower *f);
/* Dropout of the next pass: the learner's keys [n][2], or NULL */
void gd_follower_set_keys(gd_follower *f, const uint32_t *keys);

/* ---- objective.c: one update's images -> losses and gradients ---- */

/* What the values mean is the authors': means over the images, times the importance weights; _q0 to
 * _q3 over the quarters of the schedule (docs/reference/training.md#logs). */
enum { GD_MAX_MEANS = 32 };
typedef struct gd_means {
    struct {
        char name[32];
        double sum;
        int64_t count;
    } of[GD_MAX_MEANS];
    int n;
} gd_means;
void gd_means_add(gd_means *means, const char *name, double value);
void gd_means_merge(gd_means *means,
                    const gd_means *more); /* as if `more` had been added one by one */
double gd_means_get(const gd_means *means, const char *name); /* NaN: none */

typedef struct gd_objective {
    const gd_process *process; /* noise; clip_denoised is not looked at */
    gd_loss_type loss_type;    /* diffusion models */
    gd_snr_weight by_snr;
    const gd_level_rule *levels; /* losses at noise levels instead; NULL: at discrete steps */
    gd_follower *follower;       /* whose denoiser is levels->target; NULL: none */
    bool classifier;             /* cross-entropy of noised images instead */
    bool validation;             /* classifier: names begin with val_, no gradient */
} gd_objective;

/* At most a microbatch of images */
typedef struct gd_train_batch {
    int n;
    double share;            /* what an image's loss counts in the gradient, before its weight: 1
                                over the microbatch for a diffusion model (so that microbatches are
                                summed), 1 over the whole batch for a classifier */
    const float *x0, *noise; /* [n][C][H][W]; noise NULL: clean images (a classifier's), t = 0 */
    const int *t;            /* [n] respaced steps, or numbers of levels */
    const double *sigma;     /* [n] levels of GD_LEVEL_EDM */
    const float *weight;     /* [n] importance weights; NULL: 1 */
    const int64_t *y;        /* [n] or NULL */
    const float *low_res;    /* [n][C][h][w] or NULL */
    const uint32_t *keys;    /* [n][2], of the dropout, or NULL */
    double *loss;            /* [n] out, unweighted; NULL: not wanted */
} gd_train_batch;

/* The label that training sees: null_class where u, uniform in [0, 1), is below p */
int64_t gd_drop_label(int64_t label, double u, double p, int64_t null_class);

/* Forward and backward over one microbatch.  GD_EFAILED when a loss is not finite, with the first
 * bad layer's name; then there is no gradient. */
typedef struct gd_microbatch gd_microbatch;
/* levels: of the objective that it will run, NULL: none */
GD_CHECKED gd_status gd_microbatch_make(gd_microbatch **out, gd_learner *l,
                                        const gd_level_rule *levels);
void gd_microbatch_free(gd_microbatch *w); /* NULL is fine */
GD_CHECKED gd_status gd_microbatch_run(gd_microbatch *w, const gd_objective *objective,
                                       const gd_train_batch *batch, gd_means *means);

/* ---- options.c: the options of a run, kept in its checkpoints ---- */

typedef struct gd_train_options {
    int batch_size;     /* images of one update, over all ranks */
    int microbatch;     /* of one pass; 0: the whole batch */
    int64_t iterations; /* updates; 0: until stopped */
    double lr, weight_decay;
    bool anneal_lr;    /* to 0 at `iterations`, linearly */
    char ema_rate[64]; /* "0.9999", or several; "" : none */
    char schedule_sampler[32];
    char timestep_respacing[64]; /* the steps that are trained; "": all */
    bool noised;                 /* a classifier's images */
    char loss[16];               /* "steps", or one of gd_level_loss_names; "": steps */
    char loss_weight[16]; /* of gd_snr_weight_names, or gd_level_weight_names; "": the loss's own */
    char loss_norm[8];    /* of losses at levels: "l2", "l1"; "": l2 */
    double weight_gamma, weight_k; /* of min-snr and p2; gamma 0: the paper's */
    double label_dropout;          /* share of labels that become the last class, which is none */
    int scales;                    /* levels of cd and ct, steps of progdist */
    double target_ema;             /* of the target network of cd and ct, one of ema_rate */
    char teacher[1024];            /* of cd and progdist */
    bool random_flip, random_crop;
    bool pad;        /* gd_stream_options.pad */
    char labels[16]; /* "", "folder", "name", "none" */
    bool bf16, recompute;
    uint64_t seed;
    int64_t log_interval, save_interval, sample_interval, eval_interval; /* updates; 0: never */
    int64_t milestone_interval; /* checkpoints that are kept for ever; 0: none */
    int keep;                   /* the newest checkpoints that stay */
    bool save_pt;               /* the authors' files (pt_set.c) beside every checkpoint */
    char data[1024], val_data[1024];
} gd_train_options;

void gd_train_defaults(gd_train_options *o, gd_net_kind kind);
/* GD_EUSAGE names the option, its value and what is possible. */
GD_CHECKED gd_status gd_train_check(const gd_train_options *o, int ranks);
/* As JSON; free(*out).  GD_ENOMEM */
GD_CHECKED gd_status gd_train_options_json(const gd_train_options *o, struct json_t **out);
GD_CHECKED gd_status gd_train_options_read(gd_train_options *o, const struct json_t *json,
                                           const char *file);
/* "0.9999,0.999" -> rates and their texts; GD_EUSAGE for what is no rate from 0 to 1 */
typedef struct gd_averages {
    double rate[GD_MAX_EMA];
    char text[GD_MAX_EMA][16];
    int n;
} gd_averages;
GD_CHECKED gd_status gd_averages_read(gd_averages *out, const char *list);

/* ---- trainer.c: updates ---- */

/* Images by their position in an endless order that only the seed decides: the run at update k with
 * batch size B takes positions k*B to k*B + B - 1, whatever the ranks. */
typedef struct gd_source {
    /* images: [n][C][S][S] in [-1,1]; labels: [n], 0 where there are none */
    gd_status (*read)(void *ctx, int64_t position, int n, float *images, int64_t *labels);
    void *ctx;
} gd_source;

/* Draws of the caller instead of the trainer's own: timesteps t[n] and noise [n][C][S][S] of the
 * images first .. first + n - 1 of the update `step`.  They are taken pass by pass, and a pass's
 * losses are in the history of the timestep sampler before the next pass's weights, as in the
 * authors' program.  The trainer's own draws use the history before the update instead, so that
 * they do not depend on microbatches and ranks. */
typedef struct gd_draws {
    void (*pass)(void *ctx, int64_t step, int first, int n, int *t, float *noise);
    void *ctx;
} gd_draws;

typedef struct gd_trainer {
    gd_arena *mem;
    gd_train_options options;
    gd_averages averages;
    gd_model_config config;
    gd_learner *learner;
    gd_microbatch *pass;
    gd_schedule *schedule;
    gd_process process;
    gd_objective objective;
    struct gd_train_levels *levels; /* losses at noise levels; NULL: none */
    gd_timestep_sampler sampler;
    gd_source source, validation; /* validation.read NULL: none */
    gd_draws draws;               /* pass NULL: keyed by seed and position; alone only */
    gd_dist *dist;                /* of the caller; NULL: alone */
    int images, micro;            /* of an update that this rank has; of a whole microbatch */
    int wish;                     /* a gd_run_wish: this rank's before a step, the largest of all
                                     ranks' after it */
    int written_by;               /* ranks that made the checkpoint loaded; 0: none was */
    int64_t step;                 /* iterations begun and ended, skipped ones too */
    int64_t skipped;              /* updates that were not made: not finite */
    int skipped_in_row;
    gd_means means; /* since they were last written */
    struct gd_train_buffers *buffers;
} gd_trainer;

/* The loss is at noise levels: one of gd_level_loss_names */
bool gd_train_at_levels(const gd_train_options *o);
/* After parameters and averages were filled: the networks get them. */
GD_CHECKED gd_status gd_trainer_refresh(gd_trainer *t);

/* teacher: of cd and progdist, outlives the trainer; NULL: none.  weights: what training begins
 * with.  Of the ranks of `dist` each takes an equal share of every batch, a row of positions, and
 * makes the same updates; all make the trainer and its steps together.  GD_ENOMEM says how much is
 * needed, before anything is allocated, and which
 * --microbatch would fit. */
GD_CHECKED gd_status gd_trainer_make(gd_trainer **out, const gd_model_config *config,
                                     const gd_weights *weights, const gd_train_options *options,
                                     const gd_source *source, gd_dist *dist,
                                     const gd_model *teacher);
void gd_trainer_free(gd_trainer *t); /* NULL is fine */
/* One iteration.  A loss or gradient that is not finite makes no update: it is counted and
 * reported, and after ten in a row the call fails with GD_EFAILED. */
GD_CHECKED gd_status gd_trainer_step(gd_trainer *t);
/* The validation batch of this step: adds val_ means */
GD_CHECKED gd_status gd_trainer_validate(gd_trainer *t);
double gd_trainer_lr(const gd_trainer *t); /* of the next iteration */
/* Importance weights of the last update's images, [images] */
const float *gd_trainer_weights(const gd_trainer *t);
/* Rank 0's parameters, moments, averages and counters for all ranks: after it loaded them */
GD_CHECKED gd_status gd_trainer_share(gd_trainer *t);
/* All ranks have the same parameters: GD_EFAILED names step and ranks. */
GD_CHECKED gd_status gd_trainer_compare(const gd_trainer *t);
/* [planes][height][width] -> [planes][h][w]: what the authors make the low-resolution images with
 * (docs/reference/training.md#images).  An entry is the mean of the block of pixels it covers;
 * blocks overlap where the sizes are no multiples (PyTorch's adaptive average pooling). */
void gd_area_average(float *out, const float *x, int planes, int height, int width, int h, int w);

/* ---- checkpoint.c: everything of a run in one file ---- */

typedef struct gd_class_names {
    const char *const *name; /* NULL: none */
    int n;
} gd_class_names;
/* Atomic and durable (docs/reliability.md). */
GD_CHECKED gd_status gd_checkpoint_save(const gd_trainer *t, const char *path,
                                        const gd_class_names *classes);
uint64_t gd_checkpoint_bytes(const gd_trainer *t);
/* Options and configuration of a checkpoint, to make the trainer that gd_checkpoint_load fills */
GD_CHECKED gd_status gd_checkpoint_open(gd_bundle **out, const char *path,
                                        gd_train_options *options, gd_model_config *config);
GD_CHECKED gd_status gd_checkpoint_load(gd_trainer *t, const gd_bundle *bundle);
/* Of a checkpoint, or of the newest of a run's folder.  false: `path` is neither */
bool gd_checkpoint_step(const char *path, int64_t *step);

/* ---- pt_set.c: the authors' files, for their program or from it ---- */

/* FOLDER/opt000100.pt, ema_RATE_000100.pt, model000100.pt at step 100; each atomic, the model's
 * file last. */
GD_CHECKED gd_status gd_pt_set_save(const gd_trainer *t, const char *folder);
void gd_pt_set_remove(const gd_trainer *t, const char *folder, int64_t step);
/* The model's file: `path` itself, or that with the largest number in the folder `path`.  false:
 * neither */
bool gd_pt_set_find(char model[GD_MAX_PATH], const char *path);
/* A trainer that began with the weights of modelNNNNNN.pt takes the step from its name and averages
 * and moments from the files beside it, of runs with and without mixed precision.  GD_EFORMAT names
 * what is missing and the remedy.  Not in the files: the order of the data, the sampler's history.
 */
GD_CHECKED gd_status gd_pt_set_load(gd_trainer *t, const char *model);

/* ---- stream.c: a data set as an endless order of images ---- */

typedef struct gd_stream_options {
    int size, channels;
    uint64_t seed;
    bool random_crop, random_flip;
    bool pad;       /* images smaller than size get a black border instead of being enlarged */
    int batch;      /* images that are read at once; two of these are decoded ahead */
    int stride;     /* positions from one batch to the next: more than `batch` where other ranks
                       read those between; 0: batch */
    int workers;    /* threads that decode, >= 1 */
    double max_bad; /* share of the set that may be damaged before GD_EFORMAT */
} gd_stream_options;
typedef struct gd_stream gd_stream;
/* Every epoch has its own order, drawn from (seed, epoch); crops and flips from (seed, position).
 * Damaged images are named once in the log, and the next of the order stands in. */
GD_CHECKED gd_status gd_stream_open(gd_stream **out, const gd_dataset *set,
                                    const gd_stream_options *options);
void gd_stream_close(gd_stream *stream); /* NULL is fine */
gd_source gd_stream_source(gd_stream *stream);

/* ---- run.c: a whole run in its folder ---- */

typedef enum gd_run_wish { GD_RUN_ON, GD_RUN_SAVE, GD_RUN_STOP } gd_run_wish;
typedef struct gd_run_hooks {
    void *ctx;                                           /* any function may be NULL */
    gd_run_wish (*wish)(void *ctx);                      /* asked before every step */
    void (*stepped)(void *ctx, const gd_trainer *t);     /* after every step */
    void (*recorded)(void *ctx, const gd_trainer *t);    /* with t->means of the interval */
    gd_status (*sample)(void *ctx, const gd_trainer *t); /* every sample_interval steps */
} gd_run_hooks;

/* One trainer at a time in a folder: GD_EFAILED names the pid and host of the other.  The lock ends
 * with the process, however it ends. */
GD_CHECKED gd_status gd_run_lock(int *fd, const char *folder);
void gd_run_unlock(int fd);
/* GD_ENOSPACE when the checkpoints that are kept would not fit */
GD_CHECKED gd_status gd_run_check_space(const gd_trainer *t, const char *folder);
/* Iterations until options.iterations or a request to stop (GD_EINTERRUPTED, after saving).  Writes
 * progress.csv, TensorBoard events, loss.svg and checkpoints; the folder is there and locked.  With
 * several ranks rank 0 writes, a request of any rank holds for all after the step, and parameters
 * are compared every 100 steps and before each checkpoint. */
GD_CHECKED gd_status gd_run_train(gd_trainer *t, const char *folder, const gd_class_names *classes,
                                  const gd_run_hooks *hooks);

#endif
