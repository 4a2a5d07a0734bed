/* SPDX-License-Identifier: MIT */
/* frechet.c - the Frechet distance of two arrays of images: frechet CLASSIFIER
 *
 *     cc frechet.c $(pkg-config --cflags --libs guided) -o frechet
 *
 * In a classifier's features (guided_features_inception takes the 2015 network's, for FID). Two
 * sets of noise that are alike and one that is almost white stand in for images. */
#include <guided.h>

#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 32 };

/* Uniform noise from `low` on, of a generator that only the seed decides */
static void fill(uint8_t *pixels, size_t n, unsigned seed, unsigned low)
{
    uint32_t state = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(low + (state >> 24) % (256 - low));
    }
}

/* rows [IMAGES][width] of a fresh set */
static guided_status features_of(guided_features *features, uint8_t *pixels, size_t n,
                                 unsigned seed, unsigned low, float *rows)
{
    fill(pixels, n, seed, low);
    return guided_features_run(features, IMAGES, pixels, rows);
}

static guided_status measure(guided_context *context, guided_features *features, size_t image)
{
    const int width = guided_features_width(features);
    uint8_t *pixels = malloc(IMAGES * image);
    float *rows = malloc(3 * IMAGES * (size_t)width * sizeof *rows);
    guided_status status = pixels && rows ? GUIDED_OK : GUIDED_ENOMEM;
    double alike, white;

    for (unsigned k = 0; k < 3 && status == GUIDED_OK; k++)
        status = features_of(features, pixels, IMAGES * image, k + 1, k == 2 ? 250 : 0,
                             rows + k * IMAGES * (size_t)width);
    if (status == GUIDED_OK)
        status =
            guided_frechet(context, &alike, rows, IMAGES, rows + IMAGES * width, IMAGES, width);
    if (status == GUIDED_OK)
        status =
            guided_frechet(context, &white, rows, IMAGES, rows + 2 * IMAGES * width, IMAGES, width);
    if (status == GUIDED_OK)
        printf("alike %.4f, white %.4f\n", alike, white);
    free(pixels);
    free(rows);
    return status;
}

int main(int argc, char **argv)
{
    guided_context *context = NULL;
    guided_model *classifier = NULL;
    guided_features *features = NULL;
    guided_model_info info;
    guided_status status;

    if (argc != 2) {
        fprintf(stderr, "usage: frechet CLASSIFIER\n");
        return 2;
    }
    status = guided_context_open(&context);
    if (status == GUIDED_OK)
        status = guided_model_open(&classifier, context, argv[1], NULL, 0);
    if (status == GUIDED_OK)
        status = guided_features_classifier(&features, classifier);
    if (status == GUIDED_OK) {
        guided_model_get_info(&info, classifier);
        status = measure(context, features,
                         (size_t)info.image_size * (size_t)info.image_size * (size_t)info.channels);
    }
    if (status != GUIDED_OK)
        fprintf(stderr, "frechet: %s\n", guided_error());
    guided_features_close(features);
    guided_model_close(classifier);
    guided_context_close(context);
    return guided_exit_status(status);
}
