/* SPDX-License-Identifier: MIT */
/* dist_private.h - between the collectives (dist.c) and what carries their messages. */
#ifndef GD_DIST_PRIVATE_H
#define GD_DIST_PRIVATE_H

#include "dist/dist.h"

/* Messages are at most this long: counts of MPI are int, and buffers stay small. */
enum { DIST_BLOCK_BYTES = 4 << 20 };

typedef struct dist_parcel {
    void *data;
    size_t bytes; /* 0: none */
} dist_parcel;

/* How parcels travel */
typedef struct dist_carrier {
    /* send[q] goes to rank q, recv[q] comes from it ([ranks], own entries are not read).  late:
     * [ranks], all false, set for those whose parcels did not move within `seconds`; then
     * GD_EFAILED without a message, and the parcels may still be in use.  Other failures have a
     * message. */
    gd_status (*exchange)(void *ctx, const dist_parcel *send, const dist_parcel *recv,
                          double seconds, bool *late);
    void (*finish)(void *ctx); /* waits for the others, frees ctx */
    void (*abort)(void *ctx, int exit_status);
} dist_carrier;

/* What every rank tells the others at the beginning */
typedef struct dist_identity {
    char version[32], host[64];
    int64_t pid;
    int cores;    /* that this process may use */
    char set[33]; /* a hash of which */
} dist_identity;

/* What ranks tell each other to agree */
typedef struct dist_note {
    int status, flag;
    char message[1016];
} dist_note;

enum { DIST_PACE = 31 };
struct gd_dist {
    const dist_carrier *carrier; /* NULL: one rank */
    void *ctx;
    int rank, ranks;
    dist_identity *who;       /* [ranks] */
    dist_parcel *send, *recv; /* [ranks] */
    bool *marked;             /* [ranks]: late, or different */
    struct dist_note *notes;  /* [ranks] */
    unsigned char *block;     /* DIST_BLOCK_BYTES and some: what is being summed */
    bool agreed, broken; /* the last failure is that of all ranks; no more messages are exchanged */
    double asked, extra; /* seconds: gd_dist_set_deadline, gd_dist_allow */
    double pace[DIST_PACE]; /* seconds of the last steps */
    int n_pace;             /* steps timed */
    double began;           /* the running step */
    int64_t step;           /* -1: none yet */
};

/* self.c */
GD_CHECKED gd_status dist_self_open(gd_dist **out);
/* mpi_load.c */
GD_CHECKED gd_status dist_mpi_open(gd_dist **out, int launched, const char *variable);
/* dist.c: for carriers.  Takes ctx whatever happens. */
GD_CHECKED gd_status dist_make(gd_dist **out, const dist_carrier *carrier, void *ctx, int rank,
                               int ranks);

#endif
