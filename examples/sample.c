/* SPDX-License-Identifier: MIT */
/* sample.c - images of a model by libguided alone: sample MODEL [CLASSIFIER] >images.ppm
 *
 *     cc sample.c $(pkg-config --cflags --libs guided) -o sample
 *
 * Prints what the model is and how far it is on standard error, and one picture for each of at most
 * four classes on standard output, below one another, as a portable pixmap.  Ctrl-C cancels. */
#include <guided.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static guided_context *context;

static void cancel(int signal)
{
    (void)signal;
    guided_context_cancel(context, true);
}

static guided_status progress(void *ctx, int64_t first, int n, int step, int n_steps)
{
    (void)ctx;
    (void)n;
    fprintf(stderr, "image %d: step %d of %d\n", (int)first, step, n_steps);
    return GUIDED_OK; /* any other status would stop the run */
}

static void notice(void *ctx, guided_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

/* Writes n images, one of each class */
static guided_status write_images(guided_sampler *sampler, const guided_model_info *info, int n)
{
    const size_t pixels = (size_t)info->image_size * (size_t)info->image_size;
    uint8_t *image = malloc(pixels * (size_t)info->channels);
    guided_status status = image ? GUIDED_OK : GUIDED_ENOMEM;

    if (status == GUIDED_OK)
        printf("P6\n%d %d\n255\n", info->image_size, n * info->image_size);
    for (int64_t i = 0; i < n && status == GUIDED_OK; i++) {
        status = guided_sampler_run(sampler, i, 1, &i, NULL, image);
        for (size_t p = 0; p < pixels && status == GUIDED_OK; p++)
            for (int c = 0; c < 3; c++)
                putchar(image[p * (size_t)info->channels + (size_t)(info->channels == 3 ? c : 0)]);
    }
    free(image);
    return status;
}

int main(int argc, char **argv)
{
    const guided_option options[] = { { "steps", "ddim5" }, { "seed", "7" } };
    guided_model *model = NULL, *classifier = NULL;
    guided_sampler *sampler = NULL;
    guided_model_info info;
    guided_status status;

    if (argc < 2) {
        fprintf(stderr, "usage: sample MODEL [CLASSIFIER] >images.ppm\n");
        return 2;
    }
    status = guided_context_open(&context);
    if (status == GUIDED_OK) {
        guided_context_set_log(context, notice, NULL, GUIDED_LOG_NOTE);
        signal(SIGINT, cancel);
        status = guided_model_open(&model, context, argv[1], NULL, 0);
    }
    if (status == GUIDED_OK && argc > 2)
        status = guided_model_open(&classifier, context, argv[2], NULL, 0);
    if (status == GUIDED_OK) {
        guided_model_get_info(&info, model);
        fprintf(stderr, "%s: %s, %d x %d, %lld parameters\n", argv[1], info.kind, info.image_size,
                info.image_size, (long long)info.parameters);
        status = guided_sampler_open(&sampler, model, classifier, options, 2);
    }
    if (status == GUIDED_OK) {
        guided_sampler_set_progress(sampler, progress, NULL);
        status =
            write_images(sampler, &info, info.classes > 1 && info.classes < 4 ? info.classes : 4);
    }
    if (status != GUIDED_OK)
        fprintf(stderr, "sample: %s\n", guided_error());
    guided_sampler_close(sampler);
    guided_model_close(classifier);
    guided_model_close(model);
    guided_context_close(context);
    return guided_exit_status(status);
}
