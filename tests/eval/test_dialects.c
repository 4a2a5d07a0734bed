/* SPDX-License-Identifier: MIT */
/* The inputs of all dialects beside those of the programs that they are named after, and numpy's
 * permutations, with the score and the subsets that rest on them. */
#include "eval/eval.h"
#include "eval/numpy_random.h"
#include "nn/inception.h"

#include "dialect_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = GD_INCEPTION_SIDE, ALL = 3 * SIDE * SIDE, PLACES = 40 };

static uint8_t *picture(int height, int width)
{
    uint8_t *out = malloc((size_t)(height * width * 3));

    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                out[(y * width + x) * 3 + c] =
                    (uint8_t)(x * 7 + y * 13 + c * 29 + x * y % 31 * 3 + (x ^ y) * 5);
    return out;
}

/* A thousandth of a level, for PyTorch's order of sums in float32; clean-fid's sums are in double,
 * and equal. */
static void inputs_are_those_of_the_programs(void **state)
{
    float *out = malloc(ALL * sizeof *out);

    (void)state;
    for (int d = 0; d < COUNT(dialect_cases); d++) {
        const bool equal = strcmp(dialect_cases[d].dialect, "clean-fid") == 0;
        const gd_dialect *dialect;
        assert_int_equal(gd_dialect_read(&dialect, dialect_cases[d].dialect), GD_OK);
        for (int k = 0; k < COUNT(case_sizes); k++) {
            const int height = case_sizes[k][0], width = case_sizes[k][1];
            uint8_t *pixels = picture(height, width);
            double worst = 0;
            assert_int_equal(dialect->prepare(out, pixels, height, width), GD_OK);
            for (int i = 0; i < PLACES; i++)
                worst = fmax(worst, fabs((double)out[(i * 6703 + 17) % ALL] -
                                         (double)dialect_cases[d].value[k][i]));
            if (getenv("GUIDED_SHOW"))
                printf("%s %d x %d: %.2g\n", dialect->name, height, width, worst);
            if (worst > (equal ? 0 : 1e-3 * 2 / 255))
                fail_msg("%s, %d x %d: %g", dialect->name, height, width, worst);
            free(pixels);
        }
    }
    free(out);
}

static void permutations_are_numpys(void **state)
{
    gd_numpy_random random;
    int32_t order[1000];

    (void)state;
    gd_numpy_seed(&random, 2020);
    gd_numpy_permutation(&random, order, 12);
    assert_memory_equal(order, permutation_12, sizeof permutation_12);
    gd_numpy_permutation(&random, order, 1000);
    assert_memory_equal(order, permutation_1000, sizeof permutation_1000);
}

/* Two classes, one of which is certain for every image: a split of k and n - k has a known score */
static void the_score_is_of_ten_permuted_parts(void **state)
{
    enum { N = 25 };
    gd_inception_score *score;
    gd_numpy_random random;
    int32_t order[N];
    double expected = 0, spread;

    (void)state;
    gd_numpy_seed(&random, 2020);
    gd_numpy_permutation(&random, order, N);
    for (int i = 0; i < 10; i++) {
        const int first = i * N / 10, end = (i + 1) * N / 10;
        double q = 0, entropy = 0;
        for (int k = first; k < end; k++)
            q += (double)(order[k] % 2) / (end - first);
        entropy -= q > 0 ? q * log(q) : 0;
        entropy -= q < 1 ? (1 - q) * log(1 - q) : 0;
        expected += exp(entropy) / 10;
    }
    assert_int_equal(gd_inception_score_make_fidelity(&score, 2, N), GD_OK);
    for (int i = 0; i < N; i++)
        gd_inception_score_add(score, (float[2]){ (float)(i % 2), (float)(1 - i % 2) }, 1);
    assert_float_equal(gd_inception_score_value(score, &spread), expected, 1e-12);
    assert_true(spread > 0);
    gd_inception_score_free(score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_are_those_of_the_programs),
        cmocka_unit_test(permutations_are_numpys),
        cmocka_unit_test(the_score_is_of_ten_permuted_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
