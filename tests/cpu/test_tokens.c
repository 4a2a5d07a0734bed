/* GELU and layer normalisation against double, on every ISA and layout; layer normalisation has the
 * same bits on all of them and for any number of threads. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_is_accurate_over_the_whole_range),
        cmocka_unit_test(layer_norm_agrees_with_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
