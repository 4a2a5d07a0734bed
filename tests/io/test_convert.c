/* SPDX-License-Identifier: MIT */
/* test_convert.c - element types to float32 and back, over all 16-bit values. */
#include "fixture.h"

#include <math.h>

static float widen(gd_dtype dtype, uint16_t bits)
{
    float out;

    io_widen_row(&out, (const unsigned char *)&bits, dtype, 1, 1);
    return out;
}

static uint16_t narrow(gd_dtype dtype, float f)
{
    uint16_t out;

    gd_narrow(&out, dtype, &f, 1);
    return out;
}

/* The value by the format's definition: sign, exponent with bias, fraction */
static double value_of(uint32_t bits, int exponent_bits, int fraction_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    const double fraction = ldexp((double)(bits & ((1u << fraction_bits) - 1)), -fraction_bits);
    const double sign = bits >> 15 ? -1 : 1;

    if (exponent == (1 << exponent_bits) - 1)
        return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent > 0 ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias));
}

static void every_16_bit_value_widens_exactly(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++)
        for (int k = 0; k < 2; k++) {
            const gd_dtype dtype = k ? GD_BF16 : GD_F16;
            const double expected = k ? value_of(i, 8, 7) : value_of(i, 5, 10);
            const float f = widen(dtype, (uint16_t)i);
            if (isnan(expected)) {
                assert_true(isnan(f) && isnan(widen(dtype, narrow(dtype, f))));
                continue;
            }
            assert_true((double)f == expected && !signbit(f) == !signbit(expected));
            assert_int_equal(narrow(dtype, f), i); /* and comes back */
        }
}

/* Between two neighbours: the nearer one, and the even one from the middle */
static void narrowing_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const gd_dtype dtype = k ? GD_BF16 : GD_F16;
        const uint16_t largest = k ? 0x7f7f : 0x7bff;
        for (uint16_t i = 0; i < largest; i++) {
            const float low = widen(dtype, i), high = widen(dtype, (uint16_t)(i + 1));
            const float middle = (float)(((double)low + (double)high) / 2);
            const uint16_t even = (uint16_t)(i + (i & 1));
            assert_int_equal(narrow(dtype, middle), even);
            assert_int_equal(narrow(dtype, -middle), even | 0x8000);
            assert_int_equal(narrow(dtype, nextafterf(middle, -INFINITY)), i);
            assert_int_equal(narrow(dtype, nextafterf(middle, INFINITY)), i + 1);
        }
    }
    assert_int_equal(narrow(GD_F16, 65519.99f), 0x7bff);
    assert_int_equal(narrow(GD_F16, 65520.0f), 0x7c00); /* the middle to 2^16 becomes infinity */
    assert_int_equal(narrow(GD_BF16, 3.4028235e38f), 0x7f80);
}

static void rows_follow_their_step(void **state)
{
    const int16_t in[] = { 1, -2, 3, -4, 5, -6 };
    const uint8_t flags[] = { 0, 1, 255 };
    const double wide[] = { 1.5, -1e300 };
    int16_t copy[3];
    float out[3];

    (void)state;
    io_copy_row(copy, (const unsigned char *)in, GD_I16, 3, 2);
    assert_true(copy[0] == 1 && copy[1] == 3 && copy[2] == 5);
    io_widen_row(out, (const unsigned char *)(in + 1), GD_I16, 3, 2);
    assert_true(out[0] == -2 && out[1] == -4 && out[2] == -6);
    io_widen_row(out, (const unsigned char *)in, GD_I16, 3, 0); /* expanded */
    assert_true(out[0] == 1 && out[1] == 1 && out[2] == 1);
    io_widen_row(out, flags, GD_BOOL, 3, 1);
    assert_true(out[0] == 0 && out[1] == 1 && out[2] == 1);
    io_widen_row(out, flags, GD_U8, 3, 1);
    assert_true(out[2] == 255);
    io_widen_row(out, flags, GD_I8, 3, 1);
    assert_true(out[2] == -1);
    io_widen_row(out, (const unsigned char *)wide, GD_F64, 2, 1);
    assert_true(out[0] == 1.5f && isinf(out[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_16_bit_value_widens_exactly),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(rows_follow_their_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
