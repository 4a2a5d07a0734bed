/* SPDX-License-Identifier: MIT */
/* op_hadamard.c - compressed sensing: some coefficients of each channel's orthonormal
 * Walsh-Hadamard transform in Sylvester's order. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

typedef struct state {
    int64_t *perm; /* [keep] */
    int keep;
    double *work; /* [H*W] */
} state;

/* In place, n a power of 2; its own inverse */
static void transform(double *x, int64_t n)
{
    const double scale = 1 / sqrt((double)n);

    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t j = i; j < i + half; j++) {
                const double a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
    for (int64_t i = 0; i < n; i++)
        x[i] *= scale;
}

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    for (int c = 0; c < op->image.c; c++) {
        memcpy(s->work, x + c * plane, (size_t)plane * sizeof(double));
        transform(s->work, plane);
        for (int i = 0; i < s->keep; i++)
            y[(int64_t)c * s->keep + i] = s->work[s->perm[i]];
    }
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    memset(x, 0, (size_t)gd_shape_count(op->image) * sizeof *x);
    for (int c = 0; c < op->image.c; c++) {
        for (int i = 0; i < s->keep; i++)
            x[c * plane + s->perm[i]] = y[(int64_t)c * s->keep + i];
        transform(x + c * plane, plane);
    }
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    pinv(op, w, g);
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;
    const double f0 = f(ctx, 0), f1 = f(ctx, 1);

    for (int c = 0; c < op->image.c; c++) {
        double *to = out + c * plane;
        memcpy(s->work, x + c * plane, (size_t)plane * sizeof(double));
        transform(s->work, plane);
        for (int64_t i = 0; i < plane; i++)
            to[i] = f0 * s->work[i];
        for (int i = 0; i < s->keep; i++)
            to[s->perm[i]] = f1 * s->work[s->perm[i]];
        transform(to, plane);
    }
}

gd_status gd_op_hadamard(gd_operator **out, gd_shape image, const int64_t *perm, int keep)
{
    const int64_t plane = (int64_t)image.h * image.w;

    if (plane & (plane - 1))
        return gd_fail(GD_EUSAGE, "an image of %dx%d has no power of 2 of pixels", image.w,
                       image.h);
    if (keep < 1 || keep > plane)
        return gd_fail(GD_EUSAGE, "%d coefficients of %lld", keep, (long long)plane);
    GD_TRY(gd_operator_make(out, &gd_kind_hadamard, image, (gd_shape){ image.c, 1, keep },
                            sizeof(state)));
    state *s = (*out)->state;
    s->keep = keep;
    GD_TRY(gd_operator_alloc(&s->perm, *out, (size_t)keep * sizeof *s->perm));
    GD_TRY(gd_operator_alloc(&s->work, *out, (size_t)plane * sizeof(double)));
    for (int i = 0; i < keep; i++) {
        if (perm[i] < 0 || perm[i] >= plane)
            return gd_fail(GD_EUSAGE, "coefficient %lld of %lld", (long long)perm[i],
                           (long long)plane);
        s->perm[i] = perm[i];
    }
    return GD_OK;
}

static gd_status factor_of(int *out, gd_words *words)
{
    (void)words;
    *out = 0;
    return GD_OK;
}

/* A random permutation (Fisher and Yates) */
static void shuffle(int64_t *perm, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++)
        perm[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = gd_noise_below((uint32_t)(i + 1), seed, (uint64_t)i, 0), swap = perm[i];
        perm[i] = perm[j];
        perm[j] = swap;
    }
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    const int64_t plane = (int64_t)image.h * image.w;
    double share;
    void *perm;
    gd_status s;

    GD_TRY(gd_words_value_double(words, 0.25, 0, 1, &share));
    GD_TRY(gd_block_make(&perm, (size_t)plane * sizeof(int64_t), "permutation"));
    shuffle(perm, plane, seed);
    s = gd_op_hadamard(out, image, perm, (int)lround(share * (double)plane));
    gd_block_free(perm);
    return s;
}

const gd_operator_kind gd_kind_hadamard = {
    "hadamard",
    "hadamard[:SHARE]",
    "compressed sensing: a share of the Walsh-Hadamard coefficients",
    .linear = true,
    .per_channel = true,
    .parse = parse,
    .factor = factor_of,
    .apply = apply,
    .adjoint = adjoint,
    .pinv = pinv,
    .spectral = spectral
};
