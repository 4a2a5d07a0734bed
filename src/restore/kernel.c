/* SPDX-License-Identifier: MIT */
/* kernel.c - blur kernels: the Gaussian of scipy's gaussian_filter, and a PNG. */
#include "restore/restore_private.h"

#include "io/io.h"

#include <math.h>
#include <string.h>

void gd_kernel_gauss(double *kernel, int size, double sigma)
{
    const int centre = size / 2, reach = GD_MIN((int)floor(4 * sigma + 0.5), centre);
    double sum = 0;

    memset(kernel, 0, (size_t)size * (size_t)size * sizeof *kernel);
    for (int i = -reach; i <= reach; i++)
        for (int j = -reach; j <= reach; j++) {
            const double v = exp(-0.5 * (i * i + j * j) / (sigma * sigma));
            kernel[(centre + i) * size + centre + j] = v;
            sum += v;
        }
    for (int i = 0; i < size * size; i++)
        kernel[i] /= sum;
}

gd_status gd_kernel_read(double **kernel, int *h, int *w, const char *path, gd_arena *mem)
{
    gd_image image;
    double sum = 0;

    GD_TRY(gd_image_open(&image, path, 1));
    const int n = image.height * image.width;
    *h = image.height;
    *w = image.width;
    *kernel = gd_alloc(mem, (size_t)n * sizeof **kernel);
    for (int i = 0; i < n; i++)
        sum += image.pixels[i];
    for (int i = 0; i < n && *kernel && sum > 0; i++)
        (*kernel)[i] = image.pixels[i] / sum;
    gd_image_free(&image);
    if (!*kernel)
        return GD_ENOMEM;
    if (*h % 2 == 0 || *w % 2 == 0)
        return gd_fail(GD_EFORMAT, "%s: a kernel of %dx%d; both sides must be odd", path, *w, *h);
    return sum > 0 ? GD_OK : gd_fail(GD_EFORMAT, "%s: the kernel is black all over", path);
}
