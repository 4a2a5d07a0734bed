/* example.c - images of a model by libguided alone: example MODEL [CLASSIFIER] >images.ppm
 *
 *     cc example.c $(pkg-config --cflags --libs guided) -o example
 *
 * Prints what the model is and how far it is on standard error, and one picture for each of at most
 * four classes on standard output, below one another, as a portable pixmap. */
#include <guided.h>

#include <stdio.h>
#include <stdlib.h>

static gd_status progress(void *ctx, int64_t image, int step, int n_steps)
{
    (void)ctx;
    fprintf(stderr, "image %d: step %d of %d\n", (int)image, step, n_steps);
    return GD_OK; /* any other status would stop the run */
}

static void say(void *ctx, gd_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

/* Writes n images; the caller closes what was opened. */
static gd_status sample(gd_sampler *sampler, const gd_model_info *info, int n)
{
    const size_t pixels = (size_t)info->image_size * (size_t)info->image_size;
    uint8_t *image = malloc(pixels * (size_t)info->channels);
    gd_status status = image ? GD_OK : GD_ENOMEM;

    if (status == GD_OK)
        printf("P6\n%d %d\n255\n", info->image_size, n * info->image_size);
    for (int i = 0; i < n && status == GD_OK; i++) {
        status = gd_sampler_run(sampler, i, i, NULL, image);
        for (size_t p = 0; p < pixels && status == GD_OK; p++)
            for (int c = 0; c < 3; c++)
                putchar(image[p * (size_t)info->channels + (size_t)(info->channels == 3 ? c : 0)]);
    }
    free(image);
    return status;
}

int main(int argc, char **argv)
{
    gd_model *model = NULL, *classifier = NULL;
    gd_sampler *sampler = NULL;
    gd_sampler_options options;
    gd_model_info info;
    gd_status status;

    if (argc < 2) {
        fprintf(stderr, "usage: example MODEL [CLASSIFIER] >images.ppm\n");
        return 2;
    }
    gd_set_log(say, NULL, GD_LOG_NOTE);
    status = gd_model_open(&model, argv[1], NULL, 0);
    if (status == GD_OK && argc > 2)
        status = gd_model_open(&classifier, argv[2], NULL, 0);
    if (status == GD_OK) {
        gd_model_get_info(&info, model);
        fprintf(stderr, "%s: %s, %d x %d, %lld parameters\n", argv[1], info.kind, info.image_size,
                info.image_size, (long long)info.parameters);
        gd_sampler_defaults(&options, model);
        options.steps = "ddim5";
        options.seed = 7;
        options.progress = progress;
        status = gd_sampler_open(&sampler, model, classifier, &options);
    }
    if (status == GD_OK)
        status = sample(sampler, &info, info.classes > 1 && info.classes < 4 ? info.classes : 4);
    if (status != GD_OK)
        fprintf(stderr, "example: %s\n", gd_error());
    gd_sampler_close(sampler);
    gd_model_close(classifier);
    gd_model_close(model);
    return gd_exit_status(status);
}
