/* SPDX-License-Identifier: MIT */
/* isa_c.c - the kernels compiled from plain C for what every machine of the architecture has. */
#define GD_KERNELS gd_kernels_c
#define GD_VECTOR_LANES 4
#define GD_PANEL_VECTORS 2 /* attention.inc */

#include "cpu/kernels/all.inc"
