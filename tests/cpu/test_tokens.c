/* SPDX-License-Identifier: MIT */
/* Kernels of vision transformers and of ConvNeXt V2 against double, on every ISA and layout; all
 * but GELU have the same bits on all of them and for any number of threads. */
#include "fixture.h"

/* ---- GELU ---- */

static double true_gelu(double x, gd_gelu kind)
{
    switch (kind) {
    case GD_GELU_EXACT:
        return 0.5 * x * erfc(-x / sqrt(2));
    case GD_GELU_QUICK:
        return x / (1 + exp(-1.702 * x));
    default:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
}

/* From -30 to 30, where the branches of the error function meet among them */
static void gelu_is_accurate_over_the_whole_range(void **state)
{
    enum { VALUES = 60 * 256 };
    gd_view x = make_view((shape){ 1, 16, VALUES / 16, 1 }, false, GD_F32, 1);
    gd_view y = make_output((shape){ 1, 16, VALUES / 16, 1 }, false, GD_F32);
    float *in = x.data, *out = y.data;

    (void)state;
    for (int i = 0; i < VALUES; i++)
        in[i] = (float)(i - VALUES / 2) / 256;
    for (int k = 0; kernels_of(k); k++)
        for (int kind = GD_GELU_EXACT; kind <= GD_GELU_TANH; kind++) {
            kernels_of(k)->gelu(&y, &x, (gd_gelu)kind);
            for (int i = 0; i < VALUES; i++)
                assert_ulps(out[i], true_gelu((double)in[i], (gd_gelu)kind), 6, 3e-7, "gelu");
        }
    release(&x);
    release(&y);
}

/* ---- layer normalisation ---- */

enum { MAX_CHANNELS = 1152 };
static const float epsilon = 1e-6f;

static void fill(float *gamma, float *beta)
{
    unsigned seed = 5;

    for (int c = 0; c < MAX_CHANNELS; c++) {
        gamma[c] = 1 + 0.5f * random_unit(&seed);
        beta[c] = random_unit(&seed);
    }
}

/* Far from 0: what is lost when means are large would show. */
static void shift_values(gd_view *x, float by)
{
    for (int n = 0; n < x->n; n++)
        for (int c = 0; c < x->c; c++)
            for (int p = 0; p < x->h * x->w; p++)
                set_value(x, n, c, p, (float)value(x, n, c, p) + by);
}

static void check_values(const gd_view *y, const gd_view *x, const float *gamma, const float *beta)
{
    for (int n = 0; n < x->n; n++)
        for (int p = 0; p < x->h * x->w; p++) {
            double mean = 0, squares = 0;
            for (int c = 0; c < x->c; c++)
                mean += value(x, n, c, p) / x->c;
            for (int c = 0; c < x->c; c++)
                squares += pow(value(x, n, c, p) - mean, 2) / x->c;
            for (int c = 0; c < x->c; c++) {
                const double u = (value(x, n, c, p) - mean) / sqrt(squares + (double)epsilon);
                assert_ulps(value(y, n, c, p), u * (double)gamma[c] + (double)beta[c], 8, 3e-6,
                            "layer norm");
            }
        }
}

static void check(shape s, bool blocked, float shift)
{
    float gamma[MAX_CHANNELS], beta[MAX_CHANNELS];
    gd_view x = make_view(s, blocked, GD_F32, 3), first = make_output(s, blocked, GD_F32);

    fill(gamma, beta);
    shift_values(&x, shift);
    gd_set_threads(1);
    kernels_of(0)->layer_norm(&first, &x, gamma, beta, epsilon);
    check_values(&first, &x, gamma, beta);
    for (int k = 0; kernels_of(k); k++) {
        gd_view y = make_output(s, blocked, GD_F32), y_is_x = copy_of(&x);
        gd_set_threads(1 + k % 3);
        kernels_of(k)->layer_norm(&y, &x, gamma, beta, epsilon);
        kernels_of(k)->layer_norm(&y_is_x, &y_is_x, gamma, beta, epsilon);
        assert_pads_zero(&y);
        assert_same_bits(&y, &first, "layer norm");
        assert_same_bits(&y_is_x, &first, "layer norm in place");
        release(&y);
        release(&y_is_x);
    }
    release(&x);
    release(&first);
}

static void layer_norm_agrees_with_double(void **state)
{
    (void)state;
    for (int s = 0; s < n_shapes; s++)
        for (int blocked = 0; blocked < 2; blocked++) {
            if (shapes[s].c == 1)
                continue; /* no variance */
            check(shapes[s], blocked, 0);
            check(shapes[s], blocked, 3);
        }
}

/* ---- ConvNeXt V2 ---- */

static double tap(const gd_view *x, int n, int c, int row, int column)
{
    return row < 0 || row >= x->h || column < 0 || column >= x->w
               ? 0
               : value(x, n, c, row * x->w + column);
}

static void check_depthwise(const gd_view *y, const gd_view *x, const float *weight,
                            const float *bias, int kernel)
{
    for (int n = 0; n < x->n; n++)
        for (int c = 0; c < x->c; c++)
            for (int p = 0; p < x->h * x->w; p++) {
                double sum = (double)bias[c];
                for (int i = 0; i < kernel * kernel; i++)
                    sum += (double)weight[i * x->c + c] * tap(x, n, c,
                                                              p / x->w + i / kernel - kernel / 2,
                                                              p % x->w + i % kernel - kernel / 2);
                assert_ulps(value(y, n, c, p), sum, 8, 2e-5, "depthwise");
            }
}

static void check_response(const gd_view *y, const gd_view *x, const float *gamma,
                           const float *beta)
{
    double length[MAX_CHANNELS];

    for (int n = 0; n < x->n; n++) {
        double mean = 0;
        for (int c = 0; c < x->c; c++) {
            length[c] = 0;
            for (int p = 0; p < x->h * x->w; p++)
                length[c] += pow(value(x, n, c, p), 2);
            length[c] = sqrt(length[c]);
            mean += length[c] / x->c;
        }
        for (int c = 0; c < x->c; c++)
            for (int p = 0; p < x->h * x->w; p++) {
                const double v = value(x, n, c, p);
                assert_ulps(value(y, n, c, p),
                            (double)gamma[c] * v * length[c] / (mean + (double)epsilon) +
                                (double)beta[c] + v,
                            8, 2e-6, "response norm");
            }
    }
}

static void check_convnext(shape s, bool blocked)
{
    static float weight[49 * MAX_CHANNELS], gamma[MAX_CHANNELS], beta[MAX_CHANNELS],
        scratch[8 * MAX_CHANNELS];
    gd_view x = make_view(s, blocked, GD_F32, 4), first[2];
    unsigned seed = 9;

    fill(gamma, beta);
    for (int i = 0; i < 49 * s.c; i++)
        weight[i] = random_unit(&seed);
    for (int k = 0; kernels_of(k); k++) {
        gd_view y[2] = { make_output(s, blocked, GD_F32), make_output(s, blocked, GD_F32) };
        gd_set_threads(1 + k % 3);
        kernels_of(k)->depthwise(&y[0], &x, weight, beta, 7);
        kernels_of(k)->response_norm(&y[1], &x, gamma, beta, epsilon, scratch);
        for (int i = 0; i < 2; i++) {
            assert_pads_zero(&y[i]);
            if (k == 0)
                first[i] = copy_of(&y[i]);
            else
                assert_same_bits(&y[i], &first[i], i ? "response norm" : "depthwise");
            if (k == 0 && i == 0)
                check_depthwise(&y[i], &x, weight, beta, 7);
            if (k == 0 && i == 1)
                check_response(&y[i], &x, gamma, beta);
            release(&y[i]);
        }
    }
    release(&x);
    release(&first[0]);
    release(&first[1]);
}

static void convnext_steps_agree_with_double(void **state)
{
    (void)state;
    for (int s = 0; s < n_shapes; s++)
        for (int blocked = 0; blocked < 2; blocked++)
            if (shapes[s].n <= 8)
                check_convnext(shapes[s], blocked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_is_accurate_over_the_whole_range),
        cmocka_unit_test(layer_norm_agrees_with_double),
        cmocka_unit_test(convnext_steps_agree_with_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
