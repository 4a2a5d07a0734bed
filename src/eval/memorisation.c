/* SPDX-License-Identifier: MIT */
/* memorisation.c - which samples stand closer to a training image than its own neighbours do. */
#include "eval/metric.h"

#include "cpu/linear.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 256 };

typedef struct search {
    int width;
    int64_t n_ref, n;
    float *ref, *samples;          /* [count][width] less the reference's mean */
    float *ref_norm, *sample_norm; /* squared lengths */
    float *nearest;                /* [n] squared distance */
    int32_t *place;                /* [n] of the nearest */
    gd_status *status;             /* [tiles] */
} search;

static void norms(float *out, const float *x, int64_t n, int width)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < width; k++)
            sum += (double)x[i * width + k] * x[i * width + k];
        out[i] = (float)sum;
    }
}

/* A tile of samples beside all reference images, in order: ties go to the first. */
static void search_tile(void *ctx, int64_t tile)
{
    const search *s = ctx;
    const int64_t first = tile * TILE;
    const int rows = (int)GD_MIN(TILE, s->n - first);
    float *d;

    s->status[tile] = gd_block_make(&d, sizeof *d * TILE * TILE, "distances");
    if (s->status[tile] != GD_OK)
        return;
    for (int64_t from = 0; from < s->n_ref; from += TILE) {
        const int columns = (int)GD_MIN(TILE, s->n_ref - from);
        gd_dot_products(d, s->samples + first * s->width, s->ref + from * s->width, rows, columns,
                        s->width);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                const float x =
                    s->sample_norm[first + i] - 2 * d[i * columns + j] + s->ref_norm[from + j];
                if (x < s->nearest[first + i]) {
                    s->nearest[first + i] = x;
                    s->place[first + i] = (int32_t)(from + j);
                }
            }
    }
    gd_block_free(d);
}

static gd_status centre(search *s, const gd_features *ref, const gd_features *samples)
{
    const int width = s->width;
    double *mean;

    GD_TRY(gd_block_make(&mean, (size_t)width * sizeof *mean, "distances"));
    for (int64_t i = 0; i < ref->count; i++)
        for (int k = 0; k < width; k++)
            mean[k] += ref->data[i * width + k] / (double)ref->count;
    for (int64_t i = 0; i < ref->count; i++)
        for (int k = 0; k < width; k++)
            s->ref[i * width + k] = (float)(ref->data[i * width + k] - mean[k]);
    for (int64_t i = 0; i < samples->count; i++)
        for (int k = 0; k < width; k++)
            s->samples[i * width + k] = (float)(samples->data[i * width + k] - mean[k]);
    gd_block_free(mean);
    norms(s->ref_norm, s->ref, s->n_ref, width);
    norms(s->sample_norm, s->samples, s->n, width);
    return GD_OK;
}

static gd_status make(search *s, const gd_features *ref, const gd_features *samples)
{
    const size_t row = (size_t)ref->width * sizeof(float), n = (size_t)samples->count,
                 n_ref = (size_t)ref->count;

    *s = (search){ .width = ref->width, .n_ref = ref->count, .n = samples->count };
    GD_TRY(gd_linear_ready());
    GD_TRY(gd_block_make(&s->ref, n_ref * row, "centred features"));
    GD_TRY(gd_block_make(&s->samples, n * row, "centred features"));
    GD_TRY(gd_block_make(&s->ref_norm, n_ref * sizeof(float), "distances"));
    GD_TRY(gd_block_make(&s->sample_norm, n * sizeof(float), "distances"));
    GD_TRY(gd_block_make(&s->nearest, n * sizeof(float), "distances"));
    GD_TRY(gd_block_make(&s->place, n * sizeof *s->place, "distances"));
    GD_TRY(gd_block_make(&s->status, (n / TILE + 1) * sizeof *s->status, "distances"));
    return centre(s, ref, samples);
}

static void release(search *s)
{
    gd_block_free(s->ref);
    gd_block_free(s->samples);
    gd_block_free(s->ref_norm);
    gd_block_free(s->sample_norm);
    gd_block_free(s->nearest);
    gd_block_free(s->place);
    gd_block_free(s->status);
}

static gd_status run(search *s)
{
    const int64_t tiles = (s->n + TILE - 1) / TILE;

    for (int64_t i = 0; i < s->n; i++)
        s->nearest[i] = INFINITY;
    gd_par(tiles, search_tile, s);
    for (int64_t t = 0; t < tiles; t++)
        if (s->status[t] != GD_OK)
            return gd_fail(s->status[t], "nearest images: %s", gd_status_text(s->status[t]));
    return GD_OK;
}

static int by_ratio(const void *a, const void *b)
{
    const gd_nearest_pair *x = a, *y = b;

    if (x->ratio != y->ratio)
        return x->ratio < y->ratio ? -1 : 1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

static int by_held_ratio(const void *a, const void *b)
{
    const gd_nearest_pair *x = a, *y = b;

    if (x->held_ratio != y->held_ratio)
        return x->held_ratio < y->held_ratio ? -1 : 1;
    return by_ratio(a, b);
}

/* Of equal distances of 0 the ratio is 1 */
static double over(double distance, double other)
{
    return other > 0 ? distance / other : distance > 0 ? INFINITY : 1;
}

/* Once more, without the cancellation of the sums of squares: a copy is at distance 0 */
static double exact(const search *s, int64_t sample)
{
    const float *x = s->samples + sample * s->width,
                *y = s->ref + (int64_t)s->place[sample] * s->width;
    double sum = 0;

    for (int k = 0; k < s->width; k++)
        sum += ((double)x[k] - y[k]) * ((double)x[k] - y[k]);
    return sqrt(sum);
}

/* all: [n], by ratio; the held-out images decide the order where they are */
static void compare_held(gd_memorisation *out, const search *held, gd_nearest_pair *all)
{
    int64_t nearer = 0;

    for (int64_t i = 0; i < held->n; i++) {
        gd_nearest_pair *p = &all[i];
        p->held = held->place[p->sample];
        p->held_ratio = over(p->distance, exact(held, p->sample));
        nearer += p->held_ratio < 1;
    }
    qsort(all, (size_t)held->n, sizeof *all, by_held_ratio);
    out->has_held = true;
    out->nearer_share = (double)nearer / (double)held->n;
    out->held_ratio = all[held->n / 2].held_ratio;
}

/* own: [n_ref][GD_NEAREST] of the reference, itself first; held: NULL, or searched too */
static gd_status judge(gd_memorisation *out, const search *s, const search *held, const float *own)
{
    gd_nearest_pair *all;
    int64_t authentic = 0;

    GD_TRY(gd_block_make(&all, (size_t)s->n * sizeof *all, "nearest images"));
    for (int64_t i = 0; i < s->n; i++) {
        const double d = exact(s, i), apart = sqrt(own[(int64_t)s->place[i] * GD_NEAREST + 1]);
        all[i] = (gd_nearest_pair){ i, s->place[i], d, over(d, apart), .held = -1 };
        authentic += all[i].ratio > 1;
    }
    qsort(all, (size_t)s->n, sizeof *all, by_ratio);
    out->authenticity = (double)authentic / (double)s->n;
    out->median_ratio = all[s->n / 2].ratio;
    if (held)
        compare_held(out, held, all);
    out->n_pairs = (int)GD_MIN(GD_PAIRS, s->n);
    memcpy(out->pair, all, (size_t)out->n_pairs * sizeof *all);
    gd_block_free(all);
    return GD_OK;
}

gd_status gd_memorisation_measure(gd_memorisation *out, const gd_features *ref,
                                  const gd_features *held, const gd_features *samples)
{
    float *own = NULL;
    search s = { 0 }, h = { 0 };
    gd_status status;

    if (ref->count < 2 || samples->count < 1 || (held && held->count < 1))
        return gd_fail(GD_EUSAGE, "memorisation needs 2 reference images or more, and a sample");
    *out = (gd_memorisation){ 0 };
    status = make(&s, ref, samples);
    if (status == GD_OK)
        status = run(&s);
    if (status == GD_OK && held)
        status = make(&h, held, samples);
    if (status == GD_OK && held)
        status = run(&h);
    if (status == GD_OK)
        status = gd_block_make(&own, (size_t)ref->count * GD_NEAREST * sizeof *own, "neighbours");
    if (status == GD_OK)
        status = gd_nearest_distances(own, ref, false, NULL, NULL);
    if (status == GD_OK)
        status = judge(out, &s, held ? &h : NULL, own);
    gd_block_free(own);
    release(&s);
    release(&h);
    return status;
}

/* ---- the metric ---- */

static gd_status measure(gd_measured *out, gd_comparison *c)
{
    gd_memorisation *m;

    GD_TRY(gd_block_make(&m, sizeof *m, "nearest images"));
    out->more = m;
    GD_TRY(gd_memorisation_measure(m, &c->ref, c->of_held ? &c->held : NULL, &c->samples));
    for (int k = 0; k < m->n_pairs; k++) {
        m->pair[k].sample = gd_image_of_row(c->of_samples, m->pair[k].sample);
        m->pair[k].ref = gd_image_of_row(c->of_ref, m->pair[k].ref);
        if (m->has_held)
            m->pair[k].held = gd_image_of_row(c->of_held, m->pair[k].held);
    }
    out->value[0] = m->authenticity;
    out->value[1] = m->median_ratio;
    return GD_OK;
}

static void set_pairs(json_t *report, const gd_measured *measured)
{
    const gd_memorisation *m = measured->more;
    json_t *pairs = json_array();

    for (int k = 0; k < m->n_pairs; k++) {
        json_t *pair = json_pack("{s:I,s:I}", "sample", (json_int_t)m->pair[k].sample, "reference",
                                 (json_int_t)m->pair[k].ref);
        json_object_set_new(pair, "distance", gd_json_number(m->pair[k].distance));
        json_object_set_new(pair, "ratio", gd_json_number(m->pair[k].ratio));
        if (m->has_held) {
            json_object_set_new(pair, "held_out", json_integer(m->pair[k].held));
            json_object_set_new(pair, "held_out_ratio", gd_json_number(m->pair[k].held_ratio));
        }
        json_array_append_new(pairs, pair);
    }
    if (m->has_held) {
        json_object_set_new(report, "held_out_nearer", gd_json_number(m->nearer_share));
        json_object_set_new(report, "held_out_ratio", gd_json_number(m->held_ratio));
    }
    json_object_set_new(report, "nearest_pairs", pairs);
}

static void print_pairs(FILE *out, const gd_measured *measured)
{
    const gd_memorisation *m = measured->more;

    if (m->has_held)
        fprintf(out,
                "  %.1f %% of the samples are nearer to a reference image than to a held-out one, "
                "median ratio %.4f\n",
                100 * m->nearer_share, m->held_ratio);
    for (int k = 0; k < m->n_pairs; k++) {
        fprintf(out, "  sample %lld is nearest to reference image %lld, ratio %.3f",
                (long long)m->pair[k].sample, (long long)m->pair[k].ref, m->pair[k].ratio);
        if (m->has_held)
            fprintf(out, ", to held-out image %lld %.3f", (long long)m->pair[k].held,
                    m->pair[k].held_ratio);
        fprintf(out, "\n");
    }
}

const gd_metric gd_metric_memorisation = {
    .word = "memorization",
    .about = "authenticity (Alaa et al. 2022) and the samples nearest to the reference",
    .needs = GD_NEED_FEATURES,
    .least = 1,
    .least_ref = 1,
    .measure = measure,
    .detail = set_pairs,
    .print = print_pairs,
    .figure = { { .key = "authenticity",
                  .name = "Authenticity",
                  .format = "%.4f",
                  .bar = GD_BAR_SHARE_OF_SAMPLES },
                { .key = "memorization_ratio",
                  .name = "Memorization",
                  .format = "%.4f",
                  .note = "(median of distance to the nearest reference image over its own nearest "
                          "neighbour's)",
                  .minor = true } },
};
