/* SPDX-License-Identifier: MIT */
/* mpi_module.h - between mpi_load.c and the module libguided-mpi.so, which is mpi.c alone.
 *
 * Only the module is linked with libmpi: loading that library costs every start a fraction of a
 * second, and one that no launcher started has no use for it.  The module is linked with nothing
 * of guided; what it needs of its loader comes as pointers. */
#ifndef GD_MPI_MODULE_H
#define GD_MPI_MODULE_H

#include "dist/dist_private.h"

typedef struct dist_host {
    gd_status (*fail)(gd_status status, const char *format, ...) GD_PRINTF(2, 3); /* gd_fail */
    double (*seconds)(void);                                                      /* gd_seconds */
} dist_host;

typedef struct dist_joined {
    const dist_carrier *carrier;
    void *ctx; /* of the carrier, whose finish() frees it */
    int rank, ranks;
} dist_joined;

/* The one symbol that the module exports */
typedef struct dist_module {
    char version[32]; /* GUIDED_VERSION: the loader refuses another */
    /* Begins MPI in this process, which `variable` says is one of `launched`.  GD_EUSAGE: MPI
     * finds it alone. */
    gd_status (*join)(dist_joined *out, const dist_host *host, int launched, const char *variable);
} dist_module;
#define DIST_MODULE_FILE "libguided-mpi.so"
#define DIST_MODULE_SYMBOL "guided_mpi"

#endif
