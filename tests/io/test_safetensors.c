/* SPDX-License-Identifier: MIT */
/* test_safetensors.c - what is read, what is refused, what is written. */
#include "fixture.h"

#include <stdio.h>

static void what_is_written_is_read(void **state)
{
    bytes file = make_own();
    const float w[] = { 0.5f, -1, 2, 3, 4, 5 };
    const int64_t steps[] = { 7, -8 };
    float found[6];
    int64_t integers[2];
    bool checked = false;
    gd_bundle *b;

    (void)state;
    assert_int_equal(gd_bundle_open(&b, temporary("own.safetensors")), GD_OK);
    assert_string_equal(gd_bundle_format(b), "safetensors");
    assert_int_equal(gd_bundle_count(b), 3);
    assert_string_equal(gd_bundle_array(b, 0)->name, "w"); /* the writer's order */
    assert_string_equal(gd_bundle_array(b, 1)->name, "steps");
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "w"), found), GD_OK);
    assert_memory_equal(found, w, sizeof w);
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "steps"), integers), GD_OK);
    assert_memory_equal(integers, steps, sizeof steps);
    assert_int_equal(gd_bundle_read_f32(b, gd_bundle_find(b, "steps"), found), GD_OK);
    assert_true(found[0] == 7.0f && found[1] == -8.0f);
    assert_int_equal(gd_array_count(gd_bundle_find(b, "none")), 0);
    assert_null(gd_bundle_find(b, "W"));
    assert_string_equal(gd_bundle_meta(b, "note"), "a \"quoted\" caf\xc3\xa9");
    assert_null(gd_bundle_meta(b, "absent"));
    assert_int_equal(gd_bundle_verify(b, &checked), GD_OK);
    assert_true(checked);
    assert_int_equal((file.n - 24 - 16) % 64, 0); /* data begins aligned */
    gd_bundle_close(b);
    free(file.data);
}

/* Two equal calls give equal bytes; a wrong amount of data or an abort leaves nothing. */
static void writing_is_exact(void **state)
{
    const gd_array array = { "x", GD_U8, 1, { 3 } };
    gd_safetensors_writer *w;
    bytes first = make_own(), second = make_own();
    char path[256];

    (void)state;
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.data, second.data, first.n);
    free(first.data);
    free(second.data);
    snprintf(path, sizeof path, "%s", temporary("short.safetensors"));
    assert_int_equal(gd_safetensors_begin(&w, path, false, &array, 1, NULL, 0), GD_OK);
    assert_int_equal(gd_safetensors_add(w, "ab", 2), GD_OK);
    assert_int_not_equal(gd_safetensors_commit(w), GD_OK);
    assert_false(gd_path_exists(path));
    assert_int_equal(gd_safetensors_begin(&w, path, false, &array, 1, NULL, 0), GD_OK);
    gd_safetensors_abort(w);
    assert_false(gd_path_exists(path));
    assert_int_equal(gd_safetensors_begin(&w, path, false, &array, 1, NULL, 0), GD_OK);
    assert_int_equal(gd_safetensors_add(w, "a", 1), GD_OK); /* in pieces */
    assert_int_equal(gd_safetensors_add(w, "bc", 2), GD_OK);
    assert_int_equal(gd_safetensors_commit(w), GD_OK);
    assert_int_equal(gd_safetensors_begin(&w, path, false, &array, 1, NULL, 0), GD_EEXISTS);
}

/* What could not be read again is not begun. */
static void the_writer_refuses(void **state)
{
    const gd_array twice[] = { { "x", GD_U8, 0, { 0 } }, { "x", GD_U8, 0, { 0 } } };
    const gd_array bad[] = { { "__metadata__", GD_U8, 0, { 0 } },
                             { "bad\xff", GD_U8, 0, { 0 } },
                             { "neg", GD_U8, 1, { -1 } },
                             { "huge", GD_F64, 3, { 1 << 30, 1 << 30, 1 << 30 } } };
    const gd_meta meta = { "key", "bad\xff" };
    gd_safetensors_writer *w;
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "%s", temporary("refused.safetensors"));
    assert_int_not_equal(gd_safetensors_begin(&w, path, false, twice, 2, NULL, 0), GD_OK);
    for (int i = 0; i < COUNT(bad); i++)
        assert_int_not_equal(gd_safetensors_begin(&w, path, false, &bad[i], 1, NULL, 0), GD_OK);
    assert_int_not_equal(gd_safetensors_begin(&w, path, false, twice, 1, &meta, 1), GD_OK);
    assert_false(gd_path_exists(path));
}

/* The reference implementation's rules, and ours where it is lenient */
static void headers_are_read_strictly(void **state)
{
#define W "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
    static const struct {
        const char *header;
        size_t data_bytes;
        gd_status expected;
    } cases[] = {
        { "{" W "}", 8, GD_OK },
        { "{" W "}       ", 8, GD_OK },
        { "{}", 0, GD_OK },
        { "{\"__metadata__\":{\"a\":\"b\"}," W "}", 8, GD_OK },
        { "{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, GD_OK },
        { "{\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]}," W "}", 8, GD_OK },
        { "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}," W "}", 9, GD_OK },
        { "{" W "}", 9, GD_EFORMAT },       /* a byte too many */
        { "{" W "}", 7, GD_EFORMAT },       /* a byte too few */
        { " {" W "}", 8, GD_EFORMAT },      /* must begin with the brace */
        { "{" W "}x", 8, GD_EFORMAT },      /* something after the object */
        { "{" W "," W "}", 8, GD_EFORMAT }, /* twice the same */
        { "[" W "]", 8, GD_EFORMAT },
        { "{\"w\":1}", 0, GD_EFORMAT },
        { "{\"__metadata__\":{\"a\":1}," W "}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, GD_EFORMAT },
        { "{" W ",\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
          GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,9223372036854775807],"
          "\"data_offsets\":[0,8]}}",
          8, GD_EFORMAT },
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,1073741824,4],"
          "\"data_offsets\":[0,0]}}",
          0, GD_EFORMAT }, /* 2^64 elements are not 0 */
        { "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
          GD_EFORMAT },
        { "{\"\\u001b[2J\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
          GD_EFORMAT },
        { "{\"__metadata__\":{\"guided.format\":\"1\"}," W "}", 8, GD_EFORMAT }, /* no hashes */
    };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        bytes file = make_safetensors(cases[i].header, cases[i].data_bytes);
        if (try_read(file, true) != cases[i].expected)
            fail_msg("%s: %s", cases[i].header, gd_error());
        free(file.data);
    }
}

static void header_length_is_checked(void **state)
{
    static const uint64_t lengths[] = { 0, 1, 3, 100000001, 1ull << 32, 1ull << 63, ~0ull };

    (void)state;
    for (int i = 0; i < COUNT(lengths); i++) {
        bytes file = { NULL, 0 };
        put_number(&file, lengths[i], 8);
        put_text(&file, "{}");
        assert_int_equal(try_open(file, true), GD_EFORMAT);
        free(file.data);
    }
}

/* A header of 128 bytes begins like a pickle, one of 0x4b50 like an archive. */
static void first_bytes_do_not_mislead(void **state)
{
    static const size_t lengths[] = { 0x80, 0x0280, 0x4b50 };

    (void)state;
    for (int i = 0; i < COUNT(lengths); i++) {
        char *header = calloc(1, lengths[i] + 1);
        memset(header, ' ', lengths[i]);
        memcpy(header, "{}", 2);
        bytes file = make_safetensors(header, 0);
        assert_int_equal(try_open(file, true), GD_OK);
        free(file.data);
        free(header);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),  cmocka_unit_test(writing_is_exact),
        cmocka_unit_test(the_writer_refuses),       cmocka_unit_test(headers_are_read_strictly),
        cmocka_unit_test(header_length_is_checked), cmocka_unit_test(first_bytes_do_not_mislead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
