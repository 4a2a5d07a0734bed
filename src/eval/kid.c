/* SPDX-License-Identifier: MIT */
/* kid.c - kernel inception distance: Binkowski et al. 2018, with the settings usual since: cubic
 * polynomial kernel, 100 subsets of 1,000 drawn without replacement. */
#include "eval/metric.h"

#include "cpu/linear.h"
#include "eval/numpy_random.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { SUBSETS = 100, SUBSET = 1000, FIDELITY_SEED = 2020 };

typedef struct kid {
    const gd_features *set[2]; /* ref, samples */
    int size;                  /* of a subset */
    int32_t *chosen; /* block: [SUBSETS][2][size] of samples, then ref; NULL: by our own draws */
    double value[SUBSETS];
    gd_status status[SUBSETS];
} kid;

/* The first `size` places of a shuffle of the set, keyed by the subset's number */
static void draw(float *out, int32_t *order, const gd_features *f, int size, int64_t subset,
                 uint32_t stream)
{
    for (int64_t i = 0; i < f->count; i++)
        order[i] = (int32_t)i;
    for (int i = 0; i < size; i++) {
        const uint32_t left = (uint32_t)(f->count - i);
        const int64_t k = i + gd_noise_below(left, (uint64_t)subset, (uint64_t)i, stream);
        const int32_t chosen = order[k];
        order[k] = order[i];
        order[i] = chosen;
        memcpy(out + (int64_t)i * f->width, f->data + (int64_t)chosen * f->width,
               (size_t)f->width * sizeof *out);
    }
}

static void take(float *out, const gd_features *f, const int32_t *place, int size)
{
    for (int i = 0; i < size; i++)
        memcpy(out + (int64_t)i * f->width, f->data + (int64_t)place[i] * f->width,
               (size_t)f->width * sizeof *out);
}

/* Sum of (x.y / d + 1)^3 over all pairs, or over those of different places */
static double kernel_sum(float *products, const float *x, const float *y, int n, int width,
                         bool different)
{
    double sum = 0;

    gd_dot_products(products, x, y, n, n, width);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const double k = (double)products[(int64_t)i * n + j] / width + 1;
            if (!different || i != j)
                sum += k * k * k;
        }
    return sum;
}

static void run_subset(void *ctx, int64_t subset)
{
    kid *k = ctx;
    const int n = k->size, width = k->set[0]->width;
    const size_t rows = (size_t)n * (size_t)width, square = (size_t)n * (size_t)n;
    const size_t most = (size_t)GD_MAX(k->set[0]->count, k->set[1]->count);
    const double pairs = (double)n * (n - 1);
    float *space;

    k->status[subset] =
        gd_block_make(&space, sizeof *space * (2 * rows + square + most), "kernel distance");
    if (k->status[subset] != GD_OK)
        return;
    float *x = space, *y = x + rows, *products = y + rows;
    int32_t *order = (int32_t *)(products + square);
    if (k->chosen) {
        take(x, k->set[0], k->chosen + (subset * 2 + 1) * n, n);
        take(y, k->set[1], k->chosen + subset * 2 * n, n);
    } else {
        draw(x, order, k->set[0], n, subset, 0);
        draw(y, order, k->set[1], n, subset, 1);
    }
    k->value[subset] = kernel_sum(products, x, x, n, width, true) / pairs +
                       kernel_sum(products, y, y, n, width, true) / pairs -
                       2 * kernel_sum(products, x, y, n, width, false) / ((double)n * n);
    gd_block_free(space);
}

/* torch-fidelity's subsets: choice(n, size, replace=False) of the samples, then of the reference,
 * from one generator */
static gd_status choose_all(kid *k)
{
    const int64_t most = GD_MAX(k->set[0]->count, k->set[1]->count);
    const size_t all = (size_t)SUBSETS * 2 * (size_t)k->size;
    gd_numpy_random random;
    int32_t *order;

    GD_TRY(gd_block_make(&k->chosen, (all + (size_t)most) * sizeof *order, "subsets"));
    order = k->chosen + all;
    gd_numpy_seed(&random, FIDELITY_SEED);
    for (int i = 0; i < SUBSETS * 2; i++) {
        gd_numpy_permutation(&random, order, (int32_t)k->set[i % 2 == 0]->count);
        memcpy(k->chosen + (int64_t)i * k->size, order, (size_t)k->size * sizeof *order);
    }
    return GD_OK;
}

static gd_status measure(gd_kid *out, kid *k)
{
    double sum = 0, squares = 0;

    gd_par(SUBSETS, run_subset, k);
    for (int i = 0; i < SUBSETS; i++) {
        if (k->status[i] != GD_OK)
            return gd_fail(k->status[i], "kernel distance: %s", gd_status_text(k->status[i]));
        sum += k->value[i];
    }
    for (int i = 0; i < SUBSETS; i++)
        squares += (k->value[i] - sum / SUBSETS) * (k->value[i] - sum / SUBSETS);
    *out = (gd_kid){ sum / SUBSETS, sqrt(squares / SUBSETS), k->size };
    return GD_OK;
}

gd_status gd_kid_measure(gd_kid *out, const gd_features *ref, const gd_features *samples,
                         bool fidelity)
{
    kid k = { .set = { ref, samples } };
    gd_status s = GD_OK;

    k.size = (int)GD_MIN(SUBSET, GD_MIN(ref->count, samples->count));
    if (k.size < 2)
        return gd_fail(GD_EUSAGE, "the kernel distance needs 2 images or more in each set");
    GD_TRY(gd_linear_ready());
    if (fidelity)
        s = choose_all(&k);
    if (s == GD_OK)
        s = measure(out, &k);
    gd_block_free(k.chosen);
    return s;
}

/* ---- the metric ---- */

static gd_status measure_metric(gd_measured *out, gd_comparison *c)
{
    gd_kid k;
    int *subset;

    GD_TRY(gd_kid_measure(&k, &c->ref, &c->samples, c->fidelity));
    GD_TRY(gd_block_make(&subset, sizeof *subset, "kernel distance"));
    out->value[0] = k.mean;
    out->deviation[0] = k.deviation;
    out->more = subset;
    *subset = k.subset;
    return GD_OK;
}

static void set_subset(json_t *report, const gd_measured *m, const gd_comparison *c)
{
    (void)c;
    json_object_set_new(report, "kid_subset", json_integer(*(const int *)m->more));
}

const gd_metric gd_metric_kid = {
    .word = "kid",
    .about = "kernel Inception distance (Binkowski et al. 2018)",
    .needs = GD_NEED_FEATURES,
    .has_limit = true,
    .least = 2,
    .least_ref = 2,
    .least_for = "KID",
    .measure = measure_metric,
    .basis = set_subset,
    .figure = { { .key = "kid", .name = "KID", .format = "%.6g", .bar = GD_BAR_SUBSETS } },
};
