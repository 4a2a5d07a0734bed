/* SPDX-License-Identifier: MIT */
/* gradient.c - guidance by a gradient of the program's own: gradient MODEL
 *
 *     cc gradient.c $(pkg-config --cflags --libs guided) -lm -o gradient
 *
 * Pulls the mean brightness of a picture towards white and towards black, and prints what came of
 * it: log p = -k (mean(x) - target)^2, so its gradient is -2 k (mean - target) / n everywhere. */
#include <guided.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct wish {
    int64_t n; /* elements of an image */
    double target, strength;
} wish;

static guided_status pull(void *ctx, const float *x, float t, int64_t label, float *gradient)
{
    const wish *w = ctx;
    double mean = 0;

    (void)t;
    (void)label;
    for (int64_t i = 0; i < w->n; i++)
        mean += x[i] / (double)w->n;
    for (int64_t i = 0; i < w->n; i++)
        gradient[i] = (float)(-2 * w->strength * (mean - w->target) / (double)w->n);
    return GUIDED_OK;
}

static double mean_of(const float *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

/* The same picture (class and seed) unguided, and pulled to both sides */
static guided_status compare(guided_sampler *sampler, wish *w, float *image)
{
    const int64_t label = 0;
    guided_status status = guided_sampler_run_float(sampler, 0, 1, &label, NULL, image);

    if (status == GUIDED_OK)
        printf("unguided    mean %+.3f\n", mean_of(image, w->n));
    for (int side = -1; side <= 1 && status == GUIDED_OK; side += 2) {
        w->target = side;
        status = guided_sampler_set_gradient(sampler, pull, w);
        if (status == GUIDED_OK)
            status = guided_sampler_run_float(sampler, 0, 1, &label, NULL, image);
        if (status == GUIDED_OK)
            printf("target %+d   mean %+.3f\n", side, mean_of(image, w->n));
    }
    return status;
}

int main(int argc, char **argv)
{
    const guided_option options[] = { { "sampler", "dpmpp-2m" },
                                      { "steps", "10" },
                                      { "scale", "1" } };
    wish w = { .strength = 2000 };
    guided_context *context = NULL;
    guided_model *model = NULL;
    guided_sampler *sampler = NULL;
    guided_model_info info;
    float *image = NULL;
    guided_status status;

    if (argc != 2) {
        fprintf(stderr, "usage: gradient MODEL\n");
        return 2;
    }
    status = guided_context_open(&context);
    if (status == GUIDED_OK)
        status = guided_model_open(&model, context, argv[1], NULL, 0);
    if (status == GUIDED_OK) {
        guided_model_get_info(&info, model);
        w.n = (int64_t)info.channels * info.image_size * info.image_size;
        image = malloc((size_t)w.n * sizeof *image);
        status = image ? guided_sampler_open(&sampler, model, NULL, options, 3) : GUIDED_ENOMEM;
    }
    if (status == GUIDED_OK)
        status = compare(sampler, &w, image);
    if (status != GUIDED_OK)
        fprintf(stderr, "gradient: %s\n", guided_error());
    free(image);
    guided_sampler_close(sampler);
    guided_model_close(model);
    guided_context_close(context);
    return guided_exit_status(status);
}
