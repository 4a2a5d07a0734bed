/* SPDX-License-Identifier: MIT */
/* test_graphdef.c - constants of TensorFlow's GraphDef: every way to write their numbers, and every
 * way to write them wrong. */
#include "graphdef_file.h"

static gd_bundle *opened(bytes file)
{
    gd_bundle *b;

    if (io_bundle_open_memory(&b, file.data, file.n, "FILE", true) != GD_OK)
        fail_msg("%s", gd_error());
    return b;
}

static void refuses(bytes file, const char *message)
{
    gd_status s = try_open(file, true);

    assert_int_equal(s, GD_EFORMAT);
    if (!strstr(gd_error(), message))
        fail_msg("\"%s\" does not say: %s", gd_error(), message);
    free(file.data);
}

/* All spellings of [0.5 .. 5.5] as 2x3 read the same; the content is read where it lies. */
static void numbers_in_every_spelling(void **state)
{
    static const int64_t dim[] = { 2, 3 };
    bytes file = { NULL, 0 };
    float found[6];

    (void)state;
    put_other_node(&file, "input", "Placeholder");
    put_constant(&file, "as/content", make_tensor(2, dim, AS_CONTENT, 6));
    put_constant(&file, "as/packed", make_tensor(2, dim, AS_PACKED, 6));
    put_constant(&file, "as/loose", make_tensor(2, dim, AS_LOOSE, 6));
    put_other_node(&file, "Conv2D", "Conv2D");
    gd_bundle *b = opened(file);
    assert_string_equal(gd_bundle_format(b), "GraphDef");
    assert_int_equal(gd_bundle_count(b), 3);
    for (int i = 0; i < 3; i++) {
        const gd_array *a = gd_bundle_array(b, i);
        assert_int_equal(a->rank, 2);
        assert_memory_equal(a->dim, dim, sizeof dim);
        assert_int_equal(gd_bundle_read_f32(b, a, found), GD_OK);
        for (int k = 0; k < 6; k++)
            assert_true(found[k] == 0.5f + (float)k);
    }
    const unsigned char *lies = gd_bundle_view(b, gd_bundle_find(b, "as/content"));
    assert_true(lies > file.data && lies < file.data + file.n);
    gd_bundle_close(b);
    free(file.data);
}

/* One number stands for all, as TensorFlow writes constant tensors; scalars have no shape. */
static void one_number_for_all(void **state)
{
    static const int64_t dim[] = { 2, 2 };
    bytes file = { NULL, 0 };
    float found[4];

    (void)state;
    for (int as = 0; as < 3; as++) {
        char name[16];
        snprintf(name, sizeof name, "splat%d", as);
        put_constant(&file, name, make_tensor(2, dim, (values_as)as, 1));
    }
    put_constant(&file, "scalar", make_tensor(0, dim, AS_LOOSE, 1));
    gd_bundle *b = opened(file);
    for (int i = 0; i < 4; i++) {
        const gd_array *a = gd_bundle_array(b, i);
        assert_int_equal(gd_bundle_read_f32(b, a, found), GD_OK);
        for (int k = 0; k < gd_array_count(a); k++)
            assert_true(found[k] == 0.5f);
    }
    assert_int_equal(gd_bundle_find(b, "scalar")->rank, 0);
    gd_bundle_close(b);
    free(file.data);
}

static bytes with(bytes tensor)
{
    bytes file = { NULL, 0 };

    put_constant(&file, "x", tensor);
    return file;
}

static void wrong_tensors(void **state)
{
    static const int64_t six[] = { 2, 3 }, much[] = { INT64_MAX / 2, 8 }, below[] = { -1, 6 };
    static const int64_t nine[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, expanded[] = { 1 << 20, 64 };
    bytes both = make_tensor(2, six, AS_CONTENT, 6), odd = make_tensor(2, six, AS_PACKED, 6);

    (void)state;
    refuses(with(make_tensor(2, six, AS_CONTENT, 5)), "x: 20 bytes of values, 6 float32");
    refuses(with(make_tensor(2, six, AS_LOOSE, 7)), "x: 28 bytes of values, 6 float32");
    refuses(with(make_tensor(2, six, AS_PACKED, 0)), "x: 0 bytes of values");
    refuses(with(make_tensor(2, much, AS_CONTENT, 1)), "is not possible");
    refuses(with(make_tensor(2, below, AS_CONTENT, 6)), "negative size");
    refuses(with(make_tensor(9, nine, AS_CONTENT, 1)), "more than 8 dimensions");
    refuses(with(make_tensor(2, expanded, AS_LOOSE, 1)), "x");
    put_varint(&both, 5 << 3 | 5);
    put_number(&both, 0, 4);
    refuses(with(both), "two kinds of values");
    put_text_field(&odd, 5, "abc");
    refuses(with(odd), "27 bytes of values");
}

static void wrong_nodes(void **state)
{
    static const int64_t one[] = { 1 };
    bytes empty = { NULL, 0 }, group = { NULL, 0 }, zero = { NULL, 0 }, twice = { NULL, 0 },
          bare = { NULL, 0 }, number = { NULL, 0 };
    char name[600];

    (void)state;
    put_other_node(&empty, "x", "Add");
    refuses(empty, "no float32 constants");
    put_other_node(&group, "x", "Add");
    put_varint(&group, 1 << 3 | 3);
    refuses(group, "unknown kind of field");
    put_other_node(&zero, "x", "Add");
    put_varint(&zero, 2);
    refuses(zero, "impossible field number");
    put_constant(&twice, "x", make_tensor(1, one, AS_CONTENT, 1));
    put_constant(&twice, "x", make_tensor(1, one, AS_CONTENT, 1));
    refuses(twice, "two arrays are named x");
    put_other_node(&bare, "x", "Const");
    refuses(bare, "without a tensor");
    put_other_node(&number, "x", "Add");
    put_many(&number, "\xff", 1, 12);
    refuses(number, "more than 64 bits");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 3; i++) {
        bytes file = { NULL, 0 };
        put_constant(&file,
                     i == 0   ? name
                     : i == 1 ? ""
                              : "a\nb",
                     make_tensor(1, one, AS_CONTENT, 1));
        refuses(file, "without a name");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_in_every_spelling),
        cmocka_unit_test(one_number_for_all),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(wrong_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
