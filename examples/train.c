/* SPDX-License-Identifier: MIT */
/* train.c - training from arrays in memory: train CHECKPOINT.safetensors [UPDATES]
 *
 *     cc train.c $(pkg-config --cflags --libs guided) -o train
 *
 * Images of two classes, dark and bright gradients, in grey 32 x 32.  The checkpoint is one that
 * `guided sample --model` takes. */
#include <guided.h>

#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 32, IMAGES = 64, CLASSES = 2 };

static void fill(uint8_t *pixels, int64_t *labels)
{
    for (int i = 0; i < IMAGES; i++) {
        labels[i] = i % CLASSES;
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++)
                pixels[(i * SIZE + y) * SIZE + x] =
                    (uint8_t)(128 * (i % CLASSES) + (x * (i % 5) + y * (4 - i % 5)) * 127 / 124);
    }
}

static guided_status run(guided_trainer *trainer, int updates)
{
    double loss;

    for (int k = 1; k <= updates; k++) {
        const guided_status status = guided_trainer_step(trainer, &loss);
        if (status != GUIDED_OK)
            return status;
        if (k == 1 || k % 10 == 0 || k == updates)
            printf("update %d: loss %.4f\n", k, loss);
    }
    return GUIDED_OK;
}

int main(int argc, char **argv)
{
    static uint8_t pixels[IMAGES * SIZE * SIZE];
    static int64_t labels[IMAGES];
    const guided_training training = { .preset = "small32",
                                       .channels = 1,
                                       .classes = CLASSES,
                                       .pixels = pixels,
                                       .labels = labels,
                                       .n = IMAGES,
                                       .batch_size = 8,
                                       .learning_rate = 1e-3,
                                       .ema = 0.9,
                                       .seed = 1 };
    guided_context *context = NULL;
    guided_trainer *trainer = NULL;
    guided_status status;

    if (argc < 2) {
        fprintf(stderr, "usage: train CHECKPOINT.safetensors [UPDATES]\n");
        return 2;
    }
    fill(pixels, labels);
    status = guided_context_open(&context);
    if (status == GUIDED_OK)
        status = guided_trainer_open(&trainer, context, &training);
    if (status == GUIDED_OK)
        status = run(trainer, argc > 2 ? atoi(argv[2]) : 20);
    if (status == GUIDED_OK)
        status = guided_trainer_save(trainer, argv[1]);
    if (status != GUIDED_OK)
        fprintf(stderr, "train: %s\n", guided_error());
    guided_trainer_close(trainer);
    guided_context_close(context);
    return guided_exit_status(status);
}
