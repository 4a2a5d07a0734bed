/* SPDX-License-Identifier: MIT */
/* One step of each sampler. */
#include "fixture.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static float x0[PIXELS]; /* of the latest step */
static float start[PIXELS], eps[2 * PIXELS], noise[PIXELS];

static int set_up(void **state)
{
    (void)state;
    fixture_fill(start, PIXELS, 2, 1);
    fixture_fill(eps, 2 * PIXELS, 1, 2);
    fixture_fill(noise, PIXELS, 2, 3);
    return 0;
}

static void move(const gd_solver *kind, const gd_process *p, int t, double eta, const float *z,
                 const float *gradient, float *x)
{
    fixture_step s = { .solver = kind,
                       .process = p,
                       .t = t,
                       .eta = eta,
                       .out = eps,
                       .gradient = gradient,
                       .noise = z };
    float from[PIXELS];

    memcpy(from, x, sizeof from);
    s.start = from;
    fixture_run_step(&s, x);
    memcpy(x0, s.x0, sizeof x0);
}

/* At eta 1 DDIM is the posterior: same mean, same variance (Song et al. 2020, section 4.1) */
static void eta_1_is_ancestral_sampling(void **state)
{
    gd_process p = { .schedule = fixture_schedule("cosine", "40"), .var_type = GD_VAR_FIXED_SMALL };
    float ddim[PIXELS], ddpm[PIXELS];

    (void)state;
    p.clip_denoised = true;
    for (int t = 1; t < p.schedule->n; t++) {
        /* of the coefficient sqrt(1 - alpha_bar_prev - sigma^2), a difference of floats near 1 */
        const double rest = 1 - p.schedule->alpha_bar_prev[t] - p.schedule->posterior_variance[t],
                     rounding = 2e-6 + 2 * FLT_EPSILON / sqrt(rest);
        memcpy(ddim, start, sizeof start);
        memcpy(ddpm, start, sizeof start);
        move(&gd_solver_ddim, &p, t, 1, noise, NULL, ddim);
        move(&gd_solver_ddpm, &p, t, 0, noise, NULL, ddpm);
        assert_true(fixture_distance(ddim, ddpm, PIXELS) < rounding);
    }
    gd_schedule_free((gd_schedule *)p.schedule);
}

static void eta_1_with_two_steps_stays_finite(void **state)
{
    gd_process p = { .schedule = fixture_schedule("linear", "2"), .var_type = GD_VAR_FIXED_SMALL };
    float x[PIXELS];

    (void)state;
    for (int t = 1; t >= 0; t--) {
        memcpy(x, start, sizeof start);
        move(&gd_solver_ddim, &p, t, 1, noise, NULL, x);
        for (int i = 0; i < PIXELS; i++)
            assert_true(isfinite(x[i]));
    }
    gd_schedule_free((gd_schedule *)p.schedule);
}

static void noise_is_not_read_where_it_has_no_effect(void **state)
{
    gd_process p = { .schedule = fixture_schedule("linear", "40"),
                     .var_type = GD_VAR_LEARNED_RANGE,
                     .clip_denoised = true };
    float x[PIXELS];

    (void)state;
    memcpy(x, start, sizeof start);
    move(&gd_solver_ddim, &p, 20, 0, NULL, NULL, x);
    move(&gd_solver_ddim_reverse, &p, 20, 0, NULL, NULL, x);
    move(&gd_solver_ddpm, &p, 0, 0, NULL, NULL, x);
    for (int i = 0; i < PIXELS; i++)
        assert_true(isfinite(x[i]));
    move(&gd_solver_ddim, &p, 0, 1, NULL, NULL, x);
    assert_true(fixture_distance(x, x0, PIXELS) < 1e-6); /* the last step returns the prediction */
    gd_schedule_free((gd_schedule *)p.schedule);
}

/* With the same eps a step up and a step down cancel */
static void reverse_then_forward_returns(void **state)
{
    gd_process p = { .schedule = fixture_schedule("linear", "100"),
                     .var_type = GD_VAR_FIXED_LARGE };
    float x[PIXELS];

    (void)state;
    for (int t = 0; t + 1 < p.schedule->n; t += 9) {
        memcpy(x, start, sizeof start);
        move(&gd_solver_ddim_reverse, &p, t, 0, NULL, NULL, x);
        assert_true(fixture_distance(x, start, PIXELS) > 1e-4);
        move(&gd_solver_ddim, &p, t + 1, 0, NULL, NULL, x);
        assert_true(fixture_distance(x, start, PIXELS) < 5e-6);
    }
    gd_schedule_free((gd_schedule *)p.schedule);
}

static void guidance_moves_along_the_gradient(void **state)
{
    gd_process p = { .schedule = fixture_schedule("linear", "40"), .var_type = GD_VAR_FIXED_LARGE };
    float gradient[PIXELS], free_x[PIXELS], x[PIXELS];

    (void)state;
    for (int i = 0; i < PIXELS; i++)
        gradient[i] = i % 2 ? 0.3f : -0.3f;
    for (int k = 0; k < 2; k++) {
        const gd_solver *kind = k ? &gd_solver_ddim : &gd_solver_ddpm;
        memcpy(free_x, start, sizeof start);
        memcpy(x, start, sizeof start);
        move(kind, &p, 20, 0, noise, NULL, free_x);
        move(kind, &p, 20, 0, noise, gradient, x);
        for (int i = 0; i < PIXELS; i++)
            assert_true(i % 2 ? x[i] > free_x[i] : x[i] < free_x[i]);
    }
    gd_schedule_free((gd_schedule *)p.schedule);
}

static void samplers_are_found_by_name(void **state)
{
    const gd_solver *kind;

    (void)state;
    assert_int_equal(gd_solver_find(&kind, "ddpm"), GD_OK);
    assert_ptr_equal(kind, &gd_solver_ddpm);
    assert_int_equal(gd_solver_find(&kind, "ddim"), GD_OK);
    assert_ptr_equal(kind, &gd_solver_ddim);
    assert_true(kind->takes_eta && !kind->ascends);
    assert_int_equal(gd_solver_find(&kind, "dddim"), GD_EUSAGE);
    assert_null(kind);
    assert_non_null(strstr(gd_error(), "did you mean ddim"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eta_1_is_ancestral_sampling),
        cmocka_unit_test(eta_1_with_two_steps_stays_finite),
        cmocka_unit_test(noise_is_not_read_where_it_has_no_effect),
        cmocka_unit_test(reverse_then_forward_returns),
        cmocka_unit_test(guidance_moves_along_the_gradient),
        cmocka_unit_test(samplers_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
