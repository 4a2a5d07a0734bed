/* SPDX-License-Identifier: MIT */
/* trainer.c - training a preset from arrays in memory. */
#include "api/handles.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

struct guided_trainer {
    guided_context *context;
    guided_training o; /* the preset's text is not read after opening */
    gd_model *fresh;
    gd_trainer *trainer;
    int64_t image;
};

/* Images are drawn with replacement, by (seed, position) alone */
static gd_status read_images(void *ctx, int64_t position, int n, float *images, int64_t *labels)
{
    enum { ORDER = 0x7ffffffd }; /* a step that no chain has */
    const guided_trainer *t = ctx;
    const int channels = t->o.channels;
    const int64_t pixels = t->image / channels;

    for (int i = 0; i < n; i++) {
        const int64_t from =
            gd_noise_below((uint32_t)t->o.n, t->o.seed, (uint64_t)(position + i), ORDER);
        const uint8_t *bytes = t->o.pixels + from * t->image;
        for (int64_t p = 0; p < pixels; p++)
            for (int c = 0; c < channels; c++)
                images[i * t->image + c * pixels + p] = (float)bytes[p * channels + c] / 127.5f - 1;
        labels[i] = t->o.labels ? t->o.labels[from] : 0;
    }
    return GD_OK;
}

static gd_status check(const guided_training *o)
{
    if (!o->preset || !o->pixels || o->n < 1 || o->n > INT32_MAX)
        return gd_fail(GD_EUSAGE, "training: a preset and 1 to %d images", INT32_MAX);
    if (o->channels != 1 && o->channels != 3)
        return gd_fail(GD_EUSAGE, "training: %d channels, expected 1 or 3", o->channels);
    if ((o->classes > 0) != (o->labels != NULL))
        return gd_fail(GD_EUSAGE, "training: classes and labels go together");
    for (int64_t i = 0; i < o->n && o->labels; i++)
        if (o->labels[i] < 0 || o->labels[i] >= o->classes)
            return gd_fail(GD_EUSAGE, "training: label %lld of image %lld is outside 0 to %d",
                           (long long)o->labels[i], (long long)i, o->classes - 1);
    return GD_OK;
}

static gd_status make(guided_trainer *t)
{
    const guided_training *o = &t->o;
    const gd_source source = { read_images, t };
    gd_train_options options;
    gd_model_config c;
    gd_weights weights;

    GD_TRY(check(o));
    GD_TRY(gd_preset_config(&c, o->preset));
    if (c.net.kind != GD_NET_UNET)
        return gd_fail(GD_EUSAGE, "training: preset %s is no diffusion model", o->preset);
    c.net.in_channels = o->channels;
    c.net.out_channels = (c.diffusion.learn_sigma ? 2 : 1) * o->channels;
    c.net.num_classes = o->classes;
    c.preset[0] = '\0'; /* its shapes may be other ones */
    t->image = (int64_t)o->channels * c.net.image_size * c.net.image_size;
    gd_train_defaults(&options, GD_NET_UNET);
    options.batch_size = o->batch_size;
    options.lr = o->learning_rate;
    options.seed = o->seed;
    options.ema_rate[0] = '\0';
    if (o->ema > 0)
        snprintf(options.ema_rate, sizeof options.ema_rate, "%.15g", o->ema);
    GD_TRY(gd_train_check(&options, 1));
    GD_TRY(gd_model_create(&t->fresh, &c, o->seed, false));
    weights = gd_model_weights(t->fresh);
    return gd_trainer_make(&t->trainer, &c, &weights, &options, &source, NULL, NULL);
}

guided_status guided_trainer_open(guided_trainer **out, guided_context *context,
                                  const guided_training *training)
{
    const gd_entered before = gd_enter(context);
    gd_status s = gd_block_make(out, sizeof **out, "trainer");

    if (s != GD_OK)
        return gd_leave(&before, s);
    (*out)->context = context;
    (*out)->o = *training;
    s = make(*out);
    (*out)->o.preset = NULL;
    if (s != GD_OK) {
        guided_trainer_close(*out);
        *out = NULL;
    }
    return gd_leave(&before, s);
}

void guided_trainer_close(guided_trainer *t)
{
    if (!t)
        return;
    gd_trainer_free(t->trainer);
    gd_model_close(t->fresh);
    gd_block_free(t);
}

int guided_trainer_image_size(const guided_trainer *t)
{
    return gd_model_get_config(t->fresh)->net.image_size;
}

guided_status guided_trainer_step(guided_trainer *t, double *loss)
{
    const gd_entered before = gd_enter(t->context);
    gd_status s = gd_check_stop();

    t->trainer->means.n = 0;
    if (s == GD_OK)
        s = gd_trainer_step(t->trainer);
    *loss = s == GD_OK ? gd_means_get(&t->trainer->means, "loss") : NAN;
    return gd_leave(&before, s);
}

guided_status guided_trainer_save(const guided_trainer *t, const char *path)
{
    const gd_entered before = gd_enter(t->context);
    const gd_class_names none = { NULL, 0 };

    return gd_leave(&before, gd_checkpoint_save(t->trainer, path, &none));
}
