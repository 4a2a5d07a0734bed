/* SPDX-License-Identifier: MIT */
/* hash.c - XXH3-128 by libxxhash. */
#define _DEFAULT_SOURCE
#include "base/base.h"

#include <inttypes.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

static uint64_t seed;

static void draw_seed(void)
{
    struct timespec now;

    if (getentropy(&seed, sizeof seed) == 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 16 ^
           (uint64_t)(uintptr_t)&now;
}

uint64_t gd_seeded_hash(const void *data, size_t bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, draw_seed);
    return XXH3_64bits_withSeed(data, bytes, seed);
}

gd_status gd_hasher_make(gd_hasher **out)
{
    XXH3_state_t *state = XXH3_createState();

    *out = (gd_hasher *)state;
    if (!state)
        return gd_fail(GD_ENOMEM, "hash: out of memory");
    XXH3_128bits_reset(state);
    return GD_OK;
}

void gd_hasher_add(gd_hasher *hasher, const void *data, size_t bytes)
{
    XXH3_128bits_update((XXH3_state_t *)hasher, data, bytes);
}

void gd_hasher_text(const gd_hasher *hasher, char text[33])
{
    XXH128_hash_t h = XXH3_128bits_digest((const XXH3_state_t *)hasher);

    snprintf(text, 33, "%016" PRIx64 "%016" PRIx64, h.high64, h.low64);
}

void gd_hasher_free(gd_hasher *hasher)
{
    XXH3_freeState((XXH3_state_t *)hasher);
}
