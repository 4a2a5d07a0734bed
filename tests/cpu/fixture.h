/* SPDX-License-Identifier: MIT */
/* fixture.h - activations with guarded borders, and loops over instruction sets, for the tests of
 * kernels. */
#ifndef TESTS_CPU_FIXTURE_H
#define TESTS_CPU_FIXTURE_H

#include "cpu/cpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct shape {
    int n, c, h, w;
} shape;
extern const shape shapes[]; /* every channel count that a remainder could make interesting */
extern const int n_shapes;

/* Random values in [-2, 2), the same for the same seed; pad lanes zero; free with release */
gd_view make_view(shape s, bool blocked, gd_dtype dtype, unsigned seed);
/* Every element, pads too, is NaN: a kernel must write all of them */
gd_view make_output(shape s, bool blocked, gd_dtype dtype);
gd_view copy_of(const gd_view *v);
void release(gd_view *v); /* fails when a kernel wrote beyond the ends */

/* p: pixel, row by row */
double value(const gd_view *v, int n, int c, int p);
void set_value(gd_view *v, int n, int c, int p, float x);
/* Fails unless lanes beyond the last channel are zero (nChw16c) */
void assert_pads_zero(const gd_view *v);
void assert_same_bits(const gd_view *a, const gd_view *b, const char *what);

float random_unit(unsigned *seed); /* [-1, 1) */
/* |a - b| <= ulps units in the last place of b, or `absolute` more */
void assert_ulps(double a, double b, double ulps, double absolute, const char *what);

/* The kernels of instruction set k (0: plain C), NULL after the last that this machine has */
const gd_kernels *kernels_of(int k);

#endif
