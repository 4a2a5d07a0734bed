/* SPDX-License-Identifier: MIT */
/* What we write, other programs read: PNG and npz byte by byte where the format fixes it, back
 * through our readers, the same bytes each time, and nothing under the name where writing fails. */
#define _GNU_SOURCE
#include "fixture.h"

#include <zlib.h>

/* ---- PNG ---- */

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The type and data of chunk i; each one's checksum is right */
static const unsigned char *chunk(const unsigned char *png, size_t size, int i, uint32_t *n)
{
    size_t at = 8;

    for (; at + 12 <= size; i--) {
        *n = big_endian(png + at);
        assert_true(at + 12 + *n <= size);
        assert_int_equal(big_endian(png + at + 8 + *n),
                         crc32(crc32(0, NULL, 0), png + at + 4, *n + 4));
        if (i == 0)
            return png + at + 4;
        at += 12 + *n;
    }
    assert_int_equal(at, size);
    return NULL;
}

static void fill(uint8_t *pixels, int n)
{
    for (int i = 0; i < n; i++)
        pixels[i] = (uint8_t)gd_noise_below(256, 3, (uint64_t)i, 0);
}

static void check_png(int width, int height, int channels)
{
    static const gd_text texts[] = { { "Software", "guided" }, { "guided.recipe", "{\"é\":1}" } };
    uint8_t pixels[3 * 70 * 40];
    void *png, *again;
    const unsigned char *c;
    size_t size, size_again;
    gd_image back;
    uint32_t n;
    int found = 0;

    fill(pixels, width * height * channels);
    assert_int_equal(gd_png_encode(&png, &size, pixels, width, height, channels, texts, 2), GD_OK);
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    c = chunk(png, size, 0, &n);
    assert_int_equal(n, 13);
    assert_memory_equal(c, "IHDR", 4);
    assert_int_equal(big_endian(c + 4), width);
    assert_int_equal(big_endian(c + 8), height);
    assert_int_equal(c[12], 8);
    assert_int_equal(c[13], channels == 1 ? 0 : 2);
    for (int i = 1; (c = chunk(png, size, i, &n)); i++) {
        found += memcmp(c, "iTXtguided.recipe\0\0\0\0\0{\"\xc3\xa9\":1}", 30) == 0;
        if (memcmp(c, "IEND", 4) == 0)
            assert_int_equal(n, 0);
    }
    assert_int_equal(found, 1);
    assert_int_equal(gd_image_decode(&back, png, size, channels, "test"), GD_OK);
    assert_int_equal(back.width, width);
    assert_int_equal(back.height, height);
    assert_memory_equal(back.pixels, pixels, (size_t)(width * height * channels));
    gd_image_free(&back);
    assert_int_equal(gd_png_encode(&again, &size_again, pixels, width, height, channels, texts, 2),
                     GD_OK);
    assert_int_equal(size, size_again);
    assert_memory_equal(png, again, size);
    gd_block_free(png);
    gd_block_free(again);
}

static void pictures_come_back(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 3; channels += 2) {
        check_png(1, 1, channels);
        check_png(7, 3, channels);
        check_png(70, 40, channels);
    }
}

static void texts_come_back(void **state)
{
    static const gd_text texts[] = { { "guided.recipe", "a \xe4\xb8\xad b" } };
    const uint8_t pixels[3] = { 1, 2, 3 };
    const char *path = temporary("text.png");
    gd_png *png;
    size_t size;
    void *data;

    (void)state;
    assert_int_equal(gd_png_encode(&data, &size, pixels, 1, 1, 3, texts, 1), GD_OK);
    assert_int_equal(gd_file_put(path, false, data, size), GD_OK);
    gd_block_free(data);
    assert_int_equal(gd_png_open(&png, path), GD_OK);
    assert_string_equal(gd_png_text(png, "guided.recipe"), "a \xe4\xb8\xad b");
    assert_null(gd_png_text(png, "Author"));
    gd_png_close(png);
}

static void a_picture_without_pixels_is_refused(void **state)
{
    const uint8_t pixels[3] = { 0 };
    size_t size;
    void *data = NULL;

    (void)state;
    assert_int_not_equal(gd_png_encode(&data, &size, pixels, 0, 1, 3, NULL, 0), GD_OK);
    assert_non_null(strstr(gd_error(), "PNG"));
    assert_null(data);
}

/* ---- npz ---- */

static const uint8_t images[2 * 2 * 2 * 3] = { 0, 1, 2, 253, 254, 255 };
static const int64_t labels[2] = { 7, -1 };
static const double reals[3] = { 0.5, -1e300, 3 };
static const float floats[1] = { 1.5f };

static const gd_array arrays[] = { { "arr_0", GD_U8, 4, { 2, 2, 2, 3 } },
                                   { "arr_1", GD_I64, 1, { 2 } },
                                   { "mu", GD_F64, 1, { 3 } },
                                   { "one", GD_F32, 2, { 1, 1 } },
                                   { "none", GD_F32, 2, { 0, 5 } } };
static const void *const data[] = { images, labels, reals, floats, floats };

/* numpy's own header text of the member, and its data behind a multiple of 64 */
static void expect_member(const bytes *file, const char *name, const char *dict,
                          const void *content, size_t n)
{
    const unsigned char *at = memmem(file->data, file->n, name, strlen(name));
    size_t length;

    assert_non_null(at);
    at += strlen(name);
    assert_memory_equal(at, "\x93NUMPY\x01\x00", 8);
    length = (size_t)(at[8] | at[9] << 8);
    assert_int_equal((10 + length) % 64, 0);
    assert_memory_equal(at + 10, dict, strlen(dict));
    assert_int_equal(at[10 + length - 1], '\n');
    assert_memory_equal(at + 10 + length, content, n);
}

static void arrays_are_numpys(void **state)
{
    char path[512];
    bytes file;

    (void)state;
    snprintf(path, sizeof path, "%s", temporary("a.npz"));
    assert_int_equal(gd_npz_write(path, false, arrays, data, COUNT(arrays)), GD_OK);
    file = read_file(path);
    assert_memory_equal(file.data, "PK\3\4", 4);
    assert_int_equal(file.data[8] | file.data[9] << 8, 0); /* stored */
    assert_memory_equal(file.data + 10, "\0\0\x21\0", 4);  /* 1980-01-01 0:00 */
    expect_member(&file, "arr_0.npy",
                  "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2, 3), }", images,
                  sizeof images);
    expect_member(&file, "arr_1.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }",
                  labels, sizeof labels);
    expect_member(&file, "mu.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
                  reals, sizeof reals);
    expect_member(&file, "one.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }",
                  floats, sizeof floats);
    free(file.data);
}

static void arrays_come_back(void **state)
{
    const char *path = temporary("b.npz");
    unsigned char back[64];
    gd_bundle *b;

    (void)state;
    assert_int_equal(gd_npz_write(path, false, arrays, data, COUNT(arrays)), GD_OK);
    assert_int_equal(gd_bundle_open(&b, path), GD_OK);
    for (int i = 0; i < COUNT(arrays); i++) {
        const gd_array *a = gd_bundle_find(b, arrays[i].name);
        const size_t n = (size_t)gd_array_count(&arrays[i]) * gd_dtype_bytes(arrays[i].dtype);
        assert_non_null(a);
        assert_int_equal(a->dtype, arrays[i].dtype);
        assert_int_equal(a->rank, arrays[i].rank);
        assert_int_equal(gd_bundle_read(b, a, back), GD_OK);
        assert_memory_equal(back, data[i], n);
    }
    gd_bundle_close(b);
}

static void equal_arrays_give_equal_files(void **state)
{
    char one[512], two[512];
    bytes a, b;

    (void)state;
    snprintf(one, sizeof one, "%s", temporary("one.npz"));
    snprintf(two, sizeof two, "%s", temporary("two.npz"));
    assert_int_equal(gd_npz_write(one, false, arrays, data, 2), GD_OK);
    assert_int_equal(gd_npz_write(two, false, arrays, data, 2), GD_OK);
    a = read_file(one);
    b = read_file(two);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
    free(a.data);
    free(b.data);
}

static void an_existing_archive_is_kept(void **state)
{
    char path[512];
    bytes before, after;

    (void)state;
    snprintf(path, sizeof path, "%s", temporary("kept.npz"));
    assert_int_equal(gd_npz_write(path, false, arrays, data, 1), GD_OK);
    before = read_file(path);
    assert_int_equal(gd_npz_write(path, false, arrays, data, 2), GD_EEXISTS);
    after = read_file(path);
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.data, after.data, before.n);
    assert_int_equal(gd_npz_write(path, true, arrays, data, 2), GD_OK);
    assert_int_equal(gd_npz_write("/nowhere/x.npz", false, arrays, data, 1), GD_EIO);
    free(before.data);
    free(after.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_come_back),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(a_picture_without_pixels_is_refused),
        cmocka_unit_test(arrays_are_numpys),
        cmocka_unit_test(arrays_come_back),
        cmocka_unit_test(equal_arrays_give_equal_files),
        cmocka_unit_test(an_existing_archive_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
