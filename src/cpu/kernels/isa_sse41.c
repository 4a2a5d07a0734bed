/* SPDX-License-Identifier: MIT */
/* isa_sse41.c - the kernels compiled for SSE4.1. */
#define GD_KERNELS gd_kernels_sse41
#define GD_VECTOR_LANES 4
#define GD_PANEL_VECTORS 2 /* attention.inc */

#include "cpu/kernels/all.inc"
