/* SPDX-License-Identifier: MIT */
/* lapack.c - finds OpenBLAS, or another LAPACK, and keeps it to one thread. */
#define _GNU_SOURCE
#include "cpu/lapack.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

gd_lapack gd_lapack_functions;

/* Any of OpenBLAS's variants; else the reference, or the system's substitute for it */
static const char *const libraries[] = { "libopenblas.so.0", "liblapack.so.3" };

/* OpenBLAS reads its environment once, while it is loaded: without threads to begin with, a limit
 * on memory does not make it wait for ever. */
static void *load_alone(const char *library)
{
    static const char variable[] = "OPENBLAS_NUM_THREADS";
    const char *now = getenv(variable);
    char *before = now ? strdup(now) : NULL;
    void *handle;

    if (now && !before)
        return NULL;
    setenv(variable, "1", 1);
    handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (before)
        setenv(variable, before, 1);
    else
        unsetenv(variable);
    free(before);
    return handle;
}

/* Its OpenMP variant sets the threads of OpenMP with its own. */
static void keep_to_one_thread(void *handle)
{
    void (*set_threads)(int n) = dlsym(handle, "openblas_set_num_threads");
    const int threads = gd_set_openmp_threads(1);

    if (set_threads)
        set_threads(1);
    gd_set_openmp_threads(threads);
}

gd_status gd_lapack_load(void)
{
    gd_lapack *f = &gd_lapack_functions;
    const char *why;

    for (int i = 0; i < COUNT(libraries) && !f->dgesdd; i++) {
        void *handle = load_alone(libraries[i]);
        if (!handle)
            continue;
        f->dgemm = dlsym(handle, "dgemm_");
        f->dsyevd = dlsym(handle, "dsyevd_");
        f->dgesdd = f->dgemm && f->dsyevd ? dlsym(handle, "dgesdd_") : NULL;
        if (f->dgesdd)
            keep_to_one_thread(handle);
    }
    if (f->dgesdd)
        return GD_OK;
    why = dlerror();
    return gd_fail(GD_EFAILED,
                   "linear algebra: neither %s nor %s can be loaded: %s\nhint: install OpenBLAS "
                   "(Debian: libopenblas0-openmp or libopenblas0-pthread)",
                   libraries[0], libraries[1], why ? why : "it has no dgesdd_");
}
