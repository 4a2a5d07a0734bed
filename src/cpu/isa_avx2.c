/* isa_avx2.c - the kernels compiled for AVX2 with FMA. */
#include "cpu/vec.h"

#include <math.h>

#define GD_VECTOR_LANES 8  /* of the registers */
#define GD_PANEL_VECTORS 2 /* ROWS x these accumulators, and the operands, fill the register file  \
                            */
#define GD_FMA(a, b, c) ((vn)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))

#include "cpu/pointwise.inc"
#include "cpu/reduce.inc"
#include "cpu/resample.inc"
#include "cpu/attention.inc"
#include "cpu/table.inc"

const gd_kernels gd_kernels_avx2 = GD_KERNEL_TABLE;
