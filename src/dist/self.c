/* SPDX-License-Identifier: MIT */
/* self.c - a job of one rank, and whether a launcher says that there are more. */
#include "dist/dist_private.h"

#include <stdlib.h>

/* Open MPI, MPICH and its kin, MVAPICH, Slurm's srun (of the step: a batch script that srun did not
 * start is one process, however many tasks its job has) */
static const struct {
    const char *ranks, *rank, *here;
} launchers[] = {
    { "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE" },
    { "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS" },
    { "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_SIZE" },
    { "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_TASKS_PER_NODE" },
};

static int number(const char *variable)
{
    const char *text = getenv(variable);
    const long n = text ? strtol(text, NULL, 10) : 0;

    return (int)GD_MAX(GD_MIN(n, INT32_MAX), 0);
}

gd_launch gd_dist_launched(void)
{
    for (int i = 0; i < COUNT(launchers); i++)
        if (number(launchers[i].ranks) > 1)
            return (gd_launch){ number(launchers[i].rank), number(launchers[i].ranks),
                                number(launchers[i].here), launchers[i].ranks };
    return (gd_launch){ 0, 1, 1, NULL };
}

gd_status dist_self_open(gd_dist **out)
{
    return dist_make(out, NULL, NULL, 0, 1);
}
