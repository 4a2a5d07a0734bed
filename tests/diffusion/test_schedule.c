/* SPDX-License-Identifier: MIT */
/* Schedules and respacing: the values of the specification, the authors' rounding, refusals. */
#include "diffusion/diffusion.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static gd_schedule *make(const char *kind, int n_train, const char *spacing)
{
    gd_schedule *s;

    if (gd_schedule_make(&s, kind, n_train, spacing, false) != GD_OK)
        fail_msg("%s", gd_error());
    return s;
}

static void near(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected)))
        fail_msg("%.17g is not %.17g", found, expected);
}

static void spot_values_of_both_schedules(void **state)
{
    gd_schedule *linear = make("linear", 1000, NULL), *cosine = make("cosine", 1000, "");
    const double digits = 1e-10; /* as many as the specification prints */

    (void)state;
    near(linear->beta[0], 1e-4, 1e-15);
    near(linear->beta[1], 1.1991991992e-4, digits);
    near(linear->beta[999], 0.02, 1e-15);
    near(linear->alpha_bar[0], 0.9999, digits);
    near(linear->alpha_bar[500], 0.07779665836502, digits);
    near(linear->alpha_bar[999], 4.035829765376e-5, digits);
    near(linear->posterior_variance[1], 5.453187661302e-5, digits);
    near(cosine->beta[0], 4.128422482197e-5, digits);
    near(cosine->beta[1], 4.614175273665e-5, digits);
    near(cosine->beta[999], 0.999, 1e-15);
    near(cosine->alpha_bar[0], 0.999958715775, digits);
    near(cosine->alpha_bar[500], 0.492285172449, digits);
    near(cosine->alpha_bar[999], 2.428766907035e-9, digits);
    near(cosine->posterior_variance[1], 2.178949614569e-5, digits);
    gd_schedule_free(linear);
    gd_schedule_free(cosine);
}

static void tables_agree_with_each_other(void **state)
{
    gd_schedule *s = make("cosine", 1000, "50");

    (void)state;
    for (int i = 0; i < s->n; i++) {
        near(s->alpha_bar_prev[i], i ? s->alpha_bar[i - 1] : 1, 0);
        near(s->alpha_bar_next[i], i + 1 < s->n ? s->alpha_bar[i + 1] : 0, 0);
        near(1 - s->beta[i], s->alpha_bar[i] / s->alpha_bar_prev[i], 1e-12);
        near(pow(s->sqrt_alpha_bar[i], 2) + pow(s->sqrt_one_minus_alpha_bar[i], 2), 1, 1e-12);
        /* The posterior's mean keeps a noiseless path noiseless */
        near(s->posterior_mean_coef1[i] + s->posterior_mean_coef2[i] * s->sqrt_alpha_bar[i],
             sqrt(s->alpha_bar_prev[i]), 1e-9);
    }
    near(s->posterior_mean_coef1[0], 1, 1e-9);
    near(s->posterior_mean_coef2[0], 0, 0);
    near(s->posterior_variance[0], 0, 0);
    near(s->posterior_log_variance[0], s->posterior_log_variance[1], 0);
    near(s->posterior_log_variance[7], log(s->posterior_variance[7]), 1e-15);
    gd_schedule_free(s);
}

static void expect_steps(int n_train, const char *spacing, int count, const int *first, int n_first,
                         int last)
{
    int *steps, n;

    if (gd_space_timesteps(&steps, &n, n_train, spacing) != GD_OK)
        fail_msg("%s", gd_error());
    assert_int_equal(n, count);
    for (int i = 0; i < n_first; i++)
        assert_int_equal(steps[i], first[i]);
    assert_int_equal(steps[n - 1], last);
    for (int i = 1; i < n; i++)
        assert_true(steps[i - 1] < steps[i]);
    gd_block_free(steps);
}

static void respacing_keeps_the_authors_steps(void **state)
{
    static const int of_250[] = { 0, 4, 8, 12, 16 };
    static const int of_25[] = { 0, 42, 83, 125, 166, 208, 250, 291 };
    static const int of_ddim25[] = { 0, 40, 80 };
    static const int of_sections[] = { 0, 37, 74, 111, 148, 185, 222, 259, 296, 333, 334, 371 };
    static const int half_to_even[] = { 0, 2, 5 };

    (void)state;
    expect_steps(1000, "250", 250, of_250, COUNT(of_250), 999);
    expect_steps(1000, "25", 25, of_25, COUNT(of_25), 999);
    expect_steps(1000, "ddim25", 25, of_ddim25, COUNT(of_ddim25), 960);
    expect_steps(1000, "10,10,20", 40, of_sections, COUNT(of_sections), 999);
    expect_steps(6, "3", 3, half_to_even, COUNT(half_to_even), 5);
    expect_steps(1000, "", 1000, NULL, 0, 999);
    expect_steps(1000, NULL, 1000, NULL, 0, 999);
    expect_steps(1000, "5,1,0,2", 8, NULL, 0, 999);
}

static void respaced_process_has_the_same_noise_levels(void **state)
{
    gd_schedule *all = make("linear", 1000, NULL), *s = make("linear", 1000, "250"),
                *ddim = make("linear", 1000, "ddim25");

    (void)state;
    for (int i = 0; i < s->n; i++)
        near(s->alpha_bar[i], all->alpha_bar[s->original[i]], 1e-11);
    near(s->beta[0], 1e-4, 1e-10);
    near(s->beta[1], 5.990655644756e-4, 1e-10);
    near(s->beta[2], 9.176029928173e-4, 1e-10);
    near(ddim->beta[1], 0.02013508946068, 1e-10);
    near(ddim->alpha_bar[24], 8.741305391053614e-05, 1e-10);
    gd_schedule_free(all);
    gd_schedule_free(s);
    gd_schedule_free(ddim);
}

static void network_is_told_the_original_step(void **state)
{
    gd_schedule *s;

    (void)state;
    s = make("cosine", 4000, "50");
    assert_true(gd_schedule_model_t(s, 1) == (float)s->original[1]);
    gd_schedule_free(s);
    assert_int_equal(gd_schedule_make(&s, "cosine", 4000, "50", true), GD_OK);
    assert_true(gd_schedule_model_t(s, 49) == 3999 * 0.25f);
    gd_schedule_free(s);
}

static void refuses_what_the_steps_cannot_serve(void **state)
{
    static const char *const bad[] = { "ddim37",      "5000",    "1001",
                                       "-1",          "10,",     ",10",
                                       "abc",         "ddim",    "ddim1",
                                       "ddimx",       "ddim25 ", "10;20",
                                       "333,333,334", "1.5",     "99999999999999999999",
                                       "2 5" };
    gd_schedule *s;
    int *steps, n;

    (void)state;
    for (int i = 0; i < COUNT(bad); i++) {
        if (gd_space_timesteps(&steps, &n, 1000, bad[i]) != GD_EUSAGE)
            fail_msg("%s is not refused", bad[i]);
        assert_non_null(strstr(gd_error(), bad[i]));
        assert_non_null(strstr(gd_error(), "hint: "));
    }
    assert_int_equal(gd_space_timesteps(&steps, &n, 1000, "ddim37"), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "nearest is ddim38"));
    assert_int_equal(gd_space_timesteps(&steps, &n, 0, ""), GD_EUSAGE);
    assert_int_equal(gd_space_timesteps(&steps, &n, 1 << 20, "99999999"), GD_EUSAGE);
    /* What the authors keep is kept, but a process needs two steps */
    assert_int_equal(gd_space_timesteps(&steps, &n, 1000, "0"), GD_OK);
    assert_int_equal(n, 0);
    gd_block_free(steps);
    assert_int_equal(gd_schedule_make(&s, "linear", 1000, "0", false), GD_EUSAGE);
    assert_int_equal(gd_schedule_make(&s, "linear", 1000, "1", false), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "fewer than 2"));
}

static void refuses_schedules_that_are_none(void **state)
{
    gd_schedule *s;

    (void)state;
    assert_int_equal(gd_schedule_make(&s, "cosin", 1000, "", false), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "cosine"));
    assert_int_equal(gd_schedule_make(&s, "linear", 10, "", false), GD_EUSAGE); /* beta 2 */
    assert_non_null(strstr(gd_error(), "outside (0, 1]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spot_values_of_both_schedules),
        cmocka_unit_test(tables_agree_with_each_other),
        cmocka_unit_test(respacing_keeps_the_authors_steps),
        cmocka_unit_test(respaced_process_has_the_same_noise_levels),
        cmocka_unit_test(network_is_told_the_original_step),
        cmocka_unit_test(refuses_what_the_steps_cannot_serve),
        cmocka_unit_test(refuses_schedules_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
