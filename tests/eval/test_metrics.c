/* Metrics of given features: the fixture of the specification, the same bits however the rows come,
 * and sets that are refused. */
#include "eval/eval.h"
#include "eval/half.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* models.md 12 */
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
    const char *root = getenv("GUIDED_SHARED");

    snprintf(path, sizeof path, "%s/spec/golden/eval_metrics.json", root ? root : "");
    if (!root || !gd_path_exists(path)) {
        print_message("GUIDED_SHARED has no spec/golden/eval_metrics.json\n");
        skip();
    }
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
    assert_float_equal(gd_inception_score_value(score), number(file, "inception_score"), 2e-6);
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
    assert_int_equal(gd_kid_measure(&r.kid, &u_few, &v_few), GD_OK);
    gd_statistics_free(&s);
    gd_statistics_free(&t);
    return r;
}

static void threads_and_pieces_do_not_change_a_bit(void **state)
{
    float *x = malloc(sizeof *x * N_MANY * WIDE), *y = malloc(sizeof *y * N_OTHER * WIDE);
    const gd_features f = { x, N_MANY, WIDE }, g = { y, N_OTHER, WIDE };
    static const int threads[] = { 1, 2, 3 };

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(values_equal_the_specification, fill),
        cmocka_unit_test_setup(score_equals_the_specification, fill),
        cmocka_unit_test(threads_and_pieces_do_not_change_a_bit),
        cmocka_unit_test(halves_are_rounded_to_even),
        cmocka_unit_test(half_blocks_that_overflow_are_float32),
        cmocka_unit_test_setup(small_and_bad_sets_are_refused, fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
