/* fixture.h - small arrays and processes for the tests of the diffusion layer. */
#ifndef TESTS_DIFFUSION_FIXTURE_H
#define TESTS_DIFFUSION_FIXTURE_H

#include "diffusion/diffusion.h"

enum { PIXELS = 48 }; /* elements of an image, channels included */

/* Repeatable numbers in [-scale, scale) */
void fixture_fill(float *out, int64_t n, float scale, unsigned seed);
/* Largest |a - b| */
double fixture_distance(const float *a, const float *b, int64_t n);
gd_schedule *fixture_schedule(const char *kind, const char *spacing);

#endif
