/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "fixture.h"

enum { SIZE = 8, CHANNELS = 3, CLASSES = 4 };

gd_model_config fixture_config(gd_net_kind kind, const char *flags)
{
    static char text[1024];
    gd_flag list[32] = { { "image_size", "8" },        { "channel_mult", "1" },
                         { "num_res_blocks", "1" },    { "attention_resolutions", "8" },
                         { "diffusion_steps", "100" }, { "num_head_channels", "16" } };
    int n = 6;
    gd_model_config c;

    gd_config_defaults(&c, kind);
    if (kind == GD_NET_CLASSIFIER) {
        list[1] = (gd_flag){ "classifier_width", "32" };
        list[2] = (gd_flag){ "classifier_depth", "1" };
        list[3] = (gd_flag){ "classifier_attention_resolutions", "8" };
        list[5] = (gd_flag){ "classifier_channel_mult", "1" };
        c.net.num_head_channels = 16;
        c.net.out_channels = CLASSES;
    } else {
        list[n++] = (gd_flag){ "num_channels", "32" };
        list[n++] = (gd_flag){ "class_cond", "True" };
        list[n++] = (gd_flag){ "num_classes", "4" };
        list[n++] = (gd_flag){ "dropout", "0.1" };
    }
    snprintf(text, sizeof text, "%s", flags);
    for (char *at = strtok(text, ","); at; at = strtok(NULL, ",")) {
        char *equals = strchr(at, '=');
        *equals = '\0';
        list[n++] = (gd_flag){ at, equals + 1 };
    }
    if (gd_flags_apply(&c, list, n) != GD_OK)
        fail_msg("%s", gd_error());
    return c;
}

static gd_status read_images(void *ctx, int64_t position, int n, float *images, int64_t *labels)
{
    const int count = CHANNELS * SIZE * SIZE;

    (void)ctx;
    for (int i = 0; i < n; i++) {
        const int label = (int)((position + i) % CLASSES);
        gd_noise_normal(images + i * count, count, 99, (uint64_t)(position + i), 0);
        for (int k = 0; k < count; k++)
            images[i * count + k] =
                0.05f * images[i * count + k] + (k % SIZE / 2 == label ? 0.8f : -0.8f);
        labels[i] = label;
    }
    return GD_OK;
}

gd_source fixture_source(void)
{
    return (gd_source){ read_images, NULL };
}

gd_train_options fixture_options(gd_net_kind kind)
{
    gd_train_options o;

    gd_train_defaults(&o, kind);
    o.batch_size = 4;
    o.lr = 1e-3;
    o.seed = 7;
    if (kind != GD_NET_CLASSIFIER)
        strcpy(o.ema_rate, "0.9,0.99");
    return o;
}

gd_trainer *fixture_trainer(const gd_model_config *config, const gd_train_options *options)
{
    const gd_source source = fixture_source();
    gd_trainer *t = NULL;
    gd_model *m = NULL;

    if (gd_model_create(&m, config, 5, false) != GD_OK)
        fail_msg("%s", gd_error());
    const gd_weights weights = gd_model_weights(m);
    if (gd_trainer_make(&t, config, &weights, options, &source, NULL, NULL) != GD_OK)
        fail_msg("%s", gd_error());
    gd_model_close(m);
    return t;
}

void fixture_hash(const gd_trainer *t, char text[33])
{
    const gd_learner *l = t->learner;
    const size_t bytes = (size_t)l->total * sizeof(float);
    gd_hasher *h;

    assert_int_equal(gd_hasher_make(&h), GD_OK);
    gd_hasher_add(h, l->p, bytes);
    gd_hasher_add(h, l->m, bytes);
    gd_hasher_add(h, l->v, bytes);
    for (int k = 0; k < t->averages.n; k++)
        gd_hasher_add(h, l->ema[k], bytes);
    if (t->sampler.by_loss)
        gd_hasher_add(h, t->sampler.history,
                      (size_t)t->sampler.n * GD_LOSS_HISTORY * sizeof(double));
    gd_hasher_text(h, text);
    gd_hasher_free(h);
}

/* ---- a folder ---- */

char fixture_folder[64];

int fixture_folder_make(void **state)
{
    (void)state;
    strcpy(fixture_folder, "train-test-XXXXXX");
    return mkdtemp(fixture_folder) ? 0 : -1;
}

int fixture_folder_remove(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", fixture_folder);
    return system(command);
}
