/* SPDX-License-Identifier: MIT */
/* linear.c - the dense linear algebra of linear.h: float products by oneDNN, which reaches the
 * machine's peak, double products and eigenproblems by LAPACK (lapack.h) on one thread. */
#include "cpu/linear.h"

#include "cpu/conv/conv_private.h"
#include "cpu/lapack.h"

#include <math.h>

gd_status gd_linear_ready(void)
{
    GD_TRY(gd_lapack_load());
    return gd_isa_used() == GD_ISA_C ? GD_OK : onednn_ready();
}

/* The reference of GUIDED_ISA=c */
static void plain_dot_products(float *c, const float *a, const float *b, int m, int n, int k)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            const float *x = a + (int64_t)i * k, *y = b + (int64_t)j * k;
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)x[l] * y[l];
            c[(int64_t)i * n + j] = (float)sum;
        }
}

void gd_dot_products(float *c, const float *a, const float *b, int m, int n, int k)
{
    if (gd_isa_used() == GD_ISA_C)
        plain_dot_products(c, a, b, m, n, k);
    else
        onednn_dot_products(c, a, b, m, n, k);
}

/* OpenBLAS for OpenMP takes as many threads as OpenMP would, whatever it was set to; returns how
 * many that were. */
static int leave_one_thread(void)
{
    return gd_set_openmp_threads(1);
}

/* Row-major c^T is column-major c: the operands are exchanged. */
void gd_outer_add(double *c, int c_stride, const double *a, int a_stride, const double *b,
                  int b_stride, int m, int n, int rows)
{
    const int threads = leave_one_thread();
    const double one = 1;

    gd_lapack_functions.dgemm("N", "T", &n, &m, &rows, &one, b, &b_stride, a, &a_stride, &one, c,
                              &c_stride);
    gd_set_openmp_threads(threads);
}

void gd_matrix_product(double *c, const double *a, const double *b, bool transposed, int m, int n,
                       int k)
{
    const int threads = leave_one_thread();
    const double one = 1, zero = 0;

    gd_lapack_functions.dgemm(transposed ? "T" : "N", "N", &n, &m, &k, &one, b,
                              transposed ? &k : &n, a, &k, &zero, c, &n);
    gd_set_openmp_threads(threads);
}

gd_status gd_eigen_symmetric(double *a, double *values, int n, bool vectors)
{
    const char *job = vectors ? "V" : "N";
    const int threads = leave_one_thread(), ask = -1;
    int info = 0, ints = 0, doubles, int_space;
    double space;
    void *work = NULL, *int_work = NULL;
    gd_status s;

    gd_lapack_functions.dsyevd(job, "U", &n, a, &n, values, &space, &ask, &int_space, &ask, &info);
    doubles = (int)space;
    ints = int_space;
    s = gd_block_make(&work, (size_t)doubles * sizeof(double), "eigenproblem");
    if (s == GD_OK)
        s = gd_block_make(&int_work, (size_t)ints * sizeof(int), "eigenproblem");
    if (s == GD_OK)
        gd_lapack_functions.dsyevd(job, "U", &n, a, &n, values, work, &doubles, int_work, &ints,
                                   &info);
    if (s == GD_OK && (info != 0 || !isfinite(values[n - 1])))
        s = gd_fail(GD_EFAILED, "eigenvalues of a %dx%d covariance were not found: is it finite?",
                    n, n);
    gd_set_openmp_threads(threads);
    gd_block_free(work);
    gd_block_free(int_work);
    return s;
}

/* Row-major a is column-major a^T = v diag(s) u^T: LAPACK's left vectors are our right ones. */
gd_status gd_singular_values(double *a, double *u, double *s, double *vt, int m, int n)
{
    const int k = GD_MIN(m, n), ask = -1;
    int info = 0, doubles, threads;
    double space;
    void *work = NULL, *int_work = NULL;
    gd_status status;

    GD_TRY(gd_lapack_load());
    threads = leave_one_thread();
    gd_lapack_functions.dgesdd("S", &n, &m, a, &n, s, vt, &n, u, &k, &space, &ask, NULL, &info);
    doubles = (int)space;
    status = gd_block_make(&work, (size_t)doubles * sizeof(double), "singular values");
    if (status == GD_OK)
        status = gd_block_make(&int_work, (size_t)k * 8 * sizeof(int), "singular values");
    if (status == GD_OK)
        gd_lapack_functions.dgesdd("S", &n, &m, a, &n, s, vt, &n, u, &k, work, &doubles, int_work,
                                   &info);
    if (status == GD_OK && (info != 0 || !isfinite(s[0])))
        status = gd_fail(GD_EFAILED,
                         "singular values of a %dx%d matrix were not found: is it finite?", m, n);
    gd_set_openmp_threads(threads);
    gd_block_free(work);
    gd_block_free(int_work);
    return status;
}
