/* SPDX-License-Identifier: MIT */
/* isa_avx512_amx.c - the kernels compiled for AVX-512 with tiles of bfloat16. */
#define GD_KERNELS gd_kernels_avx512_amx
#define GD_VECTOR_LANES 16
#define GD_PANEL_VECTORS 4 /* attention.inc */
#define GD_HAS_TILES

#include "cpu/kernels/all.inc"
