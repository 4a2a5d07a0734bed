/* SPDX-License-Identifier: MIT */
/* mutate.h - mutants that keep a format's structure: fields and blocks of an input are found, some
 * are edited, and what must agree with the rest (lengths, checksums) is made to agree again, so
 * that the edit is what a reader meets. */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MUTATE_MAX_PARTS = 4096, MUTATE_ROOM = 1 << 20 };

typedef enum mutate_kind {
    MUTATE_LITTLE, /* a little-endian number of 1 to 8 bytes */
    MUTATE_BIG,
    MUTATE_TEXT, /* a token of text: number, string, word */
    MUTATE_BLOCK /* bytes that can go, come twice, or change places with another block */
} mutate_kind;

typedef struct mutate_part {
    size_t at, bytes;
    mutate_kind kind;
} mutate_part;

typedef struct mutate_parts {
    mutate_part part[MUTATE_MAX_PARTS];
    int n;
} mutate_parts;

void mutate_add(mutate_parts *p, size_t at, size_t bytes, mutate_kind kind);

typedef struct mutate_format {
    const char *name; /* of the corpus */
    void (*split)(mutate_parts *p, const uint8_t *data, size_t bytes);
    /* `grown`: how many bytes the input has become longer (it may be negative) in its first part */
    void (*mend)(uint8_t *data, size_t bytes, int64_t grown);
} mutate_format;

/* formats.c; NULL: a format without structure */
const mutate_format *mutate_find(const char *name);

/* mutate.c: data has room for MUTATE_ROOM bytes; how many it holds afterwards.  The same seed makes
 * the same mutant. */
size_t mutate(uint8_t *data, size_t bytes, const mutate_format *format, uint64_t seed);

#endif
