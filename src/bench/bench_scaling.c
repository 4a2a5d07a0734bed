/* SPDX-License-Identifier: MIT */
/* bench_scaling.c - guided bench --scaling: how a forward pass would scale to more threads than
 * there are cores, by running the chunks of every region one after the other (gd_set_forecast). */
#include "bench/bench.h"
#include "nn/nn.h"

typedef struct row {
    double seconds, serial; /* of a forward pass; outside regions */
    int64_t regions;
} row;

/* The fastest of some passes: another process can only lengthen one. */
static void forecast(row *r, gd_exec *exec)
{
    enum { RUNS = 3 };

    gd_exec_run(exec); /* warm */
    for (int i = 0; i < RUNS; i++) {
        gd_forecast f = { 0 };
        gd_set_forecast(&f);
        const double start = gd_seconds();
        gd_exec_run(exec);
        const double serial = gd_seconds() - start - f.spent, seconds = serial + f.predicted;
        gd_set_forecast(NULL);
        if (i == 0 || seconds < r->seconds)
            *r = (row){ seconds, serial, f.regions };
    }
}

static double measure(gd_exec *exec)
{
    enum { RUNS = 5 };
    double seconds[RUNS];

    for (int i = 0; i < RUNS; i++) {
        const double start = gd_seconds();
        gd_exec_run(exec);
        seconds[i] = gd_seconds() - start;
    }
    return gd_median(seconds, RUNS);
}

/* threads: of plan and forecast */
static gd_status one_row(row *r, double *measured, const gd_model *m, bool bf16, int threads)
{
    const gd_net_size size = gd_net_natural_size(&gd_model_get_config(m)->net, 1);
    const bool guides = gd_model_get_config(m)->net.kind == GD_NET_CLASSIFIER;
    gd_runner *runner;

    gd_set_threads(threads);
    GD_TRY(gd_runner_make(&runner, m, &size, guides, bf16, threads));
    forecast(r, gd_runner_exec(runner));
    *measured = threads <= gd_get_machine()->cores ? measure(gd_runner_exec(runner)) : 0;
    gd_runner_free(runner);
    return GD_OK;
}

static gd_status print_rows(const gd_model *m, bool bf16)
{
    double measured, alone = 0;
    row r;

    fprintf(job_out(),
            "threads  forecast  measured  speedup  efficiency  regions  outside regions\n");
    for (int threads = 1; threads <= 64; threads *= 2) {
        GD_TRY(gd_check_stop());
        GD_TRY(one_row(&r, &measured, m, bf16, threads));
        alone = threads == 1 ? r.seconds : alone;
        fprintf(job_out(), "%7d  %6.4f s  ", threads, r.seconds);
        if (measured > 0)
            fprintf(job_out(), "%6.4f s", measured);
        else
            fprintf(job_out(), "%8s", "");
        fprintf(job_out(), "  %7.2f  %10.2f  %7lld  %9.2f ms\n", alone / r.seconds,
                alone / r.seconds / threads, (long long)r.regions,
                threads == 1 ? 0 : r.serial * 1e3);
        fflush(job_out());
    }
    return GD_OK;
}

gd_status bench_scaling(const char *preset, bool bf16)
{
    gd_model_config c;
    gd_model *m;
    gd_status s;

    GD_TRY(gd_preset_config(&c, preset));
    GD_TRY(gd_model_create(&m, &c, 0, true));
    fprintf(job_out(), "%s %s\n", preset, bf16 ? "bf16" : "fp32");
    s = print_rows(m, bf16);
    gd_model_close(m);
    return s;
}
