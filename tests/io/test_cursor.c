/* SPDX-License-Identifier: MIT */
/* test_cursor.c - integers out of untrusted bytes, and not one byte beyond. */
#include "fixture.h"

static void integers_are_little_endian(void **state)
{
    const unsigned char data[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff };
    gd_cursor c = { data, data, data + sizeof data, "FILE" };
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;

    (void)state;
    assert_int_equal(gd_take_u8(&c, &u8), GD_OK);
    assert_int_equal(gd_take_u16(&c, &u16), GD_OK);
    assert_int_equal(gd_take_u32(&c, &u32), GD_OK);
    assert_int_equal(gd_cursor_offset(&c), 7);
    assert_int_equal(gd_cursor_left(&c), 8);
    assert_int_equal(gd_take_u64(&c, &u64), GD_OK);
    assert_int_equal(u8, 1);
    assert_int_equal(u16, 0x0302);
    assert_int_equal(u32, 0x07060504);
    assert_true(u64 == 0xff0e0d0c0b0a0908);
    assert_int_equal(gd_cursor_left(&c), 0);
}

static void the_end_is_the_end(void **state)
{
    const unsigned char data[7] = { 0 };
    gd_cursor c = { data, data, data + sizeof data, "FILE" };
    const unsigned char *part;
    uint64_t u64;
    uint32_t u32;

    (void)state;
    assert_int_equal(gd_take_u64(&c, &u64), GD_EFORMAT);
    assert_int_equal(gd_cursor_offset(&c), 0); /* nothing was taken */
    assert_int_equal(gd_take_u32(&c, &u32), GD_OK);
    assert_int_equal(gd_take_bytes(&c, &part, UINT64_MAX), GD_EFORMAT);
    assert_int_equal(gd_take_bytes(&c, &part, 4), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "FILE: offset 4"));
    assert_int_equal(gd_take_bytes(&c, &part, 3), GD_OK);
    assert_ptr_equal(part, data + 4);
    assert_int_equal(gd_take_bytes(&c, &part, 0), GD_OK);
}

static void varints_have_seven_bits_a_byte(void **state)
{
    static const unsigned char data[] = { 0x07, 0xac, 0x02, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x80 };
    static const unsigned char wide[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 };
    gd_cursor c = { data, data, data + sizeof data, "FILE" };
    uint64_t v;

    (void)state;
    assert_int_equal(gd_take_varint(&c, &v), GD_OK);
    assert_true(v == 7);
    assert_int_equal(gd_take_varint(&c, &v), GD_OK);
    assert_true(v == 300);
    assert_int_equal(gd_take_varint(&c, &v), GD_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(gd_take_varint(&c, &v), GD_EFORMAT); /* goes on beyond the end */
    c = (gd_cursor){ wide, wide, wide + sizeof wide, "FILE" };
    assert_int_equal(gd_take_varint(&c, &v), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "64 bits"));
}

static void text_is_utf8_without_controls(void **state)
{
    static const char *const good[] = { "", "a.b_0", "\xc3\xbc", "\xe4\xb8\xad",
                                        "\xf0\x9f\x90\x95" };
    static const char *const bad[] = { "\x1b[0m",      "a\n",
                                       "\x7f",         "\xc2\x80",
                                       "\xc0\x80",     "\xe0\x80\x80",
                                       "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                       "\xff",         "\xc3",
                                       "\x80",         "\xe4\xb8",
                                       "\xc3\x61",     "\xf8\x88\x80\x80\x80" };

    (void)state;
    for (int i = 0; i < COUNT(good); i++)
        assert_true(gd_is_text(good[i], strlen(good[i])));
    for (int i = 0; i < COUNT(bad); i++)
        if (gd_is_text(bad[i], strlen(bad[i])))
            fail_msg("text %d", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(the_end_is_the_end),
        cmocka_unit_test(varints_have_seven_bits_a_byte),
        cmocka_unit_test(text_is_utf8_without_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
