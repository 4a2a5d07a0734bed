/* SPDX-License-Identifier: MIT */
/* arena.c - memory: growing arenas for small structures, single blocks for big ones, one account
 * for both. */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024, ALIGN = 16, BLOCK_HEADER = 64 };

static _Atomic size_t held, limit;
static _Atomic uint64_t allocations;
static _Atomic uint64_t fail_at, failed; /* tests: the allocation to fail, 0 = off; how many did */
static bool fail_persist;

void gd_set_memory_limit(size_t bytes)
{
    limit = bytes;
}

size_t gd_memory_limit(void)
{
    const gd_settings *own = gd_used_settings();

    return own ? own->memory_limit : limit;
}

size_t gd_memory_held(void)
{
    return held;
}

uint64_t gd_allocation_count(void)
{
    return allocations;
}

uint64_t gd_fail_allocation(uint64_t k, bool persist)
{
    fail_persist = persist;
    fail_at = k;
    return atomic_exchange(&failed, 0);
}

/* Any thread may come here: the k-th request of all of them fails, and with `persist` the rest. */
static bool made_to_fail(void)
{
    uint64_t left = fail_at;

    while (left > 1 && !atomic_compare_exchange_weak(&fail_at, &left, left - 1))
        ;
    if (left != 1 || (!fail_persist && !atomic_compare_exchange_strong(&fail_at, &left, 0)))
        return false;
    failed++;
    return true;
}

static bool over_limit(size_t bytes)
{
    const size_t most = gd_memory_limit();

    return most > 0 && (bytes > most || held > most - bytes);
}

/* Count an allocation; false when it may not be. */
static bool account(size_t bytes)
{
    if (made_to_fail() || over_limit(bytes))
        return false;
    allocations++;
    held += bytes;
    return true;
}

/* ---- arenas ---- */

typedef struct chunk chunk;
struct chunk {
    chunk *next;
    size_t bytes, used; /* of data, which begins ALIGN-aligned after this header */
};

struct gd_arena {
    chunk *first;
};

static size_t header_bytes(void)
{
    return (sizeof(chunk) + ALIGN - 1) / ALIGN * ALIGN;
}

static chunk *new_chunk(size_t bytes)
{
    chunk *c;

    if (!account(bytes))
        return NULL;
    c = calloc(1, header_bytes() + bytes);
    if (!c) {
        held -= bytes;
        return NULL;
    }
    c->bytes = bytes;
    return c;
}

gd_status gd_arena_make(gd_arena **out)
{
    gd_arena *arena = calloc(1, sizeof *arena);

    if (!arena || made_to_fail()) {
        free(arena);
        return gd_fail(GD_ENOMEM, "out of memory");
    }
    *out = arena;
    return GD_OK;
}

void gd_arena_free(gd_arena *arena)
{
    if (!arena)
        return;
    for (chunk *c = arena->first, *next; c; c = next) {
        next = c->next;
        held -= c->bytes;
        free(c);
    }
    free(arena);
}

void *gd_alloc(gd_arena *arena, size_t bytes)
{
    const size_t need = bytes > SIZE_MAX - 2 * CHUNK_BYTES
                            ? SIZE_MAX
                            : (GD_MAX(bytes, 1) + ALIGN - 1) / ALIGN * ALIGN;
    chunk *c = arena->first;

    if (!c || c->bytes - c->used < need) {
        c = need == SIZE_MAX ? NULL : new_chunk(GD_MAX(need, CHUNK_BYTES));
        if (!c) {
            gd_status ignored = gd_fail(GD_ENOMEM, "out of memory: %zu bytes", bytes);
            (void)ignored;
            return NULL;
        }
        c->next = arena->first;
        arena->first = c;
    }
    c->used += need;
    return (unsigned char *)c + header_bytes() + c->used - need;
}

char *gd_strdup(gd_arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = gd_alloc(arena, bytes);

    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *gd_sprintf(gd_arena *arena, const char *format, ...)
{
    va_list ap;
    int n;
    char *text;

    va_start(ap, format);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    text = gd_alloc(arena, (size_t)n + 1);
    if (!text)
        return NULL;
    va_start(ap, format);
    vsnprintf(text, (size_t)n + 1, format, ap);
    va_end(ap);
    return text;
}

/* ---- blocks ---- */

/* Zeros, from a boundary of HUGE bytes on if there are as many: the kernel backs whole huge pages
 * only, and what lies in small ones costs a walk through the page tables every 4 KiB.  NULL: none
 */
static unsigned char *map_zeros(size_t total)
{
    enum { HUGE = 2 << 20 };
    const size_t spare = total >= HUGE && total <= SIZE_MAX - HUGE ? HUGE : 0;
    unsigned char *base =
        mmap(NULL, total + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return NULL;
    const size_t before = spare ? (HUGE - (uintptr_t)base % HUGE) % HUGE : 0;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), end = (total + page - 1) / page * page;
    if (before > 0)
        munmap(base, before);
    if (before < spare)
        munmap(base + before + end, spare - before);
    gd_prefer_huge_pages(base + before, total);
    return base + before;
}

/* NULL, with the message recorded */
static void *no_block(const char *what, const char *why, size_t bytes)
{
    gd_status recorded = gd_fail(GD_ENOMEM, "%s: %s %.1f MiB (limit %.1f MiB, 0 = none)", what, why,
                                 (double)bytes / 1048576.0, (double)gd_memory_limit() / 1048576.0);

    (void)recorded;
    return NULL;
}

/* The mapping's size stands in the 64 bytes before the block. */
void *gd_block(size_t bytes, const char *what)
{
    const size_t total = bytes > SIZE_MAX - BLOCK_HEADER ? SIZE_MAX : bytes + BLOCK_HEADER;
    unsigned char *base;

    if (total == SIZE_MAX || !account(total))
        return no_block(what, "no memory for", bytes);
    base = map_zeros(total);
    if (!base) {
        held -= total;
        return no_block(what, "the system has no memory for", bytes);
    }
    memcpy(base, &total, sizeof total);
    return base + BLOCK_HEADER;
}

void gd_block_free(void *block)
{
    unsigned char *base;
    size_t total;

    if (!block)
        return;
    base = (unsigned char *)block - BLOCK_HEADER;
    memcpy(&total, base, sizeof total);
    held -= total;
    munmap(base, total);
}
