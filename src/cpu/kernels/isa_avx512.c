/* SPDX-License-Identifier: MIT */
/* isa_avx512.c - the kernels compiled for AVX-512. */
#define GD_KERNELS gd_kernels_avx512
#define GD_VECTOR_LANES 16
#define GD_PANEL_VECTORS 4 /* attention.inc */

#include "cpu/kernels/all.inc"
