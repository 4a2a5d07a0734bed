/* SPDX-License-Identifier: MIT */
/* fft.c - FFTW behind two functions.  ESTIMATE: a plan that is timed would change the bits from run
 * to run. */
#include "restore/restore_private.h"

#include <fftw3.h>
#include <pthread.h>
#include <stdlib.h>

struct gd_fft {
    fftw_complex *data;
    fftw_plan forward, backward;
};

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER; /* FFTW's is not thread-safe */

gd_status gd_fft_make(gd_fft **out, int h, int w)
{
    gd_fft *f = calloc(1, sizeof *f);

    *out = f;
    if (f)
        f->data = fftw_alloc_complex((size_t)h * (size_t)w);
    if (f && f->data) {
        pthread_mutex_lock(&planner);
        f->forward = fftw_plan_dft_2d(h, w, f->data, f->data, FFTW_FORWARD, FFTW_ESTIMATE);
        f->backward = fftw_plan_dft_2d(h, w, f->data, f->data, FFTW_BACKWARD, FFTW_ESTIMATE);
        pthread_mutex_unlock(&planner);
    }
    if (f && f->data && f->forward && f->backward)
        return GD_OK;
    gd_fft_free(f);
    *out = NULL;
    return gd_fail(GD_ENOMEM, "no memory for a Fourier transform of %dx%d", h, w);
}

void gd_fft_free(gd_fft *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&planner);
    if (f->forward)
        fftw_destroy_plan(f->forward);
    if (f->backward)
        fftw_destroy_plan(f->backward);
    pthread_mutex_unlock(&planner);
    fftw_free(f->data);
    free(f);
}

double complex *gd_fft_data(gd_fft *f)
{
    return f->data;
}

void gd_fft_forward(gd_fft *f)
{
    fftw_execute(f->forward);
}

void gd_fft_backward(gd_fft *f)
{
    fftw_execute(f->backward);
}
