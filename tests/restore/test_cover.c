/* SPDX-License-Identifier: MIT */
/* Tiles of larger images: their weights add up to one, sizes of all kinds are covered, and where
 * they meet a prediction jumps no more than elsewhere. */
#include "restore/restore_private.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void tiles_make_the_image_again(void **state)
{
    static const struct {
        int h, w, side;
    } cases[] = { { 16, 16, 16 }, { 17, 16, 16 }, { 40, 64, 16 }, { 31, 33, 16 },
                  { 12, 50, 16 }, { 9, 9, 8 },    { 64, 64, 24 }, { 100, 8, 8 } };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        static float image[3 * 100 * 100], tile[3 * 100 * 100], again[3 * 100 * 100];
        const gd_shape shape = { 3, cases[i].h, cases[i].w };
        gd_cover cover;
        gd_arena *mem;
        assert_int_equal(gd_arena_make(&mem), GD_OK);
        assert_int_equal(gd_cover_make(&cover, shape, cases[i].side, mem), GD_OK);
        gd_noise_normal(image, gd_shape_count(shape), 1, 0, 0);
        memset(again, 0, sizeof again);
        for (int k = 0; k < cover.n; k++) {
            gd_cover_take(&cover, k, image, tile);
            gd_cover_add(&cover, k, 3, tile, again);
        }
        for (int64_t j = 0; j < gd_shape_count(shape); j++)
            assert_true(fabsf(again[j] - image[j]) < 1e-5f);
        for (int k = 1; k < cover.x.n; k++) /* a quarter and more is seen twice */
            assert_true(cover.x.first[k] - cover.x.first[k - 1] <=
                        cases[i].side - cases[i].side / 4);
        gd_arena_free(mem);
    }
}

enum { SIDE = 16, LARGE = 48, PLANE = LARGE * LARGE, COUNT_X = 3 * PLANE };

static gd_model *small_model(void)
{
    static const gd_flag flags[] = {
        { "image_size", "16" },    { "num_channels", "32" },      { "num_res_blocks", "1" },
        { "channel_mult", "1,2" }, { "num_head_channels", "32" }, { "attention_resolutions", "8" },
        { "learn_sigma", "True" }
    };
    gd_model_config c;
    gd_model *m;

    gd_config_defaults(&c, GD_NET_UNET);
    assert_int_equal(gd_flags_apply(&c, flags, COUNT(flags)), GD_OK);
    assert_int_equal(gd_model_create(&m, &c, 3, true), GD_OK);
    return m;
}

/* Mean step from column j - 1 to j */
static double jump(const double *x, int j)
{
    double sum = 0;

    for (int i = 0; i < 3 * LARGE; i++)
        sum += fabs(x[i * LARGE + j] - x[i * LARGE + j - 1]);
    return sum / (3 * LARGE);
}

/* An image that is smooth across: what jumps in the prediction are seams */
static void seams_are_no_larger_than_other_steps(void **state)
{
    static double x[COUNT_X], eps[COUNT_X], v[COUNT_X];
    const gd_level at = { .alpha = 0.8, .sigma = 0.6, .time = 300, .index = 300 };
    const gd_restoration_settings s = { .op = "box_down:2",
                                        .solver = "ddnm",
                                        .steps = 4,
                                        .label = -1,
                                        .h = LARGE,
                                        .w = LARGE,
                                        .seed = 1 };
    double worst = 0, mean = 0;
    gd_model *m = small_model();
    gd_cover cover;
    gd_restoration r;
    gd_arena *mem;

    (void)state;
    assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
    for (int i = 0; i < COUNT_X; i++)
        x[i] = sin(0.13 * (i % LARGE) + 0.2 * (double)(i / LARGE % LARGE) + i / PLANE);
    assert_int_equal(r.prior->predict(r.prior->ctx, &at, x, eps, v), GD_OK);
    assert_int_equal(gd_arena_make(&mem), GD_OK);
    assert_int_equal(gd_cover_make(&cover, r.shape, SIDE, mem), GD_OK);
    assert_int_equal(gd_network_prior_tiles(r.network), cover.n);
    assert_int_equal(cover.n, 16);
    for (int k = 1; k < cover.x.n; k++) {
        worst = fmax(worst, jump(eps, cover.x.first[k]));
        worst = fmax(worst, jump(eps, cover.x.first[k - 1] + SIDE));
    }
    for (int j = 1; j < LARGE; j++)
        mean += jump(eps, j) / (LARGE - 1);
    print_message("seams: the largest step %.4f, the mean of all %.4f\n", worst, mean);
    assert_true(worst < 1.5 * mean);
    gd_arena_free(mem);
    gd_restoration_close(&r);
    gd_model_close(m);
}

/* A noise-free measurement is met across seams, by every solver that needs no gradient */
static void tiled_images_meet_their_measurement(void **state)
{
    static double x[COUNT_X], y[COUNT_X];
    static const struct {
        const char *solver;
        double noise, most;
    } runs[] = { { "ddnm", 0, 1e-9 }, { "ddrm", 0.05, 0.2 }, { "diffpir", 0.05, 0.5 } };
    gd_model *m = small_model();

    (void)state;
    for (int i = 0; i < COUNT(runs); i++) {
        const gd_restoration_settings s = { .op = "box_down:4",
                                            .solver = runs[i].solver,
                                            .sigma_y = runs[i].noise,
                                            .steps = 6,
                                            .label = -1,
                                            .h = LARGE,
                                            .w = LARGE,
                                            .seed = 1 };
        gd_restoration r;
        assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
        for (int j = 0; j < COUNT_X; j++)
            x[j] = sin(0.1 * j);
        gd_operator_apply(r.op, x, y);
        assert_int_equal(gd_restoration_run(&r, 0, y, x, NULL), GD_OK);
        assert_true(gd_restoration_residual(&r, x, y) < runs[i].most);
        gd_restoration_close(&r);
    }
    gd_model_close(m);
}

static void gradients_have_no_tiles(void **state)
{
    gd_restoration_settings s = { .op = "box_down:4",
                                  .solver = "dps",
                                  .sigma_y = 0.05,
                                  .steps = 4,
                                  .label = -1,
                                  .h = LARGE,
                                  .w = LARGE,
                                  .tile = SIDE };
    gd_model *m = small_model();
    gd_restoration r;

    (void)state;
    assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "tiles"));
    gd_restoration_close(&r);
    s.tile = 0; /* the whole */
    assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_OK);
    assert_int_equal(gd_network_prior_tiles(r.network), 1);
    gd_restoration_close(&r);
    gd_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_make_the_image_again),
        cmocka_unit_test(seams_are_no_larger_than_other_steps),
        cmocka_unit_test(tiled_images_meet_their_measurement),
        cmocka_unit_test(gradients_have_no_tiles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
