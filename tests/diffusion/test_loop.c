/* SPDX-License-Identifier: MIT */
/* Whole trajectories on networks that are formulas. */
#include "fixture.h"
#include "diffusion/solver.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { C = 3, H = 4, W = 4, BATCH = 3, STEPS = 10 };

typedef struct toy {
    fixture_watch watch;
    gd_denoiser denoiser;
    gd_trajectory trajectory;
    const float *target; /* not NULL: the network that knows the image */
    float told[STEPS];   /* t of each call */
    int calls, afters;
    int nan_at, guide_nan_at;
} toy;

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    toy *me = ctx;
    const gd_schedule *s = me->trajectory.process.schedule;
    int step = 0;

    while (gd_schedule_model_t(s, step) != t[0])
        step++;
    me->told[me->calls++] = t[0];
    for (int i = 0; i < n * PIXELS; i++)
        out[i] = me->target ? (float)((x[i] - s->sqrt_alpha_bar[step] * me->target[i % PIXELS]) /
                                      s->sqrt_one_minus_alpha_bar[step])
                            : 0.7f * x[i] + 0.1f * sinf((float)(y ? y[i / PIXELS] : 0) + t[0]);
    if (me->calls == me->nan_at)
        out[5] = NAN;
    return GD_OK;
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    toy *me = ctx;

    (void)t;
    for (int i = 0; i < n * PIXELS; i++)
        gradient[i] = 0.1f * (float)y[i / PIXELS] - 0.05f * x[i];
    if (me->calls == me->guide_nan_at)
        gradient[0] = INFINITY;
    return GD_OK;
}

static void after_step(void *ctx, int64_t image, int step, const double *x, const double *x0)
{
    toy *me = ctx;

    (void)x;
    me->afters++;
    me->watch.ordered =
        me->watch.ordered && image >= 0 && step == me->watch.befores && fabs(x0[0]) <= 1;
}

static void begin(toy *t, const gd_solver *kind, bool guided)
{
    *t = (toy){ .watch = { .run = &t->trajectory, .ordered = true },
                .denoiser = { .channels = C,
                              .height = H,
                              .width = W,
                              .out_channels = C,
                              .predict = predict,
                              .guide = guided ? guide : NULL } };
    t->denoiser.ctx = t;
    gd_schedule *schedule = fixture_schedule("linear", "10");
    gd_grid *grid;

    assert_int_equal(gd_grid_discrete(&grid, schedule, STEPS - 1, kind->ascends), GD_OK);
    t->trajectory =
        (gd_trajectory){ .denoiser = &t->denoiser,
                         .process = { schedule, GD_MEAN_EPSILON, GD_VAR_FIXED_LARGE, true },
                         .grid = grid,
                         .solver = kind,
                         .scale = 2,
                         .noise = fixture_noise,
                         .noise_ctx = t,
                         .before_step = fixture_before_step,
                         .after_step = after_step,
                         .step_ctx = t };
    assert_int_equal(gd_trajectory_calls(&t->trajectory), STEPS);
}

static gd_status run(toy *t, int64_t first, int n, float *x)
{
    static const int64_t labels[] = { 4, 7, 2, 9, 1 };
    void *work;
    uint64_t allocations;
    gd_status s;

    assert_int_equal(gd_block_make(&work, gd_trajectory_bytes(&t->trajectory, n), "test"), GD_OK);
    allocations = gd_allocation_count();
    s = gd_trajectory_run(&t->trajectory, first, n, labels + first, x, work);
    assert_int_equal(gd_allocation_count(), allocations);
    gd_block_free(work);
    gd_schedule_free((gd_schedule *)t->trajectory.process.schedule);
    gd_grid_free((gd_grid *)t->trajectory.grid);
    return s;
}

static void each_step_draws_once_and_tells_the_original_step(void **state)
{
    static const float expected[STEPS] = { 999, 888, 777, 666, 555, 444, 333, 222, 111, 0 };
    float x[BATCH * PIXELS];
    toy t;

    (void)state;
    begin(&t, &gd_solver_ddim, false);
    assert_int_equal(run(&t, 0, BATCH, x), GD_OK);
    assert_true(t.watch.ordered);
    assert_int_equal(t.watch.draws, 1 + STEPS); /* also where eta 0 needs none */
    assert_int_equal(t.watch.befores, STEPS);
    assert_int_equal(t.afters, STEPS * BATCH);
    assert_memory_equal(t.told, expected, sizeof expected);
}

/* Image 2 of three is image 2 alone, for both samplers, guided or not */
static void image_does_not_depend_on_batch(void **state)
{
    float all[BATCH * PIXELS], alone[PIXELS], free_x[PIXELS];
    toy t;

    (void)state;
    for (int k = 0; k < 2; k++) {
        const gd_solver *kind = k ? &gd_solver_ddim : &gd_solver_ddpm;
        begin(&t, kind, true);
        assert_int_equal(run(&t, 0, BATCH, all), GD_OK);
        begin(&t, kind, true);
        assert_int_equal(run(&t, 2, 1, alone), GD_OK);
        assert_memory_equal(alone, all + 2 * PIXELS, sizeof alone);
        begin(&t, kind, false);
        assert_int_equal(run(&t, 2, 1, free_x), GD_OK);
        assert_true(fixture_distance(alone, free_x, PIXELS) > 1e-3);
    }
}

static void scale_0_is_unguided(void **state)
{
    float free_x[PIXELS], x[PIXELS];
    toy t;

    (void)state;
    begin(&t, &gd_solver_ddpm, false);
    assert_int_equal(run(&t, 1, 1, free_x), GD_OK);
    begin(&t, &gd_solver_ddpm, true);
    t.trajectory.scale = 0;
    assert_int_equal(run(&t, 1, 1, x), GD_OK);
    assert_memory_equal(x, free_x, sizeof x);
}

static void a_network_that_knows_the_image_gives_it(void **state)
{
    float target[PIXELS], x[PIXELS];
    toy t;

    (void)state;
    fixture_fill(target, PIXELS, 1, 11);
    for (int k = 0; k < 2; k++) {
        begin(&t, k ? &gd_solver_ddim : &gd_solver_ddpm, false);
        t.target = target;
        assert_int_equal(run(&t, 0, 1, x), GD_OK);
        assert_true(fixture_distance(x, target, PIXELS) < 1e-4);
    }
}

static void the_reverse_sampler_climbs(void **state)
{
    static const float expected[STEPS] = { 0, 111, 222, 333, 444, 555, 666, 777, 888, 999 };
    float x[PIXELS];
    toy t;

    (void)state;
    begin(&t, &gd_solver_ddim_reverse, false);
    assert_int_equal(run(&t, 0, 1, x), GD_OK);
    assert_memory_equal(t.told, expected, sizeof expected);
}

static void what_is_not_finite_is_named(void **state)
{
    float x[BATCH * PIXELS];
    toy t;

    (void)state;
    begin(&t, &gd_solver_ddpm, true);
    t.nan_at = 3;
    assert_int_equal(run(&t, 0, BATCH, x), GD_EFAILED);
    assert_string_equal(gd_error(), "image 0, step 3 of 10 (t = 777): the image is not finite");
    begin(&t, &gd_solver_ddpm, true);
    t.guide_nan_at = 10;
    assert_int_equal(run(&t, 2, 1, x), GD_EFAILED);
    assert_string_equal(gd_error(), "image 2, step 10 of 10 (t = 0): the image is not finite");
    begin(&t, &gd_solver_ddpm, true);
    t.trajectory.scale = 1e39; /* the gradient is finite, its product is not */
    assert_int_equal(run(&t, 0, 1, x), GD_EFAILED);
    assert_non_null(strstr(gd_error(), "step 1 of 10"));
}

static void before_step_can_stop(void **state)
{
    float x[PIXELS];
    toy t;

    (void)state;
    begin(&t, &gd_solver_ddim, false);
    t.watch.stop_at = 4;
    assert_int_equal(run(&t, 0, 1, x), GD_EINTERRUPTED);
    assert_int_equal(t.calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_draws_once_and_tells_the_original_step),
        cmocka_unit_test(image_does_not_depend_on_batch),
        cmocka_unit_test(scale_0_is_unguided),
        cmocka_unit_test(a_network_that_knows_the_image_gives_it),
        cmocka_unit_test(the_reverse_sampler_climbs),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(before_step_can_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
