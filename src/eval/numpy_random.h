/* SPDX-License-Identifier: MIT */
/* numpy_random.h - numpy's legacy generator, RandomState, as far as evaluation programs draw with
 * it.  Source: Matsumoto & Nishimura 1998 (MT19937); numpy's legacy-distributions, which are frozen
 * by NEP 19. */
#ifndef GD_EVAL_NUMPY_RANDOM_H
#define GD_EVAL_NUMPY_RANDOM_H

#include "base/base.h"

enum { GD_MT_WORDS = 624 };
typedef struct gd_numpy_random {
    uint32_t state[GD_MT_WORDS];
    int at;
} gd_numpy_random;

/* RandomState(seed) */
void gd_numpy_seed(gd_numpy_random *r, uint32_t seed);
/* permutation(n), n < 2^31.  choice(n, k, replace=False) is its first k. */
void gd_numpy_permutation(gd_numpy_random *r, int32_t *out, int32_t n);

#endif
