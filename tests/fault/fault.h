/* SPDX-License-Identifier: MIT */
/* fault.h - make the k-th request to the system fail, for every k, and hold a command to its word:
 * the right exit status and a reason, nothing lost, nothing half written, nothing kept, and the
 * next run in the same process works (SQLite's loop).
 *
 * A failure prints the body, the fault and k, which reproduce it: FAULT_BODY, FAULT_KIND and
 * FAULT_FROM choose them. FAULT_ALL=1 tries every k where the short form passes some over. */
#ifndef FAULT_H
#define FAULT_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- arm.c: what fails ---- */

typedef enum fault_where {
    FAULT_MEMORY, /* arenas and blocks of base/ */
    FAULT_HEAP,   /* heap.c: malloc and friends in our code and in the file libraries */
    FAULT_CALL,   /* an entry of the table of system calls returns `error` */
    FAULT_SHORT,  /* reads and writes move half of what was asked */
    FAULT_EXIT    /* the process ends at the call, as by kill -9 */
} fault_where;

typedef struct fault {
    const char *name;
    fault_where where;
    int error;
    bool harmless;    /* the command must not even notice */
    const char *only; /* NULL: any system call, else the one of this name */
} fault;

extern const fault fault_of_memory[], fault_of_calls[];
extern const int fault_of_memory_count, fault_of_calls_count;
enum { FAULT_EXIT_STATUS = 77 };

/* The k-th from now fails, k >= 1; persist: those after it too (EINTR: every other). */
void fault_arm(const fault *f, int64_t k, bool persist);
/* How many failed */
int64_t fault_disarm(void);
/* Requests seen since fault_arm, and the name of the last call that failed */
int64_t fault_seen(void);
const char *fault_last_call(void);

/* heap.c: asked by each allocation; arm.c: the answer */
bool fault_strikes_heap(const void *caller);

/* ---- body.c: commands on a tiny model, 8 x 8 pixels ---- */

enum { FAULT_MAX_FILES = 8 };
typedef struct fault_body {
    const char *name;
    const char *line;                    /* the command line, words with single spaces */
    const char *output[FAULT_MAX_FILES]; /* absent after a failure, or as a clean run makes them */
    const char *scratch;                 /* removed before each run: file or folder */
    const char *begin_from;              /* folder that is copied to `scratch` before each run */
    const char *kept[FAULT_MAX_FILES];   /* there, and unchanged, whatever fails */
} fault_body;
extern const fault_body fault_bodies[];
extern const int fault_body_count;

int fault_make_folder(void **state); /* a temporary folder with the bodies' files; current */
int fault_remove_folder(void **state);
void fault_prepare(const fault_body *body);
guided_context *fault_context(void);   /* that fault_run runs in */
gd_status fault_run(const char *line); /* without output to the terminal */
/* The file's hash; "" where there is none */
void fault_hash(char text[33], const char *path);
void fault_remove(const char *path);
void fault_copy(const char *from, const char *to);
int fault_open_files(void);

/* ---- loop.c ---- */
/* every: of the k behind the first 20, each one in so many; 1 all */
void fault_loop(const fault_body *body, const fault *f, bool persist, int every);
int fault_breaches(void); /* how many were found, and printed, since the last call */

#endif
