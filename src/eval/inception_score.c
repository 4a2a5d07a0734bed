/* inception_score.c - exp of the mean divergence of an image's classes from their mean, over splits
 * of consecutive images (spec/evaluation.md 3).
 *
 * mean_i sum_c p_ic (ln p_ic - ln q_c) with q = mean_i p_i is mean_i sum_c p_ic ln p_ic - sum_c q_c
 * ln q_c: two sums a split suffice, and no image is kept. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>

struct gd_inception_score {
    int classes;
    int64_t split, in_split; /* images of a split; of the one under way */
    double negative_entropy; /* sum over its images of sum_c p ln p */
    double *sum;             /* [classes] of p over its images */
    double scores;           /* sum of finished splits */
    int64_t n_splits;
};

gd_status gd_inception_score_make(gd_inception_score **out, int classes, int64_t split)
{
    gd_inception_score *s = calloc(1, sizeof *s);

    if (s) {
        s->classes = classes;
        s->split = split;
        s->sum = calloc((size_t)classes, sizeof *s->sum);
    }
    if (!s || !s->sum) {
        gd_inception_score_free(s);
        return gd_fail(GD_ENOMEM, "Inception Score: out of memory");
    }
    *out = s;
    return GD_OK;
}

void gd_inception_score_free(gd_inception_score *s)
{
    if (!s)
        return;
    free(s->sum);
    free(s);
}

static double p_log_p(double p)
{
    return p > 0 ? p * log(p) : 0;
}

static double split_score(const gd_inception_score *s)
{
    const double n = (double)s->in_split;
    double divergence = s->negative_entropy / n;

    for (int c = 0; c < s->classes; c++)
        divergence -= p_log_p(s->sum[c] / n);
    return exp(divergence);
}

static void add_one(gd_inception_score *s, const float *p)
{
    for (int c = 0; c < s->classes; c++) {
        s->sum[c] += p[c];
        s->negative_entropy += p_log_p(p[c]);
    }
    s->in_split++;
}

void gd_inception_score_add(gd_inception_score *s, const float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        add_one(s, p + i * s->classes);
        if (s->in_split < s->split)
            continue;
        s->scores += split_score(s);
        s->n_splits++;
        s->in_split = 0;
        s->negative_entropy = 0;
        for (int c = 0; c < s->classes; c++)
            s->sum[c] = 0;
    }
}

double gd_inception_score_value(const gd_inception_score *s)
{
    const bool partial = s->in_split > 0;
    const double scores = s->scores + (partial ? split_score(s) : 0);

    return scores / (double)(s->n_splits + partial);
}
