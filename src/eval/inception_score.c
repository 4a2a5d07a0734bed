/* SPDX-License-Identifier: MIT */
/* inception_score.c - exp of the mean divergence of an image's classes from their mean, over splits
 * of the images (docs/reference/evaluation.md#inception-score).
 *
 * mean_i sum_c p_ic (ln p_ic - ln q_c) with q = mean_i p_i is mean_i sum_c p_ic ln p_ic - sum_c q_c
 * ln q_c: two sums a split suffice, and no image is kept. */
#include "eval/metric.h"

#include "eval/numpy_random.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

enum { FIDELITY_SPLITS = 10, FIDELITY_SEED = 2020 };

typedef struct split {
    int64_t count;
    double negative_entropy; /* sum over its images of sum_c p ln p */
    double *sum;             /* [classes] of p over its images */
} split;

struct gd_inception_score {
    int classes;
    int64_t size, added; /* images of a split, where they follow one another */
    split split[FIDELITY_SPLITS];
    uint8_t *split_of;      /* [images]; NULL: split 0 is under way */
    double scores, squares; /* sums over finished splits */
    int64_t n_splits;
};

static gd_inception_score *make(int classes, int n)
{
    gd_inception_score *s = calloc(1, sizeof *s);
    bool whole = s != NULL;

    for (int i = 0; i < n && whole; i++) {
        s->split[i].sum = calloc((size_t)classes, sizeof *s->split[i].sum);
        whole = s->split[i].sum != NULL;
    }
    if (whole) {
        s->classes = classes;
        return s;
    }
    gd_inception_score_free(s);
    return NULL;
}

gd_status gd_inception_score_make(gd_inception_score **out, int classes, int64_t size)
{
    *out = make(classes, 1);
    if (!*out)
        return gd_fail(GD_ENOMEM, "Inception Score: out of memory");
    (*out)->size = size;
    return GD_OK;
}

/* Row k of the permuted images is image order[k]. */
static gd_status deal(gd_inception_score *s, int64_t count)
{
    gd_numpy_random random;
    int32_t *order = malloc((size_t)count * sizeof *order);

    s->split_of = malloc((size_t)count);
    if (!order || !s->split_of) {
        free(order);
        return gd_fail(GD_ENOMEM, "Inception Score: out of memory");
    }
    gd_numpy_seed(&random, FIDELITY_SEED);
    gd_numpy_permutation(&random, order, (int32_t)count);
    for (int i = 0; i < FIDELITY_SPLITS; i++)
        for (int64_t k = i * count / FIDELITY_SPLITS; k < (i + 1) * count / FIDELITY_SPLITS; k++)
            s->split_of[order[k]] = (uint8_t)i;
    free(order);
    return GD_OK;
}

gd_status gd_inception_score_make_fidelity(gd_inception_score **out, int classes, int64_t count)
{
    gd_status s;

    *out = make(classes, FIDELITY_SPLITS);
    if (!*out)
        return gd_fail(GD_ENOMEM, "Inception Score: out of memory");
    s = deal(*out, count);
    if (s != GD_OK)
        gd_inception_score_free(*out);
    return s;
}

void gd_inception_score_free(gd_inception_score *s)
{
    if (!s)
        return;
    for (int i = 0; i < FIDELITY_SPLITS; i++)
        free(s->split[i].sum);
    free(s->split_of);
    free(s);
}

static double p_log_p(double p)
{
    return p > 0 ? p * log(p) : 0;
}

static double split_score(const split *s, int classes)
{
    const double n = (double)s->count;
    double divergence = s->negative_entropy / n;

    for (int c = 0; c < classes; c++)
        divergence -= p_log_p(s->sum[c] / n);
    return exp(divergence);
}

static void add_one(split *s, const float *p, int classes)
{
    for (int c = 0; c < classes; c++) {
        s->sum[c] += p[c];
        s->negative_entropy += p_log_p(p[c]);
    }
    s->count++;
}

static void finish_split(gd_inception_score *s)
{
    const double score = split_score(&s->split[0], s->classes);

    s->scores += score;
    s->squares += score * score;
    s->n_splits++;
    s->split[0].count = 0;
    s->split[0].negative_entropy = 0;
    for (int c = 0; c < s->classes; c++)
        s->split[0].sum[c] = 0;
}

void gd_inception_score_add(gd_inception_score *s, const float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        split *to = &s->split[s->split_of ? s->split_of[s->added] : 0];
        add_one(to, p + i * s->classes, s->classes);
        s->added++;
        if (!s->split_of && to->count == s->size)
            finish_split(s);
    }
}

double gd_inception_score_value(const gd_inception_score *s, double *deviation)
{
    double scores = s->scores, squares = s->squares, n = (double)s->n_splits;

    for (int i = 0; i < FIDELITY_SPLITS; i++)
        if (s->split[i].count > 0) {
            const double score = split_score(&s->split[i], s->classes);
            scores += score;
            squares += score * score;
            n++;
        }
    if (deviation)
        *deviation = sqrt(fmax(squares / n - scores / n * (scores / n), 0));
    return scores / n;
}

/* ---- the metric ---- */

static gd_status measure(gd_measured *out, gd_comparison *c)
{
    out->value[0] = c->of_samples->inception_score;
    out->value[1] = c->of_samples->score_spread;
    return GD_OK;
}

/* Each split is drawn from itself. */
static gd_status redraw(double *out, gd_redrawn *r)
{
    const gd_survey *s = r->samples;
    const gd_extractor_shape *shape = r->shape;
    const int row = gd_extractor_row(shape);
    gd_inception_score *score;

    GD_TRY(gd_inception_score_make(&score, shape->classes, GD_IS_SPLIT));
    for (int64_t i = 0; i < s->count; i += GD_IS_SPLIT)
        gd_redraw(r, i, GD_MIN(GD_IS_SPLIT, s->count - i), GD_REDRAW_SPLIT);
    for (int64_t i = 0; i < s->count; i++)
        for (int k = 0; k < r->times[i]; k++)
            gd_inception_score_add(score, s->rows + i * row + shape->width + shape->spatial, 1);
    *out = gd_inception_score_value(score, NULL);
    gd_inception_score_free(score);
    return GD_OK;
}

static void set_split(json_t *report, const gd_measured *m, const gd_comparison *c)
{
    (void)m;
    if (!c->fidelity)
        json_object_set_new(report, "inception_score_split", json_integer(GD_IS_SPLIT));
}

const gd_metric gd_metric_is = {
    .word = "is",
    .about = "Inception Score (Salimans et al. 2016), of the samples alone",
    .needs = GD_NEED_SCORE,
    .standard = true,
    .least = 1,
    .measure = measure,
    .redraw = redraw,
    .basis = set_split,
    .figure = { { .key = "inception_score",
                  .name = "Inception Score",
                  .format = "%.6f",
                  .bar = GD_BAR_REDRAWN },
                { .key = "inception_score_spread", .fidelity = true, .minor = true } },
};
