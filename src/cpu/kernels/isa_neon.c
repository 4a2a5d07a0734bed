/* SPDX-License-Identifier: MIT */
/* isa_neon.c - the kernels compiled for NEON, with fused products. */
#define GD_KERNELS gd_kernels_neon
#define GD_NEON
#define GD_VECTOR_LANES 4
#define GD_PANEL_VECTORS 2 /* attention.inc */

#include "cpu/kernels/all.inc"
