/* SPDX-License-Identifier: MIT */
/* peak.c - the machine's multiply-add rate, measured in registers: what a kernel can reach at most,
 * today, on this machine. */
#include "cpu/conv.h"
#include "cpu/machine.h"

enum { LOOPS = 20000, REPEATS = 20, MAX_THREADS = 1024 };

/* Plain C: products and sums of four floats */
static float multiply_and_add(int loops)
{
    typedef float four __attribute__((vector_size(16)));
    const four a = 0.5f - (four){ 0 }, b = 1e-3f - (four){ 0 };
    four s[PEAK_CHAINS / 2];
    float sum = 0;

    for (int i = 0; i < PEAK_CHAINS / 2; i++)
        s[i] = (float)i - (four){ 0 };
    for (int k = 0; k < 2 * loops; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < PEAK_CHAINS / 2; i++)
            s[i] = s[i] * a + b;
    }
    for (int i = 0; i < PEAK_CHAINS / 2; i++)
        sum += s[i][0] + s[i][1] + s[i][2] + s[i][3];
    return sum;
}

typedef struct peak_job {
    float (*run)(int loops);
    volatile float *sink; /* [threads]: the sums are not optimised away */
} peak_job;

static void run_one(void *ctx, int64_t i)
{
    const peak_job *job = ctx;
    job->sink[i] = job->run(LOOPS);
}

double gd_peak_macs(gd_dtype dtype)
{
    machine_peak m = machine_peak_of(gd_isa_used(), dtype);
    const int threads = GD_MIN(gd_threads(), MAX_THREADS);
    volatile float sink[MAX_THREADS];
    double best = 0;

    if (!m.run)
        m = (machine_peak){ multiply_and_add, 4 };
    for (int r = 0; r < REPEATS; r++) {
        const double start = gd_seconds();
        gd_par(threads, run_one, &(peak_job){ m.run, sink });
        best =
            GD_MAX(best, (double)LOOPS * PEAK_CHAINS * m.macs * threads / (gd_seconds() - start));
    }
    return best;
}
