/* SPDX-License-Identifier: MIT */
/* .npz written and read in pieces: what one call writes and reads, and misuse that is refused. */
#include "fixture.h"

enum { ROWS = 50, WIDTH = 33 };
static uint8_t pixels[ROWS * WIDTH];
static const gd_array image_array = { "arr_0", GD_U8, 2, { ROWS, WIDTH } };
static const double mean[3] = { 1, -2, 0.5 };
static const gd_array mean_array = { "mu", GD_F64, 1, { 3 } };

static const char *write_in_pieces(size_t piece)
{
    const char *path = temporary("pieces.npz");
    gd_npz_writer *w;

    for (int i = 0; i < ROWS * WIDTH; i++)
        pixels[i] = (uint8_t)(i * i);
    assert_int_equal(gd_npz_begin(&w, path, true, 0), GD_OK);
    assert_int_equal(gd_npz_array(w, &image_array), GD_OK);
    for (size_t i = 0; i < sizeof pixels; i += piece)
        assert_int_equal(gd_npz_add(w, pixels + i, GD_MIN(piece, sizeof pixels - i)), GD_OK);
    assert_int_equal(gd_npz_array(w, &mean_array), GD_OK);
    assert_int_equal(gd_npz_add(w, mean, sizeof mean), GD_OK);
    assert_int_equal(gd_npz_commit(w), GD_OK);
    return path;
}

static void pieces_make_the_same_file(void **state)
{
    const bytes whole = read_file(write_in_pieces(sizeof pixels));

    (void)state;
    for (size_t piece = 1; piece < 100; piece += 7) {
        const bytes again = read_file(write_in_pieces(piece));
        assert_int_equal(again.n, whole.n);
        assert_memory_equal(again.data, whole.data, whole.n);
        free(again.data);
    }
    free(whole.data);
}

static void arrays_come_back(void **state)
{
    uint8_t found[ROWS * WIDTH];
    double found_mean[3];
    gd_elements *e;
    gd_bundle *b;

    (void)state;
    assert_int_equal(gd_bundle_open(&b, write_in_pieces(100)), GD_OK);
    assert_string_equal(gd_bundle_format(b), "npz");
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "mu"), found_mean), GD_OK);
    assert_memory_equal(found_mean, mean, sizeof mean);
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "arr_0"), found), GD_OK);
    assert_memory_equal(found, pixels, sizeof pixels);
    memset(found, 0, sizeof found);
    assert_int_equal(gd_elements_open(&e, b, gd_bundle_find(b, "arr_0")), GD_OK);
    for (size_t i = 0; i < sizeof found; i += WIDTH)
        assert_int_equal(gd_elements_read(e, found + i, WIDTH), GD_OK);
    assert_memory_equal(found, pixels, sizeof pixels);
    assert_int_equal(gd_elements_read(e, found, 1), GD_EUSAGE);
    gd_elements_close(e);
    gd_bundle_close(b);
}

static void wrong_counts_of_bytes_are_refused(void **state)
{
    const char *path = temporary("wrong.npz");
    gd_npz_writer *w;

    (void)state;
    assert_int_equal(gd_npz_begin(&w, path, true, 0), GD_OK);
    assert_int_equal(gd_npz_add(w, pixels, 1), GD_EUSAGE);
    assert_int_equal(gd_npz_array(w, &mean_array), GD_OK);
    assert_int_equal(gd_npz_add(w, pixels, 25), GD_EUSAGE);
    assert_int_equal(gd_npz_add(w, pixels, 23), GD_OK);
    assert_int_equal(gd_npz_commit(w), GD_EUSAGE);
    assert_false(gd_path_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_make_the_same_file),
        cmocka_unit_test(arrays_come_back),
        cmocka_unit_test(wrong_counts_of_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
