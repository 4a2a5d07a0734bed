/* SPDX-License-Identifier: MIT */
/* The noise is a format for ever: these values may never change. */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Bits of elements 0 to 4 of (seed 7, image 12, step 3), and a hash of the first 4096 of (seed 1,
 * image 0, step 0) */
static void values_never_change(void **state)
{
    static const uint32_t bits[] = { 0xbed82ed4, 0x3ff763c9, 0x3e7834d5, 0xbfbceeed, 0xbe17a36f };
    static float many[4096];
    float few[5];
    gd_hasher *h;
    char text[33];

    (void)state;
    gd_noise_normal(few, 5, 7, 12, 3);
    assert_memory_equal(few, bits, sizeof few);
    gd_noise_normal(many, 4096, 1, 0, 0);
    assert_int_equal(gd_hasher_make(&h), GD_OK);
    gd_hasher_add(h, many, sizeof many);
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    assert_string_equal(text, "d72a6093f818821032d4b8f3817c94ad");
}

/* A shorter call gives the beginning of a longer one */
static void elements_do_not_depend_on_the_count(void **state)
{
    float a[101], b[37];

    (void)state;
    gd_noise_normal(a, 101, 3, 1ull << 40, 9);
    gd_noise_normal(b, 37, 3, 1ull << 40, 9);
    assert_memory_equal(a, b, sizeof b);
}

static void moments_are_normal(void **state)
{
    enum { N = 1 << 20 };
    float *x = malloc(N * sizeof *x);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0;

    (void)state;
    gd_noise_normal(x, N, 11, 5, 2);
    for (int i = 0; i < N; i++) {
        m1 += x[i];
        m2 += (double)x[i] * x[i];
        m3 += pow(x[i], 3);
        m4 += pow(x[i], 4);
        lag += i ? (double)x[i] * x[i - 1] : 0;
    }
    /* five standard errors of each */
    assert_true(fabs(m1 / N) < 5e-3 && fabs(m2 / N - 1) < 7e-3 && fabs(m3 / N) < 2e-2 &&
                fabs(m4 / N - 3) < 5e-2);
    assert_true(fabs(lag / N) < 5e-3);
    free(x);
}

static void images_steps_and_seeds_differ(void **state)
{
    float a[16], b[16];

    (void)state;
    gd_noise_normal(a, 16, 1, 1, 1);
    for (int k = 0; k < 3; k++) {
        gd_noise_normal(b, 16, 1 + (k == 0), 1 + (k == 1), 1 + (k == 2));
        assert_memory_not_equal(a, b, sizeof a);
    }
}

/* docs/reference/diffusion.md#random-numbers */
static void torch_draws_are_pytorchs(void **state)
{
    static const double normal[] = { 0.8487103581, 0.6920091510, -0.3160127699, -2.1152193546 };
    int64_t labels[4];
    gd_torch_rng rng;
    float x[16];

    (void)state;
    gd_torch_seed(&rng, 0);
    gd_torch_randint(&rng, labels, 4, 1000);
    assert_true(labels[0] == 44 && labels[1] == 239 && labels[2] == 933 && labels[3] == 760);
    gd_torch_randn(&rng, x, 16);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(x[i] - normal[i]) < 1e-6);
}

static void below_is_uniform_and_in_range(void **state)
{
    int count[10] = { 0 };

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t k = gd_noise_below(10, 4, i, 0);
        assert_true(k < 10);
        count[k]++;
    }
    for (int k = 0; k < 10; k++)
        assert_true(abs(count[k] - 10000) < 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_never_change),
        cmocka_unit_test(elements_do_not_depend_on_the_count),
        cmocka_unit_test(moments_are_normal),
        cmocka_unit_test(images_steps_and_seeds_differ),
        cmocka_unit_test(torch_draws_are_pytorchs),
        cmocka_unit_test(below_is_uniform_and_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
