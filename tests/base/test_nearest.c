/* SPDX-License-Identifier: MIT */
/* Suggestions for mistyped words. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const words[] = { "image_size", "num_heads", "num_head_channels",
                                     "golden retriever", "on" };

static void expect(const char *word, const char *nearest)
{
    const char *found = gd_nearest(word, words, COUNT(words));

    if (nearest)
        assert_string_equal(found ? found : "(none)", nearest);
    else
        assert_null(found);
}

static void finds_slips_of_the_keyboard(void **state)
{
    (void)state;
    expect("image_size", "image_size");
    expect("imagesize", "image_size");
    expect("imgae_size", "image_size");
    expect("IMAGE-SIZE", "image_size");
    expect("num_head", "num_heads");
    expect("num_head_channel", "num_head_channels");
    expect("goldn retreiver", "golden retriever");
    expect("no", "on");
}

static void finds_the_word_inside_a_longer_one(void **state)
{
    (void)state;
    expect("golden", "golden retriever");
    expect("Retriever", "golden retriever");
}

static void says_nothing_when_nothing_is_close(void **state)
{
    char giant[1000];

    (void)state;
    memset(giant, 'a', sizeof giant - 1);
    giant[sizeof giant - 1] = 0;
    expect("", NULL);
    expect("x", NULL);
    expect("zebra crossing", NULL);
    expect(giant, NULL);
    assert_null(gd_nearest("image_size", words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_slips_of_the_keyboard),
        cmocka_unit_test(finds_the_word_inside_a_longer_one),
        cmocka_unit_test(says_nothing_when_nothing_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
