/* SPDX-License-Identifier: MIT */
/* protocol.h - published references, and what numbers beside them presume. */
#ifndef GD_EVAL_PROTOCOL_H
#define GD_EVAL_PROTOCOL_H

#include "base/base.h"

/* Names are those under which the files are published.  Their hashes were never printed by their
 * authors: a file is known by its name and its shape, and a report says so. */
typedef struct gd_published {
    const char *name;    /* of the file, without folders */
    const char *what;    /* "ADM's ImageNet 256 x 256" */
    const char *dialect; /* whose numbers it belongs to */
    int size;            /* of its images; 0: it holds statistics alone */
    int64_t samples;     /* that published numbers compare with it */
    bool labelled;       /* samples are drawn for all classes alike */
    const char *note;    /* NULL: none */
} gd_published;

/* NULL: no published reference has this name */
const gd_published *gd_published_find(const char *path);

#endif
