/* SPDX-License-Identifier: MIT */
/* sequence.c - the levels that a solver visits, as the authors' programs list them. */
#include "restore/restore_private.h"

#include <math.h>

/* One walk: counts, and writes where list is not NULL.  RePaint's get_schedule_jump. */
static int64_t walk(int *list, int *left, int n, int length, int repeat)
{
    int64_t count = 0;
    int t = n;

    for (int i = 0; i < n; i++)
        left[i] = i % length == 0 && i < n - length ? repeat - 1 : 0;
    while (t >= 1) {
        t--;
        if (list)
            list[count] = t;
        count++;
        if (left[t] == 0)
            continue;
        left[t]--;
        for (int k = 0; k < length; k++, count++)
            if (++t, list)
                list[count] = t;
    }
    if (list)
        list[count] = -1;
    return count + 1;
}

gd_status gd_jump_list(int **list, int *count, int n, int length, int repeat, gd_arena *mem)
{
    enum { MAX_LENGTH = 1 << 24 };
    int *left = gd_alloc(mem, (size_t)n * sizeof *left);
    int64_t entries;

    if (!left)
        return GD_ENOMEM;
    if (length < 1 || repeat < 1 || (int64_t)n * repeat > MAX_LENGTH)
        return gd_fail(GD_EUSAGE, "jumps of length %d repeated %d times over %d steps", length,
                       repeat, n);
    entries = walk(NULL, left, n, length, repeat);
    *list = gd_alloc(mem, (size_t)entries * sizeof **list);
    if (!*list)
        return GD_ENOMEM;
    *count = (int)walk(*list, left, n, length, repeat);
    return GD_OK;
}

int gd_jump_calls(int n, int length, int repeat)
{
    return n + (repeat - 1) * length * ((GD_MAX(n - length, 0) + length - 1) / length);
}

void gd_quadratic_steps(int *steps, int n, int n_train)
{
    const double square = (double)n_train * n_train, step = n > 1 ? square / (n - 1) : 0;

    for (int k = 0; k < n; k++)
        steps[k] = n_train - 1 - (int)sqrt(k * step);
    if (n > 1)
        steps[n - 1] = 0;
}

double gd_poly7_sigma(int i, int n, double sigma_max, double sigma_min)
{
    const double high = pow(sigma_max, 1. / 7), low = pow(sigma_min, 1. / 7);

    return pow(high + (double)i / n * (low - high), 7);
}

double gd_time_continuous(double sigma)
{
    /* beta(t) = 0.1 + 19.9 t on [0, 1]: log(1 + sigma^2) = 9.95 t^2 + 0.1 t */
    return 999 * (sqrt(0.01 + 39.8 * log1p(sigma * sigma)) - 0.1) / 19.9;
}

double gd_time_interpolated(double sigma, const double *alpha_bar, int n)
{
    int low = 0, high = n - 1;
    const double x = log(sigma);
#define LEVEL(i) (0.5 * log((1 - alpha_bar[i]) / alpha_bar[i]))

    if (x <= LEVEL(0))
        return 0;
    if (x >= LEVEL(n - 1))
        return n - 1;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        *(LEVEL(middle) <= x ? &low : &high) = middle;
    }
    return low + (x - LEVEL(low)) / (LEVEL(high) - LEVEL(low));
#undef LEVEL
}
