/* SPDX-License-Identifier: MIT */
/* Pooling and its gradients against plain loops; bytes resized as TensorFlow 1 does. */
#include "fixture.h"

static int pooled(int size, const gd_window *w)
{
    return (size + 2 * w->pad - w->kernel) / w->stride + 1;
}

/* What stands under one position of the window */
typedef struct taps {
    const gd_view *x;
    int n, c, count, best;
    double sum, most;
} taps;

static void look_at(taps *t, int i, int j, const gd_window *w)
{
    t->count = 0;
    t->sum = 0;
    t->most = -INFINITY;
    for (int k = 0; k < w->kernel * w->kernel; k++) {
        const int row = i * w->stride - w->pad + k / w->kernel,
                  column = j * w->stride - w->pad + k % w->kernel;
        if (row < 0 || column < 0 || row >= t->x->h || column >= t->x->w)
            continue;
        const double v = value(t->x, t->n, t->c, row * t->x->w + column);
        t->count++;
        t->sum += v;
        if (v > t->most) {
            t->most = v;
            t->best = row * t->x->w + column;
        }
    }
}

static void check_values(const gd_view *most, const gd_view *mean, const gd_view *x,
                         const gd_window *w)
{
    taps t = { .x = x };

    for (t.n = 0; t.n < x->n; t.n++)
        for (t.c = 0; t.c < x->c; t.c++)
            for (int p = 0; p < most->h * most->w; p++) {
                look_at(&t, p / most->w, p % most->w, w);
                assert_true(value(most, t.n, t.c, p) == t.most);
                assert_true(fabs(value(mean, t.n, t.c, p) - t.sum / t.count) <= 1e-6);
            }
}

/* What each input should get, added up window by window */
static void check_gradients(const gd_view *most, const gd_view *mean, const gd_view *x,
                            const gd_view *dy, const gd_window *w)
{
    double *to_most = calloc((size_t)(x->h * x->w), sizeof *to_most),
           *to_mean = calloc((size_t)(x->h * x->w), sizeof *to_mean);
    taps t = { .x = x };

    for (t.n = 0; t.n < x->n; t.n++)
        for (t.c = 0; t.c < x->c; t.c++) {
            memset(to_most, 0, (size_t)(x->h * x->w) * sizeof *to_most);
            memset(to_mean, 0, (size_t)(x->h * x->w) * sizeof *to_mean);
            for (int p = 0; p < dy->h * dy->w; p++) {
                const double d = value(dy, t.n, t.c, p);
                const int i = p / dy->w, j = p % dy->w;
                look_at(&t, i, j, w);
                to_most[t.best] += d;
                for (int k = 0; k < w->kernel * w->kernel; k++) {
                    const int row = i * w->stride - w->pad + k / w->kernel,
                              column = j * w->stride - w->pad + k % w->kernel;
                    if (row >= 0 && column >= 0 && row < x->h && column < x->w)
                        to_mean[row * x->w + column] += d / t.count;
                }
            }
            for (int p = 0; p < x->h * x->w; p++) {
                assert_true(fabs(value(most, t.n, t.c, p) - to_most[p]) <= 1e-5);
                assert_true(fabs(value(mean, t.n, t.c, p) - to_mean[p]) <= 1e-5);
            }
        }
    free(to_most);
    free(to_mean);
}

typedef struct results {
    gd_view most, mean, d_most, d_mean;
} results;

static results run(const gd_kernels *k, const gd_view *x, const gd_view *dy, shape in, shape out,
                   bool blocked, gd_window w)
{
    results r = { make_output(out, blocked, GD_F32), make_output(out, blocked, GD_F32),
                  make_output(in, blocked, GD_F32), make_output(in, blocked, GD_F32) };

    k->max_pool(&r.most, x, w);
    k->mean_pool(&r.mean, x, w);
    k->max_pool_grad(&r.d_most, dy, x, w);
    k->mean_pool_grad(&r.d_mean, dy, w);
    return r;
}

static void release_all(results *r)
{
    release(&r->most);
    release(&r->mean);
    release(&r->d_most);
    release(&r->d_mean);
}

static void check_pooling(shape in, gd_window w, bool blocked)
{
    const shape out = { in.n, in.c, pooled(in.h, &w), pooled(in.w, &w) };
    gd_view x = make_view(in, blocked, GD_F32, 3), dy = make_view(out, blocked, GD_F32, 4);
    results first = run(kernels_of(0), &x, &dy, in, out, blocked, w);

    for (int k = 1; kernels_of(k); k++) {
        results other = run(kernels_of(k), &x, &dy, in, out, blocked, w);
        assert_same_bits(&other.most, &first.most, "max_pool");
        assert_same_bits(&other.mean, &first.mean, "mean_pool");
        assert_same_bits(&other.d_most, &first.d_most, "max_pool_grad");
        assert_same_bits(&other.d_mean, &first.d_mean, "mean_pool_grad");
        release_all(&other);
    }
    assert_pads_zero(&first.most);
    assert_pads_zero(&first.mean);
    assert_pads_zero(&first.d_most);
    assert_pads_zero(&first.d_mean);
    check_values(&first.most, &first.mean, &x, &w);
    check_gradients(&first.d_most, &first.d_mean, &x, &dy, &w);
    release_all(&first);
    release(&x);
    release(&dy);
}

static void pooling_equals_its_definition(void **state)
{
    static const gd_window windows[] = {
        { 3, 2, 0 }, { 3, 1, 1 }, { 2, 2, 0 }, { 3, 2, 1 }, { 5, 3, 2 }
    };

    (void)state;
    for (int s = 0; s < n_shapes; s++)
        for (int w = 0; w < COUNT(windows); w++)
            for (int blocked = 0; blocked < 2; blocked++)
                if (GD_MIN(shapes[s].h, shapes[s].w) + 2 * windows[w].pad >= windows[w].kernel)
                    check_pooling(shapes[s], windows[w], blocked);
}

/* Whichever of the taps it is */
static void a_nan_is_the_largest(void **state)
{
    const shape in = { 1, 17, 3, 3 }, out = { 1, 17, 1, 1 };

    (void)state;
    for (int k = 0; kernels_of(k); k++)
        for (int p = 0; p < 9; p++) {
            gd_view x = make_view(in, true, GD_F32, 1), y = make_output(out, true, GD_F32);
            set_value(&x, 0, 5, p, NAN);
            kernels_of(k)->max_pool(&y, &x, (gd_window){ 3, 2, 0 });
            assert_true(isnan(value(&y, 0, 5, 0)));
            assert_false(isnan(value(&y, 0, 4, 0)));
            release(&x);
            release(&y);
        }
}

/* docs/reference/evaluation.md#features, with every rounding where TensorFlow has it */
static float resized(const uint8_t *x, int h, int w, int c, float at_y, float at_x)
{
    const int i = (int)floorf(at_y), j = (int)floorf(at_x);
    const int i1 = GD_MIN(i + 1, h - 1), j1 = GD_MIN(j + 1, w - 1);
    const volatile float fx = at_x - (float)j, fy = at_y - (float)i;
    volatile float row[2];

    for (int k = 0; k < 2; k++) {
        const float a = x[((k ? i1 : i) * w + j) * 3 + c], b = x[((k ? i1 : i) * w + j1) * 3 + c];
        volatile float step = (b - a) * fx;
        row[k] = a + step;
    }
    volatile float step = (row[1] - row[0]) * fy;
    volatile float v = row[0] + step;
    return (v - 128) / 128;
}

static void bytes_are_resized_as_tensorflow_does(void **state)
{
    static const int sizes[][4] = {
        { 32, 32, 99, 99 }, { 512, 9, 299, 30 }, { 7, 5, 7, 5 }, { 1, 1, 4, 4 }, { 40, 33, 13, 12 }
    };
    enum { IMAGES = 2 };

    (void)state;
    for (int s = 0; s < COUNT(sizes); s++) {
        const int h = sizes[s][0], w = sizes[s][1], oh = sizes[s][2], ow = sizes[s][3];
        uint8_t *x = malloc((size_t)(IMAGES * h * w * 3));
        unsigned seed = 5;
        for (int i = 0; i < IMAGES * h * w * 3; i++)
            x[i] = (uint8_t)(128 + 128 * random_unit(&seed));
        for (int k = 0; kernels_of(k); k++)
            for (int blocked = 0; blocked < 2; blocked++) {
                gd_view y = make_output((shape){ IMAGES, 3, oh, ow }, blocked, GD_F32);
                kernels_of(k)->resize_bytes(&y, x, h, w);
                assert_pads_zero(&y);
                for (int n = 0; n < IMAGES; n++)
                    for (int p = 0; p < oh * ow * 3; p++)
                        assert_true(value(&y, n, p % 3, p / 3) ==
                                    resized(x + n * h * w * 3, h, w, p % 3,
                                            (float)(p / 3 / ow) * ((float)h / (float)oh),
                                            (float)(p / 3 % ow) * ((float)w / (float)ow)));
                release(&y);
            }
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pooling_equals_its_definition),
        cmocka_unit_test(a_nan_is_the_largest),
        cmocka_unit_test(bytes_are_resized_as_tensorflow_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
