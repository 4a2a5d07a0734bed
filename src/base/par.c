/* SPDX-License-Identifier: MIT */
/* par.c - the threads of a computation: each thread that computes has a team of workers, made when
 * it first needs them.
 *
 * Why not OpenMP's: its threads wait by spinning for milliseconds and every region ends when the
 * last thread has come.  On a machine that others use, too, a thread that is not running then holds
 * up all others, and those burn the time that it needs.  Here
 *
 * A region ends when its work is done.  Work is claimed in chunks: each thread begins with a share
 * of its own, always the same one, so that it finds in its cache what it has written before, and
 * then takes what remains of the others' shares.  A thread that comes late finds nothing to do, and
 * no thread waits for it.
 *
 * Waiting threads spin for a bounded time and then sleep.  A worker that loses its core to another
 * process, or is late to wake, has seen that the machine is shared: then the team hardly spins for
 * a while, so that a core is free for the thread that is waited for.
 *
 * A region costs 1 to 2 microseconds.  In a forked child there are no workers, and the thread that
 * computes does all the work itself. */
#include "base/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    MAX_THREADS = 1024, /* fits in THREAD_BITS */
    CHUNKS = 8,         /* of a share, at most */
    LINE = 64,          /* bytes; what different threads write lies on lines of its own */
    LOOKS = 32,         /* at the word waited for, between two looks at the clock */
    PATIENCE = 64,      /* looks until a thread helps one that is at work */
    THREAD_BITS = 11,   /* of a region's word */
    CHUNK_BITS = 16,    /* of a share's word, twice */
    CHUNK_MASK = (1 << CHUNK_BITS) - 1
};

static const double SPIN = 2e-3;         /* seconds until a waiting thread sleeps */
static const double SPIN_SHARED = 5e-6;  /* the same where the machine is shared */
static const double SHARED_FOR = 100e-3; /* so long after a worker has lost its core */
static const double SHARED_FROM = 0.1;   /* part of its time, from which it has lost it */
static const double LOOK_EVERY = 5e-3;   /* for that */
static const double LATE = 500e-6;       /* from waking a worker until it runs: its core is taken */

/* From the low bits on: chunks that no thread has claimed; chunks at the start; the region's
 * number, so that a claim for an earlier region fails */
typedef struct share {
    alignas(LINE) _Atomic uint64_t word;
} share;

typedef struct team team;

typedef struct worker {
    team *team;
    int index; /* its share; the thread that computes has share 0 */
    pthread_t thread;
} worker;

struct team {
    /* The region: written by the thread that computes while no chunk is out, read after a claim */
    void (*fn)(void *ctx, int64_t i);
    void *ctx;
    int64_t n;
    int threads;
    uint32_t number;

    alignas(LINE) _Atomic uint32_t region; /* number and threads; no threads: the team ends */
    alignas(LINE) _Atomic uint32_t out;    /* chunks that are not done */
    alignas(LINE) _Atomic int asleep;      /* workers */
    _Atomic bool leader_asleep;
    _Atomic double woken, shared_until; /* the workers; on gd_seconds()' clock */

    int size, n_workers; /* threads that there are shares for; workers that could be started */
    share *share;        /* [size] */
    worker *worker;      /* [size] */
};

/* Of the calling thread */
static _Thread_local struct {
    team *team;
    int threads;               /* 0: as many as the machine offers */
    bool inside;               /* a region */
    gd_forecast *forecast;     /* NULL: regions are run by the team */
    bool works;                /* a worker */
    double looked, cpu, slept; /* a worker's last look for other processes: when, the CPU seconds
                                  used until then, and the seconds slept since */
} my;

static pthread_key_t leaving;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- waiting ---- */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void note_others(team *t, double now)
{
    atomic_store_explicit(&t->shared_until, now + SHARED_FOR, memory_order_relaxed);
}

/* A worker computes, spins or sleeps, and knows how long it slept: what is missing then, it was
 * ready to run and did not. */
static void look_for_others(team *t, double now)
{
    const double cpu = gd_thread_seconds(), span = now - my.looked;
    const double lost = span - my.slept - (cpu - my.cpu);

    if (lost > SHARED_FROM * span)
        note_others(t, now);
    my.looked = now;
    my.cpu = cpu;
    my.slept = 0;
}

/* Until (*word == value) == wanted; false: it took too long, sleep */
static bool spin(team *t, const _Atomic uint32_t *word, uint32_t value, bool wanted)
{
    double begun = 0;

    for (;;) {
        for (int i = 0; i < LOOKS; i++) {
            if ((atomic_load_explicit(word, memory_order_acquire) == value) == wanted)
                return true;
            relax();
        }
        const double now = gd_seconds();
        if (begun == 0) {
            begun = now;
            if (my.works && now - my.looked > LOOK_EVERY)
                look_for_others(t, now);
        }
        const bool is_shared = now < atomic_load_explicit(&t->shared_until, memory_order_relaxed);
        if (now - begun > (is_shared ? SPIN_SHARED : SPIN))
            return false;
    }
}

/* The words are stored and the sleepers counted sequentially consistent: either the sleeper sees
 * the word or who stores it sees the sleeper. */
static void wait_for_end(team *t)
{
    if (spin(t, &t->out, 0, true))
        return;
    atomic_store(&t->leader_asleep, true);
    for (uint32_t out; (out = atomic_load(&t->out)) != 0;)
        gd_sleep_on(&t->out, out);
    atomic_store(&t->leader_asleep, false);
}

static uint32_t wait_for_region(team *t, uint32_t seen)
{
    if (!spin(t, &t->region, seen, false)) {
        const double before = gd_seconds();
        atomic_fetch_add(&t->asleep, 1);
        while (atomic_load(&t->region) == seen)
            gd_sleep_on(&t->region, seen);
        atomic_fetch_sub(&t->asleep, 1);
        const double now = gd_seconds();
        my.slept += now - before;
        if (now - atomic_load_explicit(&t->woken, memory_order_relaxed) > LATE)
            note_others(t, now);
    }
    return atomic_load(&t->region);
}

static void publish(team *t, int threads)
{
    atomic_store(&t->region, ++t->number << THREAD_BITS | (uint32_t)threads);
    if (atomic_load(&t->asleep) == 0)
        return;
    atomic_store_explicit(&t->woken, gd_seconds(), memory_order_relaxed);
    gd_wake(&t->region);
}

/* ---- working ---- */

static int64_t share_begin(const team *t, int k)
{
    return k * (t->n / t->threads) + k * (t->n % t->threads) / t->threads;
}

static int chunks_of(const team *t, int k)
{
    return (int)GD_MIN(share_begin(t, k + 1) - share_begin(t, k), CHUNKS);
}

static int left_of(uint64_t word)
{
    return (int)(word & CHUNK_MASK);
}

static bool is_untouched(uint64_t word)
{
    return left_of(word) > 0 && left_of(word) == left_of(word >> CHUNK_BITS);
}

/* Returns how many chunks were left, this one among them; 0: none.  A claimed chunk keeps the
 * region as it is until it is done. */
static int claim(share *s)
{
    uint64_t was = atomic_load_explicit(&s->word, memory_order_relaxed);

    while (left_of(was) > 0)
        if (atomic_compare_exchange_weak_explicit(&s->word, &was, was - 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return left_of(was);
    return 0;
}

static void run_chunk(const team *t, int k, int left)
{
    const int64_t first = share_begin(t, k), length = share_begin(t, k + 1) - first;
    const int chunks = chunks_of(t, k), c = chunks - left;
    const int64_t end = first + (c + 1) * length / chunks;

    for (int64_t i = first + c * length / chunks; i < end; i++)
        t->fn(t->ctx, i);
}

/* What can be claimed of share k; returns how many chunks that were */
static uint32_t run_share(const team *t, int k)
{
    uint32_t done = 0;

    for (int left; (left = claim(&t->share[k])) > 0; done++)
        run_chunk(t, k, left);
    return done;
}

static void finish(team *t, uint32_t chunks)
{
    if (chunks > 0 && atomic_fetch_sub(&t->out, chunks) == chunks && atomic_load(&t->leader_asleep))
        gd_wake(&t->out);
}

static bool any_left(const team *t, int threads)
{
    for (int k = 0; k < threads; k++)
        if (left_of(atomic_load_explicit(&t->share[k].word, memory_order_relaxed)) > 0)
            return true;
    return false;
}

/* First its own share, then those that no thread has begun: their threads are late.  A share that
 * is being worked on is left to its thread for a moment, because what lies in that one's cache
 * would have to move. */
static void take_part(team *t, int self, int threads)
{
    uint32_t done;

    my.inside = true;
    done = run_share(t, self);
    for (int i = 1; i < threads; i++) {
        const int k = (self + i) % threads;
        if (is_untouched(atomic_load_explicit(&t->share[k].word, memory_order_relaxed)))
            done += run_share(t, k);
    }
    finish(t, done);
    for (int i = 0; i < PATIENCE && any_left(t, threads); i++)
        relax();
    done = 0;
    for (int i = 1; i < threads; i++)
        done += run_share(t, (self + i) % threads);
    finish(t, done);
    my.inside = false;
}

static void *work(void *arg)
{
    const worker *w = arg;
    uint32_t region = 0;

    my.works = true;
    my.looked = gd_seconds();
    my.cpu = gd_thread_seconds();
    /* The first region may be there before the worker: it has a number other than 0. */
    for (;;) {
        region = wait_for_region(w->team, region);
        const int threads = (int)(region & ((1u << THREAD_BITS) - 1));
        if (threads == 0)
            return NULL;
        if (w->index < threads)
            take_part(w->team, w->index, threads);
    }
}

/* ---- teams ---- */

static void team_free(void *arg)
{
    team *t = arg;

    if (!t)
        return;
    publish(t, 0);
    for (int i = 1; i <= t->n_workers; i++)
        pthread_join(t->worker[i].thread, NULL);
    free(t->worker);
    free(t->share);
    free(t);
}

/* Signals are for the program's own threads.  A worker that cannot be started is done without. */
static void start_workers(team *t)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 1; i < t->size; i++) {
        t->worker[i] = (worker){ .team = t, .index = i };
        if (pthread_create(&t->worker[i].thread, NULL, work, &t->worker[i]) != 0)
            break;
        t->n_workers = i;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* NULL: out of memory */
static team *team_make(int size)
{
    team *t = aligned_alloc(LINE, sizeof *t);
    share *s = aligned_alloc(LINE, (size_t)size * sizeof *s);
    worker *w = calloc((size_t)size, sizeof *w);

    if (!t || !s || !w) {
        free(t);
        free(s);
        free(w);
        return NULL;
    }
    *t = (team){ .size = size, .share = s, .worker = w };
    for (int i = 0; i < size; i++)
        atomic_init(&s[i].word, 0);
    start_workers(t);
    return t;
}

/* The child has none of the workers. */
static void forget_team(void)
{
    my.team = NULL;
    pthread_setspecific(leaving, NULL);
}

static void set_up(void)
{
    pthread_key_create(&leaving, team_free);
    pthread_atfork(NULL, NULL, forget_team);
}

static team *team_of(int threads)
{
    if (my.team && my.team->size >= threads)
        return my.team;
    pthread_once(&once, set_up);
    team_free(my.team);
    my.team = team_make(threads);
    pthread_setspecific(leaving, my.team);
    return my.team;
}

/* ---- what others see ---- */

int gd_threads(void)
{
    if (my.inside)
        return 1;
    if (my.threads == 0)
        my.threads = GD_MIN(gd_get_machine()->threads, MAX_THREADS);
    return my.threads;
}

void gd_set_threads(int n)
{
    my.threads = GD_MIN(GD_MAX(n, 1), MAX_THREADS);
}

static uint64_t share_word(const team *t, int k)
{
    const uint64_t chunks = (uint64_t)chunks_of(t, k);

    return (uint64_t)(t->number + 1) << (2 * CHUNK_BITS) | chunks << CHUNK_BITS | chunks;
}

static void run_region(team *t, int64_t n, void (*fn)(void *ctx, int64_t i), void *ctx, int threads)
{
    uint32_t chunks = 0;

    t->fn = fn;
    t->ctx = ctx;
    t->n = n;
    t->threads = threads;
    for (int k = 0; k < threads; k++)
        chunks += (uint32_t)chunks_of(t, k);
    atomic_store_explicit(&t->out, chunks, memory_order_relaxed);
    for (int k = 0; k < threads; k++)
        atomic_store_explicit(&t->share[k].word, share_word(t, k), memory_order_release);
    publish(t, threads);
    take_part(t, 0, threads);
    wait_for_end(t);
}

/* ---- a forecast ---- */

void gd_set_forecast(gd_forecast *forecast)
{
    my.forecast = forecast;
}

/* Each chunk to the thread that is free first, the first chunks of all shares before the second */
static void forecast_region(gd_forecast *f, team *t)
{
    static const double REGION = 2e-6; /* seconds to begin and end one */
    const double begun = gd_seconds();
    double busy[MAX_THREADS] = { 0 }, most = 0;

    my.inside = true;
    for (int c = 0; c < CHUNKS; c++)
        for (int k = 0; k < t->threads; k++) {
            int first = 0;
            if (c >= chunks_of(t, k))
                continue;
            const double start = gd_seconds();
            run_chunk(t, k, chunks_of(t, k) - c);
            const double taken = gd_seconds() - start;
            for (int i = 1; i < t->threads; i++)
                first = busy[i] < busy[first] ? i : first;
            busy[first] += taken;
            most = GD_MAX(most, busy[first]);
            f->work += taken;
        }
    my.inside = false;
    f->regions++;
    f->predicted += most + REGION;
    f->spent += gd_seconds() - begun;
}

void gd_par(int64_t n, void (*fn)(void *ctx, int64_t i), void *ctx)
{
    const int threads = (int)GD_MIN(gd_threads(), n);

    if (threads > 1 && my.forecast) {
        forecast_region(my.forecast, &(team){ .fn = fn, .ctx = ctx, .n = n, .threads = threads });
        return;
    }
    team *t = threads > 1 ? team_of(threads) : NULL;
    if (t) {
        run_region(t, n, fn, ctx, threads);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        fn(ctx, i);
}

#ifdef _OPENMP
int gd_set_openmp_threads(int n)
{
    const int before = omp_get_max_threads();

    if (before != n)
        omp_set_num_threads(n);
    return before;
}
#else
int gd_set_openmp_threads(int n)
{
    return n;
}
#endif
