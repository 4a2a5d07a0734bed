/* SPDX-License-Identifier: MIT */
/* kernels.h - shared by select.c and the isa_*.c: the tables, and the size of attention's scratch.
 */
#ifndef GD_CPU_KERNELS_H
#define GD_CPU_KERNELS_H

#include "cpu/kernels/conv_jobs.h"

extern const gd_kernels gd_kernels_c, gd_kernels_neon, gd_kernels_sse41, gd_kernels_avx2,
    gd_kernels_avx512, gd_kernels_avx512_bf16, gd_kernels_avx512_amx;

/* ldtilecfg's operand: every tile register has 16 rows of 64 bytes */
typedef struct gd_tile_shape {
    uint8_t palette, start_row, zero[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} gd_tile_shape;
extern const gd_tile_shape gd_whole_tiles;

/* Largest block of columns and of rows that any ISA's attention works on (attention.inc) */
enum { GD_ATTENTION_COLUMNS = 64, GD_ATTENTION_ROWS = 24 };

/* Tokens with room for whole blocks of both */
static inline int64_t gd_attention_padded(int64_t tokens)
{
    const int64_t columns = (tokens + GD_ATTENTION_COLUMNS - 1) / GD_ATTENTION_COLUMNS;
    const int64_t rows = (tokens + GD_ATTENTION_ROWS - 1) / GD_ATTENTION_ROWS;

    return GD_MAX(columns * GD_ATTENTION_COLUMNS, rows * GD_ATTENTION_ROWS);
}

/* Into how many chunks the backward cuts the keys of a head, so that many threads have work where
 * heads are few */
static inline int gd_attention_chunks(int heads, int tokens)
{
    enum { PARTS_WANTED = 16, MAX_CHUNKS = 4 };
    const int spans = (tokens + GD_ATTENTION_COLUMNS - 1) / GD_ATTENTION_COLUMNS;

    return GD_MIN(GD_MIN(spans, MAX_CHUNKS), (PARTS_WANTED + heads - 1) / heads);
}

#endif
