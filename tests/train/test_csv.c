/* SPDX-License-Identifier: MIT */
/* progress.csv as anyone may have left it: read and written again within its bounds, rows kept. */
#define _GNU_SOURCE
#include "train/train_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96];

static int enter(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/guided-csv-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/progress.csv", folder);
    return 0;
}

static int leave(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void put(const char *text, size_t bytes)
{
    assert_int_equal(gd_file_put(path, GD_OVERWRITE, text, bytes), GD_OK);
}

/* Open, add a row with a new column, read both columns, draw the curve */
static void use(int64_t step, int least_rows)
{
    gd_means means = { 0 };
    double *values;
    train_csv *csv;
    int n;

    assert_int_equal(train_csv_open(&csv, folder, step), GD_OK);
    gd_means_add(&means, "step", (double)step);
    gd_means_add(&means, "loss", 0.5);
    gd_means_add(&means, "another", 0.25);
    assert_int_equal(train_csv_add(csv, &means), GD_OK);
    assert_int_equal(train_csv_column(csv, "loss", &values, &n), GD_OK);
    assert_true(n >= least_rows && values[n - 1] == 0.5);
    free(values);
    assert_int_equal(train_curve_write(csv, folder, "loss"), GD_OK);
    train_csv_close(csv);
}

static void lines_without_anything(void **state)
{
    static char text[200000];

    (void)state;
    memset(text, '\n', sizeof text);
    memcpy(text, "step,loss\n", 10);
    put(text, sizeof text);
    use(10, 1);
    put(text, 10);
    use(10, 1);
    text[0] = 'a';
    text[1] = '\n';
    put(text, sizeof text);
    use(10, 1);
    memset(text, '\0', sizeof text);
    put(text, sizeof text);
    use(10, 1);
    memset(text, ',', sizeof text);
    put(text, sizeof text);
    put("", 0);
    use(0, 1);
}

static void an_empty_field_has_no_value(void **state)
{
    double *values;
    train_csv *csv;
    int n;

    (void)state;
    put("step,loss\n0,\n1,7\n2\n3, 9\n4,x\n", 30);
    assert_int_equal(train_csv_open(&csv, folder, 100), GD_OK);
    assert_int_equal(train_csv_column(csv, "loss", &values, &n), GD_OK);
    assert_int_equal(n, 5);
    assert_true(values[0] == -1 && values[1] == 7 && values[2] == -1 && values[3] == 9);
    free(values);
    train_csv_close(csv);
}

static void rows_before_the_step_stay(void **state)
{
    static const char expected[] = "step,loss,another\n0,3,\n1,2,\n2,0.5,0.25\n";
    gd_mapped map;

    (void)state;
    put("step,loss\n0,3\n1,2\n2,1\n3,", 28);
    use(2, 3);
    assert_int_equal(gd_map_file(&map, path), GD_OK);
    assert_int_equal(map.bytes, sizeof expected - 1);
    assert_memory_equal(map.data, expected, map.bytes);
    gd_unmap(&map);
}

/* Any bytes */
static void noise(void **state)
{
    static const char letters[] = "0123456789,,,,\n\n\n\r.eE+-stploss nan\"\0\xff";
    uint32_t seed = 7;
    char text[3000];

    (void)state;
    for (int round = 0; round < 300; round++) {
        const size_t n = (size_t)round * 10;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = letters[(seed >> 16) % (sizeof letters - 1)];
        }
        if (round % 2 && n > 10)
            memcpy(text, "step,loss\n", 10);
        put(text, n);
        if (round % 2)
            use(round, 1);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(lines_without_anything),
        TEST(an_empty_field_has_no_value),
        TEST(rows_before_the_step_stay),
        TEST(noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
