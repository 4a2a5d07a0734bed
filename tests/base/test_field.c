/* SPDX-License-Identifier: MIT */
/* Values that stand as text. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void refuse(const gd_field *v, const char *text, const char *message)
{
    uint64_t place = 7;

    assert_int_equal(gd_field_read(v, text, &place), GD_EUSAGE);
    assert_string_equal(gd_error(), message);
    assert_int_equal(place, 7);
}

static void reads_numbers_within_their_range(void **state)
{
    const gd_field whole = { "threads", GD_INT, 1, 1024 }, wide = { "pixels", GD_WIDE, 1, 1e12 },
                   real = { "eta", GD_REAL, 0, 1 };
    int i;
    int64_t w;
    double d;

    (void)state;
    assert_int_equal(gd_field_read(&whole, "1024", &i), GD_OK);
    assert_int_equal(i, 1024);
    assert_true(gd_field_number(GD_INT, &i) == 1024);
    assert_int_equal(gd_field_read(&wide, "1e12", &w), GD_OK);
    assert_true(w == 1000000000000 && gd_field_number(GD_WIDE, &w) == 1e12);
    assert_int_equal(gd_field_read(&real, "0.25", &d), GD_OK);
    assert_true(d == 0.25 && gd_field_number(GD_REAL, &d) == 0.25);
    refuse(&whole, "1025", "threads 1025: expected a whole number from 1 to 1024");
    refuse(&whole, "2.5", "threads 2.5: expected a whole number from 1 to 1024");
    refuse(&whole, "", "threads \"\": expected a whole number from 1 to 1024");
    refuse(&wide, "x", "pixels x: expected a whole number from 1 to 1000000000000");
    refuse(&real, "nan", "eta nan: expected a number from 0 to 1");
    refuse(&real, "inf", "eta inf: expected a number from 0 to 1");
    refuse(&real, "1 ", "eta 1 : expected a number from 0 to 1");
}

static void reads_seeds_and_switches(void **state)
{
    const gd_field seed = { "seed", GD_SEED, 0, 0 }, on = { "clip", GD_SWITCH, 0, 0 };
    uint64_t s;
    bool b;

    (void)state;
    assert_int_equal(gd_field_read(&seed, "18446744073709551615", &s), GD_OK);
    assert_true(s == UINT64_MAX);
    refuse(&seed, "18446744073709551616",
           "seed 18446744073709551616: expected a whole number from 0 to 2^64 - 1");
    refuse(&seed, "-1", "seed -1: expected a whole number from 0 to 2^64 - 1");
    assert_int_equal(gd_field_read(&on, "TRUE", &b), GD_OK);
    assert_true(b);
    assert_int_equal(gd_field_read(&on, "0", &b), GD_OK);
    assert_false(b);
    refuse(&on, "2", "clip 2: expected true or false");
}

static void chooses_from_a_list(void **state)
{
    static const char *const list[] = { "code", "paper", "exact" };
    int chosen;

    (void)state;
    assert_int_equal(gd_field_choose("weight", "exact", list, COUNT(list), &chosen), GD_OK);
    assert_int_equal(chosen, 2);
    assert_int_equal(gd_field_choose("weight", "papre", list, COUNT(list), &chosen), GD_EUSAGE);
    assert_string_equal(gd_error(), "weight papre: expected one of code, paper, exact\n"
                                    "hint: did you mean paper?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_within_their_range),
        cmocka_unit_test(reads_seeds_and_switches),
        cmocka_unit_test(chooses_from_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
