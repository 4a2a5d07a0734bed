/* SPDX-License-Identifier: MIT */
/* dist.h - collective work of the ranks of a job, on one machine or many.
 *
 * Layer contract: sees base only; mpi.c alone knows MPI, is built as a module and loaded under a
 * launcher only (mpi_load.c); self.c is a job of one rank without it.  Every function but
 * gd_dist_abort is collective: all ranks call it in the same order with the same sizes.  A NULL
 * gd_dist is a job of one rank, whose collectives do nothing.
 *
 * No call waits for ever: a rank that does not answer within the deadline is GD_EFAILED, with rank,
 * host and step named.  What a job computes depends on the number of ranks, not on timing: sums
 * are made in the order of the ranks.  See docs/reliability.md. */
#ifndef GD_DIST_H
#define GD_DIST_H

#include "base/base.h"

typedef struct gd_dist gd_dist;

/* What the environment variables state about this process, before MPI is loaded: whether a launcher
 * (mpiexec, srun) started it as one of several.  One rank otherwise, and no variable. */
typedef struct gd_launch {
    int rank, ranks, ranks_here; /* here: on this machine, 0 when the launcher does not say */
    const char *variable;        /* that holds `ranks` */
} gd_launch;
gd_launch gd_dist_launched(void);

/* Joins the job when a launcher (mpiexec, srun) started this process as one of several; otherwise
 * one rank, and MPI is not loaded.  GD_EUSAGE: the launcher belongs to another MPI library, this
 * program is built without it, or its module is missing; GD_EMISMATCH: ranks of other versions. */
GD_CHECKED gd_status gd_dist_open(gd_dist **out);
/* The end of an orderly job; waits for the others.  NULL is fine. */
void gd_dist_close(gd_dist *d);
/* Ends all ranks at once with this exit status: after a failure that only this rank knows.  Does
 * not return where there are several. */
void gd_dist_abort(gd_dist *d, int exit_status);

int gd_dist_rank(const gd_dist *d); /* 0 .. ranks-1 */
int gd_dist_ranks(const gd_dist *d);
const char *gd_dist_host(const gd_dist *d, int rank);
int gd_dist_ranks_here(const gd_dist *d); /* on this rank's host */
int gd_dist_hosts(const gd_dist *d);
/* Threads for this rank: the cores it may use, divided among the ranks that may use the same. */
int gd_dist_threads(const gd_dist *d);

/* ---- deadlines ---- */

/* Seconds a rank may be late; 0: ten times the median step, at least 60.  Before the second step
 * (files are read, kernels made) at least 600. */
void gd_dist_set_deadline(gd_dist *d, double seconds);
/* A step begins: named in messages, and the time since the last one goes into the median. */
void gd_dist_step(gd_dist *d, int64_t step);
/* One rank does more than the others before the next call: its deadline is extended by this. */
void gd_dist_allow(gd_dist *d, double seconds);
double gd_dist_median_step(const gd_dist *d); /* seconds; 0 before the second step */

/* ---- collectives ---- */

/* x[i] becomes the sum of all ranks' x[i], added in double in the order of the ranks. */
GD_CHECKED gd_status gd_dist_sum(gd_dist *d, float *x, int64_t n);
/* all: [ranks][bytes], every rank's `mine` in the order of the ranks */
GD_CHECKED gd_status gd_dist_gather(gd_dist *d, const void *mine, size_t bytes, void *all);
/* Rank 0's data, broadcast to all ranks */
GD_CHECKED gd_status gd_dist_broadcast(gd_dist *d, void *data, size_t bytes);
/* GD_OK when `status` is GD_OK on all ranks.  Otherwise every rank fails as the first that failed,
 * with its message ("rank 1 on host: " before it, unless all say the same).  *flag (may be NULL)
 * becomes the largest of all ranks'. */
GD_CHECKED gd_status gd_dist_agree(gd_dist *d, gd_status status, int *flag);
/* Whether the failure of the last call is one that all ranks have: then rank 0 reports it and no
 * rank has to be aborted.  The call clears the flag.  Always true with one rank. */
bool gd_dist_agreed(gd_dist *d);
/* All ranks fail with GD_EFAILED, which names the ranks whose bytes (at most 1024) are not those of
 * most ranks: "step 7: WHAT of rank 1 (...) differ from ...", and the hint. */
GD_CHECKED gd_status gd_dist_compare(gd_dist *d, const void *mine, size_t bytes, const char *what,
                                     const char *hint);

#endif
