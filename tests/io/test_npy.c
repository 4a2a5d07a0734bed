/* SPDX-License-Identifier: MIT */
/* test_npy.c - .npy headers and .npz archives. */
#include "fixture.h"

#include <stdio.h>

/* A .npy file of this version, header and data, in an archive */
static gd_status open_npy(gd_bundle **b, bytes *file, int version, const char *header,
                          const void *data, size_t n)
{
    archive a = { 0 };
    bytes npy = { NULL, 0 };

    put(&npy, "\x93NUMPY", 6);
    put_number(&npy, (uint64_t)version, 1);
    put_number(&npy, 0, 1);
    put_number(&npy, strlen(header), version == 1 ? 2 : 4);
    put_text(&npy, header);
    put(&npy, data, n);
    add_entry(&a, "x.npy", npy.data, npy.n);
    free(npy.data);
    *file = finish_archive(&a);
    return io_bundle_open_memory(b, file->data, file->n, "FILE", true);
}

static void headers(void **state)
{
#define HEAD(type, order, shape)                                                                   \
    "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }\n"
    static const struct {
        int version;
        const char *header;
        size_t data_bytes;
        gd_status expected;
    } cases[] = {
        { 1, HEAD("<f4", "False", "(2, 3)"), 24, GD_OK },
        { 2, HEAD("<f8", "False", "(3,)"), 24, GD_OK },
        { 3, HEAD("|u1", "False", "()"), 1, GD_OK },
        { 1, HEAD("<i8", "False", "(0, 3)"), 0, GD_OK },
        { 1, HEAD("<f4", "True", "(2, 3)"), 24, GD_OK },
        { 1, HEAD("|b1", "False", "(4, )"), 4, GD_OK },
        { 1, "{'shape': (1,), 'descr': '<f2', 'fortran_order': False}", 2, GD_OK },
        { 1, "{'shape':(1,),'descr':'<i4','fortran_order':False,}      \n", 4, GD_OK },
        { 1, HEAD("<f4", "False", "(2, 3)"), 23, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(2, 3)"), 25, GD_EFORMAT },
        { 1, HEAD("|O", "False", "(1,)"), 8, GD_EFORMAT },
        { 1, HEAD(">f4", "False", "(1,)"), 4, GD_OK },
        { 1, HEAD("=u2", "False", "(1,)"), 2, GD_OK },
        { 1, HEAD("<U4", "False", "(1,)"), 16, GD_EFORMAT },
        { 1, HEAD("<M8[ns]", "False", "(1,)"), 8, GD_EFORMAT },
        { 1, HEAD("<f3", "False", "(1,)"), 3, GD_EFORMAT },
        { 1, HEAD(" f4", "False", "(1,)"), 4, GD_EFORMAT },
        { 1, HEAD("<f4", "0", "(1,)"), 4, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(1)"), 4, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(-1,)"), 4, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(1,,)"), 4, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(99999999999999999999,)"), 4, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(4294967296, 4294967296)"), 0, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), 4, GD_EFORMAT },
        { 1, "{'descr': '<f4', 'shape': (1,)}", 4, GD_EFORMAT },
        { 1, "{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 4, GD_EFORMAT },
        { 1, HEAD("<f4", "False", "(1,)") "x", 4, GD_EFORMAT },
        { 1, "", 4, GD_EFORMAT },
        { 0, HEAD("<f4", "False", "(1,)"), 4, GD_EFORMAT },
        { 4, HEAD("<f4", "False", "(1,)"), 4, GD_EFORMAT },
    };
    static const unsigned char data[32];
    gd_bundle *b;
    bytes file;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        const gd_status s =
            open_npy(&b, &file, cases[i].version, cases[i].header, data, cases[i].data_bytes);
        if (s != cases[i].expected)
            fail_msg("version %d %s: %s", cases[i].version, cases[i].header, gd_error());
        if (s == GD_OK)
            gd_bundle_close(b);
        free(file.data);
    }
}

static void fortran_order_is_transposed(void **state)
{
    const float columns[] = { 1, 4, 2, 5, 3, 6 }, rows[] = { 1, 2, 3, 4, 5, 6 };
    float found[6];
    gd_bundle *b;
    bytes file;

    (void)state;
    assert_int_equal(open_npy(&b, &file, 1, HEAD("<f4", "True", "(2, 3)"), columns, sizeof columns),
                     GD_OK);
    assert_string_equal(gd_bundle_format(b), "npz");
    assert_string_equal(gd_bundle_array(b, 0)->name, "x");
    assert_int_equal(gd_bundle_read(b, gd_bundle_array(b, 0), found), GD_OK);
    assert_memory_equal(found, rows, sizeof rows);
    gd_bundle_close(b);
    free(file.data);
}

static void integers_of_any_width_and_byte_order_are_read(void **state)
{
    static const struct {
        const char *header;
        const char *data;
        size_t bytes;
    } cases[] = {
        { HEAD("|u1", "False", "(3,)"), "\1\2\xff", 3 },
        { HEAD("<u2", "False", "(3,)"), "\1\0\2\0\xff\0", 6 },
        { HEAD(">u2", "False", "(3,)"), "\0\1\0\2\0\xff", 6 },
        { HEAD(">i2", "False", "(3,)"), "\0\1\0\2\0\xff", 6 },
        { HEAD("<i4", "False", "(3,)"), "\1\0\0\0\2\0\0\0\xff\0\0\0", 12 },
        { HEAD(">u4", "False", "(3,)"), "\0\0\0\1\0\0\0\2\0\0\0\xff", 12 },
        { HEAD(">i8", "True", "(3,)"), "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\xff", 24 },
        { HEAD("<u8", "False", "(3,)"), "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0", 24 },
    };
    static const int64_t expected[] = { 1, 2, 255 };
    int64_t found[3];
    float wide[3];
    uint8_t narrow[3];
    gd_elements *elements;
    gd_bundle *b;
    bytes file;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        assert_int_equal(open_npy(&b, &file, 1, cases[i].header, cases[i].data, cases[i].bytes),
                         GD_OK);
        const gd_array *a = gd_bundle_array(b, 0);
        assert_int_equal(gd_bundle_read_i64(b, a, found), GD_OK);
        assert_memory_equal(found, expected, sizeof expected);
        assert_int_equal(gd_bundle_read_f32(b, a, wide), GD_OK);
        assert_true(wide[0] == 1 && wide[1] == 2 && wide[2] == 255);
        assert_int_equal(gd_elements_open(&elements, b, a), GD_OK);
        assert_int_equal(gd_elements_read_u8(elements, narrow, 3), GD_OK);
        assert_memory_equal(narrow, "\1\2\xff", 3);
        gd_elements_close(elements);
        gd_bundle_close(b);
        free(file.data);
    }
    assert_int_equal(open_npy(&b, &file, 1, HEAD("<f4", "False", "(1,)"), "\0\0\0\0", 4), GD_OK);
    assert_int_equal(gd_bundle_read_i64(b, gd_bundle_array(b, 0), found), GD_EFORMAT);
    gd_bundle_close(b);
    free(file.data);
}

static bytes npy_of(const char *header, const void *data, size_t n)
{
    bytes npy = { NULL, 0 };

    put(&npy, "\x93NUMPY\1", 7);
    put_number(&npy, 0, 1);
    put_number(&npy, strlen(header), 2);
    put_text(&npy, header);
    put(&npy, data, n);
    return npy;
}

/* An array of objects beside the images stops nobody who does not need it. */
static void only_what_is_needed_must_be_readable(void **state)
{
    bytes good = npy_of(HEAD("|u1", "False", "(2,)"), "\7\11", 2),
          objects = npy_of(HEAD("|O", "False", "(2,)"), "12345678", 8);
    archive a = { 0 };
    const gd_array *array;
    uint8_t found[2];
    gd_bundle *b;
    bytes file;

    (void)state;
    add_entry(&a, "names.npy", objects.data, objects.n);
    add_entry(&a, "arr_0.npy", good.data, good.n);
    file = finish_archive(&a);
    assert_int_equal(io_bundle_open_memory(&b, file.data, file.n, "FILE", true), GD_OK);
    assert_int_equal(gd_bundle_count(b), 1);
    assert_int_equal(gd_bundle_need(&array, b, "arr_0"), GD_OK);
    assert_int_equal(gd_bundle_read(b, array, found), GD_OK);
    assert_memory_equal(found, "\7\11", 2);
    assert_true(gd_bundle_refuses(b, "names") && !gd_bundle_refuses(b, "arr_1"));
    assert_int_equal(gd_bundle_need(&array, b, "names"), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "objects and texts are not read"));
    assert_int_equal(gd_bundle_need(&array, b, "arr_1"), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "FILE: has no arr_1 (it holds arr_0)"));
    gd_bundle_close(b);
    free(file.data);
    free(good.data);
    free(objects.data);
}

/* The authors' sample files */
static void reference_samples(void **state)
{
    static const struct {
        const char *file;
        int index, arrays;
    } cases[] = { { "0/samples_5x8x8x3.npz", 0, 2 },
                  { "1/samples_4x8x8x3.npz", 1, 1 },
                  { "2/samples_4x6x6x3.npz", 2, 2 } };
    unsigned char expected[4096], found[4096];
    gd_bundle *b, *truth;
    char name[64];

    (void)state;
    assert_int_equal(gd_bundle_open(&truth, reference("golden/1105_npz/tensors.safetensors")),
                     GD_OK);
    for (int i = 0; i < COUNT(cases); i++) {
        snprintf(name, sizeof name, "golden/1105_npz/%s", cases[i].file);
        assert_int_equal(gd_bundle_open(&b, reference(name)), GD_OK);
        assert_int_equal(gd_bundle_count(b), cases[i].arrays);
        for (int k = 0; k < cases[i].arrays; k++) {
            snprintf(name, sizeof name, "out.arr_%d.%d", k, cases[i].index);
            const gd_array *t = gd_bundle_find(truth, name);
            snprintf(name, sizeof name, "arr_%d", k);
            const gd_array *a = gd_bundle_find(b, name);
            const size_t n = (size_t)gd_array_count(t) * gd_dtype_bytes(t->dtype);
            assert_non_null(a);
            assert_int_equal(a->dtype, t->dtype);
            assert_int_equal(a->rank, t->rank);
            assert_memory_equal(a->dim, t->dim, (size_t)t->rank * sizeof *t->dim);
            assert_true(n <= sizeof found);
            assert_int_equal(gd_bundle_read(truth, t, expected), GD_OK);
            assert_int_equal(gd_bundle_read(b, a, found), GD_OK);
            assert_memory_equal(found, expected, n);
        }
        gd_bundle_close(b);
    }
    gd_bundle_close(truth);
}

static void what_is_written_is_read(void **state)
{
    const uint8_t pixels[] = { 1, 2, 3, 4, 5, 6 };
    const int64_t labels[] = { -1, 1ll << 40 };
    const gd_array arrays[] = { { "arr_0", GD_U8, 2, { 2, 3 } }, { "arr_1", GD_I64, 1, { 2 } } };
    const void *const data[] = { pixels, labels };
    uint8_t found[6];
    int64_t integers[2];
    gd_bundle *b;
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "%s", temporary("written.npz"));
    assert_int_equal(gd_npz_write(path, true, arrays, data, 2), GD_OK);
    assert_int_equal(gd_bundle_open(&b, path), GD_OK);
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "arr_0"), found), GD_OK);
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "arr_1"), integers), GD_OK);
    assert_memory_equal(found, pixels, sizeof pixels);
    assert_memory_equal(integers, labels, sizeof labels);
    gd_bundle_close(b);
}

static void other_archives_are_refused(void **state)
{
    archive empty = { 0 }, text = { 0 };
    bytes file = finish_archive(&empty);

    (void)state;
    assert_int_equal(try_open(file, true), GD_EFORMAT);
    free(file.data);
    add_entry(&text, "read.me", "hello", 5);
    file = finish_archive(&text);
    assert_int_equal(try_open(file, true), GD_EFORMAT);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(fortran_order_is_transposed),
        cmocka_unit_test(integers_of_any_width_and_byte_order_are_read),
        cmocka_unit_test(only_what_is_needed_must_be_readable),
        cmocka_unit_test(reference_samples),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(other_archives_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
