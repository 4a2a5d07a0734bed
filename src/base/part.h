/* SPDX-License-Identifier: MIT */
/* part.h - files that are being written (part.c), for atomic.c. */
#ifndef GD_BASE_PART_H
#define GD_BASE_PART_H

#include "base/base.h"

enum { GD_PART_EXTRA = 64 }; /* bytes that the name of a part is longer than its file's, at most */

/* A new, empty, locked file beside `path`, whose name goes to part[size]; -1: errno has the reason
 */
int gd_part_open(char *part, size_t size, const char *path);
/* gd_part_sweep, once in a process for each folder and kind of name */
void gd_part_sweep_once(const char *path);

#endif
