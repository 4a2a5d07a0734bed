/* SPDX-License-Identifier: MIT */
/* op_compose.c - operators one after another.
 *
 * The pseudo-inverse of a product is not the product of the pseudo-inverses.  It has a closed form
 * where one part mixes channels (gray) and the other works on each channel alone; else a small map
 * is decomposed and a large one solved by conjugate gradients. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

enum { MAX_DENSE = 1 << 20 }; /* elements of the matrix */

typedef enum way { CHAIN, GRAY, DENSE, ITERATED } way;

typedef struct state {
    gd_operator **part;
    int n;
    way how;
    int64_t largest;    /* elements of an image between parts */
    double *between[2]; /* [largest] each */
    double *point;      /* [n][largest]: where each part is differentiated */
    double *plane;      /* GRAY: one channel */
    gd_operator gray,
        channel; /* GRAY: views of the parts: gray on the image, the other on one channel */
    gd_dense dense;
    double *work;
} state;

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;

    for (int i = 0; i < s->n; i++) {
        double *to = i + 1 < s->n ? s->between[i % 2] : y;
        gd_operator_apply(s->part[i], i ? s->between[(i - 1) % 2] : x, to);
    }
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    const state *s = op->state;

    for (int i = 0; x && i + 1 < s->n; i++) /* inputs of parts 1 .. n-1 */
        gd_operator_apply(s->part[i], i ? s->point + i * s->largest : x,
                          s->point + (i + 1) * s->largest);
    for (int i = s->n - 1; i >= 0; i--) {
        double *to = i ? s->between[i % 2] : g;
        const double *from = i + 1 < s->n ? s->between[(i + 1) % 2] : w;
        gd_operator_adjoint(s->part[i], x && i ? s->point + i * s->largest : x, from, to);
    }
}

static void chain_pinv(const state *s, const double *y, double *x)
{
    for (int i = s->n - 1; i >= 0; i--) {
        double *to = i ? s->between[i % 2] : x;
        gd_operator_pinv(s->part[i], i + 1 < s->n ? s->between[(i + 1) % 2] : y, to);
    }
}

/* ---- gray and one operator per channel: singular values are products ---- */

typedef struct scaled_gain {
    gd_gain f;
    void *ctx;
    double norm;
} scaled_gain;

static double scaled(void *ctx, double s)
{
    const scaled_gain *g = ctx;
    return g->f(g->ctx, g->norm * s);
}

/* With the unit vector v of the grey weights, x = (x - v v^T x) + v v^T x; the first part is null
 */
static void gray_spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;
    const double norm = s->gray.norm, f0 = f(ctx, 0);
    scaled_gain g = { f, ctx, norm };

    gd_operator_apply(&s->gray, x, s->plane);
    for (int64_t i = 0; i < plane; i++)
        s->plane[i] /= norm;
    gd_operator_spectral(&s->channel, scaled, &g, s->plane, s->between[0]);
    for (int64_t i = 0; i < plane; i++)
        s->between[0][i] = (s->between[0][i] - f0 * s->plane[i]) / norm;
    gd_operator_adjoint(&s->gray, NULL, s->between[0], s->between[1]);
    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        out[i] = f0 * x[i] + s->between[1][i];
}

static void gray_pinv(const gd_operator *op, const double *y, double *x)
{
    const state *s = op->state;

    gd_operator_pinv(&s->channel, y, s->plane);
    gd_operator_pinv(&s->gray, s->plane, x);
}

/* ---- by what the operator is ---- */

static void pinv(const gd_operator *op, const double *y, double *x)
{
    const state *s = op->state;

    switch (s->how) {
    case CHAIN:
        chain_pinv(s, y, x);
        return;
    case GRAY:
        gray_pinv(op, y, x);
        return;
    case DENSE:
        gd_dense_pinv(&s->dense, y, x);
        return;
    case ITERATED:
        gd_least_squares_solve(
            op, &(gd_least_squares){ .rho = 0, .tolerance = 1e-10, .most_steps = 500 }, y, x,
            s->work);
        return;
    }
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const state *s = op->state;

    if (s->how == GRAY)
        gray_spectral(op, f, ctx, x, out);
    else
        gd_dense_spectral(&s->dense, f, ctx, x, out);
}

static void release(gd_operator *op)
{
    state *s = op->state;

    for (int i = 0; i < s->n; i++)
        gd_operator_free(s->part[i]);
}

/* ---- making ---- */

static gd_status make_dense(gd_operator *op)
{
    const int64_t n = gd_shape_count(op->image), m = gd_shape_count(op->measurement);
    double *matrix, *x, *y;
    gd_status s;

    GD_TRY(gd_block_make(&matrix, (size_t)(m * n + n + m) * sizeof(double), "operator"));
    x = matrix + m * n;
    y = x + n;
    for (int64_t j = 0; j < n; j++) {
        x[j] = 1;
        apply(op, x, y);
        x[j] = 0;
        for (int64_t i = 0; i < m; i++)
            matrix[i * n + j] = y[i];
    }
    s = gd_dense_make(&((state *)op->state)->dense, op, matrix, (int)m, (int)n, GD_SV_ZERO);
    gd_block_free(matrix);
    return s;
}

/* The index of the gray part when the other is the same map on every channel; -1: no such pair */
static int gray_of(const state *s)
{
    for (int i = 0; i < 2 && s->n == 2; i++) {
        const gd_operator *other = s->part[1 - i];
        if (s->part[i]->kind == &gd_kind_gray && other->has_spectrum && other->kind->per_channel)
            return i;
    }
    return -1;
}

/* Gray commutes with a map that treats all channels alike: take it first, on the whole image. */
static gd_status make_gray(gd_operator *op, int gray)
{
    const gd_shape image = op->image;
    state *s = op->state;

    s->how = GRAY;
    s->gray = *s->part[gray];
    s->gray.image = image;
    s->gray.measurement = (gd_shape){ 1, image.h, image.w };
    s->channel = *s->part[1 - gray];
    s->channel.image.c = s->channel.measurement.c = 1;
    op->norm = s->gray.norm * s->channel.norm;
    return gd_operator_alloc(&s->plane, op, (size_t)image.h * (size_t)image.w * sizeof(double));
}

static gd_status make_iterated(gd_operator *op, way how)
{
    state *s = op->state;

    s->how = how;
    op->has_spectrum = false;
    if (!op->linear)
        return GD_OK;
    GD_TRY(gd_operator_alloc(&s->work, op, (size_t)gd_least_squares_work(op) * sizeof(double)));
    op->norm = gd_power_norm(op, s->work);
    return GD_OK;
}

static gd_status make_inverse(gd_operator *op, bool exact)
{
    state *s = op->state;
    const int64_t elements = gd_shape_count(op->image) * gd_shape_count(op->measurement);
    const int gray = gray_of(s);

    if (!exact || !op->linear)
        return make_iterated(op, CHAIN);
    if (gray >= 0)
        return make_gray(op, gray);
    s->how = DENSE;
    return elements <= MAX_DENSE ? make_dense(op) : make_iterated(op, ITERATED);
}

static gd_status make(gd_operator *op, bool exact)
{
    state *s = op->state;

    for (int i = 0; i < s->n; i++) {
        op->linear = op->linear && s->part[i]->linear;
        op->has_pinv = op->has_pinv && s->part[i]->has_pinv;
        op->norm *= s->part[i]->norm;
        s->largest = GD_MAX(s->largest, GD_MAX(gd_shape_count(s->part[i]->image),
                                               gd_shape_count(s->part[i]->measurement)));
    }
    for (int i = 0; i < 2; i++)
        GD_TRY(gd_operator_alloc(&s->between[i], op, (size_t)s->largest * sizeof(double)));
    GD_TRY(gd_operator_alloc(&s->point, op, (size_t)(s->n * s->largest) * sizeof(double)));
    return make_inverse(op, exact);
}

gd_status gd_op_compose(gd_operator **out, gd_operator **part, int n, bool exact)
{
    gd_status s = gd_operator_make(out, &gd_kind_compose, part[0]->image, part[n - 1]->measurement,
                                   sizeof(state));

    if (s != GD_OK) {
        for (int i = 0; i < n; i++)
            gd_operator_free(part[i]);
        return s;
    }
    state *st = (*out)->state;
    s = gd_operator_alloc(&st->part, *out, (size_t)n * sizeof *st->part);
    for (int i = 0; i < n; i++)
        if (s == GD_OK)
            st->part[i] = part[i];
        else
            gd_operator_free(part[i]);
    st->n = s == GD_OK ? n : 0;
    return s == GD_OK ? make(*out, exact) : s;
}

const gd_operator_kind gd_kind_compose = {
    "compose",      "OPERATOR,OPERATOR",  "one operator after another",
    .linear = true, .apply = apply,       .adjoint = adjoint,
    .pinv = pinv,   .spectral = spectral, .release = release
};
