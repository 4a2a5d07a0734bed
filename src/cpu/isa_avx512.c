/* isa_avx512.c - the kernels compiled for AVX-512. */
#include "cpu/vec.h"

#include <math.h>

#define GD_VECTOR_LANES 16 /* of the registers */
#define GD_PANEL_VECTORS 4 /* ROWS x these accumulators, and the operands, fill the register file  \
                            */
#define GD_FMA(a, b, c) ((vn)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))

#include "cpu/pointwise.inc"
#include "cpu/reduce.inc"
#include "cpu/resample.inc"
#include "cpu/attention.inc"
#include "cpu/table.inc"

const gd_kernels gd_kernels_avx512 = GD_KERNEL_TABLE;
