/* SPDX-License-Identifier: MIT */
/* The forward process, one reverse step's distribution, guidance. */
#include "fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static float x0[PIXELS], noise[PIXELS], x_t[PIXELS], a[PIXELS], b[PIXELS];
static float mean[PIXELS], variance[PIXELS], log_variance[PIXELS], predicted[PIXELS];
static gd_process process;

static int set_up(void **state)
{
    (void)state;
    fixture_fill(x0, PIXELS, 1, 1);
    fixture_fill(noise, PIXELS, 2, 2);
    process = (gd_process){ .schedule = fixture_schedule("linear", "50") };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gd_schedule_free((gd_schedule *)process.schedule);
    return 0;
}

static void predictions_invert_the_forward_process(void **state)
{
    (void)state;
    for (int t = 0; t < process.schedule->n; t += 7) {
        const double error = 1e-6 * process.schedule->sqrt_recip_alpha_bar[t];
        gd_q_sample(&process, t, x0, noise, x_t, PIXELS);
        gd_x0_from_eps(&process, t, x_t, noise, a, PIXELS);
        assert_true(fixture_distance(a, x0, PIXELS) < error);
        gd_eps_from_x0(&process, t, x_t, x0, a, PIXELS);
        assert_true(fixture_distance(a, noise, PIXELS) < 2e-5);
        gd_q_posterior_mean(&process, t, x0, x_t, b, PIXELS);
        gd_x0_from_xprev(&process, t, x_t, b, a, PIXELS);
        assert_true(fixture_distance(a, x0, PIXELS) <
                    1e-6 / process.schedule->posterior_mean_coef1[t]);
    }
}

static void predict(gd_mean_type mean_type, gd_var_type var_type, bool clip, int t,
                    const float *out)
{
    process.mean_type = mean_type;
    process.var_type = var_type;
    process.clip_denoised = clip;
    gd_p_mean_variance(&process, t, x_t, out, PIXELS, mean, variance, log_variance, predicted);
}

/* Every mean type finds the same image when its network is right */
static void mean_types_agree(void **state)
{
    const int t = 20;

    (void)state;
    gd_q_sample(&process, t, x0, noise, x_t, PIXELS);
    gd_q_posterior_mean(&process, t, x0, x_t, a, PIXELS);
    predict(GD_MEAN_EPSILON, GD_VAR_FIXED_SMALL, false, t, noise);
    assert_true(fixture_distance(predicted, x0, PIXELS) < 1e-5);
    assert_true(fixture_distance(mean, a, PIXELS) < 1e-5);
    predict(GD_MEAN_START_X, GD_VAR_FIXED_SMALL, false, t, x0);
    assert_memory_equal(predicted, x0, sizeof x0);
    assert_memory_equal(mean, a, sizeof a);
    predict(GD_MEAN_PREVIOUS_X, GD_VAR_FIXED_SMALL, false, t, a);
    assert_true(fixture_distance(predicted, x0, PIXELS) < 1e-4);
    assert_memory_equal(mean, a, sizeof a);
}

static void clipping_moves_the_mean_too(void **state)
{
    float clipped[PIXELS], out[PIXELS];

    (void)state;
    fixture_fill(out, PIXELS, 3, 5);
    fixture_fill(x_t, PIXELS, 2, 6);
    for (int i = 0; i < PIXELS; i++)
        clipped[i] = fminf(fmaxf(out[i], -1), 1);
    predict(GD_MEAN_START_X, GD_VAR_FIXED_SMALL, true, 10, out);
    gd_q_posterior_mean(&process, 10, clipped, x_t, a, PIXELS);
    assert_memory_equal(predicted, clipped, sizeof clipped);
    assert_memory_equal(mean, a, sizeof a);
    out[3] = NAN; /* must not become a number */
    predict(GD_MEAN_START_X, GD_VAR_FIXED_SMALL, true, 10, out);
    assert_true(isnan(predicted[3]) && isnan(mean[3]));
}

static void learned_range_interpolates_and_is_not_clamped(void **state)
{
    const int t = 10;
    const double low = process.schedule->posterior_log_variance[t],
                 high = log(process.schedule->beta[t]);
    float out[2 * PIXELS] = { 0 };

    (void)state;
    out[PIXELS] = -1;
    out[PIXELS + 1] = 1;
    out[PIXELS + 2] = 3;
    predict(GD_MEAN_EPSILON, GD_VAR_LEARNED_RANGE, true, t, out);
    assert_true(fabs(log_variance[0] - low) < 1e-6);
    assert_true(fabs(log_variance[1] - high) < 1e-6);
    assert_true(fabs(log_variance[2] - (high + (high - low))) < 1e-5);
    assert_true(fabs(log_variance[3] - (high + low) / 2) < 1e-6);
    for (int i = 0; i < PIXELS; i++)
        assert_true(variance[i] == expf(log_variance[i]));
    predict(GD_MEAN_EPSILON, GD_VAR_LEARNED, true, t, out);
    assert_memory_equal(log_variance, out + PIXELS, sizeof log_variance);
    assert_true(variance[1] == expf(1));
}

static void fixed_variances_at_both_ends(void **state)
{
    const gd_schedule *s = process.schedule;
    const float out[PIXELS] = { 0 };

    (void)state;
    predict(GD_MEAN_EPSILON, GD_VAR_FIXED_SMALL, true, 0, out);
    assert_true(variance[0] == 0 && log_variance[0] == (float)log(s->posterior_variance[1]));
    predict(GD_MEAN_EPSILON, GD_VAR_FIXED_LARGE, true, 0, out);
    assert_true(variance[0] == (float)s->posterior_variance[1]);
    predict(GD_MEAN_EPSILON, GD_VAR_FIXED_LARGE, true, 9, out);
    assert_true(variance[0] == (float)s->beta[9] && log_variance[0] == (float)log(s->beta[9]));
    predict(GD_MEAN_EPSILON, GD_VAR_FIXED_SMALL, true, 9, out);
    assert_true(variance[0] == (float)s->posterior_variance[9]);
}

static void guidance_shifts_mean_or_score(void **state)
{
    const int t = 15;
    float gradient[PIXELS];

    (void)state;
    fixture_fill(gradient, PIXELS, 0.5f, 8);
    fixture_fill(variance, PIXELS, 0.1f, 9);
    memcpy(mean, x0, sizeof mean);
    gd_condition_mean(mean, variance, gradient, PIXELS);
    for (int i = 0; i < PIXELS; i++)
        assert_true(mean[i] == x0[i] + variance[i] * gradient[i]);

    /* The score form: eps' = eps - sqrt(1 - alpha_bar) g, and nothing is clipped again */
    gd_q_sample(&process, t, x0, noise, x_t, PIXELS);
    memcpy(predicted, x0, sizeof predicted);
    gd_condition_score(&process, t, x_t, gradient, predicted, mean, PIXELS);
    gd_eps_from_x0(&process, t, x_t, predicted, a, PIXELS);
    for (int i = 0; i < PIXELS; i++)
        b[i] = noise[i] - (float)process.schedule->sqrt_one_minus_alpha_bar[t] * gradient[i];
    assert_true(fixture_distance(a, b, PIXELS) < 1e-5);
    assert_true(fixture_distance(predicted, x0, PIXELS) > 0.05);
    gd_q_posterior_mean(&process, t, predicted, x_t, a, PIXELS);
    assert_memory_equal(mean, a, sizeof a);
}

static void bytes_are_truncated_and_clamped(void **state)
{
    const float x[2 * 3] = { -1, 1, 0.5f, -2, 7, 0 }; /* [2][3]: two channels */
    const float levels[] = { 0, 1, 127, 254.99f, 255 };
    uint8_t out[6], one;

    (void)state;
    gd_to_uint8(out, x, 2, 3);
    const uint8_t expected[6] = { 0, 0, 255, 255, 191, 127 }; /* [3][2] */
    assert_memory_equal(out, expected, sizeof out);
    for (int i = 0; i < COUNT(levels); i++) {
        const float v = levels[i] / 127.5f - 1 + 1e-6f;
        gd_to_uint8(&one, &v, 1, 1);
        assert_int_equal(one, (int)levels[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictions_invert_the_forward_process),
        cmocka_unit_test(mean_types_agree),
        cmocka_unit_test(clipping_moves_the_mean_too),
        cmocka_unit_test(learned_range_interpolates_and_is_not_clamped),
        cmocka_unit_test(fixed_variances_at_both_ends),
        cmocka_unit_test(guidance_shifts_mean_or_score),
        cmocka_unit_test(bytes_are_truncated_and_clamped),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
