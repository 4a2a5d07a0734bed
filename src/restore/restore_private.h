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

#endif
