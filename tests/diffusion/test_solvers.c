/* SPDX-License-Identifier: MIT */
/* Every solver of the table, on denoisers that are formulas: what holds for all of them. */
#include "fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 3, STEPS = 12 };

typedef struct toy {
    fixture_watch watch;
    gd_denoiser denoiser;
    gd_schedule *schedule;
    gd_grid *grid;
    gd_trajectory run;
    const float *target; /* not NULL: the denoiser that knows the image */
    int calls, nan_at;
} toy;

/* Epsilon of a Gaussian of deviation 0.5 around 0.2 (label 0) or another mean, or of the target */
static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    toy *me = ctx;
    const gd_schedule *s = me->schedule;
    double entry = t[0], a, b;
    int i = 0;

    me->calls++;
    while (i + 2 < s->n && s->original[i + 1] <= entry)
        i++;
    /* between entries: linear in log alpha, near enough for what is checked */
    a = s->alpha_bar[i];
    if (entry > s->original[i])
        a *= pow(s->alpha_bar[i + 1] / a,
                 (entry - s->original[i]) / (s->original[i + 1] - s->original[i]));
    b = sqrt(1 - a);
    a = sqrt(a);
    for (int k = 0; k < n * PIXELS; k++) {
        const double mean = y ? 0.2 * (double)y[k / PIXELS] : 0.2, v = a * a * 0.25 + b * b,
                     x0 =
                         me->target ? me->target[k % PIXELS] : (a * 0.25 * x[k] + b * b * mean) / v;
        out[k] = (float)((x[k] - a * x0) / b);
    }
    if (me->calls == me->nan_at)
        out[5] = NAN;
    return GD_OK;
}

static gd_status make_grid(toy *t, const gd_solver *solver)
{
    const gd_vp vp = gd_vp_make(t->schedule);
    const gd_sigma_map map = { .kind = GD_TIME_LOG, .schedule = t->schedule };
    const gd_sigma_range range = { .min = gd_sigma_of(t->schedule, 0), .max = 100 };
    const gd_consistency_calls calls = { 40, 5, { 0, 10, 20, 30, 39 } };

    switch (solver->grid) {
    case GD_GRID_DISCRETE:
        return gd_grid_discrete(&t->grid, t->schedule, t->schedule->n - 1, solver->ascends);
    case GD_GRID_VP:
        return gd_grid_vp(&t->grid, &vp, GD_SKIP_LOG_SNR, STEPS);
    case GD_GRID_SINGLESTEP:
        return gd_grid_singlestep(&t->grid, &vp, GD_SKIP_LOG_SNR, STEPS, solver->order);
    case GD_GRID_STRIDED:
        return gd_grid_strided(&t->grid, t->schedule, STEPS, false);
    case GD_GRID_CONSISTENCY:
        return gd_grid_consistency(&t->grid, &range, &calls, &map);
    case GD_GRID_SIGMA:
        return gd_grid_sigma(&t->grid, &range, STEPS, &map);
    }
    return GD_EFAILED;
}

static void begin(toy *t, const gd_solver *solver)
{
    const bool discrete = solver->grid == GD_GRID_DISCRETE;

    *t = (toy){ .watch = { .run = &t->run, .ordered = true },
                .schedule = fixture_schedule("linear", discrete ? "100" : ""),
                .denoiser = { .channels = 3,
                              .height = 4,
                              .width = 4,
                              .out_channels = 3,
                              .predict = predict } };
    t->denoiser.ctx = t;
    assert_int_equal(make_grid(t, solver), GD_OK);
    t->run =
        (gd_trajectory){ .denoiser = &t->denoiser,
                         .process = { t->schedule, GD_MEAN_EPSILON, GD_VAR_FIXED_SMALL, false },
                         .solver = solver,
                         .options.eta = solver->eta,
                         .grid = t->grid,
                         .noise = fixture_noise,
                         .noise_ctx = t,
                         .before_step = fixture_before_step,
                         .step_ctx = t };
}

/* One run; the toy's memory goes */
static gd_status fly(toy *t, int64_t first, int n, float *x)
{
    static const int64_t labels[] = { 4, 1, 2, 3, 0 };
    void *work;
    uint64_t allocations;
    gd_status s;

    assert_int_equal(gd_block_make(&work, gd_trajectory_bytes(&t->run, n), "test"), GD_OK);
    allocations = gd_allocation_count();
    s = gd_trajectory_run(&t->run, first, n, labels + first, x, work);
    assert_int_equal(gd_allocation_count(), allocations);
    gd_block_free(work);
    gd_grid_free(t->grid);
    gd_schedule_free(t->schedule);
    return s;
}

static void an_image_does_not_depend_on_its_batch(void **state)
{
    float all[BATCH * PIXELS], alone[PIXELS];
    toy t;

    (void)state;
    for (int k = 0; k < gd_solver_count(); k++) {
        begin(&t, gd_solver_at(k));
        assert_int_equal(fly(&t, 0, BATCH, all), GD_OK);
        assert_true(t.watch.ordered);
        begin(&t, gd_solver_at(k));
        assert_int_equal(fly(&t, 2, 1, alone), GD_OK);
        assert_memory_equal(alone, all + 2 * PIXELS, sizeof alone);
        for (int i = 0; i < BATCH * PIXELS; i++)
            assert_true(isfinite(all[i]) && fabsf(all[i]) < 6);
    }
}

static void calls_are_as_many_as_announced(void **state)
{
    float x[PIXELS];
    toy t;

    (void)state;
    for (int k = 0; k < gd_solver_count(); k++) {
        begin(&t, gd_solver_at(k));
        const int announced = gd_trajectory_calls(&t.run);
        assert_int_equal(fly(&t, 0, 1, x), GD_OK);
        assert_int_equal(t.calls, announced);
        assert_int_equal(t.watch.befores, announced);
    }
}

static void a_denoiser_that_knows_the_image_gives_it(void **state)
{
    float target[PIXELS], x[PIXELS];
    toy t;

    (void)state;
    fixture_fill(target, PIXELS, 1, 11);
    for (int k = 0; k < gd_solver_count(); k++) {
        begin(&t, gd_solver_at(k));
        t.target = target;
        assert_int_equal(fly(&t, 0, 1, x), GD_OK);
        /* grids that end at the schedule's first entry keep its noise: sigma 0.01 */
        if (!(fixture_distance(x, target, PIXELS) < 0.06))
            fail_msg("%s ends %g away", gd_solver_name(gd_solver_at(k)),
                     fixture_distance(x, target, PIXELS));
    }
}

static void every_solver_stops_and_names_what_is_not_finite(void **state)
{
    float x[PIXELS];
    toy t;

    (void)state;
    for (int k = 0; k < gd_solver_count(); k++) {
        begin(&t, gd_solver_at(k));
        t.watch.stop_at = 3;
        assert_int_equal(fly(&t, 0, 1, x), GD_EINTERRUPTED);
        assert_int_equal(t.calls, 2);
        begin(&t, gd_solver_at(k));
        t.nan_at = 2;
        assert_int_equal(fly(&t, 0, 1, x), GD_EFAILED);
        assert_non_null(strstr(gd_error(), "image 0, step "));
        assert_non_null(strstr(gd_error(), "the image is not finite"));
    }
}

static void dynamic_thresholding_keeps_the_quantile(void **state)
{
    double x[5] = { -4, 1, 0.5, -2, 3 }, sorted[5];
    const gd_threshold half = { GD_THRESHOLD_DYNAMIC, 0.5, 1 },
                       capped = { GD_THRESHOLD_DYNAMIC_CAPPED, 1, 1.5 };

    (void)state;
    gd_threshold_image(&half, x, 5, sorted); /* the median magnitude is 2 */
    assert_true(x[0] == -1 && x[1] == 0.5 && x[2] == 0.25 && x[3] == -1 && x[4] == 1);
    x[0] = -4;
    gd_threshold_image(&capped, x, 5, sorted);
    assert_true(fabs(x[0] + 1) < 1e-15 && fabs(x[1] - 0.5 / 1.5) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_does_not_depend_on_its_batch),
        cmocka_unit_test(calls_are_as_many_as_announced),
        cmocka_unit_test(a_denoiser_that_knows_the_image_gives_it),
        cmocka_unit_test(every_solver_stops_and_names_what_is_not_finite),
        cmocka_unit_test(dynamic_thresholding_keeps_the_quantile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
