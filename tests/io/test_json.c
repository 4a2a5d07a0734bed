/* SPDX-License-Identifier: MIT */
/* test_json.c - limits and messages of the parser for untrusted text. */
#include "fixture.h"

#include <jansson.h>

static gd_status parse(const char *text, int depth)
{
    json_t *root;
    gd_status s = gd_json_parse(&root, text, strlen(text), depth, "FILE");

    if (s == GD_OK)
        json_decref(root);
    return s;
}

static void depth_is_limited(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"a\":[[1]]}", 3), GD_OK);
    assert_int_equal(parse("{\"a\":[[1]]}", 2), GD_EFORMAT);
    assert_int_equal(parse("{\"a\":\"[[[[[[\"}", 1), GD_OK);   /* in a text they are letters */
    assert_int_equal(parse("{\"a\":\"\\\"[[[[\"}", 1), GD_OK); /* after an escaped quote, too */
    assert_int_equal(parse("{\"a\":\"\\\\\",\"b\":[1]}", 1),
                     GD_EFORMAT); /* an escaped backslash ends */
}

static void text_is_read_strictly(void **state)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "}",
                                       "{\"a\":1,}",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"a\":01}",
                                       "{\"a\":\"\\u0000\"}",
                                       "{\"a\":\"\xff\"}",
                                       "{} {}",
                                       "nul",
                                       "{\"a\":9223372036854775808}",
                                       "{'a':1}" };

    (void)state;
    for (int i = 0; i < COUNT(bad); i++)
        if (parse(bad[i], 4) != GD_EFORMAT)
            fail_msg("%s is not refused", bad[i]);
    assert_int_equal(parse("{\"a\":9223372036854775807}", 4), GD_OK);
    assert_int_equal(parse("\xef\xbb\xbf{\"a\":\r\n1}\r\n", 4), GD_OK);
    assert_int_equal(parse("\xff\xfe{", 4), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "UTF-16"));
}

static void messages_say_where(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"a\":1,\n \"b\" 2}", 4), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "FILE: JSON line 2"));
    assert_int_equal(parse("{\"a\": \x1b[2J}", 4), GD_EFORMAT);
    assert_null(strchr(gd_error(), '\x1b')); /* a terminal is not told what to do */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(text_is_read_strictly),
        cmocka_unit_test(messages_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
