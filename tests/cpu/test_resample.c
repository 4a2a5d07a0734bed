/* SPDX-License-Identifier: MIT */
/* Resampling against plain loops, adjoints by <A x, y> = <x, A' y>, timestep sinusoids. */
#include "fixture.h"

static double dot(const gd_view *a, const gd_view *b)
{
    double sum = 0;

    for (int n = 0; n < a->n; n++)
        for (int c = 0; c < a->c; c++)
            for (int p = 0; p < a->h * a->w; p++)
                sum += value(a, n, c, p) * value(b, n, c, p);
    return sum;
}

static double down(const gd_view *x, int n, int c, int i, int j)
{
    const int p = 2 * i * x->w + 2 * j;
    return (value(x, n, c, p) + value(x, n, c, p + 1) + value(x, n, c, p + x->w) +
            value(x, n, c, p + x->w + 1)) /
           4;
}

static double up(const gd_view *x, int n, int c, int i, int j)
{
    return i / 2 < x->h && j / 2 < x->w ? value(x, n, c, i / 2 * x->w + j / 2) : 0;
}

static void check_resample(shape s, shape out, gd_resample_kind kind, bool blocked, gd_dtype dtype)
{
    gd_view x = make_view(s, blocked, GD_F32, 3), first = make_output(out, blocked, dtype);

    kernels_of(0)->resample(&first, &x, kind, 0.75f);
    for (int k = 1; kernels_of(k); k++) {
        gd_view y = make_output(out, blocked, dtype);
        kernels_of(k)->resample(&y, &x, kind, 0.75f);
        assert_same_bits(&y, &first, "resample");
        release(&y);
    }
    assert_pads_zero(&first);
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int i = 0; i < out.h; i++)
                for (int j = 0; j < out.w; j++) {
                    const double v = 0.75 * (kind == GD_UP_NEAREST ? up : down)(&x, n, c, i, j);
                    assert_true(fabs(value(&first, n, c, i * out.w + j) - v) <=
                                (dtype == GD_F32 ? 5e-7 : fabs(v) / 256));
                }
    release(&x);
    release(&first);
}

static void nearest_and_average(void **state)
{
    (void)state;
    for (int s = 0; s < n_shapes; s++)
        for (int mode = 0; mode < 4; mode++) {
            const shape in = shapes[s], twice = { in.n, in.c, 2 * in.h, 2 * in.w };
            const shape odd = { in.n, in.c, 2 * in.h + 1, 2 * in.w + 1 };
            const gd_dtype dtype = mode & 2 ? GD_BF16 : GD_F32;
            check_resample(in, twice, GD_UP_NEAREST, mode & 1, dtype);
            check_resample(in, odd, GD_UP_NEAREST, mode & 1, dtype);
            if (in.h > 1)
                check_resample(in, (shape){ in.n, in.c, in.h / 2, in.w / 2 }, GD_DOWN_AVERAGE,
                               mode & 1, dtype);
        }
}

/* The adjoint of the average is the nearest neighbour with a quarter of the factor, zero in an odd
 * last row; the adjoint of the nearest neighbour is four times the average */
static void average_and_nearest_are_adjoint(void **state)
{
    (void)state;
    for (int odd = 0; odd < 2; odd++)
        for (int blocked = 0; blocked < 2; blocked++) {
            const shape big = { 2, 17, 6 + odd, 10 + odd }, small = { 2, 17, 3, 5 };
            gd_view x = make_view(big, blocked, GD_F32, 1),
                    y = make_view(small, blocked, GD_F32, 2);
            gd_view ax = make_output(small, blocked, GD_F32),
                    aty = make_output(big, blocked, GD_F32);
            gd_kernels_get()->resample(&ax, &x, GD_DOWN_AVERAGE, 1);
            gd_kernels_get()->resample(&aty, &y, GD_UP_NEAREST, 0.25f);
            assert_true(fabs(dot(&ax, &y) - dot(&x, &aty)) < 1e-4);
            release(&x);
            release(&y);
            release(&ax);
            release(&aty);
        }
}

/* docs/reference/networks.md#upsampler, in double */
static double bilinear(const gd_view *x, int n, int c, double at_y, double at_x)
{
    const double fy = fmax(at_y, 0), fx = fmax(at_x, 0);
    const int i = (int)fmin(fy, x->h - 1), j = (int)fmin(fx, x->w - 1);
    const int i1 = GD_MIN(i + 1, x->h - 1), j1 = GD_MIN(j + 1, x->w - 1);
    const double v = fy - i, h = fx - j;

    return (1 - v) * ((1 - h) * value(x, n, c, i * x->w + j) + h * value(x, n, c, i * x->w + j1)) +
           v * ((1 - h) * value(x, n, c, i1 * x->w + j) + h * value(x, n, c, i1 * x->w + j1));
}

static void check_bilinear(shape s, int h, int w, bool blocked)
{
    const shape out = { s.n, s.c, h, w };
    gd_view x = make_view(s, blocked, GD_F32, 3), first = make_output(out, blocked, GD_F32);
    gd_view dy = make_view(out, blocked, GD_F32, 4), first_dx = make_output(s, blocked, GD_F32);

    kernels_of(0)->bilinear(&first, &x);
    kernels_of(0)->bilinear_grad(&first_dx, &dy);
    for (int k = 1; kernels_of(k); k++) {
        gd_view y = make_output(out, blocked, GD_F32), dx = make_output(s, blocked, GD_F32);
        kernels_of(k)->bilinear(&y, &x);
        kernels_of(k)->bilinear_grad(&dx, &dy);
        assert_same_bits(&y, &first, "bilinear");
        assert_same_bits(&dx, &first_dx, "bilinear_grad");
        release(&y);
        release(&dx);
    }
    assert_pads_zero(&first);
    assert_pads_zero(&first_dx);
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int p = 0; p < h * w; p++) {
                const double expected = bilinear(&x, n, c, (p / w + 0.5) * s.h / h - 0.5,
                                                 (p % w + 0.5) * s.w / w - 0.5);
                assert_true(fabs(value(&first, n, c, p) - expected) <= 2e-6 * (s.h + s.w));
            }
    assert_true(fabs(dot(&first, &dy) - dot(&x, &first_dx)) <=
                1e-5 * sqrt(dot(&x, &x) * dot(&dy, &dy)));
    release(&x);
    release(&first);
    release(&dy);
    release(&first_dx);
}

static void bilinear_and_its_adjoint(void **state)
{
    static const int sizes[][4] = { { 4, 4, 16, 16 }, { 8, 8, 32, 32 }, { 5, 7, 12, 9 },
                                    { 6, 6, 6, 6 },   { 9, 9, 4, 4 },   { 1, 1, 3, 5 },
                                    { 16, 3, 1, 1 } };
    static const int channels[] = { 1, 3, 16, 17, 48 };

    (void)state;
    for (int i = 0; i < COUNT(sizes); i++)
        for (int c = 0; c < COUNT(channels); c++)
            for (int blocked = 0; blocked < 2; blocked++)
                check_bilinear((shape){ 2, channels[c], sizes[i][0], sizes[i][1] }, sizes[i][2],
                               sizes[i][3], blocked);
}

/* Cosines first, one zero column when odd; the frequency is rounded to float, as PyTorch does */
static void timesteps(void **state)
{
    static const float t[] = { 0, 1, 17.25f, 499.5f, 999 };
    static const int dims[] = { 1, 2, 3, 32, 33, 192 };
    float out[COUNT(t) * 192];

    (void)state;
    for (int d = 0; d < COUNT(dims); d++)
        for (int k = 0; kernels_of(k); k++) {
            const int dim = dims[d], half = dim / 2;
            kernels_of(k)->timestep_embedding(out, t, COUNT(t), dim, 10000);
            for (int n = 0; n < COUNT(t); n++)
                for (int i = 0; i < dim; i++) {
                    const double f = exp(-log(10000) * (i % GD_MAX(half, 1)) / GD_MAX(half, 1));
                    const double angle = t[n] * f;
                    const double expected = dim % 2 && i == dim - 1 ? 0
                                            : i < half              ? cos(angle)
                                                                    : sin(angle);
                    assert_true(fabs(out[n * dim + i] - expected) <= 1e-7 + 4e-7 * angle);
                }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_and_average),
        cmocka_unit_test(average_and_nearest_are_adjoint),
        cmocka_unit_test(bilinear_and_its_adjoint),
        cmocka_unit_test(timesteps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
