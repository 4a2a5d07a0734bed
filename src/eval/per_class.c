/* SPDX-License-Identifier: MIT */
/* per_class.c - distance, precision and recall of each class.  A class has few images: with A and B
 * the centred rows over sqrt(n - 1), Tr (S1 S2)^(1/2) is the sum of the singular values of A B^T,
 * which is as small as the class. */
#include "eval/extra.h"

#include "cpu/linear.h"

#include <math.h>
#include <string.h>

enum { LEAST_FOR_PR = 4 };

typedef struct group { /* the rows of one label */
    float *rows;
    double *centred, *mean, trace;
    int64_t n;
} group;

static void release(group *g)
{
    gd_block_free(g->rows);
    gd_block_free(g->centred);
    gd_block_free(g->mean);
}

static void centre(group *g, int width)
{
    for (int64_t i = 0; i < g->n; i++)
        for (int k = 0; k < width; k++)
            g->mean[k] += g->rows[i * width + k] / (double)g->n;
    for (int64_t i = 0; i < g->n; i++)
        for (int k = 0; k < width; k++) {
            const double x = (g->rows[i * width + k] - g->mean[k]) / sqrt((double)g->n - 1);
            g->centred[i * width + k] = x;
            g->trace += x * x;
        }
}

static gd_status gather(group *g, const gd_features *f, const int32_t *label, int32_t wanted)
{
    const size_t width = (size_t)f->width;
    int64_t n = 0;

    *g = (group){ 0 };
    for (int64_t i = 0; i < f->count; i++)
        n += label[i] == wanted;
    GD_TRY(gd_block_make(&g->rows, (size_t)n * width * sizeof *g->rows, "class"));
    GD_TRY(gd_block_make(&g->centred, (size_t)n * width * sizeof(double), "class"));
    GD_TRY(gd_block_make(&g->mean, width * sizeof(double), "class"));
    for (int64_t i = 0; i < f->count; i++)
        if (label[i] == wanted)
            memcpy(g->rows + g->n++ * f->width, f->data + i * f->width, width * sizeof *g->rows);
    if (g->n > 1)
        centre(g, f->width);
    return GD_OK;
}

/* Sum of the singular values of A B^T */
static gd_status root_trace(double *out, const group *a, const group *b, int width)
{
    const size_t n = (size_t)a->n, m = (size_t)b->n, k = n < m ? n : m;
    double *space;
    gd_status s;

    *out = 0;
    GD_TRY(gd_block_make(&space, (n * m + n * k + k + k * m) * sizeof *space, "class"));
    gd_matrix_product(space, a->centred, b->centred, true, (int)n, (int)m, width);
    double *const values = space + n * m + n * k;
    s = gd_singular_values(space, space + n * m, values, values + k, (int)n, (int)m);
    for (size_t i = 0; i < k && s == GD_OK; i++)
        *out += values[i];
    gd_block_free(space);
    return s;
}

/* Of large classes by their covariances */
static gd_status distance_of_many(double *out, const group *a, const group *b, int width)
{
    const group *const set[2] = { a, b };
    gd_statistics of[2] = { { 0 } };
    gd_status s = GD_OK;

    for (int i = 0; i < 2 && s == GD_OK; i++) {
        gd_moments *m;
        s = gd_moments_make(&m, width);
        if (s != GD_OK)
            break;
        gd_moments_add(m, set[i]->rows, set[i]->n);
        s = gd_moments_finish(m, &of[i]);
        gd_moments_free(m);
    }
    if (s == GD_OK)
        s = gd_frechet(out, &of[0], &of[1]);
    gd_statistics_free(&of[0]);
    gd_statistics_free(&of[1]);
    return s;
}

static gd_status distance(double *out, const group *a, const group *b, int width)
{
    double roots, sum = a->trace + b->trace;

    if (GD_MIN(a->n, b->n) < 2) {
        *out = NAN;
        return GD_OK;
    }
    if (GD_MAX(a->n, b->n) > width)
        return distance_of_many(out, a, b, width);
    GD_TRY(root_trace(&roots, a, b, width));
    for (int k = 0; k < width; k++)
        sum += (a->mean[k] - b->mean[k]) * (a->mean[k] - b->mean[k]);
    *out = fmax(sum - 2 * roots, 0);
    return GD_OK;
}

static gd_status compare(gd_class_scores *c, const group *ref, const group *samples, int width)
{
    const gd_features a = { ref->rows, ref->n, width }, b = { samples->rows, samples->n, width };
    gd_manifold m;

    c->n_ref = ref->n;
    c->n_samples = samples->n;
    c->precision = c->recall = NAN;
    GD_TRY(distance(&c->distance, ref, samples, width));
    if (GD_MIN(ref->n, samples->n) < LEAST_FOR_PR)
        return GD_OK;
    GD_TRY(gd_manifold_measure(&m, &a, &b, false, NULL, NULL));
    c->precision = m.precision;
    c->recall = m.recall;
    return GD_OK;
}

static bool has(const int32_t *label, int64_t n, int32_t wanted)
{
    for (int64_t i = 0; i < n; i++)
        if (label[i] == wanted)
            return true;
    return false;
}

gd_status gd_per_class_measure(gd_class_scores **out, int *n, const gd_features *ref,
                               const int32_t *ref_label, const gd_features *samples,
                               const int32_t *sample_label)
{
    int32_t most = -1;
    gd_status s = GD_OK;

    *n = 0;
    for (int64_t i = 0; i < samples->count; i++)
        most = GD_MAX(most, sample_label[i]);
    GD_TRY(gd_linear_ready());
    GD_TRY(gd_block_make(out, (size_t)(most + 1) * sizeof **out, "classes"));
    for (int32_t c = 0; c <= most && s == GD_OK; c++) {
        group a = { 0 }, b = { 0 };
        if (!has(ref_label, ref->count, c) || !has(sample_label, samples->count, c))
            continue;
        s = gather(&a, ref, ref_label, c);
        if (s == GD_OK)
            s = gather(&b, samples, sample_label, c);
        (*out)[*n].label = c;
        if (s == GD_OK)
            s = compare(&(*out)[*n], &a, &b, ref->width);
        *n += s == GD_OK;
        release(&a);
        release(&b);
    }
    return s;
}
