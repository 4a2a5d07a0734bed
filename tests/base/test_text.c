/* SPDX-License-Identifier: MIT */
/* Text of files on a terminal, and any bytes in JSON. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void shows(const char *text, const char *allowed, const char *expected)
{
    char out[256];

    assert_int_equal(gd_escape(out, sizeof out, text, strlen(text), allowed), strlen(expected));
    assert_string_equal(out, expected);
}

static void terminals_get_text_only(void **state)
{
    (void)state;
    shows("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x95", "\n",
          "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x95");
    shows("a\033[31mb\a\x7f", "\n", "a\\x1B[31mb\\x07\\x7F");
    shows("C1 \xc2\x9b", "\n", "C1 \\xC2\\x9B");
    shows("bidi \xe2\x80\xae \xe2\x81\xa6 \xd8\x9c", "\n",
          "bidi \\xE2\\x80\\xAE \\xE2\\x81\\xA6 \\xD8\\x9C");
    shows("line\ntab\t", "\n\t", "line\ntab\t");
    shows("line\ntab\t", "", "line\\x0Atab\\x09");
    shows("\xe9 \xc0\xaf \xed\xa0\x80 \xf5", "", "\\xE9 \\xC0\\xAF \\xED\\xA0\\x80 \\xF5");
    shows("cut \xe2\x82", "", "cut \\xE2\\x82");
    shows("\\x41", "", "\\x41");
    shows("\\x41", NULL, "\\x5Cx41");
}

/* Whatever is cut off, what stands is whole characters and escapes. */
static void what_does_not_fit_is_cut_off(void **state)
{
    char out[8];

    (void)state;
    assert_int_equal(gd_escape(out, 6, "abc\033", 4, ""), 3);
    assert_string_equal(out, "abc");
    assert_int_equal(gd_escape(out, 4, "ab\xe2\x82\xac", 5, ""), 2);
    assert_int_equal(gd_escape(out, 1, "x", 1, ""), 0);
}

static void any_bytes_come_back(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[20], plain[100];
        int n = 0;
        for (; n < 19; n++) {
            seed = seed * 1664525u + 1013904223u;
            text[n] = round % 2 ? "\\x41C\xe9"[seed >> 16 & 7] : (char)(seed >> 24);
            if (!text[n])
                break;
        }
        text[n] = '\0';
        gd_escape(plain, sizeof plain, text, (size_t)n, NULL);
        for (const char *at = plain; *at; at++)
            assert_true((unsigned char)*at >= ' ' && *at != 127);
        gd_unescape(plain);
        assert_string_equal(plain, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminals_get_text_only),
        cmocka_unit_test(what_does_not_fit_is_cut_off),
        cmocka_unit_test(any_bytes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
