/* SPDX-License-Identifier: MIT */
/* ranks.c - the ranks of a job, for verbs that run on several ranks. */
#include "jobs/jobs.h"

#include <stdlib.h>
#include <unistd.h>

void job_ranks_settle(gd_dist *d, int threads, int memory_mib)
{
    const size_t machine = gd_machine_bytes();
    const int here = gd_dist_ranks_here(d);

    if (threads || (gd_dist_ranks(d) > 1 && !getenv("OMP_NUM_THREADS")))
        gd_set_threads(threads ? threads : gd_dist_threads(d));
    if (memory_mib || here > 1)
        job_limit_memory(memory_mib ? (size_t)memory_mib << 20 : machine / (size_t)here);
}

void job_ranks_say(const gd_dist *d, int images, const char *of)
{
    const int ranks = gd_dist_ranks(d), hosts = gd_dist_hosts(d);

    if (ranks == 1)
        return;
    gd_log(GD_LOG_NOTE, "%d ranks on %d host%s, %d images of each %s and %d thread%s each", ranks,
           hosts, hosts == 1 ? "" : "s", images, of, gd_threads(), gd_threads() == 1 ? "" : "s");
    if (gd_threads() == 1 && sysconf(_SC_NPROCESSORS_ONLN) > gd_dist_ranks_here(d))
        gd_log(GD_LOG_NOTE,
               "hint: the launcher binds each rank to one core; mpiexec --bind-to none, or "
               "--map-by slot:PE=K for K threads each, lets them use more");
}

gd_status job_ranks_leave(gd_dist *d, gd_status s)
{
    const int rank = gd_dist_rank(d);

    if (s != GD_OK && !gd_dist_agreed(d)) {
        gd_context("rank %d on %s", rank, gd_dist_host(d, rank));
        gd_log(GD_LOG_ERROR, "%s", gd_error());
        gd_dist_abort(d, gd_exit_status(s));
    }
    gd_dist_close(d);
    return s != GD_OK && rank > 0 ? gd_fail(s, "%s", "") : s;
}
