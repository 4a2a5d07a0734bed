/* SPDX-License-Identifier: MIT */
/* dist.c - collectives of parcels from each rank to each: who waits for whom is known, and the
 * order of every sum is ours. */
#define _GNU_SOURCE
#include "dist/dist_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- deadlines ---- */

static const double least_deadline = 60, first_deadline = 600, steps_late = 10; /* seconds, steps */

double gd_dist_median_step(const gd_dist *d)
{
    const int n = d ? GD_MIN(d->n_pace, DIST_PACE) : 0;
    double sorted[DIST_PACE];

    if (n == 0)
        return 0;
    memcpy(sorted, d->pace, (size_t)n * sizeof *sorted);
    return gd_median(sorted, n);
}

static double deadline(const gd_dist *d)
{
    const double paced = GD_MAX(least_deadline, steps_late * gd_dist_median_step(d));
    const double steady = d->asked > 0 ? d->asked : paced;

    return d->extra + (d->n_pace > 0 ? steady : GD_MAX(steady, first_deadline));
}

void gd_dist_set_deadline(gd_dist *d, double seconds)
{
    if (d)
        d->asked = seconds;
}

void gd_dist_step(gd_dist *d, int64_t step)
{
    const double now = gd_seconds();

    if (!d)
        return;
    if (d->step >= 0)
        d->pace[d->n_pace++ % DIST_PACE] = now - d->began;
    d->step = step;
    d->began = now;
}

void gd_dist_allow(gd_dist *d, double seconds)
{
    if (d)
        d->extra += seconds;
}

/* ---- parcels ---- */

/* The marked ranks as text: "rank 1 (pid 77 on b), rank 3 (...)" */
static void list_ranks(const gd_dist *d, char *text, size_t bytes)
{
    enum { MAX_NAMED = 4 };
    int n = 0;
    size_t at = 0;

    text[0] = '\0';
    for (int q = 0; q < d->ranks && at < bytes; q++) {
        const dist_identity *w = &d->who[q];
        if (!d->marked[q] || ++n > MAX_NAMED)
            continue;
        at += (size_t)snprintf(text + at, bytes - at, "%srank %d", n > 1 ? ", " : "", q);
        if (*w->host && at < bytes)
            at += (size_t)snprintf(text + at, bytes - at, " (pid %lld on %s)", (long long)w->pid,
                                   w->host);
    }
    if (n > MAX_NAMED && at < bytes)
        snprintf(text + at, bytes - at, " and %d more", n - MAX_NAMED);
}

/* All ranks detect it at the same time: the first of them reports it and aborts the others. */
static void let_first_report(const gd_dist *d)
{
    const int64_t ms = GD_MIN(50 * (int64_t)d->rank, 2000);
    const struct timespec nap = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&nap, NULL);
}

static gd_status exchange(gd_dist *d)
{
    const double seconds = deadline(d);
    char names[512], step[40] = "at the beginning";
    gd_status s;

    if (d->broken) /* the message is still there */
        return GD_EFAILED;
    memset(d->marked, 0, (size_t)d->ranks * sizeof *d->marked);
    s = d->carrier->exchange(d->ctx, d->send, d->recv, seconds, d->marked);
    d->extra = 0;
    if (s == GD_OK)
        return s;
    d->broken = true;
    list_ranks(d, names, sizeof names);
    if (!*names)
        return s;
    let_first_report(d);
    if (d->step >= 0)
        snprintf(step, sizeof step, "step %lld", (long long)d->step);
    return gd_fail(GD_EFAILED,
                   "%s: no answer for %.0f s from %s\nhint: the ranks continue from the last "
                   "checkpoint with --resume; --deadline SECONDS waits longer",
                   step, seconds, names);
}

/* ---- collectives ---- */

typedef struct summing {
    float *out;         /* this rank's piece */
    const float *piece; /* [ranks][n]: all ranks' but its own */
    int64_t n;
    int rank, ranks;
} summing;

enum { SUM_GRAIN = 4096 };

static void add_pieces(void *ctx, int64_t part)
{
    const summing *s = ctx;
    const int64_t end = GD_MIN((part + 1) * SUM_GRAIN, s->n);

    for (int64_t i = part * SUM_GRAIN; i < end; i++) {
        double sum = 0;
        for (int q = 0; q < s->ranks; q++)
            sum += q == s->rank ? s->out[i] : s->piece[q * s->n + i];
        s->out[i] = (float)sum;
    }
}

/* Piece q of n elements begins here; each rank sums one. */
static int64_t begin_of(const gd_dist *d, int64_t n, int q)
{
    return n * q / d->ranks;
}

/* Every rank's piece to all others, which have room for it in x */
static gd_status share_pieces(gd_dist *d, unsigned char *x, int64_t n, size_t size, bool root_knows)
{
    const size_t mine = (size_t)begin_of(d, n, d->rank) * size,
                 end = (size_t)begin_of(d, n, d->rank + 1) * size;

    for (int q = 0; q < d->ranks; q++) {
        const size_t from = (size_t)begin_of(d, n, q) * size,
                     to = (size_t)begin_of(d, n, q + 1) * size;
        d->send[q] = (dist_parcel){ x + mine, root_knows && q == 0 ? 0 : end - mine };
        d->recv[q] = (dist_parcel){ x + from, root_knows && d->rank == 0 ? 0 : to - from };
    }
    return exchange(d);
}

static gd_status sum_block(gd_dist *d, float *x, int64_t n)
{
    const int64_t mine = begin_of(d, n, d->rank), count = begin_of(d, n, d->rank + 1) - mine;
    float *piece = (float *)d->block;
    summing s = { x + mine, piece, count, d->rank, d->ranks };

    for (int q = 0; q < d->ranks; q++) {
        const int64_t from = begin_of(d, n, q), to = begin_of(d, n, q + 1);
        d->send[q] = (dist_parcel){ x + from, (size_t)(to - from) * sizeof *x };
        d->recv[q] = (dist_parcel){ piece + q * count, (size_t)count * sizeof *x };
    }
    GD_TRY(exchange(d));
    gd_par((count + SUM_GRAIN - 1) / SUM_GRAIN, add_pieces, &s);
    return share_pieces(d, (unsigned char *)x, n, sizeof *x, false);
}

gd_status gd_dist_sum(gd_dist *d, float *x, int64_t n)
{
    const int64_t most = DIST_BLOCK_BYTES / (int64_t)sizeof *x;

    for (int64_t at = 0; at < n && gd_dist_ranks(d) > 1; at += most)
        GD_TRY(sum_block(d, x + at, GD_MIN(most, n - at)));
    return GD_OK;
}

gd_status gd_dist_gather(gd_dist *d, const void *mine, size_t bytes, void *all)
{
    const int rank = gd_dist_rank(d);

    memmove((char *)all + (size_t)rank * bytes, mine, bytes);
    if (gd_dist_ranks(d) == 1)
        return GD_OK;
    for (int q = 0; q < d->ranks; q++) {
        d->send[q] = (dist_parcel){ (char *)all + (size_t)rank * bytes, bytes };
        d->recv[q] = (dist_parcel){ (char *)all + (size_t)q * bytes, bytes };
    }
    return exchange(d);
}

/* Rank 0 sends each rank a piece, then the ranks exchange pieces: no link carries all data. */
static gd_status broadcast_block(gd_dist *d, unsigned char *x, int64_t n)
{
    for (int q = 0; q < d->ranks; q++) {
        const int64_t from = begin_of(d, n, q), to = begin_of(d, n, q + 1);
        d->send[q] = (dist_parcel){ x + from, d->rank == 0 ? (size_t)(to - from) : 0 };
        d->recv[q] = (dist_parcel){ NULL, 0 };
    }
    if (d->rank > 0) {
        const int64_t from = begin_of(d, n, d->rank), to = begin_of(d, n, d->rank + 1);
        d->recv[0] = (dist_parcel){ x + from, (size_t)(to - from) };
    }
    GD_TRY(exchange(d));
    return share_pieces(d, x, n, 1, true);
}

gd_status gd_dist_broadcast(gd_dist *d, void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes && gd_dist_ranks(d) > 1; at += DIST_BLOCK_BYTES)
        GD_TRY(broadcast_block(d, (unsigned char *)data + at,
                               (int64_t)GD_MIN((size_t)DIST_BLOCK_BYTES, bytes - at)));
    return GD_OK;
}

/* ---- agreement ---- */

static gd_status agree_on(gd_dist *d, const dist_note *all, int *flag)
{
    int first = -1, same = 0;

    for (int q = d->ranks - 1; q >= 0; q--)
        if (all[q].status != GD_OK)
            first = q;
    for (int q = 0; q < d->ranks; q++) {
        if (flag)
            *flag = GD_MAX(*flag, all[q].flag);
        same += first >= 0 && strcmp(all[q].message, all[first].message) == 0;
    }
    d->agreed = first >= 0;
    if (first < 0)
        return GD_OK;
    const gd_status s = gd_fail((gd_status)all[first].status, "%s", all[first].message);
    if (first > 0 && same < d->ranks)
        gd_context("rank %d on %s", first, gd_dist_host(d, first));
    return s;
}

gd_status gd_dist_agree(gd_dist *d, gd_status status, int *flag)
{
    dist_note mine = { (int)status, flag ? *flag : 0, "" };

    if (gd_dist_ranks(d) == 1)
        return status;
    if (status != GD_OK)
        snprintf(mine.message, sizeof mine.message, "%s", gd_error());
    GD_TRY(gd_dist_gather(d, &mine, sizeof mine, d->notes));
    return agree_on(d, d->notes, flag);
}

bool gd_dist_agreed(gd_dist *d)
{
    const bool agreed = gd_dist_ranks(d) == 1 || d->agreed;

    if (d)
        d->agreed = false;
    return agreed;
}

/* The bytes that most ranks have; of two equally frequent, those of the lower rank */
static int most_frequent(const unsigned char *all, size_t bytes, int ranks)
{
    int best = 0, most = 0;

    for (int q = 0; q < ranks; q++) {
        int n = 0;
        for (int k = 0; k < ranks; k++)
            n += memcmp(all + (size_t)q * bytes, all + (size_t)k * bytes, bytes) == 0;
        if (n > most) {
            most = n;
            best = q;
        }
    }
    return best;
}

gd_status gd_dist_compare(gd_dist *d, const void *mine, size_t bytes, const char *what,
                          const char *hint)
{
    const unsigned char *all = d ? (unsigned char *)d->notes : NULL;
    char names[512];

    if (gd_dist_ranks(d) == 1)
        return GD_OK;
    GD_TRY(gd_dist_gather(d, mine, bytes, d->notes));
    const int usual = most_frequent(all, bytes, d->ranks);
    for (int q = 0; q < d->ranks; q++)
        d->marked[q] = memcmp(all + (size_t)q * bytes, all + (size_t)usual * bytes, bytes) != 0;
    list_ranks(d, names, sizeof names);
    if (!*names)
        return GD_OK;
    d->agreed = true;
    const gd_status s = gd_fail(GD_EFAILED, "%s of %s differ from those of rank %d on %s", what,
                                names, usual, d->who[usual].host);
    if (d->step >= 0)
        gd_context("step %lld", (long long)d->step);
    gd_detail("hint: %s", hint);
    return s;
}

/* ---- who ---- */

int gd_dist_rank(const gd_dist *d)
{
    return d ? d->rank : 0;
}

int gd_dist_ranks(const gd_dist *d)
{
    return d ? d->ranks : 1;
}

const char *gd_dist_host(const gd_dist *d, int rank)
{
    return d->who[rank].host;
}

int gd_dist_ranks_here(const gd_dist *d)
{
    int n = 0;

    for (int q = 0; q < gd_dist_ranks(d); q++)
        n += !d || strcmp(d->who[q].host, d->who[d->rank].host) == 0;
    return n;
}

int gd_dist_hosts(const gd_dist *d)
{
    int n = 0;

    for (int q = 0; q < gd_dist_ranks(d); q++) {
        int k = 0;
        while (d && k < q && strcmp(d->who[q].host, d->who[k].host) != 0)
            k++;
        n += k == q || !d;
    }
    return n;
}

int gd_dist_threads(const gd_dist *d)
{
    const dist_identity *me;
    int sharing = 0;

    if (gd_dist_ranks(d) == 1)
        return gd_threads();
    me = &d->who[d->rank];
    for (int q = 0; q < d->ranks; q++)
        sharing += strcmp(d->who[q].host, me->host) == 0 && strcmp(d->who[q].set, me->set) == 0;
    return GD_MAX(me->cores / sharing, 1);
}

static gd_status introduce(gd_dist *d)
{
    dist_identity me = { .version = GUIDED_VERSION, .pid = getpid() };
    enum { MAX_CPUS = 4096 };
    int cpu[MAX_CPUS];
    gd_hasher *h;

    gethostname(me.host, sizeof me.host - 1);
    me.cores = gd_affinity(cpu, MAX_CPUS);
    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, cpu, (size_t)me.cores * sizeof *cpu);
    gd_hasher_text(h, me.set);
    gd_hasher_free(h);
    GD_TRY(gd_dist_gather(d, &me, sizeof me, d->who));
    return gd_dist_compare(d, me.version, sizeof me.version, "the versions of guided",
                           "install the same on all hosts");
}

/* ---- life ---- */

static gd_status make(gd_dist *d)
{
    const size_t n = (size_t)d->ranks;

    d->who = calloc(n, sizeof *d->who);
    d->notes = calloc(n, sizeof *d->notes);
    d->send = calloc(n, sizeof *d->send);
    d->recv = calloc(n, sizeof *d->recv);
    d->marked = calloc(n, sizeof *d->marked);
    if (!d->who || !d->notes || !d->send || !d->recv || !d->marked)
        return gd_fail(GD_ENOMEM, "ranks: out of memory");
    if (n > 1)
        GD_TRY(gd_block_make(&d->block, DIST_BLOCK_BYTES + n * sizeof(float), "what is summed"));
    return introduce(d);
}

gd_status dist_make(gd_dist **out, const dist_carrier *carrier, void *ctx, int rank, int ranks)
{
    gd_dist *d = calloc(1, sizeof *d);
    gd_status s;

    if (!d) {
        if (carrier)
            carrier->finish(ctx);
        return gd_fail(GD_ENOMEM, "ranks: out of memory");
    }
    *d = (gd_dist){ .carrier = carrier, .ctx = ctx, .rank = rank, .ranks = ranks, .step = -1 };
    s = make(d);
    if (s == GD_OK) {
        *out = d;
        return s;
    }
    if (!d->agreed) /* no rank to wait for: the launcher ends a job that a rank leaves */
        d->carrier = NULL;
    gd_dist_close(d);
    return s;
}

gd_status gd_dist_open(gd_dist **out)
{
    const gd_launch l = gd_dist_launched();

    if (l.ranks <= 1)
        return dist_self_open(out);
#ifdef GUIDED_MPI
    return dist_mpi_open(out, l.ranks, l.variable);
#else
    return gd_fail(GD_EUSAGE,
                   "%s says %d ranks, but this guided was built without MPI\nhint: build it with "
                   "Open MPI's headers (libopenmpi-dev), or unset %s to run it alone",
                   l.variable, l.ranks, l.variable);
#endif
}

void gd_dist_close(gd_dist *d)
{
    if (!d)
        return;
    if (d->carrier)
        d->carrier->finish(d->ctx);
    free(d->who);
    free(d->notes);
    free(d->send);
    free(d->recv);
    free(d->marked);
    gd_block_free(d->block);
    free(d);
}

void gd_dist_abort(gd_dist *d, int exit_status)
{
    if (d && d->carrier)
        d->carrier->abort(d->ctx, exit_status);
}
