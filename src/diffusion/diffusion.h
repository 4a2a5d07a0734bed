/* SPDX-License-Identifier: MIT */
/* diffusion.h - the Gaussian diffusion process on plain float arrays, and the samplers.
 *
 * Source: docs/reference/diffusion.md; Ho et al. 2020; Nichol & Dhariwal 2021; Song et al. 2020
 * (DDIM); Dhariwal & Nichol 2021. Tables are float64; each looked-up value is rounded to float
 * before it touches an image, as the authors' code does. */
#ifndef GD_DIFFUSION_H
#define GD_DIFFUSION_H

#include "base/base.h"

/* ---- schedule.c ---- */

/* All tables have n entries, index = respaced step; original[i] is the step the network is given
 * (timestep_map). */
typedef struct gd_schedule {
    int n, n_train;
    bool rescale_timesteps;
    double *beta, *alpha_bar, *alpha_bar_prev, *alpha_bar_next;
    double *sqrt_alpha_bar, *sqrt_one_minus_alpha_bar, *log_one_minus_alpha_bar,
        *sqrt_recip_alpha_bar, *sqrt_recipm1_alpha_bar;
    double *posterior_variance, *posterior_log_variance; /* the latter clipped: entry 0 = entry 1 */
    double *posterior_mean_coef1, *posterior_mean_coef2; /* of x_0, of x_t */
    int *original;
} gd_schedule;

/* kind "linear", "cosine", or either with "-zero-snr": sqrt(alpha_bar) is shifted and scaled so
 * that the last step keeps nothing of the image (Lin et al. 2023, algorithm 1); n_train >= 1;
 * spacing "250", "ddim25", "leading50" (multiples of floor(n_train / 50)), "10,10,20", NULL or ""
 * keeps all. GD_EUSAGE: unknown kind (nearest name), a spacing that n_train cannot serve (the
 * message lists what it can). */
GD_CHECKED gd_status gd_schedule_make(gd_schedule **out, const char *kind, int n_train,
                                      const char *spacing, bool rescale_timesteps);
/* With these original steps, kept [n] ascending, n >= 2 */
GD_CHECKED gd_status gd_schedule_make_kept(gd_schedule **out, const char *kind, int n_train,
                                           const int *kept, int n, bool rescale_timesteps);
void gd_schedule_free(gd_schedule *schedule);
/* The kept original steps of `spacing`, ascending; *steps is malloc'ed by gd_block_make. */
GD_CHECKED gd_status gd_space_timesteps(int **steps, int *n, int n_train, const char *spacing);
/* What the network is given at respaced step i: original[i], times 1000 / n_train when
 * rescale_timesteps. */
float gd_schedule_model_t(const gd_schedule *schedule, int i);

/* ---- process.c: one reverse step's distribution (docs/reference/diffusion.md#reverse-step) ----
 */

typedef enum gd_mean_type {
    GD_MEAN_EPSILON,
    GD_MEAN_START_X,
    GD_MEAN_PREVIOUS_X,
    GD_MEAN_V /* alpha eps - sigma x_0 */
} gd_mean_type;
typedef enum gd_var_type {
    GD_VAR_LEARNED_RANGE,
    GD_VAR_LEARNED,
    GD_VAR_FIXED_LARGE,
    GD_VAR_FIXED_SMALL
} gd_var_type;

typedef struct gd_process {
    const gd_schedule *schedule;
    gd_mean_type mean_type;
    gd_var_type var_type;
    bool clip_denoised;
} gd_process;

/* x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise; n elements */
void gd_q_sample(const gd_process *p, int t, const float *x0, const float *noise, float *x_t,
                 int64_t n);
void gd_q_posterior_mean(const gd_process *p, int t, const float *x0, const float *x_t, float *mean,
                         int64_t n);
void gd_x0_from_eps(const gd_process *p, int t, const float *x_t, const float *eps, float *x0,
                    int64_t n);
void gd_x0_from_xprev(const gd_process *p, int t, const float *x_t, const float *xprev, float *x0,
                      int64_t n);
void gd_eps_from_x0(const gd_process *p, int t, const float *x_t, const float *x0, float *eps,
                    int64_t n);

/* p(x_{t-1} | x_t) of one image from the network's raw output.  out: [C or 2C][H*W] (2C when the
 * variance is learned), n = C*H*W. mean, variance, log_variance, x0: [n] each. */
void gd_p_mean_variance(const gd_process *p, int t, const float *x_t, const float *out, int64_t n,
                        float *mean, float *variance, float *log_variance, float *x0);
/* mean += variance * gradient  (gradient already times the scale) */
void gd_condition_mean(float *mean, const float *variance, const float *gradient, int64_t n);
/* DDIM form: x0 and mean from eps - sqrt(1 - alpha_bar) * gradient; x0 not clipped again */
void gd_condition_score(const gd_process *p, int t, const float *x_t, const float *gradient,
                        float *x0, float *mean, int64_t n);

/* ---- prediction.c: what a network predicts at x_t = alpha x_0 + sigma eps, element by element;
 * not of GD_MEAN_PREVIOUS_X ---- */

double gd_prediction_of(gd_mean_type type, double alpha, double sigma, double x0, double eps);
double gd_prediction_x0(gd_mean_type type, double alpha, double sigma, double x_t, double out);
double gd_prediction_eps(gd_mean_type type, double alpha, double sigma, double x_t, double out);

/* Weights of the squared error by the signal-to-noise ratio alpha_bar / (1 - alpha_bar) */
typedef enum gd_snr_weight_kind {
    GD_SNR_UNIFORM,
    GD_SNR_MIN, /* Hang et al. 2023: min(snr, gamma), for what the network predicts */
    GD_SNR_P2,  /* Choi et al. 2022: 1 / (k + snr)^gamma */
    GD_N_SNR_WEIGHTS
} gd_snr_weight_kind;
extern const char *const gd_snr_weight_names[GD_N_SNR_WEIGHTS];
typedef struct gd_snr_weight {
    gd_snr_weight_kind kind;
    double gamma, k;
} gd_snr_weight;
double gd_snr_weight_of(const gd_snr_weight *w, gd_mean_type type, double snr);

/* ---- gaussian.c: one element of the variational bound, in nats
 * (docs/reference/diffusion.md#training-losses, #discretised-likelihood) ---- */

typedef struct gd_bound_term {
    double value, d_mean, d_log_variance; /* slopes by the model's mean and log variance */
} gd_bound_term;
/* KL(N(true_mean, exp(true_lv)) || N(mean, exp(lv))) */
gd_bound_term gd_normal_kl(double true_mean, double true_lv, double mean, double lv);
/* The authors' approximation of the normal distribution function */
double gd_normal_cdf(double z, double *slope);
/* -log of the probability, at least 1e-12, that N(mean, exp(lv)) gives x's bin of 256 */
gd_bound_term gd_decoder_nll(double x, double mean, double lv);

/* ---- loss.c: the training losses (docs/reference/diffusion.md#training-losses) ---- */

typedef enum gd_loss_type {
    GD_LOSS_MSE,
    GD_LOSS_RESCALED_MSE, /* the bound of a learned variance times n / 1000: L_hybrid */
    GD_LOSS_KL,
    GD_LOSS_RESCALED_KL /* times n: the bound as a sum over all steps */
} gd_loss_type;

typedef struct gd_loss {
    double loss, mse, vb; /* vb in bits per dimension, scaled as the loss takes it */
    bool is_bound;        /* a KL loss: mse and vb have no meaning */
    bool has_vb;          /* the variance is learned */
} gd_loss;

/* Loss of one image at respaced step t and the gradient of weight * loss with respect to the
 * network's output.  by_snr weighs the squared error, not the bound.  x0, x_t, noise: [n], n =
 * C*H*W; out, gradient: [n], or [2n] with a learned variance.  p->clip_denoised is not looked at:
 * the losses never clip. */
void gd_training_loss(gd_loss *loss, float *gradient, const gd_process *p, gd_loss_type type,
                      const gd_snr_weight *by_snr, int t, const float *x0, const float *x_t,
                      const float *noise, const float *out, int64_t n, double weight);

/* ---- timestep_sampler.c: which steps a batch trains
 * (docs/reference/diffusion.md#timestep-samplers) ---- */

/* The authors' numbers */
enum { GD_LOSS_HISTORY = 10 };
#define GD_UNIFORM_SHARE 0.001
/* "uniform", or "loss-second-moment": by the last `length` losses of every step, once each has as
 * many; uniform_share of the probability stays uniform */
typedef struct gd_timestep_sampler {
    int n, length;
    double uniform_share;
    bool by_loss;
    double *history; /* [n][length], oldest first; by_loss only */
    int64_t *count;  /* [n] entries; by_loss only */
    double *probability;
} gd_timestep_sampler;
/* GD_EUSAGE for a name that is no kind */
GD_CHECKED gd_status gd_timestep_sampler_check(const char *kind);
/* GD_EUSAGE for another kind.  Free with gd_timestep_sampler_free whatever happened. */
GD_CHECKED gd_status gd_timestep_sampler_make(gd_timestep_sampler *out, const char *kind, int n,
                                              int length, double uniform_share);
void gd_timestep_sampler_free(gd_timestep_sampler *sampler);
void gd_timestep_sampler_weights(const gd_timestep_sampler *sampler, double *weights);
/* The step at which the cumulated probability passes u in [0, 1) */
int gd_timestep_sampler_draw(const gd_timestep_sampler *sampler, double u);
float gd_timestep_sampler_importance(const gd_timestep_sampler *sampler, int t); /* 1 / (n p_t) */
/* Remember an unweighted loss; probabilities change with the next refresh. */
void gd_timestep_sampler_update(gd_timestep_sampler *sampler, int t, double loss);
void gd_timestep_sampler_refresh(gd_timestep_sampler *sampler);

/* ---- solvers (solver.h): one file each ---- */

typedef struct gd_solver gd_solver;
typedef struct gd_grid gd_grid;
typedef struct gd_problem gd_problem;
struct gd_level;

extern const gd_solver gd_solver_ddpm, gd_solver_ddim, gd_solver_ddim_reverse, gd_solver_dpmpp_2m,
    gd_solver_dpmpp_3m, gd_solver_dpmpp_2s, gd_solver_dpmpp_3s, gd_solver_dpmpp_2m_sde,
    gd_solver_unipc_bh1_2, gd_solver_unipc_bh1_3, gd_solver_unipc_bh2_2, gd_solver_unipc_bh2_3,
    gd_solver_plms, gd_solver_consistency, gd_solver_heun, gd_solver_euler, gd_solver_dpm2,
    gd_solver_euler_ancestral, gd_solver_lms, gd_solver_dpmpp_2s_ancestral, gd_solver_dpmpp_3m_sde;
/* By the name that --sampler takes; NULL and GD_EUSAGE with the names there are otherwise. */
GD_CHECKED gd_status gd_solver_find(const gd_solver **out, const char *name);
int gd_solver_count(void); /* of those that can be found */
const gd_solver *gd_solver_at(int i);
const char *gd_solver_name(const gd_solver *solver);
const char *gd_solver_about(const gd_solver *solver);
const char *gd_solver_steps(const gd_solver *solver); /* the default */

/* What a solver can be given beside the grid; each reads those that mean something to it.  All
 * zero: as its authors set them. */
typedef struct gd_solver_options {
    double eta;  /* 0 deterministic, 1 ancestral */
    int order;   /* below the solver's own; 0: its own */
    bool taylor; /* DPM-Solver++: Taylor (k-diffusion's heun) form of second differences,
                    not the midpoint's */
    /* noise added before a step from a level in [churn_min, churn_max] (Karras et al. 2022,
     * algorithm 2); churn_max 0: no bound */
    double churn, churn_min, churn_max;
    double noise;          /* S_noise: scale of what noise is added; 0: 1 */
    int lower_order_below; /* grids of fewer steps end with lower orders; 0: the paper's, -1: none
                            */
    bool denoise_to_zero;  /* one more call: the prediction at the grid's end */
    bool keep_epsilon;     /* DDIM: epsilon stays the network's where x_0 is clipped (diffusers) */
} gd_solver_options;

/* What becomes of the predicted image before a solver uses it */
typedef enum gd_threshold_kind {
    GD_THRESHOLD_NONE,
    GD_THRESHOLD_CLIP,    /* to [-1,1] */
    GD_THRESHOLD_DYNAMIC, /* Saharia et al. 2022: to the quantile `ratio` of its magnitudes, at
                             least `most`, and divided by it */
    GD_THRESHOLD_DYNAMIC_CAPPED /* the quantile is at least 1 and at most `most` (diffusers) */
} gd_threshold_kind;
typedef struct gd_threshold {
    gd_threshold_kind kind;
    double ratio, most;
} gd_threshold;
/* x0: [count] of one image; sorted: [count], working space */
void gd_threshold_image(const gd_threshold *threshold, double *x0, int64_t count, double *sorted);

/* ---- problem.c: a whole trajectory ---- */

/* What a trajectory needs of the networks.  Each call handles a batch of `n` images,
 * [n][C][H][W].
 * predict: raw output. guide: gradient of sum log p(y|x_t) w.r.t. x, not yet scaled; NULL when
 * unguided.  denoise: NULL, or the predicted image itself at any noise level, in double, instead of
 * predict: preconditioned networks, and priors that are formulas. */
typedef struct gd_denoiser {
    void *ctx;
    int channels, height, width, out_channels;
    gd_status (*predict)(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out);
    gd_status (*guide)(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient);
    gd_status (*denoise)(void *ctx, int n, const double *x, const struct gd_level *at,
                         const int64_t *y, double *x0);
} gd_denoiser;

/* One image after one step of its solver, for whoever watches */
typedef struct gd_seen {
    int64_t image;
    int index;             /* in the batch */
    int call;              /* of the networks, from 1: the latest */
    double sigma;          /* noise level sigma / alpha of that call */
    const double *x0;      /* [C][H][W]: the predicted image, as the solver used it */
    const float *gradient; /* [C][H][W]: scale * grad log p(y | x) of that call; NULL: none */
} gd_seen;

/* What guidance adds to the denoiser and its classifier; all zero: nothing (guidance.c) */
typedef struct gd_guidance {
    /* eps = eps_other + scale (eps - eps_other): classifier-free guidance by a pair of networks or
     * the null class of one, or autoguidance by a worse network; NULL: none */
    const gd_denoiser *other;
    enum {
        GD_OTHER_NO_LABEL,   /* an unconditional network */
        GD_OTHER_NULL_CLASS, /* label null_class */
        GD_OTHER_SAME_LABEL
    } other_label;
    int64_t null_class;
    double scale;
    double rescale; /* share of the result that gets the conditional prediction's deviation */
    /* only at levels low < sigma / alpha <= high, the classifier too; high 0: everywhere */
    double low, high;
    /* the classifier's gradient is computed at these steps of the solver alone (0 the first);
     * between them it is held as it was, or left out.  NULL: at every step */
    const int *gradient_steps;
    int n_gradient_steps;
    bool hold_gradient;
} gd_guidance;

/* From network call `call` on the state goes on by another solver, along levels that begin at that
 * call's */
typedef struct gd_branch {
    int call; /* 1 ..; 0: never */
    const gd_solver *solver;
    gd_solver_options options;
    const gd_grid *grid;         /* the caller's */
    const gd_schedule *schedule; /* that its indices belong to, likewise */
} gd_branch;

typedef struct gd_trajectory {
    const gd_denoiser *denoiser;
    gd_process process;
    const gd_solver *solver;
    gd_solver_options options;
    double scale; /* of the classifier's gradient */
    gd_guidance guidance;
    gd_threshold threshold;
    const gd_grid *grid; /* noise levels, the caller's */
    gd_branch branch;
    /* fills noise of step k (0: the state at the first level, which an encoding solver reads as
     * the images; k: k-th step's) for images first .. first+n-1, [n][C][H][W]; asked for every
     * step, used or not */
    void (*noise)(void *ctx, int64_t first, int n, int step, float *out);
    void *noise_ctx;
    /* called before every network call; a status other than GD_OK stops the trajectory with it
     * (Ctrl-C).  May be NULL. */
    gd_status (*before_step)(void *ctx, int64_t first, int n, int step, int n_steps);
    /* called after every step of every image with its x and its predicted x_0, [C][H][W] each.  May
     * be NULL. */
    void (*after_step)(void *ctx, int64_t image, int step, const double *x, const double *x0);
    void (*watch)(void *ctx, const gd_seen *view); /* likewise */
    void *step_ctx;
} gd_trajectory;

int gd_trajectory_calls(const gd_trajectory *trajectory); /* network calls of an image */
/* Bytes of working memory gd_trajectory_run needs for a batch of n: one block, 64-byte aligned,
 * given by the caller. */
size_t gd_trajectory_bytes(const gd_trajectory *trajectory, int n);
/* Run all steps for images first .. first+n-1 with labels y[n]; x: [n][C][H][W] out.  No
 * allocation. GD_EFAILED "image I, step K of N (t = T): the image is not finite" when it is not; a
 * denoiser names its network's layer itself. */
GD_CHECKED gd_status gd_trajectory_run(const gd_trajectory *trajectory, int64_t first, int n,
                                       const int64_t *y, float *x, void *work);

/* ---- likelihood.c: bits per dimension (docs/reference/diffusion.md#bits-per-dimension) ---- */

typedef struct gd_step_noise {
    void (*draw)(void *ctx, int64_t first, int n, int step, float *out); /* as gd_trajectory's */
    void *ctx;
} gd_step_noise;
typedef struct gd_likelihood {
    double total, prior;           /* bits per dimension */
    double *vb, *xstart_mse, *mse; /* [n of the schedule], the caller's; entry k is t = n - 1 - k */
} gd_likelihood;
double gd_prior_bpd(const gd_process *process, const float *x0, int64_t n);
size_t gd_likelihood_bytes(const gd_denoiser *denoiser); /* of `work`, 64-byte aligned */
/* All terms for one image x0 [C][H][W] with label y[1] (NULL: none); step k takes noise k + 1 of
 * `image`.  GD_EFAILED when a term is not finite. */
GD_CHECKED gd_status gd_likelihood_run(gd_likelihood *out, const gd_denoiser *denoiser,
                                       const gd_process *process, const gd_step_noise *noise,
                                       int64_t image, const float *x0, const int64_t *y,
                                       void *work);

/* ---- precondition.c: the denoiser D(x; s) of every family
 * (docs/reference/networks.md#preconditioning; Karras et al. 2022, table 1; Song et al. 2023,
 * appendix C) ---- */

/* D(x; s) = c_skip x + c_out F(c_in x, time) predicts x_0 from x = x_0 + s noise; F: the network's
 * first `channels` outputs. */
typedef struct gd_scaling {
    double c_skip, c_out, c_in;
    double time;
} gd_scaling;

typedef struct gd_preconditioner gd_preconditioner;
struct gd_diffusion_config;
/* time_of: only for GD_PRECOND_STEPS (c_in 1 / sqrt(1 + s^2); c_skip 1 and c_out -s where the
 * network predicts epsilon): what the network is given at level s, and its ctx. */
GD_CHECKED gd_status gd_preconditioner_make(gd_preconditioner **out,
                                            const struct gd_diffusion_config *config,
                                            double (*time_of)(const void *ctx, double sigma),
                                            const void *time_ctx);
void gd_preconditioner_free(gd_preconditioner *p); /* NULL is fine */
/* GD_PRECOND_IDDPM: the levels of a file (gd_model_levels) instead of those that gd_edm_levels
 * computes, which differ from the authors' by rounding, at most 2e-5 of a level */
void gd_preconditioner_set_levels(gd_preconditioner *p, const float *levels);
gd_scaling gd_precondition(const gd_preconditioner *p, double sigma);
/* The level at which the network is really run: of iDDPM's preconditioner the nearest in its table,
 * of others sigma itself */
double gd_precondition_round(const gd_preconditioner *p, double sigma);
/* The levels that the network was made for; 0 and infinity: any */
void gd_precondition_range(const gd_preconditioner *p, double *sigma_min, double *sigma_max);

/* d = D(x; sigma) of n images [n][C][H][W], each at its own level, with labels y[n] or NULL.  work:
 * gd_predict_x0_bytes(net, n), 64-byte aligned.  x and d may be the same. */
size_t gd_predict_x0_bytes(const gd_denoiser *net, int n);
GD_CHECKED gd_status gd_predict_x0(const gd_denoiser *net, const gd_preconditioner *p, int n,
                                   const float *x, const double *sigma, const int64_t *y, float *d,
                                   void *work);

/* ---- upsampling.c ---- */

/* The key of an upsampler's noise in a run of `seed`; size: of the images it makes */
uint64_t gd_stage_seed(uint64_t seed, int size);
/* Conditioning augmentation: noise of its own step over low_res [n], keyed by a stage's seed.
 * noise: [n], working space. */
void gd_stage_disturb(float *low_res, float *noise, int64_t n, double deviation, uint64_t seed,
                      int64_t image);

/* uint8 = trunc(clamp((x + 1) * 127.5, 0, 255)), [C][H*W] float -> [H*W][C] bytes
 * (docs/reference/sampling.md#sampling-programs) */
void gd_to_uint8(uint8_t *out, const float *x, int channels, int64_t pixels);

/* ---- engine.c: the networks behind a denoiser ---- */

struct gd_model;
/* A diffusion model, and a classifier when guided, planned, packed and ready to run.  Results
 * depend neither on the batch nor on lanes: of a batch `lanes` images are worked on side by side,
 * each by one thread and with memory for its activations (one after the other where that is short);
 * with 1 all threads work on one image after the other.  GD_EMISMATCH when the classifier's image
 * size, channels or class count do not fit the model. */
typedef struct gd_engine gd_engine;
GD_CHECKED gd_status gd_engine_make(gd_engine **out, const struct gd_model *model,
                                    const struct gd_model *classifier, bool bf16, int lanes);
/* The arrangement that makes `images` of this size fastest: threads share the work on a small image
 * badly */
int gd_engine_lanes(int64_t images, int size);
void gd_engine_free(gd_engine *engine); /* NULL is fine */
const gd_denoiser *gd_engine_denoiser(const gd_engine *engine);
/* NULL: a network for discrete steps, whose denoiser has no `denoise` either */
const gd_preconditioner *gd_engine_preconditioner(const gd_engine *engine);
size_t gd_engine_bytes(const gd_engine *engine);
/* The low-resolution images that a super-resolution model enlarges: [n][C][h][w] in [-1,1],
 * borrowed, for the images that the next gd_trajectory_run makes, in its order. */
void gd_engine_set_low_res(gd_engine *engine, const float *low_res);
/* From here on the classifier's outputs for batches of at most `images` images are kept: logits
 * [classes] of image i of the latest batch; NULL and 0 where nothing is kept. */
GD_CHECKED gd_status gd_engine_keep_logits(gd_engine *engine, int images);
const float *gd_engine_logits(const gd_engine *engine, int i, int *classes);
/* What the model's configuration decides about the process
 * (docs/reference/diffusion.md#reverse-step) */
gd_mean_type gd_model_mean_type(const struct gd_model *model);
gd_var_type gd_model_var_type(const struct gd_model *model);
struct gd_diffusion_config;
gd_mean_type gd_config_mean_type(const struct gd_diffusion_config *config);
gd_var_type gd_config_var_type(const struct gd_diffusion_config *config);
gd_loss_type gd_config_loss_type(const struct gd_diffusion_config *config);

#endif
