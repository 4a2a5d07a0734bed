/* SPDX-License-Identifier: MIT */
/* D(x; s): the limits that each preconditioner promises, the ranges of levels, a batch of levels.
 */
#include "diffusion/diffusion.h"
#include "nn/config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static gd_preconditioner *make(gd_precond kind)
{
    const gd_diffusion_config config = {
        .precond = kind, .sigma_data = 0.5, .sigma_min = 0.002, .sigma_max = 80
    };
    gd_preconditioner *p;

    if (gd_preconditioner_make(&p, &config, NULL, NULL) != GD_OK)
        fail_msg("%s", gd_error());
    return p;
}

static void near(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected)))
        fail_msg("%.17g is not %.17g", found, expected);
}

static void edm_keeps_the_variance_of_input_and_target(void **state)
{
    gd_preconditioner *p = make(GD_PRECOND_EDM);

    (void)state;
    for (double s = 0.002; s < 100; s *= 3) {
        const gd_scaling c = gd_precondition(p, s);
        near(c.c_in * c.c_in * (s * s + 0.25), 1, 1e-14);
        near(c.c_skip * 0.5 * 0.5 / (0.25 * 0.25 / (s * s + 0.25)), 1, 1e-14);
        near(c.time, log(s) / 4, 1e-15);
    }
    gd_preconditioner_free(p);
}

static void the_boundary_form_is_the_identity_at_its_least_level(void **state)
{
    gd_preconditioner *p = make(GD_PRECOND_CONSISTENCY), *edm = make(GD_PRECOND_CONSISTENCY_EDM);
    const gd_scaling c = gd_precondition(p, 0.002), d = gd_precondition(edm, 0.002);

    (void)state;
    near(c.c_skip, 1, 0);
    assert_true(c.c_out == 0);
    assert_true(d.c_skip != 1 && d.c_out != 0);
    near(c.time, 250 * log(0.002), 1e-12); /* negative below 1 */
    gd_preconditioner_free(p);
    gd_preconditioner_free(edm);
}

static void ranges_are_those_of_the_classes(void **state)
{
    static const struct {
        gd_precond kind;
        double min, max;
    } expected[] = { { GD_PRECOND_VP, 0.001000475, 152.1629 },
                     { GD_PRECOND_VE, 0.02, 100 },
                     { GD_PRECOND_IDDPM, 0.006425, 20291 },
                     { GD_PRECOND_CONSISTENCY, 0.002, 80 } };

    (void)state;
    for (int i = 0; i < COUNT(expected); i++) {
        gd_preconditioner *p = make(expected[i].kind);
        double min, max;
        gd_precondition_range(p, &min, &max);
        near(min, expected[i].min, 1e-3);
        near(max, expected[i].max, 1e-3);
        gd_preconditioner_free(p);
    }
}

static void vp_time_runs_from_0_to_999(void **state)
{
    gd_preconditioner *p = make(GD_PRECOND_VP);
    double min, max;

    (void)state;
    gd_precondition_range(p, &min, &max);
    near(gd_precondition(p, max).time, 999, 1e-12);
    near(gd_precondition(p, min).time, 999e-5, 1e-6);
    gd_preconditioner_free(p);
}

static void iddpm_levels_round_to_themselves(void **state)
{
    gd_preconditioner *p = make(GD_PRECOND_IDDPM);
    double last = INFINITY;

    (void)state;
    for (double s = 20000; s > 0.01; s *= 0.9) {
        const double rounded = gd_precondition_round(p, s);
        const gd_scaling c = gd_precondition(p, rounded);
        assert_true(rounded <= last);
        near(gd_precondition_round(p, rounded), rounded, 0);
        assert_true(c.time == floor(c.time) && c.time >= 0 && c.time <= 999);
        last = rounded;
    }
    near(gd_precondition(p, 0).time, -1, 0); /* as argmin over all 1001 entries says */
    gd_preconditioner_free(p);
}

/* ---- a batch: every image at its own level ---- */

enum { N = 3, PIXELS = 4, IN = 1, OUT = 2 };

/* A network whose result shows what it was given */
static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    (void)ctx;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < PIXELS; k++) {
            out[(i * OUT) * PIXELS + k] = x[i * PIXELS + k] + t[i] + (float)(y ? y[i] : 0);
            out[(i * OUT + 1) * PIXELS + k] = NAN; /* a learned variance is not read */
        }
    return GD_OK;
}

static double time_of(const void *ctx, double sigma)
{
    return *(const double *)ctx * sigma;
}

static void every_image_has_its_own_level(void **state)
{
    const gd_denoiser net = { NULL, IN, 2, 2, OUT, predict, NULL };
    const gd_diffusion_config steps = { .precond = GD_PRECOND_STEPS };
    const double sigma[N] = { 0.5, 2, 70 }, ten = 10;
    const int64_t y[N] = { 3, 1, 2 };
    float x[N * PIXELS], d[N * PIXELS];
    gd_preconditioner *p;
    void *work;

    (void)state;
    assert_int_equal(gd_preconditioner_make(&p, &steps, NULL, NULL), GD_EUSAGE);
    assert_int_equal(gd_preconditioner_make(&p, &steps, time_of, &ten), GD_OK);
    assert_int_equal(gd_block_make(&work, gd_predict_x0_bytes(&net, N), "test"), GD_OK);
    for (int i = 0; i < N * PIXELS; i++)
        x[i] = d[i] = (float)(i % 7) - 3;
    assert_int_equal(gd_predict_x0(&net, p, N, d, sigma, y, d, work), GD_OK); /* in place */
    for (int i = 0; i < N * PIXELS; i++) {
        const double s = sigma[i / PIXELS];
        const double f = x[i] / sqrt(1 + s * s) + 10 * s + (double)y[i / PIXELS];
        assert_true(fabs(d[i] - (x[i] - s * f)) <= 1e-5 * s * s * 100);
    }
    gd_block_free(work);
    gd_preconditioner_free(p);
}

/* D of a network for discrete steps is what the process predicts from the same output. */
static void every_prediction_gives_its_x0(void **state)
{
    static const gd_diffusion_config configs[] = {
        { .precond = GD_PRECOND_STEPS },
        { .precond = GD_PRECOND_STEPS, .predict_v = true },
        { .precond = GD_PRECOND_STEPS, .predict_xstart = true }
    };
    static const double levels[] = { 0.01, 0.7, 3, 157 }, ten = 10, x0 = 0.3, eps = -1.2;

    (void)state;
    for (int i = 0; i < COUNT(configs); i++) {
        const gd_mean_type type = gd_config_mean_type(&configs[i]);
        gd_preconditioner *p;
        assert_int_equal(gd_preconditioner_make(&p, &configs[i], time_of, &ten), GD_OK);
        for (int k = 0; k < COUNT(levels); k++) {
            const double s = levels[k], alpha = 1 / sqrt(1 + s * s);
            const double out = gd_prediction_of(type, alpha, s * alpha, x0, eps);
            const gd_scaling c = gd_precondition(p, s);
            assert_true(fabs(c.c_in - alpha) <= 1e-15 && c.time == 10 * s);
            assert_true(fabs(c.c_skip * (x0 + s * eps) + c.c_out * out - x0) <= 1e-12);
        }
        gd_preconditioner_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edm_keeps_the_variance_of_input_and_target),
        cmocka_unit_test(the_boundary_form_is_the_identity_at_its_least_level),
        cmocka_unit_test(ranges_are_those_of_the_classes),
        cmocka_unit_test(vp_time_runs_from_0_to_999),
        cmocka_unit_test(iddpm_levels_round_to_themselves),
        cmocka_unit_test(every_image_has_its_own_level),
        cmocka_unit_test(every_prediction_gives_its_x0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
