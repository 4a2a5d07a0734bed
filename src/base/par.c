/* par.c - OpenMP, oneDNN's own runtime: one parallel region per call, contiguous ranges.  The only
 * file that knows it; a build without OpenMP (fuzzing by clang) has one thread. */
#include "base/base.h"

#ifdef _OPENMP
#include <omp.h>

int gd_threads(void)
{
    return omp_in_parallel() ? 1 : omp_get_max_threads();
}

void gd_set_threads(int n)
{
    omp_set_num_threads(GD_MAX(n, 1));
}

void gd_par(int64_t n, void (*fn)(void *ctx, int64_t i), void *ctx)
{
    if (n <= 1 || omp_in_parallel() || omp_get_max_threads() == 1) {
        for (int64_t i = 0; i < n; i++)
            fn(ctx, i);
        return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        fn(ctx, i);
}

#else

int gd_threads(void)
{
    return 1;
}

void gd_set_threads(int n)
{
    (void)n;
}

void gd_par(int64_t n, void (*fn)(void *ctx, int64_t i), void *ctx)
{
    for (int64_t i = 0; i < n; i++)
        fn(ctx, i);
}

#endif
