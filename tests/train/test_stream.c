/* SPDX-License-Identifier: MIT */
/* The endless order of images: every epoch holds each image once, and what stands at a position
 * does not depend on threads or on what was read before. */
#include "fixture.h"

#include <unistd.h>

enum { N = 37, SIZE = 8, SOURCE = 11, IMAGE = 3 * SIZE * SIZE };

static char path[] = "stream-test-XXXXXX.npz";

static int set_up(void **state)
{
    static uint8_t pixels[N * SOURCE * SOURCE * 3];
    static int64_t labels[N];
    const gd_array arrays[2] = { { "arr_0", GD_U8, 4, { N, SOURCE, SOURCE, 3 } },
                                 { "arr_1", GD_I64, 1, { N } } };
    const void *const data[2] = { pixels, labels };

    (void)state;
    for (int i = 0; i < (int)sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 97 + i / 363 * 13);
    for (int i = 0; i < N; i++)
        labels[i] = i;
    close(mkstemps(path, 4));
    return gd_npz_write(path, true, arrays, data, 2) == GD_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static gd_stream_options options(int workers)
{
    return (gd_stream_options){ .size = SIZE,
                                .channels = 3,
                                .seed = 4,
                                .random_crop = true,
                                .random_flip = true,
                                .batch = 8,
                                .workers = workers,
                                .max_bad = 0 };
}

static void read_all(float *images, int64_t *labels, int n, int workers, int64_t first)
{
    const gd_stream_options o = options(workers);
    gd_dataset *set;
    gd_stream *s;

    assert_int_equal(gd_dataset_open(&set, path, NULL), GD_OK);
    assert_int_equal(gd_stream_open(&s, set, &o), GD_OK);
    const gd_source source = gd_stream_source(s);
    for (int i = 0; i < n; i += 8)
        if (source.read(source.ctx, first + i, GD_MIN(8, n - i), images + i * IMAGE, labels + i) !=
            GD_OK)
            fail_msg("%s", gd_error());
    gd_stream_close(s);
    gd_dataset_close(set);
}

static void every_epoch_holds_each_image_once(void **state)
{
    static float images[3 * N * IMAGE];
    int64_t labels[3 * N];
    bool other_order = false;

    (void)state;
    read_all(images, labels, 3 * N, 2, 0);
    for (int epoch = 0; epoch < 3; epoch++) {
        bool seen[N] = { false };
        for (int i = 0; i < N; i++) {
            const int64_t label = labels[epoch * N + i];
            assert_in_range(label, 0, N - 1);
            assert_false(seen[label]);
            seen[label] = true;
            other_order = other_order || label != labels[i];
        }
    }
    assert_true(other_order);
}

static void threads_and_seeking_change_nothing(void **state)
{
    static float all[60 * IMAGE], some[60 * IMAGE];
    int64_t labels[60], others[60];

    (void)state;
    read_all(all, labels, 60, 1, 0);
    for (int workers = 2; workers <= 5; workers++) {
        read_all(some, others, 60, workers, 0);
        assert_memory_equal(all, some, sizeof all);
        assert_memory_equal(labels, others, sizeof labels);
    }
    read_all(some, others, 20, 3, 40);
    assert_memory_equal(all + 40 * IMAGE, some, 20 * IMAGE * sizeof *all);
}

/* Back and forth on one stream */
static void any_position_can_be_read_next(void **state)
{
    static const int64_t places[] = { 0, 8, 100, 3, 11, 100, 0 };
    static float all[110 * IMAGE], some[8 * IMAGE];
    const gd_stream_options o = options(3);
    int64_t labels[110], others[8];
    gd_dataset *set;
    gd_stream *s;

    (void)state;
    read_all(all, labels, 110, 1, 0);
    assert_int_equal(gd_dataset_open(&set, path, NULL), GD_OK);
    assert_int_equal(gd_stream_open(&s, set, &o), GD_OK);
    const gd_source source = gd_stream_source(s);
    for (int i = 0; i < COUNT(places); i++) {
        assert_int_equal(source.read(source.ctx, places[i], 8, some, others), GD_OK);
        assert_memory_equal(all + places[i] * IMAGE, some, sizeof some);
    }
    gd_stream_close(s);
    gd_dataset_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_holds_each_image_once),
        cmocka_unit_test(threads_and_seeking_change_nothing),
        cmocka_unit_test(any_position_can_be_read_next),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
