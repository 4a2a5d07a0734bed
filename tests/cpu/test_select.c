/* SPDX-License-Identifier: MIT */
/* Which kernels are used, and the kernels on plain rows: log-softmax and its gradient. */
#include "fixture.h"

static void forcing_an_isa(void **state)
{
    const gd_isa best = gd_isa_used();

    (void)state;
    for (int isa = GD_ISA_C; isa <= GD_ISA_AVX512_AMX; isa++) {
        if (!gd_kernels_of((gd_isa)isa)) {
            assert_int_equal(gd_isa_force(gd_isa_name((gd_isa)isa)), GD_EUSAGE);
            assert_true(strstr(gd_error(), "this machine has") || /* of another architecture: */
                        strstr(gd_error(), "expected one of"));
            continue;
        }
        assert_int_equal(gd_isa_force(gd_isa_name((gd_isa)isa)), GD_OK);
        assert_int_equal(gd_isa_used(), isa);
        assert_ptr_equal(gd_kernels_get(), gd_kernels_of((gd_isa)isa));
    }
    assert_int_equal(gd_isa_force("avx1024"), GD_EUSAGE);
    char names[GD_ISA_NAMES];
    gd_isa_names(names);
    assert_non_null(strstr(names, gd_isa_name(gd_isa_used())));
    assert_non_null(strstr(gd_error(), "avx1024"));
    assert_non_null(strstr(gd_error(), gd_isa_name(best))); /* names what there is */
    assert_int_equal(gd_isa_force(gd_isa_name(best)), GD_OK);
}

static void every_table_is_full(void **state)
{
    (void)state;
    for (int k = 0; kernels_of(k); k++) {
        void *const *entry = (void *const *)kernels_of(k);
        for (size_t i = 0; i < sizeof(gd_kernels) / sizeof *entry; i++)
            if (i * sizeof *entry != offsetof(gd_kernels, tiles_run) &&
                i * sizeof *entry != offsetof(gd_kernels, tiles_pack))
                assert_non_null(entry[i]);
    }
}

static void tiles_where_there_is_amx(void **state)
{
    (void)state;
    for (int k = 0; kernels_of(k); k++) {
        const bool amx = kernels_of(k) == gd_kernels_of(GD_ISA_AVX512_AMX);
        assert_int_equal(kernels_of(k)->tiles_run != NULL, amx);
        assert_int_equal(kernels_of(k)->tiles_pack != NULL, amx);
    }
}

static void check_rows(const gd_kernels *k, int c, float size, float offset)
{
    enum { ROWS = 3 };
    const int stride = c + 3;
    unsigned seed = 3;
    float *x = malloc(sizeof *x * ROWS * stride), *y = malloc(sizeof *y * ROWS * stride);
    float *dy = malloc(sizeof *dy * ROWS * stride), *dx = malloc(sizeof *dx * ROWS * stride);

    for (int i = 0; i < ROWS * stride; i++) {
        x[i] = size * random_unit(&seed) + offset;
        dy[i] = random_unit(&seed);
        y[i] = dx[i] = 77;
    }
    k->log_softmax(y, x, ROWS, c, stride);
    k->log_softmax_grad(dx, dy, y, ROWS, c, stride);
    for (int row = 0; row < ROWS; row++) {
        const float *xr = x + row * stride, *yr = y + row * stride, *dxr = dx + row * stride;
        double most = -INFINITY, sum = 0, dy_sum = 0;
        for (int i = 0; i < c; i++)
            most = fmax(most, xr[i]);
        for (int i = 0; i < c; i++) {
            sum += exp(xr[i] - most);
            dy_sum += dy[row * stride + i];
        }
        for (int i = 0; i < c; i++) {
            const double log_p = xr[i] - most - log(sum);
            assert_ulps(yr[i], log_p, 2, 3e-7, "log_softmax");
            assert_true(fabs(dxr[i] - (dy[row * stride + i] - exp(log_p) * dy_sum)) <=
                        1e-6 * (1 + fabs(dy_sum)));
        }
        for (int i = c; i < stride; i++)
            assert_true(yr[i] == 77 && dxr[i] == 77);
    }
    k->log_softmax(x, x, ROWS, c, stride);
    for (int row = 0; row < ROWS; row++)
        assert_memory_equal(x + row * stride, y + row * stride, (size_t)c * sizeof *x);
    free(x);
    free(y);
    free(dy);
    free(dx);
}

static void log_softmax_and_its_gradient(void **state)
{
    static const int counts[] = { 1, 2, 15, 16, 17, 31, 33, 1000 };

    (void)state;
    for (int i = 0; i < COUNT(counts); i++)
        for (int k = 0; kernels_of(k); k++) {
            check_rows(kernels_of(k), counts[i], 3, 0);
            check_rows(kernels_of(k), counts[i], 300, 0);
            check_rows(kernels_of(k), counts[i], 1, 1000);
        }
}

static void log_softmax_has_the_same_bits_everywhere(void **state)
{
    float x[1000], first[1000], y[1000];
    unsigned seed = 5;

    (void)state;
    for (int i = 0; i < 1000; i++)
        x[i] = 10 * random_unit(&seed);
    kernels_of(0)->log_softmax(first, x, 1, 1000, 1000);
    for (int k = 1; kernels_of(k); k++) {
        kernels_of(k)->log_softmax(y, x, 1, 1000, 1000);
        assert_memory_equal(y, first, sizeof y);
    }
}

static void log_softmax_passes_nan_on(void **state)
{
    (void)state;
    for (int k = 0; kernels_of(k); k++)
        for (int at = 0; at < 20; at += 19) {
            float x[20] = { 0 };
            x[at] = NAN;
            kernels_of(k)->log_softmax(x, x, 1, 20, 20);
            for (int i = 0; i < 20; i++)
                assert_true(isnan(x[i]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forcing_an_isa),
        cmocka_unit_test(every_table_is_full),
        cmocka_unit_test(tiles_where_there_is_amx),
        cmocka_unit_test(log_softmax_and_its_gradient),
        cmocka_unit_test(log_softmax_has_the_same_bits_everywhere),
        cmocka_unit_test(log_softmax_passes_nan_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
