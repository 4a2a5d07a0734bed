/* SPDX-License-Identifier: MIT */
/* The gradient through a whole purification against finite differences of the whole: ancestral
 * steps with learned variances, DDIM steps, with and without recomputation. */
#include "nn/nn.h"
#include "restore/restore.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SIDE = 8, N = SIDE * SIDE, CALLS = 20 };

static gd_model *small_model(void)
{
    static const gd_flag flags[] = {
        { "image_size", "8" },         { "num_channels", "32" },
        { "num_res_blocks", "1" },     { "channel_mult", "1,2" },
        { "num_head_channels", "32" }, { "attention_resolutions", "4" },
        { "learn_sigma", "True" },     { "use_scale_shift_norm", "True" }
    };
    gd_model_config c;
    gd_model *m;

    gd_config_defaults(&c, GD_NET_UNET);
    assert_int_equal(gd_flags_apply(&c, flags, COUNT(flags)), GD_OK);
    c.net.in_channels = 1;
    c.net.out_channels = 2;
    assert_int_equal(gd_model_create(&m, &c, 3, true), GD_OK);
    return m;
}

static void fill(double *x, double scale, int seed)
{
    float z[N];

    gd_noise_normal(z, N, 4, (uint64_t)seed, 0);
    for (int i = 0; i < N; i++)
        x[i] = scale * z[i];
}

/* The loss <c, x> */
static gd_status constant(void *ctx, const double *x, double *c)
{
    (void)x;
    for (int i = 0; i < N; i++)
        c[i] = ((const double *)ctx)[i];
    return GD_OK;
}

static double dot(const double *a, const double *b)
{
    double sum = 0;

    for (int i = 0; i < N; i++)
        sum += a[i] * b[i];
    return sum;
}

static double loss_at(gd_restoration *r, const double *y, const double *c, const double *d,
                      double h)
{
    double moved[N], x[N];

    for (int i = 0; i < N; i++)
        moved[i] = y[i] + h * d[i];
    assert_int_equal(gd_restoration_run(r, 5, moved, x, NULL), GD_OK);
    return dot(c, x);
}

static void gradient_of(gd_restoration *r, double *g)
{
    double y[N], c[N], d[N], x[N], again[N];
    const double h = 4e-3;

    fill(y, 0.3, 1);
    fill(c, 1, 2);
    fill(d, 1, 3);
    assert_int_equal(gd_restoration_gradient(r, 5, y, constant, c, x, g), GD_OK);
    assert_int_equal(gd_restoration_run(r, 5, y, again, NULL), GD_OK);
    for (int i = 0; i < N; i++)
        assert_true(x[i] == again[i]);
    const double one = (loss_at(r, y, c, d, h) - loss_at(r, y, c, d, -h)) / (2 * h),
                 two = (loss_at(r, y, c, d, 2 * h) - loss_at(r, y, c, d, -2 * h)) / (4 * h),
                 slope = (4 * one - two) / 3;
    assert_true(fabs(slope) > 0.05); /* there is something to compare */
    if (fabs(slope - dot(g, d)) > 2e-2 * fabs(slope))
        fail_msg("%g, by differences %g", dot(g, d), slope);
}

static gd_restoration_settings settings(bool ddim, bool recompute)
{
    return (gd_restoration_settings){ .solver = ddim ? "sdedit:clip=0" : "sdedit",
                                      .label = -1,
                                      .seed = 1,
                                      .steps = CALLS,
                                      .below = ddim ? 0 : 150,
                                      .spacing = ddim ? "ddim50" : NULL,
                                      .strength = 0.2,
                                      .ddim = ddim,
                                      .eta = 0.5,
                                      .gradient = true,
                                      .recompute = recompute };
}

static void gradients_are_those_of_differences(void **state)
{
    double g[2][N];
    gd_model *m = small_model();

    (void)state;
    for (int ddim = 0; ddim < 2; ddim++)
        for (int recompute = 0; recompute < 2; recompute++) {
            const gd_restoration_settings s = settings(ddim, recompute);
            gd_restoration r;
            assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
            gradient_of(&r, g[recompute]);
            gd_restoration_close(&r);
            for (int i = 0; i < N && recompute; i++)
                assert_true(fabs(g[0][i] - g[1][i]) <= 1e-4 * (1 + fabs(g[0][i])));
        }
    gd_model_close(m);
}

static void without_gradients_it_is_refused(void **state)
{
    gd_restoration_settings s = settings(false, false);
    gd_model *m = small_model();
    double y[N], c[N], x[N], g[N];
    gd_restoration r;

    (void)state;
    fill(y, 0.3, 1);
    fill(c, 1, 2);
    s.gradient = false;
    assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
    assert_int_equal(gd_restoration_gradient(&r, 5, y, constant, c, x, g), GD_EUSAGE);
    gd_restoration_close(&r);
    gd_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_differences),
        cmocka_unit_test(without_gradients_it_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
