/* SPDX-License-Identifier: MIT */
/* Arenas and blocks: zeroed, aligned, counted, limited, and given back. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void arena_memory_is_zeroed_and_aligned(void **state)
{
    const size_t before = gd_memory_held();
    unsigned char *last = NULL;
    gd_arena *a;

    (void)state;
    assert_int_equal(gd_arena_make(&a), GD_OK);
    for (size_t bytes = 0; bytes < 300; bytes++) {
        unsigned char *p = gd_alloc(a, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_true(p != last);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, bytes);
        last = p;
    }
    gd_arena_free(a);
    gd_arena_free(NULL);
    assert_int_equal(gd_memory_held(), before);
}

static void large_requests_get_their_own_piece(void **state)
{
    gd_arena *a;
    char *small, *large;

    (void)state;
    assert_int_equal(gd_arena_make(&a), GD_OK);
    small = gd_strdup(a, "kept");
    large = gd_alloc(a, 1 << 20);
    assert_non_null(large);
    memset(large, 1, 1 << 20);
    assert_string_equal(small, "kept");
    assert_null(gd_alloc(a, SIZE_MAX));
    assert_null(gd_alloc(a, SIZE_MAX - 15));
    assert_non_null(strstr(gd_error(), "out of memory"));
    assert_string_equal(gd_sprintf(a, "%d of %s", 3, small), "3 of kept");
    gd_arena_free(a);
}

static void a_block_is_zeroed_and_aligned(void **state)
{
    const size_t before = gd_memory_held();
    unsigned char *p;

    (void)state;
    assert_int_equal(gd_block_make(&p, 100000, "test"), GD_OK);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(p[i], 0);
    assert_true(gd_memory_held() >= before + 100000);
    gd_block_free(p);
    gd_block_free(NULL);
    assert_int_equal(gd_memory_held(), before);
}

static long mapped_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = -1;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &pages), 1);
    fclose(f);
    return pages;
}

/* So that the system can back all of it but the end with huge pages; and nothing mapped is left */
static void large_blocks_begin_at_a_huge_page(void **state)
{
    const size_t huge = 2 << 20, bytes[] = { huge, 3 * huge + 12345, 5 * huge - 64 };
    const long before = mapped_pages();

    (void)state;
    for (int i = 0; i < 3; i++) {
        unsigned char *small, *p;
        assert_int_equal(gd_block_make(&small, 8192, "to move the next one"), GD_OK);
        assert_int_equal(gd_block_make(&p, bytes[i], "test"), GD_OK);
        assert_true((uintptr_t)p % huge <= 64);
        p[0] = p[bytes[i] - 1] = 1;
        gd_block_free(p);
        gd_block_free(small);
    }
    assert_int_equal(mapped_pages(), before);
}

static void the_limit_is_kept_and_named(void **state)
{
    void *first, *second;

    (void)state;
    gd_set_memory_limit(gd_memory_held() + (1 << 20));
    assert_int_equal(gd_block_make(&first, 700000, "first"), GD_OK);
    assert_int_equal(gd_block_make(&second, 700000, "the second"), GD_ENOMEM);
    assert_null(second);
    assert_non_null(strstr(gd_error(), "the second"));
    gd_block_free(first);
    assert_int_equal(gd_block_make(&second, 700000, "the second"), GD_OK);
    gd_block_free(second);
    gd_set_memory_limit(0);
    assert_int_equal(gd_memory_limit(), 0);
    assert_int_equal(gd_block_make(&first, SIZE_MAX, "all"), GD_ENOMEM);
    assert_int_equal(gd_block_make(&first, SIZE_MAX / 2, "half of all"), GD_ENOMEM);
}

/* What the fault loops rely on */
static void the_kth_allocation_fails(void **state)
{
    void *block[4];

    (void)state;
    for (int persist = 0; persist < 2; persist++) {
        gd_fail_allocation(3, persist);
        for (int i = 0; i < 4; i++) {
            const bool bad = i == 2 || (i > 2 && persist);
            const gd_status s = gd_block_make(&block[i], 64, "test");
            assert_int_equal(s, bad ? GD_ENOMEM : GD_OK);
        }
        assert_int_equal(gd_fail_allocation(0, false), persist ? 2 : 1);
        for (int i = 0; i < 4; i++)
            gd_block_free(block[i]);
    }
}

static void allocations_are_counted(void **state)
{
    const uint64_t before = gd_allocation_count();
    void *block;

    (void)state;
    assert_int_equal(gd_block_make(&block, 64, "test"), GD_OK);
    assert_int_equal(gd_allocation_count(), before + 1);
    gd_block_free(block);
    assert_int_equal(gd_allocation_count(), before + 1);
}

static void checked_sizes_tell_overflow(void **state)
{
    uint64_t n;

    (void)state;
    assert_true(gd_mul(1ull << 32, (1ull << 32) - 1, &n));
    assert_false(gd_mul(1ull << 32, 1ull << 32, &n));
    assert_true(gd_add(UINT64_MAX - 1, 1, &n) && n == UINT64_MAX);
    assert_false(gd_add(UINT64_MAX, 1, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(large_requests_get_their_own_piece),
        cmocka_unit_test(a_block_is_zeroed_and_aligned),
        cmocka_unit_test(large_blocks_begin_at_a_huge_page),
        cmocka_unit_test(the_limit_is_kept_and_named),
        cmocka_unit_test(the_kth_allocation_fails),
        cmocka_unit_test(allocations_are_counted),
        cmocka_unit_test(checked_sizes_tell_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
