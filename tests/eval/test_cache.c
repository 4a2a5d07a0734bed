/* SPDX-License-Identifier: MIT */
/* Rows on disk: whatever is cut off or damaged, what remains is right, and the whole is the same.
 */
#include "eval/eval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { COUNT_ROWS = 9, WIDTH = 5 };
static const char key[33] = "0123456789abcdef0123456789abcdef";
static char folder[] = "/tmp/guided-cache-XXXXXX", inner[64], whole[128], part[128];
static float rows[COUNT_ROWS * WIDTH];

static int make(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(inner, sizeof inner, "%s/cache", folder);
    snprintf(whole, sizeof whole, "%s/%s.safetensors", inner, key);
    snprintf(part, sizeof part, "%s/%s.rows", inner, key);
    gd_noise_normal(rows, COUNT(rows), 5, 0, 0);
    return 0;
}

static int remove_all(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static int forget(void **state)
{
    (void)state;
    unlink(whole);
    unlink(part);
    return 0;
}

static gd_cache *open_cache(void)
{
    gd_cache *c;

    assert_int_equal(gd_cache_open(&c, inner, key, COUNT_ROWS, WIDTH), GD_OK);
    return c;
}

/* Goes on behind what is there, to `end` */
static void fill(int64_t end)
{
    gd_cache *c = open_cache();

    for (int64_t i = gd_cache_done(c); i < end; i++)
        assert_int_equal(gd_cache_add(c, 1, rows + i * WIDTH), GD_OK);
    assert_int_equal(gd_cache_finish(c), GD_OK);
    gd_cache_close(c);
}

static void assert_rows(int64_t expected)
{
    float found[COUNT_ROWS * WIDTH];
    gd_cache *c = open_cache();

    assert_int_equal(gd_cache_done(c), expected);
    assert_int_equal(gd_cache_read(c, 0, expected, found), GD_OK);
    assert_memory_equal(found, rows, (size_t)expected * WIDTH * sizeof *rows);
    gd_cache_close(c);
}

static gd_mapped read_copy(const char *path)
{
    gd_mapped map, copy;

    assert_int_equal(gd_map_file(&map, path), GD_OK);
    copy = (gd_mapped){ malloc(map.bytes), map.bytes };
    memcpy((void *)copy.data, map.data, map.bytes);
    gd_unmap(&map);
    return copy;
}

static void rows_come_back(void **state)
{
    (void)state;
    fill(4);
    assert_rows(4);
    assert_true(gd_path_exists(part) && !gd_path_exists(whole));
    fill(COUNT_ROWS);
    assert_rows(COUNT_ROWS);
    assert_true(!gd_path_exists(part) && gd_path_exists(whole));
}

/* As a killed process leaves it: every length of the file */
static void a_cut_file_keeps_its_whole_records(void **state)
{
    const size_t record = WIDTH * sizeof(float) + 32, header = 64;
    gd_mapped full;

    (void)state;
    fill(6);
    full = read_copy(part);
    assert_int_equal(full.bytes, header + 6 * record);
    fill(COUNT_ROWS);
    const gd_mapped result = read_copy(whole);
    for (size_t n = 0; n < full.bytes; n += 3) {
        forget(NULL);
        assert_int_equal(gd_file_put(part, true, full.data, n), GD_OK);
        assert_rows(n < header ? 0 : (int64_t)((n - header) / record));
        fill(COUNT_ROWS);
        const gd_mapped again = read_copy(whole);
        assert_int_equal(again.bytes, result.bytes);
        assert_memory_equal(again.data, result.data, result.bytes);
        free((void *)again.data);
    }
    free((void *)full.data);
    free((void *)result.data);
}

/* Any byte that changes in the part: no wrong row is ever taken. */
static void a_damaged_record_ends_what_is_taken(void **state)
{
    gd_mapped full;

    (void)state;
    fill(6);
    full = read_copy(part);
    for (size_t i = 0; i < full.bytes; i++) {
        float found[COUNT_ROWS * WIDTH];
        ((unsigned char *)full.data)[i] ^= 0x10;
        assert_int_equal(gd_file_put(part, true, full.data, full.bytes), GD_OK);
        ((unsigned char *)full.data)[i] ^= 0x10;
        gd_cache *c = open_cache();
        const int64_t done = gd_cache_done(c);
        assert_true(done < 6);
        assert_int_equal(gd_cache_read(c, 0, done, found), GD_OK);
        assert_memory_equal(found, rows, (size_t)done * WIDTH * sizeof *rows);
        gd_cache_close(c);
    }
    free((void *)full.data);
}

static void a_damaged_whole_is_made_again(void **state)
{
    gd_mapped full;

    (void)state;
    fill(COUNT_ROWS);
    full = read_copy(whole);
    for (size_t i = 0; i < full.bytes; i += 11) {
        ((unsigned char *)full.data)[i] ^= 0x10;
        assert_int_equal(gd_file_put(whole, true, full.data, full.bytes), GD_OK);
        ((unsigned char *)full.data)[i] ^= 0x10;
        assert_rows(0);
        fill(COUNT_ROWS);
        assert_rows(COUNT_ROWS);
    }
    free((void *)full.data);
}

static void one_process_writes(void **state)
{
    gd_cache *c = open_cache(), *other;

    (void)state;
    assert_int_equal(gd_cache_open(&other, inner, key, COUNT_ROWS, WIDTH), GD_EFAILED);
    assert_non_null(strstr(gd_error(), "another process"));
    gd_cache_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(rows_come_back, forget),
        cmocka_unit_test_teardown(a_cut_file_keeps_its_whole_records, forget),
        cmocka_unit_test_teardown(a_damaged_record_ends_what_is_taken, forget),
        cmocka_unit_test_teardown(a_damaged_whole_is_made_again, forget),
        cmocka_unit_test_teardown(one_process_writes, forget),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}
