/* isa_avx512.c - the kernels compiled for AVX-512. */
#define GD_VECTOR_LANES 16
#define GD_PANEL_VECTORS 4 /* attention.inc */

#include "cpu/vec.h"

#include "cpu/pointwise.inc"
#include "cpu/reduce.inc"
#include "cpu/layer_norm.inc"
#include "cpu/convnext.inc"
#include "cpu/resample.inc"
#include "cpu/pool.inc"
#include "cpu/attention.inc"
#include "cpu/attention_grad.inc"
#include "cpu/taps.inc"
#include "cpu/outer.inc"
#include "cpu/blocks.inc"
#include "cpu/winograd.inc"
#include "cpu/winograd_weights.inc"
#include "cpu/train.inc"
#include "cpu/table.inc"

const gd_kernels gd_kernels_avx512 = GD_KERNEL_TABLE;
