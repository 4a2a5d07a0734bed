/* SPDX-License-Identifier: MIT */
/* serve.h - guided serve: jobs over HTTP, with a page for browsers.  A client of <guided.h>, like
 * the command: one process, one port, one job at a time.  docs/http.md is the interface. */
#ifndef GD_SERVE_H
#define GD_SERVE_H

#include "base/base.h"

typedef struct serve_options {
    const char *listen;        /* an address; NULL: 127.0.0.1 */
    int port;                  /* 0: a free one */
    const char *state;         /* the folder of jobs and uploads; NULL: the user's state folder */
    const char *folders;       /* that jobs may use, with commas between; NULL: none */
    const char *token;         /* NULL: drawn where `listen` is given, none otherwise */
    int threads;               /* of a job; 0: the default */
    int upload_mib;            /* the largest upload */
    bool (*stop_wanted)(void); /* looked at once a second */
} serve_options;

/* Serves until stop_wanted(); the running job is then interrupted, and begins again with the next
 * server on the same state folder.  Prints the page's address on standard output.  GD_EUSAGE: an
 * address or a folder that cannot be; GD_EFAILED: libmicrohttpd is missing, or another server uses
 * the state folder; GD_EIO: the port is taken. */
GD_CHECKED gd_status serve_run(const serve_options *options);

#endif
