/* SPDX-License-Identifier: MIT */
/* mpi.c - parcels by MPI: the only file that includes its header, and a module of its own
 * (mpi_module.h).  Point to point and never blocking, so that a rank that does not answer is known
 * by its number. */
#define _GNU_SOURCE
#include "dist/mpi_module.h"

#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct mpi {
    MPI_Comm comm;
    int rank, ranks;
    MPI_Request *request; /* [2 * ranks]: receives, then sends */
} mpi;

static const dist_host *host;

static gd_status fail_mpi(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;

    MPI_Error_string(code, text, &length);
    return host->fail(GD_EFAILED, "MPI: %s: %s", what, text);
}

/* ---- waiting ---- */

/* Test again at once at first: most parcels are there in no time.  Later let others run. */
static void pause_between(double waited)
{
    const double eager = 0.02;
    const struct timespec nap = { 0, 200000 };

    if (waited < eager)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

/* Each by itself: MPI_Testall tells nothing until all are there. */
static void find_late(const mpi *m, bool *late)
{
    for (int i = 0; i < 2 * m->ranks; i++) {
        int done = 0;
        MPI_Test(&m->request[i], &done, MPI_STATUS_IGNORE);
        if (!done)
            late[i % m->ranks] = true;
    }
}

/* Time in which this process itself was suspended does not count: all ranks were, as a rule. */
static gd_status wait_all(const mpi *m, double seconds, bool *late)
{
    const double most_at_once = 1;
    double waited = 0, last = host->seconds();

    for (;;) {
        int done;
        const int code = MPI_Testall(2 * m->ranks, m->request, &done, MPI_STATUSES_IGNORE);
        if (code != MPI_SUCCESS)
            return fail_mpi(code, "a message was lost");
        if (done)
            return GD_OK;
        const double now = host->seconds();
        waited += GD_MIN(now - last, most_at_once);
        last = now;
        if (waited > seconds) {
            find_late(m, late);
            return GD_EFAILED;
        }
        pause_between(waited);
    }
}

static gd_status exchange(void *ctx, const dist_parcel *send, const dist_parcel *recv,
                          double seconds, bool *late)
{
    enum { TAG = 1 };
    const mpi *m = ctx;
    int code = MPI_SUCCESS;

    for (int q = 0; q < 2 * m->ranks; q++)
        m->request[q] = MPI_REQUEST_NULL;
    for (int q = 0; q < m->ranks && code == MPI_SUCCESS; q++)
        if (q != m->rank && recv[q].bytes > 0)
            code = MPI_Irecv(recv[q].data, (int)recv[q].bytes, MPI_BYTE, q, TAG, m->comm,
                             &m->request[q]);
    for (int q = 0; q < m->ranks && code == MPI_SUCCESS; q++)
        if (q != m->rank && send[q].bytes > 0)
            code = MPI_Isend(send[q].data, (int)send[q].bytes, MPI_BYTE, q, TAG, m->comm,
                             &m->request[m->ranks + q]);
    if (code != MPI_SUCCESS)
        return fail_mpi(code, "a message cannot be sent");
    return wait_all(m, seconds, late);
}

/* ---- life ---- */

static void finish(void *ctx)
{
    mpi *m = ctx;

    if (m->comm != MPI_COMM_NULL)
        MPI_Comm_free(&m->comm);
    MPI_Finalize();
    free(m->request);
    free(m);
}

static void end_all(void *ctx, int exit_status)
{
    (void)ctx;
    MPI_Abort(MPI_COMM_WORLD, exit_status);
}

static const dist_carrier carrier = { exchange, finish, end_all };

static gd_status check_world(int launched, const char *variable, int ranks)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;

    if (ranks > 1)
        return GD_OK;
    MPI_Get_library_version(version, &length);
    version[strcspn(version, ",\n")] = '\0';
    return host->fail(
        GD_EUSAGE,
        "%s says %d ranks, but each would be alone: the launcher is not the one of the "
        "MPI library that guided is built with (%s)\nhint: start it with that library's "
        "mpiexec (Slurm: srun --mpi=pmix), or unset %s to run it alone",
        variable, launched, version, variable);
}

static gd_status make_communicator(mpi *m)
{
    int code = MPI_Comm_dup(MPI_COMM_WORLD, &m->comm);

    if (code == MPI_SUCCESS)
        code = MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN);
    return code == MPI_SUCCESS ? GD_OK : fail_mpi(code, "no communicator");
}

static gd_status join(dist_joined *out, const dist_host *loader, int launched, const char *variable)
{
    mpi *m = calloc(1, sizeof *m);
    int provided, code;
    gd_status s;

    host = loader;
    if (!m)
        return host->fail(GD_ENOMEM, "ranks: out of memory");
    m->comm = MPI_COMM_NULL;
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS) {
        free(m);
        return fail_mpi(code, "cannot begin");
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &m->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m->ranks);
    m->request = calloc(2 * (size_t)m->ranks, sizeof *m->request);
    s = m->request ? check_world(launched, variable, m->ranks)
                   : host->fail(GD_ENOMEM, "ranks: out of memory");
    if (s == GD_OK)
        s = make_communicator(m);
    if (s != GD_OK) {
        finish(m);
        return s;
    }
    *out = (dist_joined){ &carrier, m, m->rank, m->ranks };
    return GD_OK;
}

extern const dist_module guided_mpi; /* for the loader, by name */
GUIDED_API const dist_module guided_mpi = { GUIDED_VERSION, join };
