/* SPDX-License-Identifier: MIT */
/* Dropout and the optimiser on every instruction set: the same bits, and what double arithmetic
 * says. */
#include "fixture.h"

static const uint32_t keys[2][2] = { { 1, 2 }, { 3, 4 } };

static double share_kept(const gd_view *y)
{
    int64_t kept = 0, all = 0;

    for (int n = 0; n < y->n; n++)
        for (int c = 0; c < y->c; c++)
            for (int p = 0; p < y->h * y->w; p++, all++)
                kept += value(y, n, c, p) != 0;
    return (double)kept / (double)all;
}

static void dropout_is_the_same_everywhere(void **state)
{
    const shape s = { 2, 48, 29, 31 };
    const float p = 0.3f;

    (void)state;
    gd_view x = make_view(s, true, GD_F32, 1), plain = make_view(s, false, GD_F32, 1);
    gd_view first = make_output(s, true, GD_F32), flat = make_output(s, false, GD_F32);
    kernels_of(0)->dropout(&first, &x, keys[0], 7, p);
    kernels_of(0)->dropout(&flat, &plain, keys[0], 7, p);
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int i = 0; i < s.h * s.w; i++) {
                const double kept = value(&first, n, c, i), was = value(&x, n, c, i);
                assert_true(kept == 0 || fabs(kept - was / 0.7) < 1e-6 * fabs(was));
                assert_true(value(&flat, n, c, i) == kept); /* whatever the layout */
            }
    assert_true(fabs(share_kept(&first) - 0.7) < 0.01);
    for (int k = 1; kernels_of(k); k++) {
        gd_view y = make_output(s, true, GD_F32);
        kernels_of(k)->dropout(&y, &x, keys[0], 7, p);
        assert_same_bits(&y, &first, "dropout");
        release(&y);
    }
    release(&x);
    release(&plain);
    release(&first);
    release(&flat);
}

static void layers_images_and_steps_differ(void **state)
{
    const shape s = { 2, 16, 16, 16 };
    const uint32_t other[2][2] = { { 1, 3 }, { 3, 4 } };
    gd_view x = make_view(s, true, GD_F32, 1);
    gd_view a = make_output(s, true, GD_F32), b = make_output(s, true, GD_F32),
            c = make_output(s, true, GD_F32);
    int by_layer = 0, by_key = 0, by_image = 0, second = 0;

    (void)state;
    gd_kernels_get()->dropout(&a, &x, keys[0], 1, 0.5f);
    gd_kernels_get()->dropout(&b, &x, keys[0], 2, 0.5f);
    gd_kernels_get()->dropout(&c, &x, other[0], 1, 0.5f);
    for (int ch = 0; ch < s.c; ch++)
        for (int p = 0; p < s.h * s.w; p++) {
            const bool kept = value(&a, 0, ch, p) != 0;
            by_layer += kept != (value(&b, 0, ch, p) != 0);
            by_key += kept != (value(&c, 0, ch, p) != 0);
            by_image += kept != (value(&a, 1, ch, p) != 0);
            second += (value(&a, 1, ch, p) != 0) != (value(&c, 1, ch, p) != 0);
        }
    const int half = s.c * s.h * s.w / 2, off = half / 8;
    assert_in_range(by_layer, half - off, half + off);
    assert_in_range(by_key, half - off, half + off);
    assert_in_range(by_image, half - off, half + off);
    assert_int_equal(second, 0); /* the second image's key is the same */
    release(&x);
    release(&a);
    release(&b);
    release(&c);
}

enum { COUNT_P = 10007 };

static void fill(float *x, unsigned seed, float factor)
{
    for (int i = 0; i < COUNT_P; i++)
        x[i] = factor * random_unit(&seed);
}

static void adamw_is_what_double_says(void **state)
{
    const gd_adamw rule = { .beta1 = 0.9f,
                            .rest1 = 0.1f,
                            .beta2 = 0.999f,
                            .rest2 = 0.001f,
                            .eps = 1e-8f,
                            .decay = 0.999f,
                            .step = 1e-3f,
                            .root = 0.25f,
                            .n_ema = 1,
                            .ema_rate = { 0.99f },
                            .ema_rest = { 0.01f } };
    static float p[COUNT_P], m[COUNT_P], v[COUNT_P], ema[COUNT_P], g[COUNT_P], first[COUNT_P],
        first_ema[COUNT_P];

    (void)state;
    fill(g, 5, 1);
    for (int k = 0; kernels_of(k); k++) {
        fill(p, 1, 1);
        fill(m, 2, 0.1f);
        fill(v, 3, 0.1f);
        for (int i = 0; i < COUNT_P; i++)
            v[i] = fabsf(v[i]);
        fill(ema, 4, 1);
        const gd_adamw_state s = { p, m, v, { ema }, g };
        kernels_of(k)->adamw(&rule, &s, COUNT_P);
        if (k == 0) {
            memcpy(first, p, sizeof p);
            memcpy(first_ema, ema, sizeof ema);
        }
        assert_memory_equal(first, p, sizeof p);
        assert_memory_equal(first_ema, ema, sizeof ema);
    }
    static float p0[COUNT_P], m0[COUNT_P], v0[COUNT_P];
    fill(p0, 1, 1);
    fill(m0, 2, 0.1f);
    fill(v0, 3, 0.1f);
    fill(ema, 4, 1);
    for (int i = 0; i < COUNT_P; i++) {
        const double m1 = 0.9 * m0[i] + 0.1 * g[i];
        const double v1 = 0.999 * fabs((double)v0[i]) + 0.001 * (double)g[i] * g[i];
        const double p1 = 0.999 * p0[i] - 1e-3 * m1 / (sqrt(v1) / 0.25 + 1e-8);
        assert_true(fabs(first[i] - p1) < 2e-6);
        assert_true(fabs(first_ema[i] - (0.99 * ema[i] + 0.01 * first[i])) < 2e-7);
    }
}

static void square_sums_are_the_same_everywhere(void **state)
{
    static float x[1000];

    (void)state;
    for (int i = 0; i < COUNT(x); i++)
        x[i] = (float)sin(i) * 100;
    for (int count = 0; count <= COUNT(x); count += 37) {
        const double first = kernels_of(0)->square_sum(x, count);
        double expected = 0;
        for (int i = 0; i < count; i++)
            expected += (double)x[i] * x[i];
        assert_true(fabs(first - expected) <= 1e-12 * expected);
        for (int k = 1; kernels_of(k); k++)
            assert_true(kernels_of(k)->square_sum(x, count) == first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropout_is_the_same_everywhere),
        cmocka_unit_test(layers_images_and_steps_differ),
        cmocka_unit_test(square_sums_are_the_same_everywhere),
        cmocka_unit_test(adamw_is_what_double_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
