/* isa_c.c - the kernels compiled for plain C for any x86-64. */
#include "cpu/vec.h"

#include <math.h>

#define GD_VECTOR_LANES 4  /* of the registers */
#define GD_PANEL_VECTORS 2 /* ROWS x these accumulators, and the operands, fill the register file  \
                            */
#define GD_FMA(a, b, c) ((a) * (b) + (c))

#include "cpu/pointwise.inc"
#include "cpu/reduce.inc"
#include "cpu/resample.inc"
#include "cpu/attention.inc"
#include "cpu/table.inc"

const gd_kernels gd_kernels_c = GD_KERNEL_TABLE;
