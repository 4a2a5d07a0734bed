/* launcher.c - was this process started by mpiexec or srun, beside others? */
#include "cli/maker.h"

#include <stdlib.h>

/* Open MPI; MPICH and others by PMI; Slurm.  Names: their manuals. */
static const struct {
    const char *size, *rank, *local;
} launchers[] = {
    { "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE" },
    { "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS" },
    { "SLURM_NTASKS", "SLURM_PROCID", "SLURM_NTASKS_PER_NODE" },
};

static int number(const char *name)
{
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

cli_launch cli_launched(void)
{
    for (int i = 0; i < COUNT(launchers); i++)
        if (number(launchers[i].size) > 1 && getenv(launchers[i].rank))
            return (cli_launch){ number(launchers[i].rank), number(launchers[i].size),
                                 number(launchers[i].local) };
    return (cli_launch){ 0, 1, 1 };
}
