/* SPDX-License-Identifier: MIT */
/* A pass over a set, with a network of our own that counts what it sees: rows that come from the
 * cache are not computed, a survey that was stopped goes on, features that are not finite are
 * named; and statistics of files that do not fit. */
#include "eval/extract_private.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 21, SIZE = 2, BYTES = SIZE * SIZE * 3, WIDTH = 3, SPATIAL = 2, CLASSES = 2 };
static char folder[] = "/tmp/guided-survey-XXXXXX", images_path[64], cache_path[64];
static int seen, bad_pixel; /* images that the network saw; what makes it give NaN */

/* ---- a network: sums of an image's bytes ---- */

static gd_status run_sums(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    for (int i = 0; i < n; i++, pixels += BYTES, rows += gd_extractor_row(&e->shape)) {
        float *p = rows + WIDTH + SPATIAL;
        for (int k = 0; k < WIDTH + SPATIAL; k++)
            rows[k] = (float)(pixels[k] * (k + 1) + pixels[k + 5]);
        p[0] = (float)(1 + pixels[0]) / 300;
        p[1] = 1 - p[0];
        if (pixels[0] == bad_pixel)
            rows[1] = NAN;
        seen++;
    }
    return GD_OK;
}

static gd_status hash_sums(const gd_extractor *e, char text[33])
{
    (void)e;
    memset(text, 'a', 32);
    text[32] = '\0';
    return GD_OK;
}

static gd_extractor sums = { .shape = { WIDTH, SPATIAL, CLASSES, 3, SIZE },
                             .run = run_sums,
                             .hash = hash_sums };

static int make(void **state)
{
    const gd_array array = { "arr_0", GD_U8, 4, { N, SIZE, SIZE, 3 } };
    uint8_t pixels[N * BYTES];
    const void *data = pixels;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(images_path, sizeof images_path, "%s/x.npz", folder);
    snprintf(cache_path, sizeof cache_path, "%s/cache", folder);
    for (int i = 0; i < N * BYTES; i++)
        pixels[i] = (uint8_t)(i % BYTES ? gd_noise_below(256, 9, (uint64_t)i, 0)
                                        : (uint32_t)(100 + i / BYTES));
    return gd_npz_write(images_path, true, &array, &data, 1);
}

static int remove_all(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static int forget(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", cache_path);
    return system(command);
}

static gd_status survey(gd_survey *out, const gd_survey_options *o)
{
    const gd_images_options plain = { .channels = 3 };
    gd_images *images;

    *out = (gd_survey){ 0 };
    seen = 0;
    assert_int_equal(gd_images_open(&images, images_path, &plain), GD_OK);
    gd_status s = gd_survey_run(out, &sums, images, o);
    gd_images_close(images);
    return s;
}

static void assert_same(const gd_survey *a, const gd_survey *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->pool.mean, b->pool.mean, WIDTH * sizeof(double));
    assert_memory_equal(a->pool.covariance, b->pool.covariance, WIDTH * WIDTH * sizeof(double));
    assert_memory_equal(a->spatial.covariance, b->spatial.covariance,
                        SPATIAL * SPATIAL * sizeof(double));
    assert_true(a->inception_score == b->inception_score);
    assert_int_equal(a->kept, b->kept);
    assert_memory_equal(a->features, b->features, (size_t)(a->kept * WIDTH) * sizeof(float));
}

/* ---- the cache ---- */

static int allowed; /* ticks before the survey is stopped */

static gd_status stop_later(void *ctx, int64_t n)
{
    (void)ctx;
    (void)n;
    return allowed-- > 0 ? GD_OK : gd_fail(GD_EINTERRUPTED, "stopped");
}

static void stopped_surveys_go_on(void **state)
{
    gd_survey_options o = {
        .tag = "t", .batch = 4, .pool = true, .spatial = true, .score = true, .keep = 10
    };
    gd_survey whole, part;

    (void)state;
    bad_pixel = -1;
    assert_int_equal(survey(&whole, &o), GD_OK);
    assert_int_equal(seen, N);
    assert_int_equal(whole.kept, 10);
    for (int batches = 0; batches < 6; batches++) {
        forget(NULL);
        o.cache = cache_path;
        o.batch = 4;
        o.tick = stop_later;
        allowed = batches;
        assert_int_equal(survey(&part, &o), GD_EINTERRUPTED);
        const int before = seen;
        gd_survey_free(&part);
        o.batch = 5;
        o.tick = NULL;
        assert_int_equal(survey(&part, &o), GD_OK);
        assert_int_equal(before + seen, N);
        assert_same(&whole, &part);
        gd_survey_free(&part);
        assert_int_equal(survey(&part, &o), GD_OK);
        assert_int_equal(seen, 0);
        assert_same(&whole, &part);
        gd_survey_free(&part);
        o.tag = "other dialect";
        assert_int_equal(survey(&part, &o), GD_OK);
        assert_int_equal(seen, N);
        gd_survey_free(&part);
        o.tag = "t";
    }
    gd_survey_free(&whole);
}

static void kept_features_stand_evenly(void **state)
{
    (void)state;
    assert_int_equal(gd_survey_place(0, 10, 10), 0);
    assert_int_equal(gd_survey_place(9, 10, 10), 9);
    assert_int_equal(gd_survey_place(1, 2, 21), 10);
    assert_int_equal(gd_survey_place(9999, 10000, 1281167), 1281038);
}

static void features_that_are_not_finite_are_named(void **state)
{
    const gd_survey_options o = { .tag = "t", .batch = 4, .pool = true };
    gd_survey out;

    (void)state;
    bad_pixel = 106;
    assert_int_equal(survey(&out, &o), GD_EFAILED);
    assert_non_null(strstr(gd_error(), "x.npz: image 6: feature 1 is not finite"));
    gd_survey_free(&out);
    bad_pixel = -1;
}

/* ---- statistics of a file ---- */

static gd_status read_back(gd_statistics *out, const gd_array *arrays, const void *const *data,
                           int n)
{
    char path[64];
    gd_bundle *b;
    bool found;

    snprintf(path, sizeof path, "%s/stats.npz", folder);
    assert_int_equal(gd_npz_write(path, true, arrays, data, n), GD_OK);
    assert_int_equal(gd_bundle_open(&b, path), GD_OK);
    gd_status s = gd_statistics_read(out, b, "mu", "sigma", &found);
    assert_true(found);
    gd_bundle_close(b);
    return s;
}

static void stored_statistics_are_checked(void **state)
{
    double mean[2] = { 1, 2 }, covariance[4] = { 1, 0.5, 0.5, 2 };
    float single[4] = { 1, 0.5f, 0.5f, 2 };
    const void *data[] = { mean, covariance };
    gd_array arrays[] = { { "mu", GD_F64, 1, { 2 } }, { "sigma", GD_F64, 2, { 2, 2 } } };
    gd_statistics s = { 0 };

    (void)state;
    assert_int_equal(read_back(&s, arrays, data, 2), GD_OK);
    assert_true(s.width == 2 && s.mean[1] == 2 && s.covariance[3] == 2);
    gd_statistics_free(&s);
    arrays[1].dtype = GD_F32;
    data[1] = single;
    assert_int_equal(read_back(&s, arrays, data, 2), GD_OK);
    assert_true(s.covariance[1] == 0.5);
    gd_statistics_free(&s);
    assert_int_equal(read_back(&s, arrays, data, 1), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "has mu and no sigma"));
    arrays[0].dim[0] = 1;
    assert_int_equal(read_back(&s, arrays, data, 2), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "does not fit sigma"));
    arrays[0].dim[0] = 2;
    mean[0] = NAN;
    assert_int_equal(read_back(&s, arrays, data, 2), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "not finite"));
    gd_statistics_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(stopped_surveys_go_on, forget),
        cmocka_unit_test(kept_features_stand_evenly),
        cmocka_unit_test(features_that_are_not_finite_are_named),
        cmocka_unit_test(stored_statistics_are_checked),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}
