/* SPDX-License-Identifier: MIT */
/* dry_run.c - memory and time of a run, computed from the plans of its networks without running
 * them. */
#include "jobs/jobs.h"
#include "cpu/conv.h"

/* Assumed share of the multiply-add peak that a network reaches.  The estimate is rough, and too
 * short for small networks, which spend their time outside products. */
static const double REACHED = 0.6;

static void print_time(double seconds)
{
    if (seconds < 120)
        fprintf(job_out(), "time        about %.2g s", seconds);
    else if (seconds < 7200)
        fprintf(job_out(), "time        about %.0f min", seconds / 60);
    else
        fprintf(job_out(), "time        about %.1f h", seconds / 3600);
}

gd_status job_dry_run(const job_load *load, int n, int64_t images, bool bf16)
{
    double macs = 0, bytes = 0;
    const double peak = gd_peak_macs(bf16 ? GD_BF16 : GD_F32);

    for (int i = 0; i < n; i++) {
        gd_model_cost c;
        GD_TRY(gd_model_get_cost(&c, load[i].model, bf16));
        const double once = c.gradient_macs > 0 ? c.gradient_macs : c.forward_macs;
        fprintf(job_out(),
                "%s\n  parameters  %lld\n  calls       %d per image, %.3f GMACs each\n"
                "  memory      %.1f MiB weights, %.1f MiB activations\n",
                gd_model_path(load[i].model), (long long)gd_model_parameters(load[i].model),
                load[i].calls, once * 1e-9, (double)c.weights_bytes / 1048576,
                (double)c.activations_bytes / 1048576);
        macs += once * load[i].calls;
        bytes += (double)(c.weights_bytes + c.activations_bytes);
    }
    fprintf(job_out(), "memory      about %.0f MiB\n", bytes / 1048576);
    print_time(macs * (double)images / (REACHED * peak));
    fprintf(job_out(), " for %lld image%s (%.0f GFLOP/s peak, %d threads)\n", (long long)images,
            images == 1 ? "" : "s", 2e-9 * peak, gd_threads());
    return GD_OK;
}

int job_stage_load(const gd_stage *stage, job_load load[2])
{
    const int calls = gd_stage_calls(stage);

    load[0] = (job_load){ stage->model, calls };
    load[1] = (job_load){ stage->classifier, calls };
    return stage->classifier ? 2 : 1;
}
