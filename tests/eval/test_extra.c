/* SPDX-License-Identifier: MIT */
/* Distance at infinity, memorisation, Vendi score, classes: values that are known, and agreement
 * with the Frechet distance by its other form. */
#include "eval/extra.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { WIDTH = 24, N_REF = 3000, N = 400 };
static float ref_rows[N_REF * WIDTH], rows[N * WIDTH];

/* Sums of 8 uniform numbers, nearly normal; columns of different sizes */
static void fill(float *out, int64_t n, uint64_t seed, float shift)
{
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < WIDTH; k++) {
            float sum = 0;
            for (uint32_t j = 0; j < 8; j++)
                sum +=
                    (float)gd_noise_below(1000, seed, (uint64_t)(i * WIDTH + k), j) / 1000 - 0.5f;
            out[i * WIDTH + k] = sum * (float)(1 + k % 5) + shift;
        }
}

static int make(void **state)
{
    (void)state;
    fill(ref_rows, N_REF, 1, 0);
    fill(rows, N, 2, 0);
    return 0;
}

static gd_statistics statistics_of(const gd_features *f)
{
    gd_statistics s;
    gd_moments *m;

    assert_int_equal(gd_moments_make(&m, f->width), GD_OK);
    gd_moments_add(m, f->data, f->count);
    assert_int_equal(gd_moments_finish(m, &s), GD_OK);
    gd_moments_free(m);
    return s;
}

/* Of samples of the reference's own distribution the distance is all bias, which goes away */
static void the_bias_goes_away_at_infinity(void **state)
{
    const gd_features ref = { ref_rows, N_REF, WIDTH }, samples = { rows, N, WIDTH };
    gd_statistics s = statistics_of(&ref);
    gd_infinity f, again;

    (void)state;
    assert_int_equal(gd_infinity_measure(&f, &s, &samples, 3), GD_OK);
    assert_int_equal(gd_infinity_measure(&again, &s, &samples, 3), GD_OK);
    assert_memory_equal(&f, &again, sizeof f);
    assert_int_equal(f.n[0], N / 4);
    assert_int_equal(f.n[GD_INFINITY_POINTS - 1], N);
    assert_true(f.distance[0] > 2 * f.distance[GD_INFINITY_POINTS - 1]);
    assert_true(fabs(f.value) < f.distance[GD_INFINITY_POINTS - 1] / 3);
    assert_true(f.error > 0 && fabs(f.value) < 4 * f.error + 0.05);
    const gd_features few = { rows, 15, WIDTH };
    assert_int_equal(gd_infinity_measure(&f, &s, &few, 3), GD_EUSAGE);
    gd_statistics_free(&s);
}

/* The whole set is the last point, however it is drawn: to rounding, the distance itself */
static void the_last_point_is_the_distance(void **state)
{
    const gd_features ref = { ref_rows, N_REF, WIDTH }, samples = { rows, N, WIDTH };
    gd_statistics a = statistics_of(&ref), b = statistics_of(&samples);
    gd_infinity f;
    double whole;

    (void)state;
    assert_int_equal(gd_infinity_measure(&f, &a, &samples, 9), GD_OK);
    assert_int_equal(gd_frechet(&whole, &b, &a), GD_OK);
    assert_true(fabs(f.distance[GD_INFINITY_POINTS - 1] - whole) < 1e-9 * whole);
    gd_statistics_free(&a);
    gd_statistics_free(&b);
}

static void copies_are_the_first_pairs(void **state)
{
    const gd_features ref = { ref_rows, 600, WIDTH }, samples = { rows, N, WIDTH };
    float *with = malloc(sizeof rows);
    const gd_features copied = { with, N, WIDTH };
    gd_memorisation m, planted;

    (void)state;
    memcpy(with, rows, sizeof rows);
    memcpy(with + 31 * WIDTH, ref_rows + 311 * WIDTH, WIDTH * sizeof(float));
    for (int k = 0; k < WIDTH; k++) /* nearly a copy */
        with[77 * WIDTH + k] = ref_rows[5 * WIDTH + k] + 1e-3f;
    assert_int_equal(gd_memorisation_measure(&m, &ref, NULL, &samples), GD_OK);
    assert_int_equal(gd_memorisation_measure(&planted, &ref, NULL, &copied), GD_OK);
    assert_true(m.pair[0].ratio > 0.2);
    assert_int_equal(planted.pair[0].sample, 31);
    assert_int_equal(planted.pair[0].ref, 311);
    assert_true(planted.pair[0].ratio < 1e-3);
    assert_int_equal(planted.pair[1].sample, 77);
    assert_int_equal(planted.pair[1].ref, 5);
    assert_true(planted.authenticity <= m.authenticity);
    fill(with, N, 4, 500); /* far away */
    assert_int_equal(gd_memorisation_measure(&m, &ref, NULL, &copied), GD_OK);
    assert_true(m.authenticity == 1 && m.median_ratio > 10);
    free(with);
}

static double apart(const float *x, const float *y)
{
    double d = 0;

    for (int k = 0; k < WIDTH; k++)
        d += pow((double)x[k] - y[k], 2);
    return sqrt(d);
}

/* A copy of a training image is far nearer to it than to any held-out image; ratios are those of
 * all pairs, and a held-out set that is the training set tells nothing. */
static void held_out_images_tell_copies(void **state)
{
    const gd_features ref = { ref_rows, 300, WIDTH }, samples = { rows, 200, WIDTH },
                      held = { ref_rows + 300 * WIDTH, 300, WIDTH };
    float kept[WIDTH];
    gd_memorisation m;

    (void)state;
    memcpy(kept, rows + 42 * WIDTH, sizeof kept);
    memcpy(rows + 42 * WIDTH, ref_rows + 7 * WIDTH, sizeof kept);
    assert_int_equal(gd_memorisation_measure(&m, &ref, &held, &samples), GD_OK);
    assert_true(m.has_held && m.pair[0].sample == 42 && m.pair[0].ref == 7);
    assert_true(m.pair[0].held_ratio < 1e-6);
    for (int p = 0; p < m.n_pairs; p++) {
        const float *x = rows + m.pair[p].sample * WIDTH;
        double best[2] = { INFINITY, INFINITY };
        for (int64_t r = 0; r < 600; r++)
            best[r / 300] = fmin(best[r / 300], apart(x, ref_rows + r * WIDTH));
        assert_true(fabs(m.pair[p].held_ratio - best[0] / best[1]) < 1e-5);
        assert_true(p == 0 || m.pair[p].held_ratio >= m.pair[p - 1].held_ratio);
    }
    assert_true(m.nearer_share > 0.3 && m.nearer_share < 0.7);
    assert_int_equal(gd_memorisation_measure(&m, &ref, &ref, &samples), GD_OK);
    assert_true(m.nearer_share == 0 && m.held_ratio == 1);
    memcpy(rows + 42 * WIDTH, kept, sizeof kept);
}

/* Every distance once more, one pair after another */
static void nearest_is_the_nearest(void **state)
{
    const gd_features ref = { ref_rows, 700, WIDTH }, samples = { rows, 300, WIDTH };
    gd_memorisation m;

    (void)state;
    assert_int_equal(gd_memorisation_measure(&m, &ref, NULL, &samples), GD_OK);
    for (int p = 0; p < m.n_pairs; p++) {
        double best = INFINITY, apart = INFINITY;
        const float *x = rows + m.pair[p].sample * WIDTH, *y = ref_rows + m.pair[p].ref * WIDTH;
        for (int64_t r = 0; r < ref.count; r++) {
            double d = 0, e = 0;
            for (int k = 0; k < WIDTH; k++) {
                d += pow((double)x[k] - ref_rows[r * WIDTH + k], 2);
                e += pow((double)y[k] - ref_rows[r * WIDTH + k], 2);
            }
            best = fmin(best, sqrt(d));
            if (r != m.pair[p].ref)
                apart = fmin(apart, sqrt(e));
        }
        assert_true(fabs(m.pair[p].distance - best) < 1e-5 * best);
        assert_true(fabs(m.pair[p].ratio - best / apart) < 1e-4 * best / apart);
    }
}

static void vendi_counts_what_differs(void **state)
{
    float set[12 * WIDTH] = { 0 };
    const gd_features f = { set, 12, WIDTH };
    double score;

    (void)state;
    for (int i = 0; i < 12; i++) /* four directions, three images each, of any length */
        set[i * WIDTH + i % 4] = (float)(1 + i);
    assert_int_equal(gd_vendi_measure(&score, &f), GD_OK);
    assert_float_equal(score, 4, 1e-9);
    for (int i = 0; i < 12; i++) { /* shares of 3/4 and 1/4 */
        memset(set + i * WIDTH, 0, WIDTH * sizeof *set);
        set[i * WIDTH + (i % 4 == 0)] = 2;
    }
    assert_int_equal(gd_vendi_measure(&score, &f), GD_OK);
    assert_float_equal(score, exp(-0.75 * log(0.75) - 0.25 * log(0.25)), 1e-9);
}

/* Classes of fewer and of more images than features: both forms are the Frechet distance */
static void classes_have_their_distance(void **state)
{
    static int32_t a[N_REF], b[N];
    const gd_features ref = { ref_rows, N_REF, WIDTH }, samples = { rows, N, WIDTH };
    gd_class_scores *c;
    int n;

    (void)state;
    for (int i = 0; i < N_REF; i++)
        a[i] = i < 20 ? 0 : i < 60 ? 3 : i < 2000 ? 7 : -1;
    for (int i = 0; i < N; i++)
        b[i] = i < 15 ? 0 : i < 16 ? 3 : i < 20 ? 5 : 7;
    assert_int_equal(gd_per_class_measure(&c, &n, &ref, a, &samples, b), GD_OK);
    assert_int_equal(n, 3); /* class 5 is in the samples only */
    for (int k = 0; k < n; k += 2) {
        const int64_t from[2] = { k ? 60 : 0, k ? 20 : 0 }, to[2] = { k ? 2000 : 20, k ? N : 15 };
        const gd_features x = { ref_rows + from[0] * WIDTH, to[0] - from[0], WIDTH },
                          y = { rows + from[1] * WIDTH, to[1] - from[1], WIDTH };
        gd_statistics s = statistics_of(&x), t = statistics_of(&y);
        double whole;
        assert_int_equal(gd_frechet(&whole, &s, &t), GD_OK);
        assert_true(fabs(c[k].distance - whole) < 1e-8 * whole);
        assert_int_equal(c[k].n_ref, x.count);
        assert_int_equal(c[k].n_samples, y.count);
        assert_true(c[k].precision > 0 && c[k].precision <= 1);
        gd_statistics_free(&s);
        gd_statistics_free(&t);
    }
    assert_int_equal(c[1].label, 3);
    assert_true(isnan(c[1].distance) && isnan(c[1].precision)); /* one sample */
    gd_block_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bias_goes_away_at_infinity),
        cmocka_unit_test(the_last_point_is_the_distance),
        cmocka_unit_test(copies_are_the_first_pairs),
        cmocka_unit_test(held_out_images_tell_copies),
        cmocka_unit_test(nearest_is_the_nearest),
        cmocka_unit_test(vendi_counts_what_differs),
        cmocka_unit_test(classes_have_their_distance),
    };

    return cmocka_run_group_tests(tests, make, NULL);
}
