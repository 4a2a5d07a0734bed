/* SPDX-License-Identifier: MIT */
/* records_private.h - what the files of src/records share. */
#ifndef GD_RECORDS_PRIVATE_H
#define GD_RECORDS_PRIVATE_H

#include "records/records.h"

enum {
    RECORDS_PATH = 4400,
    RECORDS_PAGE = 4096, /* the text at the file's head; the states are padded to it */
    RECORD_HASH = 32,    /* hex digits */
    RECORDS_FOOT = 64,   /* bytes behind the recipe at the file's end */
    RECORDS_SLOT = 128   /* bytes of FOLDER/lock for each process: "pid N on HOST", a newline, at
                            the end what alive.c writes; locked while the process lives */
};

/* Begins each record; numbers are little-endian */
typedef struct record_head {
    int64_t image, label;
    char hash[RECORD_HASH]; /* XXH3-128 of the run's hash, image, label, pixels */
} record_head;

struct gd_records {
    char folder[4096], path[RECORDS_PATH]; /* path: of gd_records_path */
    char *recipe;                          /* block */
    char id[33];                           /* hash of the recipe */
    gd_records_layout layout;
    int lock_fd, fd; /* -1: not open */
    bool share;
    uint64_t pixels, stride, records_at; /* bytes: of all parts, of a record; the first record */
    int64_t next;                        /* every image before it has its record */
    int64_t claimed, claimed_end;        /* indices of the images that are this process's */
    int slot;                            /* of FOLDER/lock */
    struct {
        uint64_t beats;       /* written so far */
        double beaten;        /* time of the last */
        bool waiting;         /* the slot reports that this process has no image */
        double looked, quiet; /* time of the last look at other slots; since when they are equal */
        char seen[33];        /* hash of what they held */
    } alive;
    bool unsynced;
    double synced;         /* time of the last fsync */
    unsigned char *record; /* block: one record */
    int64_t loaded;        /* the whole record that `record` holds, or -1 */
};

/* ---- folder.c ---- */

/* Locks of FOLDER/lock beyond any byte that it has */
enum { RECORDS_SETUP = 1, RECORDS_PACKING = 2 };
/* Without waiting; *taken false: another has it */
GD_CHECKED gd_status records_try_lock(gd_records *r, int which, bool *taken);
void records_unlock(gd_records *r, int which);

/* The text of slot k, and whether its process lives; false behind the last slot.  Not for the own.
 */
bool records_read_slot(gd_records *r, int k, char text[RECORDS_SLOT + 1], bool *alive);

/* ---- alive.c ---- */

/* This process has images to make, or packs: its slot reports no more that it waits. */
GD_CHECKED gd_status records_work_begins(gd_records *r);

GD_CHECKED gd_status records_hash_text(const char *text, char hash[33]);

/* ---- rescue.c ---- */

uint64_t records_file_bytes(const gd_records *r); /* of the whole record file */
/* What stands behind the recipe at the end of the record file */
void records_make_foot(const gd_records *r, char foot[RECORDS_FOOT]);
/* The recipe at the end of FOLDER/samples.records, a block; NULL where it is not whole */
GD_CHECKED gd_status records_stored_recipe(char **text, const char *folder);
/* The recipe of the run, a block: run.json, or what the record file has where they differ
 * (*damaged: run.json is to be written again).  GD_EFORMAT when there is neither. */
GD_CHECKED gd_status records_true_recipe(char **text, bool *damaged, const char *folder);
/* The head `found` is not this run's: damage, or another run (GD_EFORMAT).  With `write` head and
 * end are written again, and every record that verifies counts. */
GD_CHECKED gd_status records_rescue_head(gd_records *r, const char found[RECORDS_PAGE], bool write);

/* ---- file.c ---- */

void records_measure(gd_records *r); /* the sizes that follow from the layout */
GD_CHECKED gd_status records_create(gd_records *r);
GD_CHECKED gd_status records_open(gd_records *r, int flags);
/* Index i into r->record; *whole false: not done, or damaged */
GD_CHECKED gd_status records_load(gd_records *r, int64_t i, bool *whole);
GD_CHECKED gd_status records_mark(gd_records *r, int64_t i, unsigned char state);
GD_CHECKED gd_status records_mark_made(gd_records *r, int64_t i);
/* Whether record i is whole, whatever its state; then r->record holds it */
GD_CHECKED gd_status records_check(gd_records *r, int64_t i, bool *whole);
/* Head, and recipe at the end, of an open file: it has its whole size then */
GD_CHECKED gd_status records_write_ends(gd_records *r);
const char *records_path(gd_records *r, const char *name); /* FOLDER/NAME */
GD_CHECKED gd_status records_fail(gd_records *r, const char *name);

#endif
