/* SPDX-License-Identifier: MIT */
/* Element by element kernels against double, on every ISA, both layouts, in place; the same bits on
 * every ISA (but SiLU's) and for any number of threads; guards and pad lanes intact. */
#include "fixture.h"

typedef struct pointwise {
    const char *name;
    void (*run)(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b);
    double (*expected)(double a, double b);
    double absolute; /* error allowed beyond 4 ulp, for |a|, |b| <= 2: where the result is near 0 */
    bool fused;      /* its last bits depend on the ISA */
} pointwise;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void run_silu(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    (void)b;
    k->silu(y, a);
}

static double silu(double a, double b)
{
    (void)b;
    return a * sigmoid(a);
}

static void run_silu_grad(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    k->silu_grad(y, a, b);
}

static double silu_grad(double a, double b)
{
    return a * sigmoid(b) * (1 + b * (1 - sigmoid(b)));
}

static void run_relu(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    (void)b;
    k->relu(y, a);
}

static double relu(double a, double b)
{
    (void)b;
    return a > 0 ? a : 0;
}

static void run_relu_grad(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    k->relu_grad(y, a, b);
}

static double relu_grad(double a, double b)
{
    return b > 0 ? a : 0;
}

static void run_add(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    k->add(y, a, b);
}

static double add(double a, double b)
{
    return a + b;
}

static void run_mul(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    k->mul(y, a, b);
}

static double mul(double a, double b)
{
    return a * b;
}

static void run_scale(const gd_kernels *k, const gd_view *y, const gd_view *a, const gd_view *b)
{
    (void)b;
    k->scale(y, a, -0.3f);
}

static double scale(double a, double b)
{
    (void)b;
    return a * (double)-0.3f;
}

static const pointwise kernels[] = {
    { "silu", run_silu, silu, 0, true }, { "silu_grad", run_silu_grad, silu_grad, 3e-7, true },
    { "relu", run_relu, relu, 0 },       { "relu_grad", run_relu_grad, relu_grad, 0 },
    { "add", run_add, add, 0 },          { "mul", run_mul, mul, 0 },
    { "scale", run_scale, scale, 0 },
};

static void check_values(const pointwise *op, const gd_view *y, const gd_view *a, const gd_view *b)
{
    assert_pads_zero(y);
    for (int n = 0; n < y->n; n++)
        for (int c = 0; c < y->c; c++)
            for (int p = 0; p < y->h * y->w; p++)
                assert_ulps(value(y, n, c, p), op->expected(value(a, n, c, p), value(b, n, c, p)),
                            4, op->absolute, op->name);
}

static void check(const pointwise *op, shape s, bool blocked)
{
    gd_view a = make_view(s, blocked, GD_F32, 1), b = make_view(s, blocked, GD_F32, 2);
    gd_view first = make_output(s, blocked, GD_F32);

    op->run(kernels_of(0), &first, &a, &b);
    for (int k = 0; kernels_of(k); k++) {
        gd_view y = make_output(s, blocked, GD_F32), y_is_a = copy_of(&a), y_is_b = copy_of(&b);
        op->run(kernels_of(k), &y, &a, &b);
        op->run(kernels_of(k), &y_is_a, &y_is_a, &b);
        op->run(kernels_of(k), &y_is_b, &a, &y_is_b);
        check_values(op, &y, &a, &b);
        if (!op->fused)
            assert_same_bits(&y, &first, op->name);
        assert_same_bits(&y_is_a, &y, op->name);
        assert_same_bits(&y_is_b, &y, op->name);
        release(&y);
        release(&y_is_a);
        release(&y_is_b);
    }
    release(&a);
    release(&b);
    release(&first);
}

static void pointwise_kernels_agree_with_double(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(kernels); i++)
        for (int s = 0; s < n_shapes; s++)
            for (int blocked = 0; blocked < 2; blocked++)
                check(&kernels[i], shapes[s], blocked);
}

static void threads_do_not_change_bits(void **state)
{
    const int before = gd_threads();
    const shape s = { 2, 48, 41, 29 };

    (void)state;
    for (int i = 0; i < COUNT(kernels); i++) {
        gd_view a = make_view(s, true, GD_F32, 1), b = make_view(s, true, GD_F32, 2);
        gd_view first = make_output(s, true, GD_F32), y = make_output(s, true, GD_F32);
        gd_set_threads(1);
        kernels[i].run(gd_kernels_get(), &first, &a, &b);
        for (int threads = 2; threads <= 16; threads += GD_MAX(threads / 2, 1)) {
            gd_set_threads(threads);
            kernels[i].run(gd_kernels_get(), &y, &a, &b);
            assert_same_bits(&y, &first, kernels[i].name);
        }
        release(&a);
        release(&b);
        release(&first);
        release(&y);
    }
    gd_set_threads(before);
}

/* Every 4099th float: all exponents and signs, with infinities and NaN at the end */
static void silu_is_accurate_over_the_whole_range(void **state)
{
    enum { COUNT_X = 4096 };
    static const float last[] = { INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 88.8f, -88.8f, -103.9f };
    gd_view x = make_view((shape){ 1, 16, COUNT_X / 16, 1 }, false, GD_F32, 1);
    gd_view y = make_output((shape){ 1, 16, COUNT_X / 16, 1 }, false, GD_F32), dx = copy_of(&x);
    gd_view ones = copy_of(&x);
    float *values = x.data, *out = y.data, *slope = dx.data;
    uint32_t bits = 0;

    (void)state;
    for (int i = 0; i < COUNT_X; i++)
        ((float *)ones.data)[i] = 1;
    while (bits < UINT32_MAX - 4099u * COUNT_X) {
        for (int i = 0; i < COUNT_X; i++, bits += 4099)
            memcpy(&values[i], &bits, sizeof bits);
        memcpy(values, last, sizeof last);
        for (int k = 0; kernels_of(k); k++) {
            kernels_of(k)->silu(&y, &x);
            kernels_of(k)->silu_grad(&dx, &ones, &x);
            for (int i = 0; i < COUNT_X; i++) {
                /* below -86 e^x stays at e^-86 */
                const double v = values[i], most = v < -1e4 ? 0 : v > 1e4 ? v : silu(v, 0);
                assert_ulps(out[i], most, 4, v < -86 ? 1e-33 : 0, "silu");
                assert_ulps(slope[i],
                            v < -1e4  ? 0
                            : v > 1e4 ? 1
                                      : silu_grad(1, v),
                            4, v < -86 ? 1e-33 : 2.5e-7, "silu_grad");
            }
        }
    }
    release(&x);
    release(&y);
    release(&dx);
    release(&ones);
}

/* ---- layout, type, channels ---- */

static uint16_t nearest_bf16(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    if (isnan(x))
        return (uint16_t)(u >> 16 | 0x40);
    const uint32_t low = u & 0xffff;
    return (uint16_t)((u >> 16) + (low > 0x8000 || (low == 0x8000 && (u >> 16 & 1))));
}

static void convert_changes_layout_and_rounds_to_even(void **state)
{
    (void)state;
    for (int s = 0; s < n_shapes; s++)
        for (int mode = 0; mode < 8; mode++)
            for (int k = 0; kernels_of(k); k++) {
                const gd_dtype from = mode & 4 ? GD_BF16 : GD_F32;
                gd_view x = make_view(shapes[s], mode & 1, from, 7);
                gd_view y = make_output(shapes[s], mode & 2, GD_BF16);
                gd_view back = make_output(shapes[s], mode & 1, GD_F32);
                kernels_of(k)->convert(&y, &x);
                kernels_of(k)->convert(&back, &y);
                assert_pads_zero(&y);
                assert_pads_zero(&back);
                for (int n = 0; n < x.n; n++)
                    for (int c = 0; c < x.c; c++)
                        for (int p = 0; p < x.h * x.w; p++) {
                            const uint32_t bits = (uint32_t)nearest_bf16((float)value(&x, n, c, p))
                                                  << 16;
                            float rounded;
                            memcpy(&rounded, &bits, sizeof rounded);
                            assert_true(value(&y, n, c, p) == (double)rounded);
                            assert_true(value(&back, n, c, p) == (double)rounded);
                        }
                release(&x);
                release(&y);
                release(&back);
            }
}

static void bf16_ties_infinities_and_nan(void **state)
{
    static const float in[16] = { 1.00390625f, 1.01171875f, -1.00390625f, INFINITY, -INFINITY,
                                  3.4e38f,     1e-40f,      -0.0f,        NAN,      1.0039064f };
    gd_view x = make_view((shape){ 1, 16, 1, 1 }, false, GD_F32, 1);
    gd_view y = make_output((shape){ 1, 16, 1, 1 }, false, GD_BF16);
    uint32_t payload = 0x7f800001; /* a NaN that truncation would turn into infinity */

    (void)state;
    memcpy(x.data, in, sizeof in);
    memcpy((float *)x.data + 10, &payload, sizeof payload);
    for (int k = 0; kernels_of(k); k++) {
        kernels_of(k)->convert(&y, &x);
        for (int i = 0; i < 16; i++) {
            /* AVX-512's own instruction takes denormal numbers for zero (vec.h). */
            const bool own = kernels_of(k) == gd_kernels_of(GD_ISA_AVX512_BF16) ||
                             kernels_of(k) == gd_kernels_of(GD_ISA_AVX512_AMX);
            const bool flushed = own && fpclassify(in[i]) == FP_SUBNORMAL;
            assert_int_equal(((uint16_t *)y.data)[i],
                             flushed ? 0 : nearest_bf16(((float *)x.data)[i]));
        }
        assert_true(isnan(value(&y, 0, 10, 0)));
    }
    release(&x);
    release(&y);
}

static void check_copy(const gd_kernels *k, bool blocked, shape s, int y_c0, int x_c0, int count)
{
    gd_view x = make_view(s, blocked, GD_F32, 3);
    gd_view y = make_view((shape){ s.n, y_c0 + count + 5, s.h, s.w }, blocked, GD_F32, 4);
    gd_view before = copy_of(&y),
            whole = make_output((shape){ s.n, count, s.h, s.w }, blocked, GD_F32);

    k->copy_channels(&y, y_c0, &x, x_c0, count);
    k->copy_channels(&whole, 0, &x, x_c0, count);
    assert_pads_zero(&y);
    assert_pads_zero(&whole);
    for (int n = 0; n < s.n; n++)
        for (int p = 0; p < s.h * s.w; p++) {
            for (int c = 0; c < y.c; c++) {
                const bool inside = c >= y_c0 && c < y_c0 + count;
                const double expected =
                    inside ? value(&x, n, c - y_c0 + x_c0, p) : value(&before, n, c, p);
                assert_true(value(&y, n, c, p) == expected);
            }
            for (int c = 0; c < count; c++)
                assert_true(value(&whole, n, c, p) == value(&x, n, c + x_c0, p));
        }
    release(&x);
    release(&y);
    release(&before);
    release(&whole);
}

static void channel_ranges_are_copied_and_nothing_else(void **state)
{
    static const int range[][3] = { { 0, 0, 16 }, { 16, 32, 32 }, { 0, 0, 48 },  { 16, 0, 17 },
                                    { 3, 0, 3 },  { 0, 3, 3 },    { 5, 16, 20 }, { 0, 63, 1 } };
    (void)state;
    for (int i = 0; i < COUNT(range); i++)
        for (int blocked = 0; blocked < 2; blocked++)
            for (int k = 0; kernels_of(k); k++) {
                check_copy(kernels_of(k), blocked, (shape){ 2, 64, 5, 3 }, range[i][0], range[i][1],
                           range[i][2]);
                check_copy(kernels_of(k), blocked, (shape){ 1, 64, 1, 1 }, range[i][0], range[i][1],
                           range[i][2]);
            }
}

static void check_channel_kernels(shape s, bool blocked, int e_rows)
{
    const shape es = { e_rows, s.c, 1, 1 };
    gd_view x = make_view(s, blocked, GD_F32, 5), e = make_view(es, blocked, GD_F32, 6);
    gd_view sums_first = make_output(es, blocked, GD_F32);

    kernels_of(0)->sum_pixels(&sums_first, &x, 0.25f);
    for (int k = 0; kernels_of(k); k++) {
        gd_view y = make_output(s, blocked, GD_F32), sums = make_output(es, blocked, GD_F32);
        gd_view spread = make_output(s, blocked, GD_F32), y_is_x = copy_of(&x);
        kernels_of(k)->add_channel(&y, &x, &e);
        kernels_of(k)->add_channel(&y_is_x, &y_is_x, &e);
        kernels_of(k)->spread_pixels(&spread, &e, 0.5f);
        kernels_of(k)->sum_pixels(&sums, &x, 0.25f);
        assert_pads_zero(&y);
        assert_pads_zero(&spread);
        assert_pads_zero(&sums);
        assert_same_bits(&y, &y_is_x, "add_channel in place");
        assert_same_bits(&sums, &sums_first, "sum_pixels");
        for (int c = 0; c < s.c; c++) {
            double total = 0, size = 0;
            for (int n = 0; n < s.n; n++) {
                const int row = e_rows == 1 ? 0 : n;
                if (row == n)
                    total = size = 0;
                for (int p = 0; p < s.h * s.w; p++) {
                    const double v = value(&x, n, c, p), ev = value(&e, row, c, 0);
                    assert_true(value(&y, n, c, p) == (double)((float)v + (float)ev));
                    assert_true(value(&spread, n, c, p) == 0.5 * ev);
                    total += v;
                    size += fabs(v);
                }
                if (e_rows != 1 || n == s.n - 1)
                    assert_true(fabs(value(&sums, row, c, 0) - 0.25 * total) <= 1e-6 * size);
            }
        }
        release(&y);
        release(&sums);
        release(&spread);
        release(&y_is_x);
    }
    release(&x);
    release(&e);
    release(&sums_first);
}

static void values_per_channel(void **state)
{
    (void)state;
    for (int s = 0; s < n_shapes; s++)
        for (int blocked = 0; blocked < 2; blocked++) {
            check_channel_kernels(shapes[s], blocked, shapes[s].n);
            check_channel_kernels(shapes[s], blocked, 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointwise_kernels_agree_with_double),
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(silu_is_accurate_over_the_whole_range),
        cmocka_unit_test(convert_changes_layout_and_rounds_to_even),
        cmocka_unit_test(bf16_ties_infinities_and_nan),
        cmocka_unit_test(channel_ranges_are_copied_and_nothing_else),
        cmocka_unit_test(values_per_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
