/* SPDX-License-Identifier: MIT */
/* What every measurement operator promises, at random sizes: the adjoint identity, A A+ A = A, A+ A
 * symmetric and idempotent, V f(S) V^T consistent with A and A+, a derivative that is one. */
#include "restore/restore.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ROUNDS = 6 };

static uint64_t draws;

static double normal(void)
{
    float z[4];
    gd_noise_normal(z, 4, 5, draws++, 0);
    return z[0];
}

static int below(int n)
{
    return (int)gd_noise_below((uint32_t)n, 6, draws++, 0);
}

static double *random_array(int64_t n)
{
    double *x = malloc((size_t)n * sizeof *x);

    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] = normal();
    return x;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double distance(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum / (double)n);
}

/* ---- promises ---- */

/* <A x, w> = <x, A^T w> */
static void adjoint_holds(const gd_operator *op)
{
    const int64_t n = gd_shape_count(gd_operator_image(op)),
                  m = gd_shape_count(gd_operator_measurement(op));
    double *x = random_array(n), *w = random_array(m), *y = random_array(m), *g = random_array(n);

    gd_operator_apply(op, x, y);
    gd_operator_adjoint(op, NULL, w, g);
    const double scale = sqrt(dot(y, y, m) * dot(w, w, m)) + 1e-300;
    assert_true(fabs(dot(y, w, m) - dot(x, g, n)) <= 1e-10 * scale);
    assert_true(sqrt(dot(y, y, m)) <= gd_operator_norm(op) * sqrt(dot(x, x, n)) * (1 + 1e-6));
    free(x), free(w), free(y), free(g);
}

/* A A+ A x = A x, A+ A symmetric and idempotent */
static void pinv_holds(const gd_operator *op, double allowed)
{
    const int64_t n = gd_shape_count(gd_operator_image(op)),
                  m = gd_shape_count(gd_operator_measurement(op));
    double *x = random_array(n), *z = random_array(n), *y = random_array(m),
           *again = random_array(m), *px = random_array(n), *pz = random_array(n),
           *ppx = random_array(n);

    gd_operator_apply(op, x, y);
    gd_operator_pinv(op, y, px);
    gd_operator_apply(op, px, again);
    assert_true(distance(y, again, m) <= allowed);
    gd_operator_pinv(op, again, ppx);
    assert_true(distance(px, ppx, n) <= allowed * 10);
    gd_operator_apply(op, z, y);
    gd_operator_pinv(op, y, pz);
    assert_true(fabs(dot(px, z, n) - dot(x, pz, n)) <= allowed * (double)n * 10);
    free(x), free(z), free(y), free(again), free(px), free(pz), free(ppx);
}

static double one(void *ctx, double s)
{
    (void)ctx, (void)s;
    return 1;
}

static double is_seen(void *ctx, double s)
{
    (void)ctx;
    return s > 0;
}

static double square(void *ctx, double s)
{
    (void)ctx;
    return s * s;
}

/* f = 1 is the identity, f = s^2 is A^T A, f = [s > 0] is A+ A */
static void spectrum_holds(const gd_operator *op)
{
    const int64_t n = gd_shape_count(gd_operator_image(op)),
                  m = gd_shape_count(gd_operator_measurement(op));
    double *x = random_array(n), *y = random_array(m), *want = random_array(n),
           *found = random_array(n);

    gd_operator_spectral(op, one, NULL, x, found);
    assert_true(distance(x, found, n) <= 1e-10);
    gd_operator_apply(op, x, y);
    gd_operator_adjoint(op, NULL, y, want);
    gd_operator_spectral(op, square, NULL, x, found);
    assert_true(distance(want, found, n) <= 1e-10);
    gd_operator_pinv(op, y, want);
    gd_operator_spectral(op, is_seen, NULL, x, found);
    assert_true(distance(want, found, n) <= 1e-6);
    memcpy(found, x, (size_t)n * sizeof *x);
    gd_operator_spectral(op, is_seen, NULL, found, found); /* in place */
    assert_true(distance(want, found, n) <= 1e-6);
    free(x), free(y), free(want), free(found);
}

static void linear_holds(const char *text, gd_shape image, double allowed)
{
    gd_operator *op;

    if (gd_operator_parse(&op, text, image, draws++) != GD_OK)
        fail_msg("%s at %dx%d: %s", text, image.w, image.h, gd_error());
    adjoint_holds(op);
    pinv_holds(op, allowed);
    if (gd_operator_has_spectrum(op))
        spectrum_holds(op);
    gd_operator_free(op);
}

static gd_shape random_shape(int multiple, int most)
{
    return (gd_shape){ 1 + 2 * below(2), multiple * (1 + below(most / multiple)),
                       multiple * (1 + below(most / multiple)) };
}

static void linear_operators_keep_their_promises(void **state)
{
    static const struct {
        const char *text;
        int multiple, most; /* of both sides */
    } cases[] = {
        { "denoise", 1, 20 },
        { "inpaint:random=0.4", 2, 20 },
        { "inpaint:box=2", 2, 20 },
        { "box_down:2", 2, 20 },
        { "box_down:4", 4, 24 },
        { "cubic_down:2:sv_cut=0", 2, 20 },
        { "cubic_down:4:sv_cut=0", 4, 24 },
        { "cubic_down:3:edge=renorm:sv_cut=0", 3, 24 },
        { "cubic_down:2:edge=clamp:sv_cut=0", 2, 20 },
        { "blur:gauss=0.6:sv_cut=0", 2, 20 },
        { "blur:gauss=0.6:pad=zero:sv_cut=0", 2, 20 },
        { "blur:gauss=0.6:pad=circular:sv_cut=0", 2, 20 },
        { "blur:gauss=0.6:pad=circular:factor=2:sv_cut=0", 2, 20 },
        { "blur:gauss=0.6:factor=3:sv_cut=0", 3, 21 },
        { "box_down:2,denoise", 2, 12 },
        { "inpaint:random=0.3,box_down:2", 4, 12 },
    };

    (void)state;
    for (int k = 0; k < COUNT(cases); k++)
        for (int i = 0; i < ROUNDS; i++)
            linear_holds(cases[k].text, random_shape(cases[k].multiple, cases[k].most), 1e-8);
}

static void colour_operators_keep_their_promises(void **state)
{
    static const char *const texts[] = { "gray",
                                         "gray:weights=luma",
                                         "box_down:2,gray",
                                         "gray,box_down:2",
                                         "gray,cubic_down:2:sv_cut=0",
                                         "blur:gauss=0.6:sv_cut=0,gray:weights=mean",
                                         "inpaint:box=2,gray,box_down:2" };

    (void)state;
    for (int k = 0; k < COUNT(texts); k++)
        for (int i = 0; i < ROUNDS; i++)
            linear_holds(texts[k], (gd_shape){ 3, 4 * (1 + below(4)), 4 * (1 + below(4)) }, 1e-8);
}

static void hadamard_keeps_its_promises(void **state)
{
    static const int sides[] = { 1, 2, 4, 8, 16 };

    (void)state;
    for (int i = 0; i < 3 * ROUNDS; i++)
        linear_holds("hadamard:0.5", (gd_shape){ 3, sides[1 + below(4)], sides[1 + below(4)] },
                     1e-8);
}

/* Kernels that are not separable, odd sides of any size, larger than the image too */
static void any_kernel_keeps_its_promises(void **state)
{
    static const gd_pad pads[] = { GD_PAD_REFLECT, GD_PAD_ZERO, GD_PAD_CIRCULAR };

    (void)state;
    for (int i = 0; i < 30; i++) {
        const int factor = 1 + i % 2;
        const gd_shape image = random_shape(2, 14);
        gd_blur b = { .h = 1 + 2 * below(5),
                      .w = 1 + 2 * below(5),
                      .pad = pads[i % 3],
                      .convolve = i % 4 < 2,
                      .factor = factor };
        double *kernel = random_array(b.h * b.w);
        gd_operator *op;
        b.kernel = kernel;
        assert_int_equal(gd_op_blur(&op, image, &b), GD_OK);
        adjoint_holds(op);
        pinv_holds(op, 1e-6);
        spectrum_holds(op);
        gd_operator_free(op);
        free(kernel);
    }
}

/* Too large to be decomposed: conjugate gradients */
static void large_kernels_are_solved_by_iteration(void **state)
{
    double kernel[25];
    const gd_blur b = { .kernel = kernel, .h = 5, .w = 5, .factor = 1 };
    gd_operator *op;

    (void)state;
    for (int i = 0; i < 25; i++)
        kernel[i] = (i == 12 ? 1 : 0) + 0.02 * normal();
    assert_int_equal(gd_op_blur(&op, (gd_shape){ 1, 48, 40 }, &b), GD_OK);
    assert_false(gd_operator_has_spectrum(op));
    adjoint_holds(op);
    pinv_holds(op, 1e-5);
    gd_operator_free(op);
}

/* The vector-Jacobian product against central differences of <A x, w> */
static void derivative_holds(gd_operator *op)
{
    const int64_t n = gd_shape_count(gd_operator_image(op)),
                  m = gd_shape_count(gd_operator_measurement(op));
    double *x = random_array(n), *w = random_array(m), *y = random_array(m), *g = random_array(n);
    const double step = 1e-6;

    for (int64_t i = 0; i < n; i++)
        x[i] *= 0.3;
    gd_operator_adjoint(op, x, w, g);
    for (int k = 0; k < 10; k++) {
        const int i = below((int)n);
        const double at = x[i];
        x[i] = at + step;
        gd_operator_apply(op, x, y);
        const double up = dot(y, w, m);
        x[i] = at - step;
        gd_operator_apply(op, x, y);
        x[i] = at;
        assert_true(fabs((up - dot(y, w, m)) / (2 * step) - g[i]) <= 1e-4 * (1 + fabs(g[i])));
    }
    free(x), free(w), free(y), free(g);
}

static void nonlinear_operators_have_derivatives(void **state)
{
    static const char *const texts[] = { "phase", "phase:4:range=11", "clip:2",
                                         "box_down:2,clip:3" };
    gd_operator *op;

    (void)state;
    for (int k = 0; k < COUNT(texts); k++)
        for (int i = 0; i < 3; i++) {
            assert_int_equal(gd_operator_parse(&op, texts[k], random_shape(2, 12), 1), GD_OK);
            assert_false(gd_operator_linear(op));
            derivative_holds(op);
            gd_operator_free(op);
        }
}

/* Quality 100 keeps an image to within the rounding of its coefficients and its chroma */
static void jpeg_of_high_quality_keeps_a_grey_image(void **state)
{
    enum { N = 3 * 16 * 32 };
    double x[N], y[N];
    gd_operator *op;

    (void)state;
    assert_int_equal(gd_operator_parse(&op, "jpeg:100", (gd_shape){ 3, 16, 32 }, 1), GD_OK);
    for (int i = 0; i < N; i++)
        x[i] = sin((i % (N / 3)) * 0.1);
    gd_operator_apply(op, x, y);
    for (int i = 0; i < N; i++)
        assert_true(fabs(x[i] - y[i]) < 0.03);
    gd_operator_free(op);
}

/* ---- text ---- */

static void the_factor_stands_in_the_text(void **state)
{
    int factor;

    (void)state;
    assert_int_equal(gd_operator_factor(&factor, "box_down:4,gray"), GD_OK);
    assert_int_equal(factor, 4);
    assert_int_equal(gd_operator_factor(&factor, "blur:gauss=2:factor=2,cubic_down:3"), GD_OK);
    assert_int_equal(factor, 6);
    assert_int_equal(gd_operator_factor(&factor, "phase"), GD_OK);
    assert_int_equal(factor, 0);
}

static void bad_text_is_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "box_dwon:4", "did you mean box_down" },
        { "box_down", "needs a number" },
        { "box_down:x", "expected a whole number" },
        { "box_down:0", "expected a" },
        { "box_down:5", "does not divide" },
        { "cubic_down:4:edge=round", "expected one of" },
        { "cubic_down:4:edgee=mirror", "no setting" },
        { "blur", "needs a kernel" },
        { "blur:gauss=3:size=4", "odd" },
        { "blur:gauss=0", "expected a" },
        { "blur:no-such-file.png", "no-such-file.png" },
        { "inpaint", "needs a mask" },
        { "inpaint:box=99", "expected a" },
        { "inpaint:box=8:top=12", "not inside" },
        { "inpaint:random=2", "expected a" },
        { "hadamard:0", "coefficients" },
        { "jpeg:200", "expected a" },
        { "gray,gray", "channels" },
        { "denoise:a:b", "not KEY=VALUE" },
        { "", "no operator" },
    };
    gd_operator *op;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        assert_int_not_equal(gd_operator_parse(&op, cases[i].text, (gd_shape){ 3, 16, 16 }, 1),
                             GD_OK);
        assert_null(op);
        if (!strstr(gd_error(), cases[i].says))
            fail_msg("%s: %s", cases[i].text, gd_error());
    }
}

/* ---- the rest ---- */

static void noise_scales(void **state)
{
    double sigma = 0.05;

    (void)state;
    assert_int_equal(gd_noise_scale(&sigma, "01"), GD_OK);
    assert_true(fabs(sigma - 0.1) < 1e-15);
    sigma = 12.75;
    assert_int_equal(gd_noise_scale(&sigma, "255"), GD_OK);
    assert_true(fabs(sigma - 0.1) < 1e-15);
    assert_int_equal(gd_noise_scale(&sigma, "256"), GD_EUSAGE);
}

/* Mean and variance of counts are the rate's */
static void poisson_counts_have_their_moments(void **state)
{
    enum { N = 20000 };
    static double y[N];
    const double x = -0.6, rate = 0.2, mean = gd_poisson_mean(x, rate);
    double sum = 0, square = 0;

    (void)state;
    for (int i = 0; i < N; i++)
        y[i] = x;
    gd_poisson_noise(y, N, rate, 3, 0);
    for (int i = 0; i < N; i++) {
        const double count = (y[i] + 1) / 2 * 255 * rate;
        sum += count;
        square += count * count;
    }
    sum /= N;
    assert_true(fabs(sum - mean) < 5 * sqrt(mean / N));
    assert_true(fabs(square / N - sum * sum - mean) < 0.05 * mean);
}

static void masks_have_their_share(void **state)
{
    uint8_t mask[20 * 30];
    int unknown = 0;

    (void)state;
    gd_mask_random(mask, 20, 30, 0.7, 9);
    for (int i = 0; i < 600; i++)
        unknown += !mask[i];
    assert_int_equal(unknown, 420);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_operators_keep_their_promises),
        cmocka_unit_test(colour_operators_keep_their_promises),
        cmocka_unit_test(hadamard_keeps_its_promises),
        cmocka_unit_test(any_kernel_keeps_its_promises),
        cmocka_unit_test(large_kernels_are_solved_by_iteration),
        cmocka_unit_test(nonlinear_operators_have_derivatives),
        cmocka_unit_test(jpeg_of_high_quality_keeps_a_grey_image),
        cmocka_unit_test(the_factor_stands_in_the_text),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(noise_scales),
        cmocka_unit_test(poisson_counts_have_their_moments),
        cmocka_unit_test(masks_have_their_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
