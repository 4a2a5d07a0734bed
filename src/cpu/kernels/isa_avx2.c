/* SPDX-License-Identifier: MIT */
/* isa_avx2.c - the kernels compiled for AVX2 with FMA. */
#define GD_KERNELS gd_kernels_avx2
#define GD_VECTOR_LANES 8
#define GD_PANEL_VECTORS 2 /* attention.inc */

#include "cpu/kernels/all.inc"
