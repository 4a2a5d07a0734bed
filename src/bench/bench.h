/* SPDX-License-Identifier: MIT */
/* bench.h - guided bench: measurements of the engine's inside, as one kind of job. */
#ifndef GD_BENCH_JOB_H
#define GD_BENCH_JOB_H

#include "jobs/jobs.h"
#include "nn/bench.h"

GD_CHECKED gd_status bench_metrics(bool json); /* guided bench --metrics */
/* guided bench --accuracy; path NULL: the built-in model */
GD_CHECKED gd_status bench_accuracy(const char *path, int images);
GD_CHECKED gd_status bench_scaling(const char *preset, bool bf16); /* guided bench --scaling */
GD_CHECKED gd_status bench_tune(void);                             /* guided bench --tune */
/* guided bench --train */
GD_CHECKED gd_status bench_train(const char *preset, bool bf16, int batch_size, bool json,
                                 bool profile);
/* Prints the time of every kind and shape of step, then the floor's shapes */
GD_CHECKED gd_status bench_print_profile(const gd_plan *plan, gd_exec *exec, const gd_floor *floor);

#endif
