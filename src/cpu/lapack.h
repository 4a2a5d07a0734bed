/* SPDX-License-Identifier: MIT */
/* lapack.h - the functions of BLAS and LAPACK that linear.c calls, loaded when they are first
 * needed.
 *
 * Which OpenBLAS a system has is its own choice (Debian: alternatives), and each starts threads,
 * takes memory for them and waits for both before main() begins: a command that
 * needs none of them does not load it, and the one that does allows it one thread, because its bits
 * change with their number. */
#ifndef GD_CPU_LAPACK_H
#define GD_CPU_LAPACK_H

#include "base/base.h"

/* Fortran interface: all by pointer, matrices column-major */
typedef struct gd_lapack {
    void (*dgemm)(const char *transa, const char *transb, const int *m, const int *n, const int *k,
                  const double *alpha, const double *a, const int *lda, const double *b,
                  const int *ldb, const double *beta, double *c, const int *ldc);
    void (*dsyevd)(const char *job, const char *uplo, const int *n, double *a, const int *lda,
                   double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                   int *info);
    void (*dgesdd)(const char *job, const int *m, const int *n, double *a, const int *lda,
                   double *s, double *u, const int *ldu, double *vt, const int *ldvt, double *work,
                   const int *lwork, int *iwork, int *info);
} gd_lapack;
extern gd_lapack gd_lapack_functions; /* set by gd_lapack_load */

/* Once, outside parallel regions; later calls do nothing.  GD_EFAILED: the machine has none. */
GD_CHECKED gd_status gd_lapack_load(void);

#endif
