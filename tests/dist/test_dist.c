/* SPDX-License-Identifier: MIT */
/* The collectives over ranks that are threads of this process: sums in the order of the ranks,
 * agreement, and names of those that are late or different. */
#include "dist/dist_private.h"

#include <setjmp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RANKS = 3, FLOATS = 1 << 21 | 5 }; /* more than one block of 1 Mi floats, no multiple of 3 */

/* ---- parcels between threads ---- */

typedef struct place {
    pthread_barrier_t *meet;
    const dist_parcel *(*out)[RANKS]; /* what each has put out */
    int rank, silent;                 /* silent: the rank that answers nobody from now on; -1 */
} place;

static gd_status exchange(void *ctx, const dist_parcel *send, const dist_parcel *recv,
                          double seconds, bool *late)
{
    place *p = ctx;

    (void)seconds;
    if (p->silent >= 0) {
        late[p->silent] = true;
        return GD_EFAILED;
    }
    (*p->out)[p->rank] = send;
    pthread_barrier_wait(p->meet);
    for (int q = 0; q < RANKS; q++) {
        const dist_parcel *from = &(*p->out)[q][p->rank];
        if (q == p->rank)
            continue;
        if (from->bytes != recv[q].bytes)
            abort(); /* the ranks do not call the same */
        if (from->bytes > 0)
            memcpy(recv[q].data, from->data, from->bytes);
    }
    pthread_barrier_wait(p->meet);
    return GD_OK;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static const dist_carrier threads = { exchange, nothing, NULL };

typedef struct job {
    place place;
    void (*body)(gd_dist *d, place *p);
} job;

static void *run_rank(void *ctx)
{
    job *j = ctx;
    gd_dist *d;

    if (dist_make(&d, &threads, &j->place, j->place.rank, RANKS) != GD_OK)
        abort();
    j->body(d, &j->place);
    gd_dist_close(d);
    return NULL;
}

static void all_ranks(void (*body)(gd_dist *d, place *p))
{
    const dist_parcel *out[RANKS];
    pthread_barrier_t meet;
    pthread_t thread[RANKS];
    job jobs[RANKS];

    pthread_barrier_init(&meet, NULL, RANKS);
    for (int r = 0; r < RANKS; r++) {
        jobs[r] = (job){ { &meet, &out, r, -1 }, body };
        if (pthread_create(&thread[r], NULL, run_rank, &jobs[r]) != 0)
            abort();
    }
    for (int r = 0; r < RANKS; r++)
        pthread_join(thread[r], NULL);
    pthread_barrier_destroy(&meet);
}

/* cmocka's asserts jump, which threads cannot: what is wrong is said, then the process ends. */
static void check(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "%s; the last message: %s\n", what, gd_error());
    abort();
}

/* ---- tests ---- */

static float value(int rank, int64_t i)
{
    float x;
    gd_noise_normal(&x, 1, 1, (uint64_t)(i % 1000), (uint32_t)rank);
    return x * (float)(1 + i % 7);
}

static void sum(gd_dist *d, place *p)
{
    float *x = malloc(FLOATS * sizeof *x), want[7000];

    for (int i = 0; i < 7000; i++) { /* the period of value() */
        double all = 0;
        for (int r = 0; r < RANKS; r++)
            all += value(r, i);
        want[i] = (float)all;
    }
    for (int i = 0; i < 7000; i++)
        x[i] = value(p->rank, i);
    for (int64_t i = 7000; i < FLOATS; i++)
        x[i] = x[i - 7000];
    check(gd_dist_sum(d, x, FLOATS) == GD_OK, "no sum");
    for (int64_t i = 0; i < FLOATS; i++)
        check(memcmp(&x[i], &want[i % 7000], sizeof *x) == 0, "a sum is not that of the order");
    x[0] = (float)p->rank; /* fewer elements than ranks */
    check(gd_dist_sum(d, x, 1) == GD_OK && x[0] == 3, "a sum of one element");
    free(x);
}

static void sums_are_in_the_order_of_the_ranks(void **state)
{
    (void)state;
    all_ranks(sum);
}

static void share(gd_dist *d, place *p)
{
    const size_t bytes = DIST_BLOCK_BYTES + 17;
    unsigned char *data = calloc(bytes, 1);
    int all[RANKS];

    for (size_t i = 0; i < bytes && p->rank == 0; i++)
        data[i] = (unsigned char)(i * 7 + i / 251);
    check(gd_dist_broadcast(d, data, bytes) == GD_OK, "no broadcast");
    for (size_t i = 0; i < bytes; i++)
        check(data[i] == (unsigned char)(i * 7 + i / 251), "other bytes than rank 0's");
    check(gd_dist_gather(d, &p->rank, sizeof p->rank, all) == GD_OK, "no gather");
    for (int r = 0; r < RANKS; r++)
        check(all[r] == r, "gathered in another order");
    free(data);
}

static void everybody_gets_the_same(void **state)
{
    (void)state;
    all_ranks(share);
}

static void agree(gd_dist *d, place *p)
{
    int flag = p->rank == 1 ? 5 : 2;
    gd_status s = GD_OK;

    check(gd_dist_agree(d, GD_OK, &flag) == GD_OK && flag == 5, "the largest flag");
    check(!gd_dist_agreed(d), "agreed without a failure");
    if (p->rank > 0)
        s = gd_fail(GD_ENOSPACE, "disk of %d is full", p->rank);
    check(gd_dist_agree(d, s, NULL) == GD_ENOSPACE, "the first's status");
    check(strstr(gd_error(), "rank 1 on ") && strstr(gd_error(), "disk of 1 is full"), "its name");
    check(gd_dist_agreed(d) && !gd_dist_agreed(d), "agreed, then forgotten");
    check(gd_dist_agree(d, gd_fail(GD_EUSAGE, "all alike"), NULL) == GD_EUSAGE, "all fail");
    check(strcmp(gd_error(), "all alike") == 0, "nobody is to be named");
}

static void a_failure_of_one_is_one_of_all(void **state)
{
    (void)state;
    all_ranks(agree);
}

static void differ(gd_dist *d, place *p)
{
    char mine[] = "equal";

    gd_dist_step(d, 12);
    check(gd_dist_compare(d, mine, sizeof mine, "the bits", "look") == GD_OK, "equal bytes");
    if (p->rank == 0)
        mine[2] ^= 1;
    check(gd_dist_compare(d, mine, sizeof mine, "the bits", "look") == GD_EFAILED, "a flipped bit");
    check(strncmp(gd_error(), "step 12: the bits of rank 0 (pid ", 33) == 0, "step and rank");
    check(strstr(gd_error(), "differ from those of rank 1 on ") != NULL, "the usual ones");
    check(gd_dist_agreed(d), "all know it");
}

static void the_different_rank_is_named(void **state)
{
    (void)state;
    all_ranks(differ);
}

static void miss(gd_dist *d, place *p)
{
    float x = 1;

    gd_dist_step(d, 7);
    gd_dist_step(d, 8);
    check(gd_dist_median_step(d) > 0, "no time of a step");
    p->silent = 2;
    check(gd_dist_sum(d, &x, 1) == GD_EFAILED, "no deadline");
    check(strstr(gd_error(), "step 8: no answer for 60 s from rank 2 (pid ") != NULL, "its name");
    check(!gd_dist_agreed(d), "a late rank is no agreement");
    p->silent = -1; /* nobody comes back into a job that is broken */
    check(gd_dist_sum(d, &x, 1) == GD_EFAILED && strstr(gd_error(), "step 8"), "goes on");
}

static void the_late_rank_is_named(void **state)
{
    (void)state;
    all_ranks(miss);
}

static void one_rank_needs_nobody(void **state)
{
    gd_dist *d, *none = NULL;
    float x = 2;
    int flag = 3;

    (void)state;
    assert_int_equal(gd_dist_open(&d), GD_OK);
    for (int i = 0; i < 2; i++) {
        gd_dist *one = i ? none : d;
        assert_int_equal(gd_dist_ranks(one), 1);
        assert_int_equal(gd_dist_hosts(one), 1);
        assert_int_equal(gd_dist_ranks_here(one), 1);
        assert_int_equal(gd_dist_sum(one, &x, 1), GD_OK);
        assert_true(x == 2);
        assert_int_equal(gd_dist_agree(one, GD_OK, &flag), GD_OK);
        assert_int_equal(flag, 3);
        assert_int_equal(gd_dist_agree(one, GD_EUSAGE, NULL), GD_EUSAGE);
        assert_true(gd_dist_agreed(one));
        assert_int_equal(gd_dist_compare(one, &x, sizeof x, "", ""), GD_OK);
        gd_dist_step(one, 1);
        gd_dist_allow(one, 1);
        gd_dist_set_deadline(one, 1);
    }
    gd_dist_close(d);
    gd_dist_close(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums_are_in_the_order_of_the_ranks),
                                        cmocka_unit_test(everybody_gets_the_same),
                                        cmocka_unit_test(a_failure_of_one_is_one_of_all),
                                        cmocka_unit_test(the_different_rank_is_named),
                                        cmocka_unit_test(the_late_rank_is_named),
                                        cmocka_unit_test(one_rank_needs_nobody) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
