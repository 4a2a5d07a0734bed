/* SPDX-License-Identifier: MIT */
/* A network as a prior: its gradient against finite differences, with and without recomputation;
 * defaults; what is refused before a network is made. */
#include "nn/nn.h"
#include "restore/restore.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 16, COUNT_X = 3 * SIDE * SIDE };

/* A small network with attention at its lower level */
static gd_model *small_model(void)
{
    static const gd_flag flags[] = {
        { "image_size", "16" },    { "num_channels", "32" },      { "num_res_blocks", "1" },
        { "channel_mult", "1,2" }, { "num_head_channels", "32" }, { "attention_resolutions", "8" },
        { "learn_sigma", "True" }, { "resblock_updown", "True" }, { "use_scale_shift_norm", "True" }
    };
    gd_model_config c;
    gd_model *m;

    gd_config_defaults(&c, GD_NET_UNET);
    assert_int_equal(gd_flags_apply(&c, flags, COUNT(flags)), GD_OK);
    assert_int_equal(gd_model_create(&m, &c, 3, true), GD_OK);
    return m;
}

static gd_restoration_settings settings(const char *op, const char *solver, double noise)
{
    return (gd_restoration_settings){
        .op = op, .solver = solver, .sigma_y = noise, .label = -1, .scale = 1, .seed = 1
    };
}

static void fill(double *x, int n, int seed)
{
    float z[COUNT_X];

    gd_noise_normal(z, n, 4, (uint64_t)seed, 0);
    for (int i = 0; i < n; i++)
        x[i] = 0.5 * z[i];
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* <c, eps(x + h d) - eps(x - h d)> / 2h = <J^T c, d> */
static void gradient_holds(gd_prior *p, double *g)
{
    const gd_level at = { .alpha = 0.8, .sigma = 0.6, .time = 300, .index = 300 };
    static double x[COUNT_X], c[COUNT_X], d[COUNT_X], moved[COUNT_X], eps[COUNT_X], v[COUNT_X];
    const double h = 1e-2;
    double slope;

    fill(x, COUNT_X, 1);
    fill(c, COUNT_X, 2);
    fill(d, COUNT_X, 3);
    assert_int_equal(p->predict(p->ctx, &at, x, eps, v), GD_OK);
    assert_int_equal(p->vjp(p->ctx, &at, c, NULL, g), GD_OK);
    for (int i = 0; i < COUNT_X; i++)
        moved[i] = x[i] + h * d[i];
    assert_int_equal(p->predict(p->ctx, &at, moved, eps, v), GD_OK);
    slope = dot(c, eps, COUNT_X);
    for (int i = 0; i < COUNT_X; i++)
        moved[i] = x[i] - h * d[i];
    assert_int_equal(p->predict(p->ctx, &at, moved, eps, v), GD_OK);
    slope = (slope - dot(c, eps, COUNT_X)) / (2 * h);
    assert_true(fabs(slope - dot(g, d, COUNT_X)) <= 2e-3 * (fabs(slope) + 1));
}

static void the_networks_gradient_is_one(void **state)
{
    static double g[2][COUNT_X];
    gd_model *m = small_model();

    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        gd_restoration_settings s = settings("box_down:2", "dps", 0.05);
        gd_restoration r;
        s.steps = 10;
        s.recompute = recompute;
        assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
        gradient_holds(r.prior, g[recompute]);
        gd_restoration_close(&r);
    }
    for (int i = 0; i < COUNT_X; i++)
        assert_true(fabs(g[0][i] - g[1][i]) <= 1e-5 * (1 + fabs(g[0][i])));
    gd_model_close(m);
}

/* Without noise DDNM ends exactly on the measurement, whatever the network */
static void ddnm_ends_on_the_measurement(void **state)
{
    static const char *const ops[] = { "box_down:4", "inpaint:random=0.5", "gray",
                                       "cubic_down:2:sv_cut=0", "box_down:2,gray" };
    static double y[COUNT_X], x[COUNT_X];
    gd_model *m = small_model();

    (void)state;
    for (int i = 0; i < COUNT(ops); i++) {
        gd_restoration_settings s = settings(ops[i], "ddnm:travel_length=2:travel_repeat=2", 0);
        gd_restoration r;
        s.steps = 6;
        assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
        fill(x, COUNT_X, 5);
        gd_operator_apply(r.op, x, y);
        assert_int_equal(gd_restoration_run(&r, 0, y, x, NULL), GD_OK);
        assert_true(gd_restoration_residual(&r, x, y) < 1e-9);
        gd_restoration_close(&r);
    }
    gd_model_close(m);
}

static void the_solver_is_chosen_by_operator_and_noise(void **state)
{
    static const struct {
        const char *op;
        double noise;
        const char *solver;
    } cases[] = { { "box_down:2", 0, "ddnm" },   { "box_down:2", 0.1, "ddrm" },
                  { "phase", 0.05, "daps" },     { "phase", 0, "reddiff" },
                  { "clip:2", 0.05, "daps" },    { "jpeg:50", 0.05, "reddiff" },
                  { "inpaint:box=4", 0, "ddnm" } };
    gd_model *m = small_model();

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        const gd_restoration_settings s = settings(cases[i].op, NULL, cases[i].noise);
        gd_restoration r;
        assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
        assert_string_equal(gd_restorer_name(r.restorer), cases[i].solver);
        gd_restoration_close(&r);
    }
    gd_model_close(m);
}

static void what_cannot_be_is_refused(void **state)
{
    gd_model *m = small_model();
    const struct {
        gd_restoration_settings s;
        const char *says;
    } cases[] = {
        { settings("box_down:2", "dnm", 0), "did you mean ddnm" },
        { settings("box_down:2", "ddnm:eta", 0), "not KEY=VALUE" },
        { settings("box_down:2", "ddnm:eta=2", 0), "expected a" },
        { settings("box_down:2", "ddnm:steps=2000", 0), "the model has 1000" },
        { settings("clip:2", "pigdm", 0.1), "needs a linear operator" },
        { settings("phase", "reddiff:lr=x", 0), "expected a number" },
        { settings("box_down:2", "repaint", 0), "inpainting" },
        { settings("denoise", "daps", 0), "needs noise" },
        { settings("denoise", "daps:lr=0.1", 0.05), "lr must be below" },
    };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        gd_restoration r;
        assert_int_equal(gd_restoration_open(&r, m, NULL, &cases[i].s), GD_EUSAGE);
        if (!strstr(gd_error(), cases[i].says))
            fail_msg("%s", gd_error());
        gd_restoration_close(&r);
    }
    gd_restoration_settings odd = settings("denoise", "ddnm", 0);
    gd_restoration r;
    odd.h = 17;
    odd.w = 16;
    odd.whole = true;
    assert_int_equal(gd_restoration_open(&r, m, NULL, &odd), GD_EMISMATCH);
    gd_restoration_close(&r);
    gd_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_networks_gradient_is_one),
        cmocka_unit_test(ddnm_ends_on_the_measurement),
        cmocka_unit_test(the_solver_is_chosen_by_operator_and_noise),
        cmocka_unit_test(what_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
