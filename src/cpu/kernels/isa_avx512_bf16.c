/* SPDX-License-Identifier: MIT */
/* isa_avx512_bf16.c - the kernels compiled for AVX-512 with products of bfloat16. */
#define GD_KERNELS gd_kernels_avx512_bf16
#define GD_VECTOR_LANES 16
#define GD_PANEL_VECTORS 4 /* attention.inc */
#define GD_HAS_PAIRS

#include "cpu/kernels/all.inc"
