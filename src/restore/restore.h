/* SPDX-License-Identifier: MIT */
/* restore.h - diffusion models as image priors: measurement operators, noise, metrics, solvers.
 *
 * Images are double [C][H][W] in [-1, 1], one at a time; everything here works in double, because a
 * pseudo-inverse and an unclipped x0 lose too much in float.  An operator may be used by one thread
 * at a time (it owns its working memory). */
#ifndef GD_RESTORE_H
#define GD_RESTORE_H

#include "diffusion/solver.h"
#include "nn/nn.h"

typedef struct gd_shape {
    int c, h, w;
} gd_shape;
static inline int64_t gd_shape_count(gd_shape s)
{
    return (int64_t)s.c * s.h * s.w;
}

/* ---- operator.c: what every measurement operator can do ---- */

typedef struct gd_operator gd_operator;

/* A function of a singular value, 0 for the null space */
typedef double (*gd_gain)(void *ctx, double s);

/* A's text is NAME, NAME:VALUE or NAME:VALUE:KEY=VALUE...; several with commas between are applied
 * from left to right.  `image` is the shape of A's input.  Random masks are drawn with `seed`.
 * GD_EUSAGE: unknown name (nearest name), unknown or missing value, a value that does not fit the
 * image. */
GD_CHECKED gd_status gd_operator_parse(gd_operator **out, const char *text, gd_shape image,
                                       uint64_t seed);
void gd_operator_free(gd_operator *op); /* NULL is fine */

/* How many times larger than the measurement an image is, by the text alone: 4 for "box_down:4".
 * 0: the text does not decide it (phase, hadamard). */
GD_CHECKED gd_status gd_operator_factor(int *out, const char *text);

const char *gd_operator_name(const gd_operator *op);
gd_shape gd_operator_image(const gd_operator *op);
gd_shape gd_operator_measurement(const gd_operator *op);
bool gd_operator_linear(const gd_operator *op);
bool gd_operator_has_pinv(const gd_operator *op);
bool gd_operator_has_spectrum(const gd_operator *op);
/* The largest singular value; of a non-linear operator the largest of its Jacobians' */
double gd_operator_norm(const gd_operator *op);
/* Pixels [H][W] that an inpainting operator keeps; NULL for other operators */
const uint8_t *gd_operator_mask(const gd_operator *op);

void gd_operator_apply(const gd_operator *op, const double *x, double *y);
/* g = A^T w; of a non-linear operator the vector-Jacobian product at x (else x may be NULL) */
void gd_operator_adjoint(const gd_operator *op, const double *x, const double *w, double *g);
/* x = A^+ y; see gd_operator_has_pinv.  Conventions for operators without a pseudo-inverse: clip
 * divides by the scale, jpeg is the identity. */
void gd_operator_pinv(const gd_operator *op, const double *y, double *x);
/* out = V f(S) V^T x over all of V, the null space with s = 0; see gd_operator_has_spectrum. Values
 * below the operator's cut count as 0.  out may be x. */
void gd_operator_spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x,
                          double *out);

/* One line per operator: name, how it is written, what it is.  NULL past the last. */
const char *gd_operator_list(int i, const char **usage, const char **about);

/* ---- op_*.c: the operators, by typed arguments ---- */

GD_CHECKED gd_status gd_op_denoise(gd_operator **out, gd_shape image);
/* mask [H][W], other than 0: known */
GD_CHECKED gd_status gd_op_inpaint(gd_operator **out, gd_shape image, const uint8_t *mask);
GD_CHECKED gd_status gd_op_box_down(gd_operator **out, gd_shape image, int factor);

typedef enum gd_edge { GD_EDGE_MIRROR, GD_EDGE_RENORM, GD_EDGE_CLAMP } gd_edge;
typedef struct gd_cubic {
    int factor;
    gd_edge edge;   /* half-sample mirror; taps outside dropped; edge pixel repeated */
    double a;       /* the cubic kernel's parameter */
    bool antialias; /* kernel as wide as the factor */
    double sv_cut;  /* one-dimensional singular values below it count as 0 */
} gd_cubic;
GD_CHECKED gd_status gd_op_cubic_down(gd_operator **out, gd_shape image, const gd_cubic *cubic);
/* Weights [m][n] of one axis, n pixels to m; m > n enlarges (then the kernel is one pixel wide) */
void gd_cubic_matrix(double *weights, int m, int n, const gd_cubic *cubic);

typedef enum gd_pad { GD_PAD_REFLECT, GD_PAD_ZERO, GD_PAD_CIRCULAR } gd_pad;
typedef struct gd_blur {
    const double *kernel; /* [h][w], odd sides */
    int h, w;
    gd_pad pad;    /* reflect: whole-sample, 2 1 | 0 1 2 */
    bool convolve; /* flip the kernel; else correlation */
    int factor;    /* keep every factor-th pixel from 0 */
    double sv_cut; /* singular values below it count as 0 */
} gd_blur;
GD_CHECKED gd_status gd_op_blur(gd_operator **out, gd_shape image, const gd_blur *blur);

/* weights [C] */
GD_CHECKED gd_status gd_op_gray(gd_operator **out, gd_shape image, const double *weights);
/* The first `keep` of perm [H*W], a permutation; H*W a power of 2 */
GD_CHECKED gd_status gd_op_hadamard(gd_operator **out, gd_shape image, const int64_t *perm,
                                    int keep);
/* unit_range: (x + 1) / 2 is transformed (DAPS), else x (DPS) */
GD_CHECKED gd_status gd_op_phase(gd_operator **out, gd_shape image, double oversample,
                                 bool unit_range);
GD_CHECKED gd_status gd_op_clip(gd_operator **out, gd_shape image, double scale);
/* Quantisation tables [64] of luma and chroma; NULL: libjpeg's for `quality` */
GD_CHECKED gd_status gd_op_jpeg(gd_operator **out, gd_shape image, int quality, const double *luma,
                                const double *chroma);
/* y = M x over the flattened image, M [m][H*W*C]; small problems */
GD_CHECKED gd_status gd_op_matrix(gd_operator **out, gd_shape image, const double *matrix, int m);
/* part[n-1] ... part[0], taken over whatever happens.  exact: A^+ is the pseudo-inverse; else the
 * parts' in reverse order, which is not (DDNM simplified). */
GD_CHECKED gd_status gd_op_compose(gd_operator **out, gd_operator **part, int n, bool exact);

/* ---- kernel.c, mask.c: from files and by formula ---- */

/* Gaussian [size][size], cut at 4 sigma and padded with zeros, sum 1 (scipy's gaussian_filter of a
 * delta).  size odd. */
void gd_kernel_gauss(double *kernel, int size, double sigma);
/* A PNG's grey values over their sum; *kernel is in `mem`.  GD_EFORMAT: even sides, all black */
GD_CHECKED gd_status gd_kernel_read(double **kernel, int *h, int *w, const char *path,
                                    gd_arena *mem);
/* >= 128: known.  GD_EFORMAT: another size than [h][w] */
GD_CHECKED gd_status gd_mask_read(uint8_t *mask, int h, int w, const char *path);
/* Known outside the box.  GD_EUSAGE: it does not lie inside the image */
GD_CHECKED gd_status gd_mask_box(uint8_t *mask, int h, int w, int top, int left, int box_h,
                                 int box_w);
/* A share `fraction` of the pixels, round(fraction * H * W) of them, is unknown */
void gd_mask_random(uint8_t *mask, int h, int w, double fraction, uint64_t seed);

/* ---- measurement_noise.c ---- */

/* "pm1": the image's own scale [-1, 1]; "01", "255".  *sigma becomes the deviation on [-1, 1]. */
GD_CHECKED gd_status gd_noise_scale(double *sigma, const char *scale);
/* Expected counts of Poisson noise of rate `rate`, and the measurement that counts mean */
double gd_poisson_mean(double x, double rate);
double gd_poisson_value(double count, double rate);
/* One count of a Poisson variable from uniform numbers of (seed, image, step) */
void gd_poisson_noise(double *y, int64_t n, double rate, uint64_t seed, uint64_t image);

/* ---- sequence.c: in which order a solver visits levels
 * (docs/reference/restoration.md#sequences) ---- */

/* RePaint's and DDNM's list of levels n-1 ... -1 with jumps up; *list is in `mem`. */
GD_CHECKED gd_status gd_jump_list(int **list, int *count, int n, int length, int repeat,
                                  gd_arena *mem);
/* How many steps down that list has: a jump of `length` levels for every length-th level below
 * n - length, repeated */
int gd_jump_calls(int n, int length, int repeat);
/* DiffPIR's n quadratic steps of n_train, descending, the last 0 */
void gd_quadratic_steps(int *steps, int n, int n_train);
/* DAPS: level i of n, from sigma_max at 0 to sigma_min at n, linear in the seventh root */
double gd_poly7_sigma(int i, int n, double sigma_max, double sigma_min);
/* Network time at noise level sigma: of the continuous linear schedule, or interpolated in log
 * sigma over the table's alpha_bar [n] */
double gd_time_continuous(double sigma);
double gd_time_interpolated(double sigma, const double *alpha_bar, int n);

/* ---- metric.c: on [0, 1] = clip((x + 1) / 2) ---- */

double gd_psnr(const double *a, const double *b, int64_t n); /* INFINITY when equal */
typedef struct gd_ssim {
    bool uniform;   /* 7x7 window, sample covariance; else Gaussian 11 taps, sigma 1.5 */
    bool eight_bit; /* round both images to 8 bits first */
} gd_ssim;
/* GD_EUSAGE: a side shorter than the window */
GD_CHECKED gd_status gd_ssim_of(double *out, const double *a, const double *b, gd_shape shape,
                                gd_ssim kind);
/* Mean and deviation (n - 1; 0 for one sample) of samples [count][n] */
void gd_ensemble(double *mean, double *deviation, const double *samples, int count, int64_t n);

/* ---- solver.c: from a measurement to images ---- */

/* What a solver knows of the network and of the run.  All arrays are one image. */
typedef struct gd_prior {
    void *ctx;
    gd_shape shape;
    const gd_schedule *schedule;
    gd_var_type var_type;
    /* eps [n] at x [n], and the raw learned variance [n] where the network has one */
    gd_status (*predict)(void *ctx, const gd_level *at, const double *x, double *eps, double *v);
    /* g = J^T (c, cv), J = d (eps, v) / d x at the latest predict; cv NULL: 0.  NULL: solvers that
     * need it are refused */
    gd_status (*vjp)(void *ctx, const gd_level *at, const double *c, const double *cv, double *g);
    /* scale * grad log p(y | x); NULL: not guided */
    gd_status (*guide)(void *ctx, const gd_level *at, const double *x, double *gradient);
    /* Standard normal numbers: draw 0 is the start, 1, 2, ... follow in the solver's order */
    void (*noise)(void *ctx, int draw, int64_t n, double *z);
    /* c = (1 - alpha_bar) A^T (A Cov(x0 | x_t) A^T + sigma_y^2 I)^-1 residual at the latest
     * predict, by a prior that knows its covariance (pigdm); NULL: the solver's approximation */
    void (*correct)(void *ctx, const gd_level *at, const double *residual, double *c);
    /* Before call k of `calls`; a status other than GD_OK ends the run.  May be NULL. */
    gd_status (*before_call)(void *step_ctx, int k, int calls);
    void *step_ctx;
} gd_prior;

/* Every parameter of every solver; each reads its own (docs/reference/restoration.md).  0 in
 * `steps`, lr, tau, and n_ts: the solver's rule. */
typedef struct gd_restore_options {
    double sigma_y; /* of the measurement, on [-1, 1] */
    int steps;      /* network calls of solvers on the training steps */
    const int *ts;  /* [n_ts] ascending indices instead */
    int n_ts;
    int points; /* consistency: of whose levels ts are numbers */
    double rho; /* consistency: 0 is 7 */
    bool clip;  /* x0 of ancestral steps and diffpir */
    double eta, eta_b;
    int travel_length, travel_repeat; /* ddnm */
    double lambda, zeta;              /* diffpir */
    bool final_x0;                    /* diffpir: the last prediction; blended: paste y over it */
    int jump_length, jump_repeat;     /* repaint */
    int skip, range_t;                /* blended, ilvr */
    int start;                        /* sdedit: index */
    bool ddim;                        /* sdedit */
    int real_step;                    /* invert: levels used, 0 all */
    double scale;                     /* dps, mcg */
    bool poisson;                     /* dps */
    bool level_t; /* mcg: y is noised to level t, as in the authors' program, not to x's t - 1 */
    const char *weight; /* pigdm: code, paper, exact */
    double grad_weight;
    bool init_noise;
    double prior_variance;      /* pigdm: of the r2 rule; 0: 1 - alpha_bar */
    const char *denoise_weight; /* reddiff: linear, sqrt, square, log, trunc, const */
    double grad_term_weight, obs_weight, lr, sigma_x0; /* reddiff; lr is daps's step too */
    const char *time;                                  /* daps: vp-continuous, interp */
    int annealing_steps, ode_steps, mcmc_steps;
    double sigma_max, sigma_min, ode_sigma_min, tau, lr_min_ratio;
    bool unchecked; /* daps: run with an unstable step, as the authors' program does */
} gd_restore_options;

typedef enum gd_needs {
    GD_NEEDS_PINV = 1,     /* A^+ */
    GD_NEEDS_SPECTRUM = 2, /* V f(S) V^T when sigma_y > 0 */
    GD_NEEDS_VJP = 4,      /* the network's */
    GD_NEEDS_MASK = 8,     /* inpainting */
    GD_NEEDS_LINEAR = 16,
    GD_NEEDS_IMAGE = 32, /* y is an image */
    GD_NEEDS_SCORE = 64, /* eps is the score's, not of a consistency model's image */
} gd_needs;

typedef struct gd_restorer gd_restorer;
/* GD_EUSAGE with the nearest name; one line per solver by gd_restorer_list */
GD_CHECKED gd_status gd_restorer_find(const gd_restorer **out, const char *name);
const gd_restorer *gd_restorer_list(int i); /* NULL past the last */
const char *gd_restorer_name(const gd_restorer *r);
unsigned gd_restorer_needs(const gd_restorer *r);
/* The solver's own defaults for this operator's name and noise */
void gd_restorer_defaults(const gd_restorer *r, const char *op, double sigma_y,
                          gd_restore_options *o);
/* KEY=VALUE of this solver; GD_EUSAGE: no such key (they are listed), or no such value */
GD_CHECKED gd_status gd_restorer_set(const gd_restorer *r, gd_restore_options *o, const char *key,
                                     const char *value);
/* GD_EUSAGE where operator, noise or a network without `gradient` do not fit the solver: why, and
 * what would fit */
GD_CHECKED gd_status gd_restorer_check(const gd_restorer *r, bool gradient, const gd_operator *op,
                                       const gd_restore_options *o);
int gd_restorer_calls(const gd_restorer *r, const gd_prior *prior, const gd_restore_options *o);
/* Whether the solver runs on a respaced schedule (else on all training steps) */
bool gd_restorer_respaced(const gd_restorer *r);
/* One image x [n] from y.  latent [n] or NULL: invert's.  GD_EFAILED names the call where the image
 * stopped being finite. */
GD_CHECKED gd_status gd_restorer_run(const gd_restorer *r, const gd_prior *prior,
                                     const gd_operator *op, const double *y,
                                     const gd_restore_options *o, double *x, double *latent);

/* ---- edit_gradient.c: through sdedit (image to image, purification) as a whole ---- */

/* x as gd_restorer_run of sdedit gives it from y, then g = (dx / dy)^T c: exact, by one forward and
 * one backward call at each of the kept states, so the network's activations are those of one call.
 * loss(ctx, x, c) gives the cotangent c [n] at the result x.  GD_EUSAGE: the prior has no vjp, or
 * is guided (the guide's own derivative is not known). */
typedef gd_status (*gd_edit_loss)(void *ctx, const double *x, double *c);
GD_CHECKED gd_status gd_edit_gradient(const gd_prior *prior, const double *y,
                                      const gd_restore_options *o, gd_edit_loss loss,
                                      void *loss_ctx, double *x, double *g);

/* ---- network.c: a model as a prior ---- */

/* Every family of networks: one with a preconditioner gives eps = (x - alpha D) / sigma at the
 * level sigma / alpha, one with labels takes `label`.  A network for tiles of [tile] x [tile]
 * pixels makes larger images: tiles overlap by a quarter or more, and where they do, their outputs
 * are mixed with weights that fall to the tiles' edges. */
typedef struct gd_network_options {
    int h, w; /* of the images; 0: the model's own */
    int tile; /* side of the network's images; 0: the whole image */
    bool gradient, recompute, bf16;
    int64_t label; /* -1: none */
    double scale;  /* of the classifier's gradient */
    uint64_t seed; /* of the noise */
    int threads;   /* of one network call; 0: all */
} gd_network_options;
typedef struct gd_network_prior gd_network_prior;
/* The models outlive it; classifier NULL: not guided.  GD_EMISMATCH: a classifier as the model, an
 * upsampler, a generator of one call, a classifier of another kind of images.  GD_EUSAGE: gradients
 * of tiles. */
GD_CHECKED gd_status gd_network_prior_make(gd_network_prior **out, const gd_model *model,
                                           const gd_model *classifier, const gd_schedule *schedule,
                                           const gd_network_options *options);
/* Another one with the weights of `of`, which outlives it: two threads may use the two at once. */
GD_CHECKED gd_status gd_network_prior_make_beside(gd_network_prior **out,
                                                  const gd_network_prior *of);
void gd_network_prior_free(gd_network_prior *p); /* NULL is fine */
/* Network calls of one prediction: 1, or as many as there are tiles */
int gd_network_prior_tiles(const gd_network_prior *p);
/* Noise is keyed by (seed, image, draw); before_call is the caller's to set, its ctx is the prior's
 */
gd_prior *gd_network_prior_get(gd_network_prior *p);
/* The image whose noise is drawn, and its label */
void gd_network_prior_image(gd_network_prior *p, uint64_t image, int64_t label);

/* ---- restoration.c: model, operator and solver together ---- */

/* Texts are borrowed until gd_restoration_open returns. */
typedef struct gd_restoration_settings {
    const char *op;      /* see gd_operator_parse; NULL: denoise */
    const char *solver;  /* "NAME:KEY=VALUE..."; NULL or "auto": by operator and noise */
    bool as_published;   /* the authors' values and defects where they differ from ours */
    double sigma_y;      /* on [-1, 1] */
    bool poisson;        /* the noise is Poisson's */
    int steps;           /* network calls; 0: the solver's default */
    const char *spacing; /* solvers on respaced steps: "ddim20", "250"; NULL: steps */
    int below;           /* sdedit: only training steps below it, from the last of them; 0: all */
    double strength;     /* sdedit without `below`: the share of the steps, 0 to 1 */
    bool ddim;           /* sdedit: deterministic where eta is 0 */
    double eta;          /* sdedit with ddim */
    int h, w;            /* of the image; 0: the model's */
    int64_t label;       /* -1: none */
    double scale;        /* of the classifier's gradient; below 0: the model's own */
    uint64_t seed;
    bool recompute, bf16;
    bool gradient;  /* gd_restoration_gradient will be called: of sdedit */
    int tile;       /* side of the network's images; 0: the model's own where the image is larger */
    bool whole;     /* no tiles whatever the size; solvers with gradients have none in any case */
    int64_t images; /* that will be made, for the number of lanes; 0: 1 */
} gd_restoration_settings;

typedef struct gd_restoration gd_restoration;
struct gd_restoration {
    gd_operator *op;
    const gd_restorer *restorer;
    gd_restore_options options;
    gd_schedule *schedule;
    gd_network_prior *network;
    gd_prior *prior; /* network's; before_call and step_ctx are the owner's to set */
    gd_shape shape;
    int64_t label;
    int calls;
    double *measured; /* A x, of gd_restoration_residual */
    gd_arena *mem;
    gd_restoration *lane; /* [n_lanes - 1], with the weights of this one */
    int n_lanes;
};

/* Everything is checked before a network is made; close it whatever happened. */
GD_CHECKED gd_status gd_restoration_open(gd_restoration *r, const gd_model *model,
                                         const gd_model *classifier,
                                         const gd_restoration_settings *settings);
/* Image `number` of (seed, number): x [n] from y; latent [n] or NULL */
GD_CHECKED gd_status gd_restoration_run(gd_restoration *r, uint64_t number, const double *y,
                                        double *x, double *latent);
/* The same by sdedit, and g = (dx / dy)^T c (gd_edit_gradient); settings.gradient */
GD_CHECKED gd_status gd_restoration_gradient(gd_restoration *r, uint64_t number, const double *y,
                                             gd_edit_loss loss, void *loss_ctx, double *x,
                                             double *g);
void gd_restoration_close(gd_restoration *r);
/* task(ctx, lane, k) for k = 0 .. n - 1, n at most n_lanes, side by side: each on a thread and with
 * a restoration of its own, r the first.  All have r's before_call.  What a task computes depends
 * neither on the lane nor on the number of threads.  The first k that failed decides. */
typedef gd_status (*gd_restoration_task)(void *ctx, gd_restoration *lane, int k);
GD_CHECKED gd_status gd_restoration_each(gd_restoration *r, int n, gd_restoration_task task,
                                         void *ctx);
/* Root mean square of A x - y over what was measured */
double gd_restoration_residual(const gd_restoration *r, const double *x, const double *y);

#endif
