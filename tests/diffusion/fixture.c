#include "fixture.h"

#include <math.h>
#include <stdlib.h>

void fixture_fill(float *out, int64_t n, float scale, unsigned seed)
{
    uint32_t s = seed * 2654435761u + 1;

    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        out[i] = ((float)(s >> 8) / (1 << 23) - 1) * scale;
    }
}

double fixture_distance(const float *a, const float *b, int64_t n)
{
    double worst = 0;

    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        worst = d <= worst ? worst : d; /* NaN shows */
    }
    return worst;
}

gd_schedule *fixture_schedule(const char *kind, const char *spacing)
{
    gd_schedule *s;

    if (gd_schedule_make(&s, kind, 1000, spacing, false) != GD_OK)
        abort();
    return s;
}
