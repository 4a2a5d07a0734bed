/* SPDX-License-Identifier: MIT */
/* frechet.c - the distance between two normal distributions
 * (docs/reference/evaluation.md#frechet-distance).
 *
 * Tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of R S2 R^T, where S1 = R^T R comes
 * from S1's eigenvectors.  Those of eigenvalue zero within rounding are left out of R: with fewer
 * samples than features the noise of their roots would be all that they add. */
#include "eval/metric.h"

#include "cpu/linear.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct work {
    int n, rank;
    double *vectors; /* [n][n], its rows; then R: [rank][n] */
    double *product; /* [rank][n] */
    double *reduced; /* [rank][rank] */
    double *values;  /* [n] */
} work;

static gd_status make(work *w, int n)
{
    const size_t square = (size_t)n * (size_t)n * sizeof(double);

    *w = (work){ .n = n };
    GD_TRY(gd_linear_ready());
    GD_TRY(gd_block_make(&w->vectors, square, "Frechet distance"));
    GD_TRY(gd_block_make(&w->product, square, "Frechet distance"));
    GD_TRY(gd_block_make(&w->reduced, square, "Frechet distance"));
    return gd_block_make(&w->values, (size_t)n * sizeof(double), "Frechet distance");
}

static void release(work *w)
{
    gd_block_free(w->vectors);
    gd_block_free(w->product);
    gd_block_free(w->reduced);
    gd_block_free(w->values);
}

/* R of s = R^T R into the first `rank` rows of w->vectors */
static gd_status factor(work *w, const gd_statistics *s)
{
    const int n = w->n;
    double least;
    int first = 0;

    memcpy(w->vectors, s->covariance, (size_t)n * (size_t)n * sizeof(double));
    GD_TRY(gd_eigen_symmetric(w->vectors, w->values, n, true));
    least = n * DBL_EPSILON * fmax(w->values[n - 1], 0);
    while (first < n && w->values[first] <= least)
        first++;
    w->rank = n - first;
    for (int r = 0; r < w->rank; r++)
        for (int i = 0; i < n; i++)
            w->vectors[(int64_t)r * n + i] =
                w->vectors[(int64_t)(first + r) * n + i] * sqrt(w->values[first + r]);
    return GD_OK;
}

static gd_status root_trace(double *out, work *w, const gd_statistics *a, const gd_statistics *b)
{
    *out = 0;
    GD_TRY(factor(w, a));
    if (w->rank == 0)
        return GD_OK;
    gd_matrix_product(w->product, w->vectors, b->covariance, false, w->rank, w->n, w->n);
    gd_matrix_product(w->reduced, w->product, w->vectors, true, w->rank, w->rank, w->n);
    GD_TRY(gd_eigen_symmetric(w->reduced, w->values, w->rank, false));
    for (int i = 0; i < w->rank; i++)
        *out += sqrt(fmax(w->values[i], 0));
    return GD_OK;
}

static bool all_finite(const gd_statistics *s)
{
    for (int i = 0; i < s->width; i++)
        if (!isfinite(s->mean[i]))
            return false;
    for (int64_t i = 0; i < (int64_t)s->width * s->width; i++)
        if (!isfinite(s->covariance[i]))
            return false;
    return true;
}

static gd_status check(const gd_statistics *a, const gd_statistics *b)
{
    if (a->width != b->width)
        return gd_fail(GD_EMISMATCH, "statistics of %d and of %d features", a->width, b->width);
    if (!all_finite(a) || !all_finite(b))
        return gd_fail(GD_EFAILED, "a mean or covariance is not finite");
    return GD_OK;
}

static gd_status distance(double *out, const gd_statistics *a, const gd_statistics *b)
{
    double roots, sum = 0;
    work w;
    gd_status s = make(&w, a->width);

    /* the set of fewer samples has the lower rank, which makes the second problem smaller */
    if (s == GD_OK && b->count > 0 && (a->count == 0 || b->count < a->count))
        s = root_trace(&roots, &w, b, a);
    else if (s == GD_OK)
        s = root_trace(&roots, &w, a, b);
    release(&w);
    GD_TRY(s);
    for (int i = 0; i < a->width; i++) {
        const double d = a->mean[i] - b->mean[i];
        const int64_t diagonal = (int64_t)i * a->width + i;
        sum += d * d + a->covariance[diagonal] + b->covariance[diagonal];
    }
    *out = sum - 2 * roots;
    return GD_OK;
}

static bool equal(const gd_statistics *a, const gd_statistics *b)
{
    const size_t width = (size_t)a->width;

    return memcmp(a->mean, b->mean, width * sizeof *a->mean) == 0 &&
           memcmp(a->covariance, b->covariance, width * width * sizeof *a->covariance) == 0;
}

/* Equal sets are at distance 0, and none is at less: what rounding leaves below 0 is 0. */
static gd_status settled(double *out, const gd_statistics *a, const gd_statistics *b)
{
    *out = 0;
    if (equal(a, b))
        return GD_OK;
    GD_TRY(distance(out, a, b));
    if (*out < 0)
        *out = 0;
    return GD_OK;
}

gd_status gd_frechet(double *out, const gd_statistics *a, const gd_statistics *b)
{
    GD_TRY(check(a, b));
    return settled(out, a, b);
}

/* ---- several at once ---- */

enum { MOST = 8 };
typedef struct jobs {
    double *out;
    const gd_statistics *const *a, *const *b;
    gd_status status[MOST];
} jobs;

static void run_job(void *ctx, int64_t i)
{
    jobs *j = ctx;
    j->status[i] = settled(&j->out[i], j->a[i], j->b[i]);
}

gd_status gd_frechet_all(double *out, const gd_statistics *const *a, const gd_statistics *const *b,
                         int n)
{
    jobs j = { .out = out, .a = a, .b = b };

    if (n > MOST)
        return gd_fail(GD_EUSAGE, "more than %d distances at once", MOST);
    GD_TRY(gd_linear_ready());
    for (int i = 0; i < n; i++)
        GD_TRY(check(a[i], b[i]));
    gd_par(n, run_job, &j);
    for (int i = 0; i < n; i++)
        if (j.status[i] != GD_OK) /* the message was another thread's */
            return gd_fail(j.status[i], "Frechet distance: %s", gd_status_text(j.status[i]));
    return GD_OK;
}

/* ---- the metrics ---- */

const gd_metric gd_metric_fid = {
    .word = "fid",
    .alias = "fd", /* what it is called in other features */
    .about = "Frechet distance of features (Heusel et al. 2017)",
    .needs = GD_NEED_POOL,
    .standard = true,
    .has_limit = true,
    .least = 2,
    .least_ref = 2,
    .least_for = "a covariance",
    .frechet = GD_NEED_POOL,
    .figure = { { .key = "fid",
                  .name = "FID",
                  .vision_key = "fd",
                  .vision_name = "FD",
                  .format = "%.6f",
                  .bar = GD_BAR_REDRAWN } },
};

const gd_metric gd_metric_sfid = {
    .word = "sfid",
    .about = "Frechet distance of spatial features (Nash et al. 2021)",
    .needs = GD_NEED_SPATIAL,
    .standard = true,
    .has_limit = true,
    .least = 2,
    .least_ref = 2,
    .least_for = "a covariance",
    .frechet = GD_NEED_SPATIAL,
    .figure = { { .key = "sfid", .name = "sFID", .format = "%.6f", .bar = GD_BAR_REDRAWN } },
};
