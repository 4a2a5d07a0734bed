/* SPDX-License-Identifier: MIT */
/* fuzz_image.c - every decoder of pictures, to every number of channels. */
#include "io/io.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const int wanted[] = { 0, 1, 3 };
    unsigned sum = 0;
    gd_image image;

    gd_set_memory_limit(256 << 20);
    for (int i = 0; i < COUNT(wanted); i++) {
        if (gd_image_decode(&image, data, bytes, wanted[i], "FILE") != GD_OK)
            continue;
        if (wanted[i] && image.channels != wanted[i])
            abort();
        for (int64_t k = 0; k < (int64_t)image.width * image.height * image.channels; k++)
            sum += image.pixels[k];
        gd_image_free(&image);
    }
    (void)sum; /* every pixel was read */
    return 0;
}
