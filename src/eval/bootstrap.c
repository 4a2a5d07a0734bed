/* bootstrap.c - how far a value moves when the samples are drawn again (Efron 1979): standard
 * deviations over resampled sets.  Draws are keyed by (seed, draw, position), so they are the same
 * whatever else happens. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>

enum { ALL, WITHIN_SPLIT }; /* streams of the draws */

typedef struct spread { /* Welford's running variance */
    int n;
    double mean, squares;
} spread;

typedef struct work {
    const gd_bootstrap *b;
    int row;
    int32_t *times; /* block: [count] how often each sample is drawn */
    spread fid, sfid, score;
} work;

static void spread_add(spread *s, double x)
{
    const double d = x - s->mean;

    s->mean += d / ++s->n;
    s->squares += d * (x - s->mean);
}

static double deviation(const spread *s)
{
    return s->n > 1 ? sqrt(s->squares / (s->n - 1)) : 0;
}

/* positions [first, first + n) draw from themselves */
static void draw(work *w, int d, int64_t first, int64_t n, int stream)
{
    for (int64_t i = first; i < first + n; i++)
        w->times[i] = 0;
    for (int64_t i = first; i < first + n; i++)
        w->times[first + gd_noise_below((uint32_t)n, w->b->seed, (uint64_t)i,
                                        2 * (uint32_t)d + (uint32_t)stream)]++;
}

/* Mean and covariance of `width` columns from `column` on */
static gd_status resampled(gd_statistics *out, const work *w, int column, int width)
{
    const gd_survey *s = w->b->samples;
    gd_moments *m;
    gd_status status;

    GD_TRY(gd_moments_make(&m, width));
    for (int64_t i = 0; i < s->count; i++)
        for (int k = 0; k < w->times[i]; k++)
            gd_moments_add(m, s->rows + i * w->row + column, 1);
    status = gd_moments_finish(m, out);
    gd_moments_free(m);
    return status;
}

static gd_status distances(work *w, int d)
{
    const gd_bootstrap *b = w->b;
    const gd_statistics *ref[2] = { b->pool ? b->pool : b->spatial, b->spatial };
    gd_statistics drawn[2] = { { 0 } };
    const gd_statistics *const set[2] = { &drawn[0], &drawn[1] };
    const int n = (b->pool != NULL) + (b->spatial != NULL);
    double value[2];
    gd_status s = GD_OK;

    draw(w, d, 0, b->samples->count, ALL);
    if (b->pool)
        s = resampled(&drawn[0], w, 0, b->shape->width);
    if (b->spatial && s == GD_OK)
        s = resampled(&drawn[n - 1], w, b->shape->width, b->shape->spatial);
    if (s == GD_OK)
        s = gd_frechet_all(value, set, ref, n);
    gd_statistics_free(&drawn[0]);
    gd_statistics_free(&drawn[1]);
    if (s == GD_OK && b->pool)
        spread_add(&w->fid, value[0]);
    if (s == GD_OK && b->spatial)
        spread_add(&w->sfid, value[n - 1]);
    return s;
}

static gd_status score(work *w, int d)
{
    const gd_survey *s = w->b->samples;
    const gd_extractor_shape *shape = w->b->shape;
    gd_inception_score *score;

    GD_TRY(gd_inception_score_make(&score, shape->classes, GD_IS_SPLIT));
    for (int64_t i = 0; i < s->count; i += GD_IS_SPLIT)
        draw(w, d, i, GD_MIN(GD_IS_SPLIT, s->count - i), WITHIN_SPLIT);
    for (int64_t i = 0; i < s->count; i++)
        for (int k = 0; k < w->times[i]; k++)
            gd_inception_score_add(score, s->rows + i * w->row + shape->width + shape->spatial, 1);
    spread_add(&w->score, gd_inception_score_value(score, NULL));
    gd_inception_score_free(score);
    return GD_OK;
}

static gd_status run(work *w)
{
    const gd_bootstrap *b = w->b;

    for (int d = 0; d < b->draws; d++) {
        if (b->pool || b->spatial)
            GD_TRY(distances(w, d));
        if (b->score)
            GD_TRY(score(w, d));
        if (b->tick)
            GD_TRY(b->tick(b->ctx));
    }
    return GD_OK;
}

gd_status gd_bootstrap_run(gd_deviations *out, const gd_bootstrap *b)
{
    work w = { .b = b, .row = gd_extractor_row(b->shape) };
    gd_status s;

    if (b->draws < 2)
        return gd_fail(GD_EUSAGE, "a deviation needs 2 draws or more");
    GD_TRY(
        gd_block_make((void **)&w.times, (size_t)b->samples->count * sizeof *w.times, "bootstrap"));
    s = run(&w);
    gd_block_free(w.times);
    *out = (gd_deviations){ deviation(&w.fid), deviation(&w.sfid), deviation(&w.score) };
    return s;
}
