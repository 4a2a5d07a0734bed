/* SPDX-License-Identifier: MIT */
/* Images on lanes side by side: the bits of one after the other, and the first failure's words. */
#include "diffusion/diffusion.h"
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 5, LARGEST = 32 * 32 * 3 };

static gd_model *synthetic(const char *preset)
{
    gd_model_config c;
    gd_model *m;

    assert_int_equal(gd_preset_config(&c, preset), GD_OK);
    assert_int_equal(gd_model_create(&m, &c, 0, true), GD_OK);
    return m;
}

static void numbers(float *out, int64_t n, uint64_t key)
{
    gd_noise_normal(out, n, 7, key, 0);
}

typedef struct result {
    float out[2 * BATCH * LARGEST], gradient[BATCH * LARGEST];
} result;

static gd_engine *engine_of(const gd_model *m, const gd_model *classifier, int lanes)
{
    gd_engine *e;

    if (gd_engine_make(&e, m, classifier, false, lanes) != GD_OK)
        fail_msg("%s", gd_error());
    return e;
}

static void run(result *r, const gd_model *m, const gd_model *classifier, int lanes)
{
    static float x[BATCH * LARGEST], low[BATCH * LARGEST];
    const float t[BATCH] = { 3, 999, 0, 500, 42 };
    const int64_t y[BATCH] = { 0, 3, 9, 1, 3 };
    gd_engine *e = engine_of(m, classifier, lanes);
    const gd_denoiser *d = gd_engine_denoiser(e);

    memset(r, 0, sizeof *r);
    numbers(x, BATCH * LARGEST, 0);
    numbers(low, BATCH * LARGEST, 1);
    gd_engine_set_low_res(e, low);
    assert_int_equal(d->predict(d->ctx, BATCH, x, t, y, r->out), GD_OK);
    if (classifier)
        assert_int_equal(d->guide(d->ctx, BATCH, x, t, y, r->gradient), GD_OK);
    gd_engine_free(e);
}

static void check(const char *preset, const char *guide)
{
    static result one, many;
    gd_model *m = synthetic(preset), *classifier = guide ? synthetic(guide) : NULL;
    const int threads = gd_threads();

    gd_set_threads(2);
    run(&one, m, classifier, 1);
    for (int lanes = 2; lanes <= BATCH + 1; lanes++) {
        gd_set_threads(lanes);
        run(&many, m, classifier, lanes);
        assert_memory_equal(&one, &many, sizeof one);
        assert_int_equal(gd_threads(), lanes);
    }
    gd_set_threads(threads);
    gd_model_close(m);
    gd_model_close(classifier);
}

static void lanes_do_not_change_bits(void **state)
{
    (void)state;
    check("small32", "small32_classifier");
    check("small8_32_upsampler", NULL);
}

static void a_failure_is_told(void **state)
{
    static float x[BATCH * LARGEST], out[2 * BATCH * LARGEST];
    const float t[BATCH] = { 0 };
    const int64_t y[BATCH] = { 0 };
    gd_model *m = synthetic("small8");
    const int64_t image = (int64_t)8 * 8 * gd_model_get_config(m)->net.in_channels;
    gd_engine *e = engine_of(m, NULL, 3);
    const gd_denoiser *d = gd_engine_denoiser(e);

    (void)state;
    numbers(x, BATCH * image, 0);
    x[4 * image + 1] = NAN;
    assert_int_equal(d->predict(d->ctx, BATCH, x, t, y, out), GD_EFAILED);
    assert_non_null(strstr(gd_error(), "first bad layer: "));
    x[4 * image + 1] = 0;
    assert_int_equal(d->predict(d->ctx, BATCH, x, t, y, out), GD_OK);
    gd_engine_free(e);
    gd_model_close(m);
}

static void the_arrangement_follows_the_work(void **state)
{
    const int threads = gd_threads();

    (void)state;
    gd_set_threads(4);
    assert_int_equal(gd_engine_lanes(1, 32), 1);
    assert_int_equal(gd_engine_lanes(3, 32), 1);
    assert_int_equal(gd_engine_lanes(4, 32), 4);
    assert_int_equal(gd_engine_lanes(5, 32), 1); /* the fifth would keep three threads waiting */
    assert_int_equal(gd_engine_lanes(17, 32), 4);
    assert_int_equal(gd_engine_lanes(17, 256), 1);
    gd_set_threads(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_do_not_change_bits),
        cmocka_unit_test(a_failure_is_told),
        cmocka_unit_test(the_arrangement_follows_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
