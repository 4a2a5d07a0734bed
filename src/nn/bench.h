/* SPDX-License-Identifier: MIT */
/* bench.h - a network's time against the floor of its kernels.
 *
 * The floor: every distinct convolution and linear shape alone with its fastest oneDNN algorithm
 * (float32: direct and Winograd; in bf16 mode also bfloat16), warm, best of 6, times how often it
 * runs; plus the attention products at the FMA peak of the same run. A forward pass cannot be
 * faster. */
#ifndef GD_NN_BENCH_H
#define GD_NN_BENCH_H

#include "nn/nn.h"

typedef struct gd_floor gd_floor;
/* Buffers and primitives for every distinct shape of the plan are made one at a time when measured.
 */
GD_CHECKED gd_status gd_floor_make(gd_floor **out, const gd_plan *plan, bool bf16);
void gd_floor_free(gd_floor *floor); /* NULL is fine */
/* Time every shape once more and keep the best; *seconds is the floor so far. */
GD_CHECKED gd_status gd_floor_measure(gd_floor *floor, double *seconds);
int gd_floor_shapes(const gd_floor *floor);
double gd_floor_peak_macs(const gd_floor *floor); /* the FMA peak it used */
/* One line per shape: count, GMACs, best algorithm, seconds, GFLOP/s */
void gd_floor_print(const gd_floor *floor, FILE *out);

/* One convolution alone, warm, best of 6; 0: there is no such kernel */
GD_CHECKED gd_status gd_conv_seconds(double *seconds, const gd_conv_desc *desc, gd_conv_algo algo);

#endif
