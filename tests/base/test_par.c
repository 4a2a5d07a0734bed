/* SPDX-License-Identifier: MIT */
/* Work shared out among threads: everything once, whatever their number, and a late thread holds
 * nobody up. */
#define _GNU_SOURCE
#include "base/base.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const int counts[] = { 1, 2, 3, 5, 16, 64 };

static void count_one(void *ctx, int64_t i)
{
    atomic_fetch_add((_Atomic int *)ctx + i, 1);
}

static void everything_is_done_once(void **state)
{
    enum { MOST = 3000 };
    static const int sizes[] = { 0, 1, 2, 3, 7, 16, 129, MOST };
    static _Atomic int times[MOST];

    (void)state;
    for (int c = 0; c < COUNT(counts); c++) {
        gd_set_threads(counts[c]);
        assert_int_equal(gd_threads(), counts[c]);
        for (int s = 0; s < COUNT(sizes); s++)
            for (int repeat = 0; repeat < 20; repeat++) {
                memset(times, 0, sizeof times);
                gd_par(sizes[s], count_one, times);
                for (int i = 0; i < MOST; i++)
                    assert_int_equal(times[i], i < sizes[s]);
            }
    }
    gd_set_threads(2);
}

/* Regions that follow one another closely, with few and many threads in turn: a worker that comes
 * late from one must not touch the next. */
static void regions_do_not_mix(void **state)
{
    enum { REGIONS = 20000, ITEMS = 5 };
    _Atomic int times[ITEMS];

    (void)state;
    for (int r = 0; r < REGIONS; r++) {
        const int n = 1 + r % ITEMS;
        gd_set_threads(1 + r % 4);
        memset(times, 0, sizeof times);
        gd_par(n, count_one, times);
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(times[i], i < n);
    }
    gd_set_threads(2);
}

static void note_threads(void *ctx, int64_t i)
{
    int *inner = ctx;
    _Atomic int times[3] = { 0 };

    gd_par(3, count_one, times);
    inner[i] = gd_threads() == 1 && times[0] + times[1] + times[2] == 3;
}

static void regions_do_not_nest(void **state)
{
    int inner[8] = { 0 };

    (void)state;
    gd_set_threads(4);
    gd_par(8, note_threads, inner);
    for (int i = 0; i < 8; i++)
        assert_true(inner[i]);
    assert_int_equal(gd_threads(), 4);
    gd_set_threads(2);
}

typedef struct held {
    _Atomic int done;
    int n;
    bool was_held;
} held;

/* Item 0 ends when all others have: its thread's share is done by the other thread. */
static void hold_item(void *ctx, int64_t i)
{
    held *h = ctx;
    const double start = gd_seconds();

    while (i == 0 && h->done < h->n - 1)
        if (gd_seconds() - start > 20) {
            h->was_held = true;
            break;
        }
    atomic_fetch_add(&h->done, 1);
}

static void a_thread_that_is_held_up_holds_nobody_up(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 16; threads *= 2) {
        held h = { .n = 4 * threads };
        gd_set_threads(threads);
        gd_par(h.n, hold_item, &h);
        assert_false(h.was_held);
        assert_int_equal(h.done, h.n);
    }
    gd_set_threads(2);
}

/* Waiting threads fall asleep between regions and inside them, and wake again. */
static void sleep_a_little(void *ctx, int64_t i)
{
    (void)i;
    usleep(2000);
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

static void sleepers_wake(void **state)
{
    _Atomic int done = 0;

    (void)state;
    gd_set_threads(3);
    for (int r = 0; r < 10; r++) {
        usleep(r % 2 ? 3000 : 0);
        gd_par(3, sleep_a_little, (void *)&done);
        assert_int_equal(done, 3 * (r + 1));
    }
    gd_set_threads(2);
}

static void wait_a_little(void *ctx, int64_t i)
{
    const double start = gd_seconds();

    (void)i;
    while (gd_seconds() - start < 200e-6)
        continue;
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

/* Everything is done once, and what would run at once is counted once. */
static void a_forecast_lays_work_out_on_threads(void **state)
{
    gd_forecast f = { 0 };
    _Atomic int done = 0;

    (void)state;
    gd_set_threads(4);
    gd_set_forecast(&f);
    gd_par(8, wait_a_little, (void *)&done);
    gd_set_forecast(NULL);
    assert_int_equal(done, 8);
    assert_int_equal(f.regions, 1);
    assert_true(f.work >= 8 * 200e-6 && f.spent >= f.work);
    assert_true(f.predicted >= 2 * 200e-6 && f.predicted < f.work);
    gd_par(8, wait_a_little, (void *)&done);
    assert_int_equal(f.regions, 1);
    gd_set_threads(2);
}

/* ---- threads of the program's own ---- */

static void *compute(void *arg)
{
    const int threads = *(int *)arg;
    _Atomic int times[100];

    gd_set_threads(threads);
    for (int r = 0; r < 500; r++) {
        memset(times, 0, sizeof times);
        gd_par(100, count_one, times);
        for (int i = 0; i < 100; i++)
            if (times[i] != 1)
                return "an item was done twice or not at all";
    }
    return gd_threads() == threads ? NULL : "another thread's number of threads";
}

static void two_threads_compute_side_by_side(void **state)
{
    int threads[] = { 2, 3 };
    pthread_t t[2];
    void *fault;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, compute, &threads[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], &fault);
        assert_null(fault);
    }
    assert_int_equal(gd_threads(), 2);
}

static void a_forked_child_computes(void **state)
{
    int two = 2, status = 1;
    pid_t pid;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it does not let a child start threads */
#endif
    assert_null(compute(&two));
    pid = fork();
    if (pid == 0)
        _exit(compute(&two) != NULL);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
    assert_null(compute(&two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_done_once),
        cmocka_unit_test(regions_do_not_mix),
        cmocka_unit_test(regions_do_not_nest),
        cmocka_unit_test(a_thread_that_is_held_up_holds_nobody_up),
        cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(a_forecast_lays_work_out_on_threads),
        cmocka_unit_test(two_threads_compute_side_by_side),
        cmocka_unit_test(a_forked_child_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
