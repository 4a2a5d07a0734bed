/* SPDX-License-Identifier: MIT */
/* bench_metrics.c - guided bench --metrics: what the metrics cost once features are there, at the
 * sizes of the 2015 Inception network. */
#include "bench/bench.h"
#include "eval/eval.h"

enum { IMAGES = 10000, POOL = 2048, SPATIAL = 2023 };

typedef struct bench {
    float *set[2];             /* blocks: [IMAGES][POOL] */
    gd_statistics stats[2][2]; /* of either set: pool, spatial */
    double frechet_s, manifold_s;
} bench;

/* Activations after a ReLU and an average: positive, of unequal spread */
static gd_status make_set(float **out, uint64_t seed)
{
    GD_TRY(gd_block_make(out, (size_t)IMAGES * POOL * sizeof **out, "features"));
    for (int64_t i = 0; i < IMAGES; i++) {
        float *row = *out + i * POOL;
        gd_noise_normal(row, POOL, seed, (uint64_t)i, 0);
        for (int k = 0; k < POOL; k++)
            row[k] = (row[k] < 0 ? -row[k] : row[k]) * (float)(1 + k % 7) / 8;
    }
    return GD_OK;
}

static gd_status statistics(gd_statistics *out, const float *set, int width)
{
    gd_moments *m;
    gd_status s;

    GD_TRY(gd_moments_make(&m, width));
    for (int64_t i = 0; i < IMAGES; i++)
        gd_moments_add(m, set + i * POOL, 1);
    s = gd_moments_finish(m, out);
    gd_moments_free(m);
    return s;
}

static gd_status make(bench *b)
{
    for (int i = 0; i < 2; i++) {
        GD_TRY(make_set(&b->set[i], (uint64_t)i));
        GD_TRY(statistics(&b->stats[i][0], b->set[i], POOL));
        GD_TRY(statistics(&b->stats[i][1], b->set[i], SPATIAL));
    }
    return GD_OK;
}

static gd_status measure(bench *b)
{
    const gd_features ref = { b->set[0], IMAGES, POOL }, samples = { b->set[1], IMAGES, POOL };
    const gd_statistics *const x[2] = { &b->stats[1][0], &b->stats[1][1] }, *const y[2] = {
        &b->stats[0][0], &b->stats[0][1]
    };
    gd_manifold manifold;
    double value[2], start;

    start = gd_seconds();
    GD_TRY(gd_frechet_all(value, x, y, 2));
    b->frechet_s = gd_seconds() - start;
    start = gd_seconds();
    GD_TRY(gd_manifold_measure(&manifold, &ref, &samples, false, NULL, NULL));
    b->manifold_s = gd_seconds() - start;
    return GD_OK;
}

static void print_result(const bench *b, bool json)
{
    const size_t peak = gd_peak_bytes();

    if (json)
        fprintf(job_out(), "{\"frechet_s\":%.3f,\"precision_recall_s\":%.3f,\"peak_bytes\":%zu}\n",
                b->frechet_s, b->manifold_s, peak);
    else
        fprintf(job_out(),
                "FID and sFID from statistics  %.2f s  (%d and %d features, side by side)\n"
                "precision and recall          %.2f s  (%d x %d features of %d)\n"
                "memory                        %.0f MiB resident at most, %d threads\n",
                b->frechet_s, POOL, SPATIAL, b->manifold_s, IMAGES, IMAGES, POOL,
                (double)peak / 1048576, gd_threads());
}

gd_status bench_metrics(bool json)
{
    bench b = { .frechet_s = 0 };
    gd_status s = make(&b);

    if (s == GD_OK)
        s = measure(&b);
    if (s == GD_OK)
        print_result(&b, json);
    for (int i = 0; i < 2; i++) {
        gd_block_free(b.set[i]);
        gd_statistics_free(&b.stats[i][0]);
        gd_statistics_free(&b.stats[i][1]);
    }
    return s;
}
