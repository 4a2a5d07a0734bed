/* SPDX-License-Identifier: MIT */
/* linear.h - dense linear algebra of the evaluation: products of feature matrices, and symmetric
 * eigenproblems (LAPACK).
 *
 * Bits do not depend on the number of threads: every function here works on the thread that calls
 * it, in or out of a parallel region, and callers share out tiles whose bounds are fixed by shape.
 * All matrices are row-major. */
#ifndef GD_CPU_LINEAR_H
#define GD_CPU_LINEAR_H

#include "cpu/cpu.h"

/* Once, before any other function and outside parallel regions. */
GD_CHECKED gd_status gd_linear_ready(void);

/* c[i][j] = sum_k a[i][k] b[j][k].  a: [m][k], b: [n][k], c: [m][n], float32 throughout. */
void gd_dot_products(float *c, const float *a, const float *b, int m, int n, int k);

/* c[i][j] += sum_r a[r][i] b[r][j], i < m, j < n, r < rows, with these row strides, in double. */
void gd_outer_add(double *c, int c_stride, const double *a, int a_stride, const double *b,
                  int b_stride, int m, int n, int rows);
/* c = a b or, with transposed, a b^T.  a: [m][k], b: [k][n] or [n][k], c: [m][n], in double. */
void gd_matrix_product(double *c, const double *a, const double *b, bool transposed, int m, int n,
                       int k);

/* Eigenvalues of the symmetric a [n][n] in ascending order; with `vectors`, row i of a becomes the
 * i-th eigenvector, else a is destroyed.  GD_EFAILED if they are not found (a is not finite). */
GD_CHECKED gd_status gd_eigen_symmetric(double *a, double *values, int n, bool vectors);
/* a = u diag(s) vt with k = min(m, n): u [m][k], s [k] descending, vt [k][n].  a [m][n] is
 * destroyed.  GD_EFAILED if they are not found (a is not finite). */
GD_CHECKED gd_status gd_singular_values(double *a, double *u, double *s, double *vt, int m, int n);

#endif
