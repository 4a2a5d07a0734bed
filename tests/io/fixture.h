/* SPDX-License-Identifier: MIT */
/* fixture.h - files for the tests of src/io: temporary ones, the reference ones, made ones. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "io/io_private.h"

/* A growing piece of memory, to make files in; free(bytes.data) */
typedef struct bytes {
    unsigned char *data;
    size_t n;
} bytes;
void put(bytes *to, const void *data, size_t n);
void put_many(bytes *to, const void *data, size_t n, long times);
void put_text(bytes *to, const char *text);
void put_number(bytes *to, uint64_t value, int n); /* little-endian */

bytes read_file(const char *path);
void write_file(const char *path, bytes content);

/* PATH of a name in a fresh folder that is removed at exit; static buffer */
const char *temporary(const char *name);
/* PATH below the reference data; skips the test when it is absent; static buffer */
const char *reference(const char *name);

/* A zip archive of stored entries with right checksums, made entry by entry */
typedef struct archive {
    bytes body, directory;
    int n;
} archive;
void add_entry(archive *a, const char *name, const void *data, size_t n);
bytes finish_archive(archive *a);
/* The same with one deflated entry */
bytes deflated_archive(const char *name, const void *data, size_t n);

/* A small file of our own, by gd_safetensors_*: F32 [2,3] "w", I64 [2] "steps", U8 [0] "none" */
bytes make_own(void);

/* A safetensors file with this header and so much data, counting up from 0 */
bytes make_safetensors(const char *header, size_t data_bytes);

/* Open from memory; GD_OK or the failure, with nothing left open in either case */
gd_status try_open(bytes file, bool flat);
/* Open and read every array; the same */
gd_status try_read(bytes file, bool flat);

/* Open and read; hashes of what was found */
typedef struct digest {
    char names[33], shapes[33], values[33]; /* shapes: with types */
} digest;
gd_status try_digest(bytes file, bool flat, digest *out);

/* Peak resident memory of this process so far */
size_t peak_bytes(void);

/* Seconds that a file may take to be refused: 1, or GUIDED_PATIENCE, which an emulator needs */
double patience(void);

#endif
