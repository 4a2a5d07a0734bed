/* SPDX-License-Identifier: MIT */
/* restore_private.h - what the operators share: their table, one-dimensional and dense
 * decompositions, Fourier transforms, least squares. */
#ifndef GD_RESTORE_PRIVATE_H
#define GD_RESTORE_PRIVATE_H

#include "restore/restore.h"

#include <complex.h>

/* Singular values below this share of the largest are rounding noise */
#define GD_SV_ZERO 1e-10

/* ---- words.c: "NAME:VALUE:KEY=VALUE" ---- */

enum { GD_MAX_WORDS = 16 };
typedef struct gd_words {
    const char *name;  /* "blur" */
    const char *value; /* the part without "=", or NULL */
    const char *key[GD_MAX_WORDS], *text[GD_MAX_WORDS];
    bool used[GD_MAX_WORDS];
    int n;
} gd_words;
/* text is changed and borrowed */
GD_CHECKED gd_status gd_words_read(gd_words *out, char *text);
/* A value by key, or `absent`; GD_EUSAGE outside [least, most] */
GD_CHECKED gd_status gd_words_int(gd_words *w, const char *key, int absent, int least, int most,
                                  int *out);
GD_CHECKED gd_status gd_words_double(gd_words *w, const char *key, double absent, double least,
                                     double most, double *out);
const char *gd_words_text(gd_words *w, const char *key); /* NULL if absent */
/* Index of the value in list, 0 if absent; GD_EUSAGE with the list otherwise */
GD_CHECKED gd_status gd_words_choice(gd_words *w, const char *key, const char *const *list, int n,
                                     int *out);
/* GD_EUSAGE for a key that nobody has read */
GD_CHECKED gd_status gd_words_done(const gd_words *w);
/* The unnamed value as a number */
GD_CHECKED gd_status gd_words_value_int(const gd_words *w, int least, int most, int *out);
GD_CHECKED gd_status gd_words_value_double(const gd_words *w, double absent, double least,
                                           double most, double *out);

/* ---- the operators' table ---- */

typedef struct gd_operator_kind {
    const char *name, *usage, *about;
    bool linear;
    bool per_channel; /* the same map on every channel, read from op->image.c */
    gd_status (*parse)(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed);
    /* Images per measurement pixel and axis, 0 unknown; NULL: 1 */
    gd_status (*factor)(int *out, gd_words *words);
    void (*apply)(const gd_operator *op, const double *x, double *y);
    void (*adjoint)(const gd_operator *op, const double *x, const double *w, double *g);
    void (*pinv)(const gd_operator *op, const double *y, double *x);
    void (*spectral)(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out);
    void (*release)(gd_operator *op); /* what is not in op->mem; NULL: nothing */
} gd_operator_kind;

struct gd_operator {
    const gd_operator_kind *kind;
    gd_shape image, measurement;
    double norm;
    bool linear, has_pinv, has_spectrum;
    gd_arena *mem;
    void *state; /* in mem */
};

extern const gd_operator_kind gd_kind_denoise, gd_kind_inpaint, gd_kind_box_down,
    gd_kind_cubic_down, gd_kind_blur, gd_kind_gray, gd_kind_hadamard, gd_kind_phase, gd_kind_clip,
    gd_kind_jpeg, gd_kind_compose, gd_kind_matrix;

/* An operator with zeroed state; has_pinv and has_spectrum as the kind has them, norm 1 */
GD_CHECKED gd_status gd_operator_make(gd_operator **out, const gd_operator_kind *kind,
                                      gd_shape image, gd_shape measurement, size_t state_bytes);
/* Zeroed memory of the operator */
GD_CHECKED gd_status gd_operator_alloc(void *out, gd_operator *op, size_t bytes);

/* ---- separable.c: y = H x W^T per channel, and its decompositions ---- */

typedef struct gd_axis {
    int m, n, k;    /* k = min(m, n) */
    double *a, *at; /* [m][n], [n][m] */
    double *ut, *u; /* [k][m], [m][k] */
    double *vt, *v; /* [k][n], [n][k] */
    double *s;      /* [k] */
} gd_axis;
typedef struct gd_separable {
    gd_axis h, w;
    double *s;           /* [kh][kw], cut */
    double *work, *coef; /* scratch */
} gd_separable;
/* a: [m][n], copied */
GD_CHECKED gd_status gd_axis_make(gd_axis *out, gd_operator *op, const double *a, int m, int n);
/* axis_cut: one-dimensional values below it are 0; cut: products below it are */
GD_CHECKED gd_status gd_separable_make(gd_separable *s, gd_operator *op, double axis_cut,
                                       double cut);
void gd_separable_apply(const gd_separable *s, int channels, const double *x, double *y);
void gd_separable_adjoint(const gd_separable *s, int channels, const double *w, double *g);
void gd_separable_pinv(const gd_separable *s, int channels, const double *y, double *x);
void gd_separable_spectral(const gd_separable *s, int channels, gd_gain f, void *ctx,
                           const double *x, double *out);

/* ---- dense.c: the singular value decomposition of a small operator ---- */

typedef struct gd_dense {
    int m, n, k;
    double *ut, *vt, *s; /* [k][m], [k][n], [k] with values below the cut set to 0 */
    double *coef;        /* [k] */
} gd_dense;
/* matrix [m][n], destroyed */
GD_CHECKED gd_status gd_dense_make(gd_dense *d, gd_operator *op, double *matrix, int m, int n,
                                   double cut);
void gd_dense_pinv(const gd_dense *d, const double *y, double *x);
void gd_dense_spectral(const gd_dense *d, gd_gain f, void *ctx, const double *x, double *out);

/* ---- least_squares.c ---- */

/* The least-squares solution of smallest norm, by conjugate gradients on A^T A (+ rho I) from x =
 * 0. work: [4 * image + 2 * measurement] doubles */
typedef struct gd_least_squares {
    double rho;       /* 0: A^+ y */
    double tolerance; /* of the normal equations' residual, relative */
    int most_steps;
} gd_least_squares;
int64_t gd_least_squares_work(const gd_operator *op);
void gd_least_squares_solve(const gd_operator *op, const gd_least_squares *how, const double *y,
                            double *x, double *work);
/* The largest singular value by power iteration */
double gd_power_norm(const gd_operator *op, double *work);

/* ---- fft.c: two-dimensional transforms of one plane, in place ---- */

typedef struct gd_fft gd_fft;
GD_CHECKED gd_status gd_fft_make(gd_fft **out, int h, int w);
void gd_fft_free(gd_fft *fft);
double complex *gd_fft_data(gd_fft *fft); /* [h][w] */
void gd_fft_forward(gd_fft *fft);         /* not normalised, either */
void gd_fft_backward(gd_fft *fft);

/* ---- enlarge.c: bicubic enlargement ---- */

typedef struct gd_enlarge {
    gd_shape from, to;
    double *h, *w; /* [to.h][from.h], [to.w][from.w] */
    double *work;
} gd_enlarge;
/* edge MIRROR: MATLAB's (a = -0.5), CLAMP: torch's (a = -0.75) */
GD_CHECKED gd_status gd_enlarge_make(gd_enlarge *out, gd_shape from, gd_shape to, gd_edge edge,
                                     gd_arena *mem);
void gd_enlarge_apply(const gd_enlarge *e, const double *in, double *out);

/* ---- cover.c: a large image as overlapping tiles ---- */

typedef struct gd_cover_axis {
    int n, tile;
    int *first;     /* [n] */
    double *weight; /* [n][tile]; those of a pixel add up to 1 */
} gd_cover_axis;
typedef struct gd_cover {
    gd_shape image, tile;
    gd_cover_axis y, x;
    int n; /* of tiles, row by row */
} gd_cover;
/* Tiles of [side][side], or less where the image is smaller, that overlap by a quarter or more */
GD_CHECKED gd_status gd_cover_make(gd_cover *t, gd_shape image, int side, gd_arena *mem);
void gd_cover_take(const gd_cover *t, int k, const float *image, float *tile);
/* image [channels][H][W] += weights * tile [channels][h][w] */
void gd_cover_add(const gd_cover *t, int k, int channels, const float *tile, float *image);

/* ---- lanes.c ---- */

/* r->lane for r->n_lanes; r's network is made, its operator from settings->op */
GD_CHECKED gd_status gd_restoration_open_lanes(gd_restoration *r,
                                               const gd_restoration_settings *settings);
void gd_restoration_close_lanes(gd_restoration *r); /* one is left */

/* ---- solver.c: one run under way ---- */

typedef struct gd_solving {
    const gd_restorer *restorer;
    const gd_prior *prior;
    const gd_operator *op;
    const double *y;
    const gd_restore_options *o;
    const gd_schedule *schedule;
    gd_arena *mem;
    int64_t n, m; /* elements of the image, of the measurement */
    int draws, calls, all_calls;
    double *x;                           /* [n] state */
    double *eps, *x0, *v, *gradient, *z; /* [n] of the latest gd_predict, gd_next_noise */
    double *latent;                      /* NULL: not asked for */
} gd_solving;

struct gd_restorer {
    const char *name, *about;
    unsigned needs;
    bool respaced;
    gd_status (*solve)(gd_solving *s);
    int (*calls)(const gd_prior *prior, const gd_restore_options *o);
    void (*defaults)(gd_restore_options *o, const char *op);
    const char *keys; /* "eta steps": of gd_restore_options */
    gd_status (*check)(const gd_operator *op, const gd_restore_options *o); /* NULL: nothing more */
};
extern const gd_restorer gd_restorer_ddnm, gd_restorer_ddrm, gd_restorer_diffpir,
    gd_restorer_repaint, gd_restorer_blended, gd_restorer_ilvr, gd_restorer_daps, gd_restorer_dps,
    gd_restorer_mcg, gd_restorer_pigdm, gd_restorer_reddiff, gd_restorer_sdedit, gd_restorer_invert,
    gd_restorer_consistency;

/* A run of `r` from the beginning; free s->mem whatever happened */
GD_CHECKED gd_status gd_solving_begin(gd_solving *s, const gd_restorer *r, const gd_prior *prior,
                                      const gd_restore_options *o, double *x);
/* Zeroed memory of the run; NULL and a recorded GD_ENOMEM */
double *gd_solving_array(gd_solving *s, int64_t count);
gd_level gd_level_of(const gd_schedule *schedule, int index);
double gd_alpha_bar(const gd_schedule *schedule, int index); /* 1 at -1 */
/* One network call at x: s->eps and s->x0 (not clipped), s->v; with `shift` guidance is in eps,
 * else in s->gradient */
GD_CHECKED gd_status gd_predict(gd_solving *s, const gd_level *at, const double *x, bool shift);
/* The next draw of `count` numbers into z */
void gd_next_noise(gd_solving *s, int64_t count, double *z);
/* g = J^T c, J = d x0 / d x at the latest gd_predict; with `clipped` c is masked where x0 lies
 * outside [-1, 1].  c is changed. */
GD_CHECKED gd_status gd_x0_vjp(gd_solving *s, const gd_level *at, bool clipped, double *c,
                               double *g);
/* s->x becomes x_{t-1} of the ancestral step from s->x at index t, with s->v, s->gradient and s->z;
 * s->x0 is clipped where the options say so */
void gd_ancestral(gd_solving *s, int t);
/* Of levels up to here (sigma / alpha) an x0 that is not clipped can be derived; cosine schedules
 * go beyond. */
#define GD_NOISIEST 160
int gd_usable_levels(const gd_schedule *schedule); /* so many, from the first */
/* Variance and its log of one element of the ancestral step
 * (docs/reference/diffusion.md#reverse-step) */
void gd_variance_of(const gd_solving *s, int t, double v, double *variance, double *log_variance);
/* The ascending list of training steps: o->ts, or every floor(T / N)-th */
GD_CHECKED gd_status gd_step_list(gd_solving *s, int **list, int *n);
/* gd_restorer.calls of solvers that go once through that list, or through all the prior's steps */
int gd_calls_of_list(const gd_prior *prior, const gd_restore_options *o);
int gd_calls_of_all(const gd_prior *prior, const gd_restore_options *o);
/* x = alpha a + sigma b */
void gd_mix(double *x, double alpha, const double *a, double sigma, const double *b, int64_t n);
double gd_dot(const double *a, const double *b, int64_t n);
void gd_clip(double *x, int64_t n);
GD_CHECKED gd_status gd_check_state(const gd_solving *s, const double *x);

/* ---- solve_image.c: sdedit's start at o->start from s->y, and its step at index t ---- */

GD_CHECKED gd_status gd_edit_start(gd_solving *s);
GD_CHECKED gd_status gd_edit_step(gd_solving *s, int t);

/* One step of DDRM (eta_b = 1: DDNM+) to alpha_bar `next`, from s->x0 and s->eps with p = A^+ y and
 * noise z; `project`: at the end of noise-free runs A x = y */
typedef struct gd_spectral_step {
    double next, sigma_y, eta, eta_b;
    bool project;
} gd_spectral_step;
/* out [n]; work [n] */
void gd_spectral_move(gd_solving *s, const gd_spectral_step *step, const double *p, const double *z,
                      double *out, double *work);

#endif
