/* SPDX-License-Identifier: MIT */
/* numpy_random.c - MT19937 and the shuffle of RandomState. */
#include "eval/numpy_random.h"

enum { WORDS = GD_MT_WORDS, MIDDLE = 397 };

void gd_numpy_seed(gd_numpy_random *r, uint32_t seed)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        r->state[i] = seed;
        seed = 1812433253u * (seed ^ (seed >> 30)) + i + 1;
    }
    r->at = WORDS;
}

static void refill(gd_numpy_random *r)
{
    uint32_t *s = r->state;

    for (int i = 0; i < WORDS; i++) {
        const uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % WORDS] & 0x7fffffffu);
        s[i] = s[(i + MIDDLE) % WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    r->at = 0;
}

static uint32_t next(gd_numpy_random *r)
{
    if (r->at == WORDS)
        refill(r);
    uint32_t y = r->state[r->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* From 0 to most, both possible: bits under the mask, until they are not above */
static uint32_t interval(gd_numpy_random *r, uint32_t most)
{
    uint32_t mask = most, value;

    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do
        value = next(r) & mask;
    while (value > most);
    return value;
}

void gd_numpy_permutation(gd_numpy_random *r, int32_t *out, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        out[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        const uint32_t j = interval(r, (uint32_t)i);
        const int32_t kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}
