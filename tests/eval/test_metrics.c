/* SPDX-License-Identifier: MIT */
/* Metrics of given features: the fixture of the specification, the same bits however the rows come,
 * and sets that are refused. */
#include "eval/eval.h"
#include "eval/metric.h"
#include "eval/half.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Pseudo-random numbers of the case file */
static double u(uint32_t k, uint32_t i)
{
    uint32_t h = (k * 1000003u + i) * 2654435761u;

    h ^= h >> 16;
    h *= 2246822519u;
    h ^= h >> 13;
    return h / 4294967296.0 - 0.5;
}

enum { N_A = 50, N_B = 60, WIDTH = 6, CLASSES = 7 };
static float a[N_A * WIDTH], b[N_B * WIDTH];
static const gd_features ref = { a, N_A, WIDTH }, samples = { b, N_B, WIDTH };

static int fill(void **state)
{
    static const double scale[WIDTH] = { 1, .8, 1.2, .6, 1, 1.5 };

    (void)state;
    for (int i = 0; i < COUNT(a); i++)
        a[i] = (float)(2 * u(300001, (uint32_t)i));
    for (int i = 0; i < COUNT(b); i++)
        b[i] = (float)(2 * u(300002, (uint32_t)i) * scale[i % WIDTH] + 0.1);
    return 0;
}

static json_t *fixture(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/tests/golden/eval_metrics.json", getenv("GUIDED_SOURCE_DIR"));
    assert_true(gd_path_exists(path));
    return json_load_file(path, 0, NULL);
}

static double number(json_t *file, const char *key)
{
    json_t *v = json_object_get(file, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* In pieces of `piece` rows */
static void statistics(gd_statistics *out, const gd_features *f, int64_t n, int piece)
{
    gd_moments *m;

    assert_int_equal(gd_moments_make(&m, f->width), GD_OK);
    for (int64_t i = 0; i < n; i += piece)
        gd_moments_add(m, f->data + i * f->width, GD_MIN(piece, n - i));
    assert_int_equal(gd_moments_finish(m, out), GD_OK);
    gd_moments_free(m);
}

static double frechet(int64_t n_samples)
{
    gd_statistics s = { 0 }, t = { 0 };
    double out;

    statistics(&s, &samples, n_samples, 64);
    statistics(&t, &ref, N_A, 64);
    assert_int_equal(gd_frechet(&out, &s, &t), GD_OK);
    gd_statistics_free(&s);
    gd_statistics_free(&t);
    return out;
}

static double at(json_t *list, int i)
{
    return json_number_value(json_array_get(list, (size_t)i));
}

static void moments_equal_the_specification(void **state)
{
    json_t *file = fixture(), *mean = json_object_get(file, "mu_A"),
           *covariance = json_object_get(file, "sigma_A");
    gd_statistics s = { 0 };

    (void)state;
    statistics(&s, &ref, N_A, 7);
    assert_int_equal(json_array_size(mean), WIDTH);
    for (int i = 0; i < WIDTH; i++) {
        assert_float_equal(s.mean[i], at(mean, i), 1e-7);
        for (int j = 0; j < WIDTH; j++)
            assert_float_equal(s.covariance[i * WIDTH + j],
                               at(json_array_get(covariance, (size_t)i), j), 1e-12);
    }
    gd_statistics_free(&s);
    json_decref(file);
}

static void a_look_at_moments_changes_nothing(void **state)
{
    gd_statistics half = { 0 }, looked = { 0 }, whole = { 0 }, plain = { 0 };
    const size_t bytes = WIDTH * WIDTH * sizeof *plain.covariance;
    gd_moments *m;

    (void)state;
    assert_int_equal(gd_moments_make(&m, WIDTH), GD_OK);
    gd_moments_add(m, ref.data, 1);
    assert_int_equal(gd_moments_look(m, &looked), GD_EUSAGE);
    gd_moments_add(m, ref.data + WIDTH, N_A / 2 - 1);
    assert_int_equal(gd_moments_look(m, &looked), GD_OK);
    gd_moments_add(m, ref.data + N_A / 2 * WIDTH, N_A - N_A / 2);
    assert_int_equal(gd_moments_finish(m, &whole), GD_OK);
    gd_moments_free(m);
    statistics(&half, &ref, N_A / 2, N_A);
    statistics(&plain, &ref, N_A, N_A);
    assert_int_equal(looked.count, N_A / 2);
    assert_memory_equal(looked.covariance, half.covariance, bytes);
    assert_memory_equal(whole.covariance, plain.covariance, bytes);
    gd_statistics_free(&half);
    gd_statistics_free(&looked);
    gd_statistics_free(&whole);
    gd_statistics_free(&plain);
}

static void values_equal_the_specification(void **state)
{
    json_t *file = fixture();
    gd_manifold m;
    float near[N_A * GD_NEAREST];

    (void)state;
    assert_float_equal(frechet(N_B), number(file, "fid"), 1e-7);
    assert_float_equal(frechet(4), number(file, "fid_rank_deficient_first4_of_B_vs_A"), 1e-7);
    assert_int_equal(gd_manifold_measure(&m, &ref, &samples, false, NULL, NULL), GD_OK);
    assert_true(m.precision == number(file, "precision"));
    assert_true(m.recall == number(file, "recall"));
    assert_int_equal(gd_nearest_distances(near, &ref, false, NULL, NULL), GD_OK);
    for (int i = 0; i < 5; i++)
        assert_float_equal(
            near[i * GD_NEAREST + 3],
            json_number_value(json_array_get(json_object_get(file, "radii_A_first5"), (size_t)i)),
            1e-5);
    json_decref(file);
}

static void score_equals_the_specification(void **state)
{
    json_t *file = fixture();
    float p[N_B * CLASSES];
    gd_inception_score *score;

    (void)state;
    for (int i = 0; i < N_B; i++) {
        double e[CLASSES], total = 0;
        for (int c = 0; c < CLASSES; c++) {
            double sum = 0;
            for (int k = 0; k < WIDTH; k++)
                sum += b[i * WIDTH + k] * (float)(4 * u(300003, (uint32_t)(k * CLASSES + c)));
            total += e[c] = exp((float)sum);
        }
        for (int c = 0; c < CLASSES; c++)
            p[i * CLASSES + c] = (float)(e[c] / total);
    }
    assert_int_equal(gd_inception_score_make(&score, CLASSES, 25), GD_OK);
    gd_inception_score_add(score, p, N_B);
    assert_float_equal(gd_inception_score_value(score, NULL), number(file, "inception_score"),
                       2e-6);
    gd_inception_score_free(score);
    json_decref(file);
}

/* ---- larger sets: several chunks, tiles and waves ---- */

enum { N_MANY = 1700, N_OTHER = 1203, WIDE = 300, N_KERNEL = 200 };
typedef struct results {
    gd_manifold manifold;
    gd_kid kid;
    double frechet;
} results;

static void random_rows(float *out, int64_t n, uint64_t seed, float scale)
{
    gd_noise_normal(out, n, seed, 0, 0);
    for (int64_t i = 0; i < n; i++)
        out[i] = out[i] * scale + 0.3f;
}

static void assert_same_manifold(const gd_manifold *x, const gd_manifold *y)
{
    assert_true(x->precision == y->precision && x->recall == y->recall);
    assert_true(x->density == y->density && x->coverage == y->coverage);
}

static results measure(const gd_features *x, const gd_features *y, bool half, int piece)
{
    gd_statistics s = { 0 }, t = { 0 };
    results r = { .frechet = 0 };

    statistics(&s, x, x->count, piece);
    statistics(&t, y, y->count, piece);
    assert_int_equal(gd_frechet(&r.frechet, &s, &t), GD_OK);
    assert_int_equal(gd_manifold_measure(&r.manifold, x, y, half, NULL, NULL), GD_OK);
    const gd_features u_few = { x->data, N_KERNEL, WIDE }, v_few = { y->data, N_KERNEL + 9, WIDE };
    assert_int_equal(gd_kid_measure(&r.kid, &u_few, &v_few, false), GD_OK);
    gd_statistics_free(&s);
    gd_statistics_free(&t);
    return r;
}

static void threads_and_pieces_do_not_change_a_bit(void **state)
{
    float *x = malloc(sizeof *x * N_MANY * WIDE), *y = malloc(sizeof *y * N_OTHER * WIDE);
    const gd_features f = { x, N_MANY, WIDE }, g = { y, N_OTHER, WIDE };
    static const int threads[] = { 1, 2, 3, 5, 16 };

    (void)state;
    random_rows(x, N_MANY * WIDE, 1, 1);
    random_rows(y, N_OTHER * WIDE, 2, 0.98f);
    const results one = measure(&f, &g, false, 8);
    assert_true(one.manifold.precision > 0.1 && one.manifold.recall > 0.01);
    for (int i = 0; i < COUNT(threads); i++) {
        gd_set_threads(threads[i]);
        const results many = measure(&f, &g, false, 13 + 97 * i);
        assert_same_manifold(&one.manifold, &many.manifold);
        assert_true(one.frechet == many.frechet);
        assert_true(one.kid.mean == many.kid.mean && one.kid.deviation == many.kid.deviation);
    }
    gd_set_threads(2);
    free(x);
    free(y);
}

/* ---- error bars ---- */

enum { N_DRAWN = 300, N_SETS = 60, NARROW = 3 };

/* A set of its own for every seed: features, then two classes' probabilities */
static void draw_set(float *rows, uint64_t seed)
{
    gd_noise_normal(rows, N_DRAWN * (NARROW + 2), seed, 0, 0);
    for (int i = 0; i < N_DRAWN; i++) {
        float *p = rows + i * (NARROW + 2) + NARROW;
        p[0] = 1 / (1 + expf(-3 * p[0]));
        p[1] = 1 - p[0];
    }
}

/* The bootstrap's deviation of one set is near the true one, over sets that are drawn again. */
static void deviations_are_those_of_new_sets(void **state)
{
    static float rows[N_DRAWN * (NARROW + 2)];
    double ones[NARROW * NARROW] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, means[NARROW] = { 0.5, 0, 0 };
    const gd_statistics normal = { NARROW, 0, means, ones };
    const gd_extractor_shape shape = { .width = NARROW, .classes = 2 };
    gd_survey survey = { .count = N_DRAWN, .rows = rows };
    const gd_varied varied[] = { { &normal, 0, NARROW, NULL }, { .value = gd_metric_is.redraw } };
    const gd_bootstrap work = { &survey, &shape, varied, 2, 100, 7, NULL, NULL };
    double sum[2] = { 0 }, squares[2] = { 0 };
    double found[2], again[2];

    (void)state;
    for (int k = 0; k < N_SETS; k++) {
        gd_inception_score *score;
        gd_statistics s = { 0 };
        gd_moments *m;
        double value[2];
        draw_set(rows, 100 + (uint64_t)k);
        assert_int_equal(gd_moments_make(&m, NARROW), GD_OK);
        assert_int_equal(gd_inception_score_make(&score, 2, GD_IS_SPLIT), GD_OK);
        for (int i = 0; i < N_DRAWN; i++) {
            gd_moments_add(m, rows + i * (NARROW + 2), 1);
            gd_inception_score_add(score, rows + i * (NARROW + 2) + NARROW, 1);
        }
        assert_int_equal(gd_moments_finish(m, &s), GD_OK);
        assert_int_equal(gd_frechet(&value[0], &s, &normal), GD_OK);
        value[1] = gd_inception_score_value(score, NULL);
        for (int v = 0; v < 2; v++) {
            sum[v] += value[v] / N_SETS;
            squares[v] += value[v] * value[v] / N_SETS;
        }
        gd_inception_score_free(score);
        gd_statistics_free(&s);
        gd_moments_free(m);
    }
    assert_int_equal(gd_bootstrap_run(found, &work), GD_OK);
    const double ratio[2] = { found[0] / sqrt(squares[0] - sum[0] * sum[0]),
                              found[1] / sqrt(squares[1] - sum[1] * sum[1]) };
    assert_true(ratio[0] > 0.6 && ratio[0] < 1.6);
    assert_true(ratio[1] > 0.6 && ratio[1] < 1.6);
    assert_int_equal(gd_bootstrap_run(again, &work), GD_OK);
    assert_memory_equal(found, again, sizeof found);
}

/* ---- float16 ---- */

static void halves_are_rounded_to_even(void **state)
{
    (void)state;
    assert_true(gd_round_half(2049) == 2048 && gd_round_half(2051) == 2052);
    assert_true(gd_round_half(0x1.002p0f) == 1 && gd_round_half(0x1.006p0f) == 0x1.008p0f);
    assert_true(gd_round_half(-65519) == -65504 && gd_round_half(-65520) == -INFINITY);
    assert_true(gd_round_half(0x1.8p-24f) == 0x1p-23f && gd_round_half(0x1p-25f) == 0);
    assert_true(gd_round_half(-0x1.1p-25f) == -0x1p-24f && isnan(gd_round_half(NAN)));
}

/* A set whose float16 distances overflow is measured in float32; others differ a little. */
static void half_blocks_that_overflow_are_float32(void **state)
{
    float *x = malloc(sizeof *x * N_OTHER * WIDTH), *y = malloc(sizeof *y * N_OTHER * WIDTH);
    const gd_features f = { x, N_OTHER, WIDTH }, g = { y, N_OTHER, WIDTH };
    gd_manifold single, half;

    (void)state;
    random_rows(x, N_OTHER * WIDTH, 3, 200);
    random_rows(y, N_OTHER * WIDTH, 4, 150);
    assert_int_equal(gd_manifold_measure(&single, &f, &g, false, NULL, NULL), GD_OK);
    assert_int_equal(gd_manifold_measure(&half, &f, &g, true, NULL, NULL), GD_OK);
    assert_same_manifold(&single, &half);
    for (int64_t i = 0; i < N_OTHER * WIDTH; i++) {
        x[i] /= 20;
        y[i] /= 20;
    }
    assert_int_equal(gd_manifold_measure(&half, &f, &g, true, NULL, NULL), GD_OK);
    assert_true(half.density != single.density);
    assert_float_equal(half.precision, single.precision, 0.05);
    assert_float_equal(half.recall, single.recall, 0.05);
    free(x);
    free(y);
}

/* ---- refusals ---- */

static void small_and_bad_sets_are_refused(void **state)
{
    const gd_features three = { b, 3, WIDTH };
    float bad[2 * WIDTH] = { NAN };
    gd_statistics s = { 0 };
    gd_manifold out;
    gd_moments *m;

    (void)state;
    assert_int_equal(gd_manifold_measure(&out, &ref, &three, false, NULL, NULL), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "3 samples"));
    assert_int_equal(gd_moments_make(&m, WIDTH), GD_OK);
    gd_moments_add(m, b, 1);
    assert_int_equal(gd_moments_finish(m, &s), GD_EUSAGE);
    gd_moments_add(m, bad, 2);
    assert_int_equal(gd_moments_finish(m, &s), GD_EFAILED);
    gd_moments_free(m);
}

/* Against the definition, pair by pair, over several tiles; the same for any number of threads. */
static void cmmd_is_its_definition(void **state)
{
    enum { ROWS_X = 300, ROWS_Y = 517 };
    static float x[ROWS_X * WIDTH], y[ROWS_Y * WIDTH];
    const gd_features sets[2] = { { x, ROWS_X, WIDTH }, { y, ROWS_Y, WIDTH } };
    double mean[3] = { 0 }, found, again;

    (void)state;
    for (int i = 0; i < COUNT(x); i++)
        x[i] = (float)(8 * u(300003, (uint32_t)i));
    for (int i = 0; i < COUNT(y); i++)
        y[i] = (float)(9 * u(300004, (uint32_t)i) + 1);
    for (int pair = 0; pair < 3; pair++) {
        const gd_features *p = &sets[pair == 1], *q = &sets[pair > 0];
        for (int64_t i = 0; i < p->count; i++)
            for (int64_t j = 0; j < q->count; j++) {
                double d = 0;
                for (int k = 0; k < WIDTH; k++)
                    d += pow((double)p->data[i * WIDTH + k] - (double)q->data[j * WIDTH + k], 2);
                mean[pair] += exp(-d / 200) / (double)(p->count * q->count);
            }
    }
    gd_set_threads(1);
    assert_int_equal(gd_cmmd_measure(&found, &sets[0], &sets[1]), GD_OK);
    assert_float_equal(found, 1000 * (mean[0] + mean[1] - 2 * mean[2]), 1e-4);
    gd_set_threads(3);
    assert_int_equal(gd_cmmd_measure(&again, &sets[0], &sets[1]), GD_OK);
    assert_true(found == again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(moments_equal_the_specification, fill),
        cmocka_unit_test_setup(a_look_at_moments_changes_nothing, fill),
        cmocka_unit_test_setup(values_equal_the_specification, fill),
        cmocka_unit_test_setup(score_equals_the_specification, fill),
        cmocka_unit_test(threads_and_pieces_do_not_change_a_bit),
        cmocka_unit_test(deviations_are_those_of_new_sets),
        cmocka_unit_test(halves_are_rounded_to_even),
        cmocka_unit_test(half_blocks_that_overflow_are_float32),
        cmocka_unit_test_setup(small_and_bad_sets_are_refused, fill),
        cmocka_unit_test(cmmd_is_its_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
