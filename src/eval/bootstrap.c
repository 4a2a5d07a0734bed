/* SPDX-License-Identifier: MIT */
/* bootstrap.c - how far a value moves when the samples are drawn again (Efron 1979): standard
 * deviations over resampled sets.  Draws are keyed by (seed, draw, index), so they are the same
 * whatever else happens. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>

typedef struct spread { /* Welford's running variance */
    int n;
    double mean, squares;
} spread;

typedef struct work {
    const gd_bootstrap *b;
    gd_redrawn drawn;
    spread spread[GD_MAX_VARIED];
    gd_statistics statistics[GD_MAX_VARIED]; /* of the set drawn last */
} work;

static void spread_add(spread *s, double x)
{
    const double d = x - s->mean;

    s->mean += d / ++s->n;
    s->squares += d * (x - s->mean);
}

static double deviation_of(const spread *s)
{
    return s->n > 1 ? sqrt(s->squares / (s->n - 1)) : 0;
}

void gd_redraw(gd_redrawn *r, int64_t first, int64_t n, int stream)
{
    for (int64_t i = first; i < first + n; i++)
        r->times[i] = 0;
    for (int64_t i = first; i < first + n; i++)
        r->times[first + gd_noise_below((uint32_t)n, r->seed, (uint64_t)i,
                                        2 * (uint32_t)r->draw + (uint32_t)stream)]++;
}

static gd_status resampled(gd_statistics *out, const gd_redrawn *r, const gd_varied *v)
{
    const int row = gd_extractor_row(r->shape);
    gd_moments *m;
    gd_status status;

    GD_TRY(gd_moments_make(&m, v->width));
    for (int64_t i = 0; i < r->samples->count; i++)
        for (int k = 0; k < r->times[i]; k++)
            gd_moments_add(m, r->samples->rows + i * row + v->column, 1);
    status = gd_moments_finish(m, out);
    gd_moments_free(m);
    return status;
}

/* Frechet distances are measured side by side. */
static gd_status distances(work *w)
{
    const gd_bootstrap *b = w->b;
    const gd_statistics *ref[GD_MAX_VARIED], *set[GD_MAX_VARIED];
    double value[GD_MAX_VARIED];
    spread *to[GD_MAX_VARIED];
    int n = 0;

    for (int i = 0; i < b->n; i++) {
        if (!b->varied[i].ref)
            continue;
        if (n == 0)
            gd_redraw(&w->drawn, 0, b->samples->count, GD_REDRAW_ALL);
        GD_TRY(resampled(&w->statistics[i], &w->drawn, &b->varied[i]));
        ref[n] = b->varied[i].ref;
        set[n] = &w->statistics[i];
        to[n++] = &w->spread[i];
    }
    if (n == 0)
        return GD_OK;
    GD_TRY(gd_frechet_all(value, set, ref, n));
    for (int i = 0; i < n; i++)
        spread_add(to[i], value[i]);
    return GD_OK;
}

static gd_status one_draw(work *w)
{
    const gd_bootstrap *b = w->b;
    gd_status s = distances(w);

    for (int i = 0; i < b->n; i++)
        gd_statistics_free(&w->statistics[i]);
    for (int i = 0; i < b->n && s == GD_OK; i++) {
        double value;
        if (b->varied[i].ref)
            continue;
        s = b->varied[i].value(&value, &w->drawn);
        if (s == GD_OK)
            spread_add(&w->spread[i], value);
    }
    return s == GD_OK && b->tick ? b->tick(b->ctx) : s;
}

gd_status gd_bootstrap_run(double *deviation, const gd_bootstrap *b)
{
    work w = { .b = b, .drawn = { .samples = b->samples, .shape = b->shape, .seed = b->seed } };
    gd_status s = GD_OK;

    if (b->draws < 2)
        return gd_fail(GD_EUSAGE, "a deviation needs 2 draws or more");
    GD_TRY(gd_block_make(&w.drawn.times, (size_t)b->samples->count * sizeof *w.drawn.times,
                         "bootstrap"));
    for (int d = 0; d < b->draws && s == GD_OK; d++) {
        w.drawn.draw = d;
        s = one_draw(&w);
    }
    gd_block_free(w.drawn.times);
    for (int i = 0; i < b->n; i++)
        deviation[i] = deviation_of(&w.spread[i]);
    return s;
}
