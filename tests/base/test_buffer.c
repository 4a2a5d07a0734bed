/* SPDX-License-Identifier: MIT */
/* Text that grows: what was printed stands there in order, whatever its length; after a failure
 * nothing is added. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static void text_of_any_length_is_kept(void **state)
{
    enum { TIMES = 2000 };
    gd_buffer b = { 0 };
    char word[16];
    size_t at = 0;

    (void)state;
    for (int i = 0; i < TIMES; i++)
        gd_buffer_print(&b, "%d,", i);
    gd_buffer_print(&b, "%s", "");
    assert_false(b.failed);
    for (int i = 0; i < TIMES; i++) {
        const int n = snprintf(word, sizeof word, "%d,", i);
        assert_memory_equal(b.data + at, word, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(b.n, at);
    assert_int_equal(b.data[at], 0);
    free(b.data);
}

static void room_that_was_reserved_is_there(void **state)
{
    gd_buffer b = { 0 };

    (void)state;
    assert_true(gd_buffer_reserve(&b, 1000));
    assert_true(b.room > 1000);
    assert_int_equal(b.n, 0);
    free(b.data);
}

static void nothing_follows_a_failure(void **state)
{
    gd_buffer b = { .failed = true };

    (void)state;
    gd_buffer_print(&b, "text");
    assert_false(gd_buffer_reserve(&b, 1));
    assert_null(b.data);
    assert_int_equal(b.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_any_length_is_kept),
        cmocka_unit_test(room_that_was_reserved_is_there),
        cmocka_unit_test(nothing_follows_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
