/* SPDX-License-Identifier: MIT */
/* threshold.c - what becomes of the predicted image before a solver uses it.  Dynamic thresholding:
 * Saharia et al. 2022, section 2.3. */
#include "diffusion/diffusion.h"

#include <math.h>

/* Puts the k-th smallest of a[0 .. n) at its index, smaller ones before it (quickselect). */
static void select_kth(double *a, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        const double pivot = a[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                const double t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return;
    }
}

/* Linear between the order statistics around position ratio (n - 1) */
static double quantile(double *a, int64_t n, double ratio)
{
    const double at = ratio * (double)(n - 1);
    const int64_t k = (int64_t)at;
    double next;

    select_kth(a, n, k);
    if (k + 1 >= n)
        return a[k];
    next = a[k + 1];
    for (int64_t i = k + 2; i < n; i++)
        next = a[i] < next ? a[i] : next;
    return a[k] + (at - (double)k) * (next - a[k]);
}

static void clamp(double *x, int64_t n, double limit, double divisor)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (x[i] < -limit ? -limit : x[i] > limit ? limit : x[i]) / divisor;
}

void gd_threshold_image(const gd_threshold *t, double *x0, int64_t n, double *sorted)
{
    double q;

    if (t->kind == GD_THRESHOLD_NONE)
        return;
    if (t->kind == GD_THRESHOLD_CLIP) {
        clamp(x0, n, 1, 1);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x0[i]))
            return; /* the check behind the step reports it */
        sorted[i] = fabs(x0[i]);
    }
    q = quantile(sorted, n, t->ratio);
    q = t->kind == GD_THRESHOLD_DYNAMIC ? fmax(q, t->most) : fmin(fmax(q, 1), t->most);
    clamp(x0, n, q, q);
}
