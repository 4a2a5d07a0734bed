/* presets.c - the published files, as their authors' README writes them, and small ones of ours.
 * Source: spec results.md 1. */
#include "nn/config_private.h"

#include <string.h>

/* diffusion_steps 1000 and use_scale_shift_norm True, which all have, are the defaults; use_fp16
 * and dropout do not touch what a sample is, dropout is kept for those who train on. */
#define DIFFUSION "learn_sigma=True resblock_updown=True "
#define IMAGENET256                                                                                \
    DIFFUSION "image_size=256 num_channels=256 num_res_blocks=2 num_head_channels=64 "             \
              "attention_resolutions=32,16,8 "

#define SMALL DIFFUSION "num_res_blocks=1 num_head_channels=32 class_cond=True "

static const struct preset {
    const char *name;
    gd_net_kind kind;
    double guidance_scale; /* at 250 steps */
    const char *partner;
    const char *flags;
} presets[] = {
    { "64x64_diffusion", GD_NET_UNET, 1.0, "64x64_classifier",
      DIFFUSION "image_size=64 class_cond=True noise_schedule=cosine num_channels=192 "
                "num_res_blocks=3 num_head_channels=64 "
                "attention_resolutions=32,16,8 dropout=0.1 use_new_attention_order=True" },
    { "128x128_diffusion", GD_NET_UNET, 0.5, "128x128_classifier",
      DIFFUSION "image_size=128 class_cond=True num_channels=256 num_res_blocks=2 num_heads=4 "
                "attention_resolutions=32,16,8" },
    { "256x256_diffusion", GD_NET_UNET, 1.0, "256x256_classifier", IMAGENET256 "class_cond=True" },
    { "256x256_diffusion_uncond", GD_NET_UNET, 10.0, "256x256_classifier", IMAGENET256 },
    { "512x512_diffusion", GD_NET_UNET, 4.0, "512x512_classifier",
      DIFFUSION
      "image_size=512 class_cond=True num_channels=256 num_res_blocks=2 num_head_channels=64 "
      "attention_resolutions=32,16,8" },
    { "lsun_bedroom", GD_NET_UNET, 1.0, NULL, IMAGENET256 "dropout=0.1" },
    { "lsun_cat", GD_NET_UNET, 1.0, NULL, IMAGENET256 "dropout=0.1" },
    { "lsun_horse", GD_NET_UNET, 1.0, NULL, IMAGENET256 "dropout=0.1" },
    { "lsun_horse_nodropout", GD_NET_UNET, 1.0, NULL, IMAGENET256 },
    { "64_256_upsampler", GD_NET_SUPERRES, 1.0, NULL,
      DIFFUSION
      "large_size=256 small_size=64 class_cond=True num_channels=192 num_res_blocks=2 num_heads=4 "
      "attention_resolutions=32,16,8" },
    { "128_512_upsampler", GD_NET_SUPERRES, 1.0, NULL,
      DIFFUSION "large_size=512 small_size=128 class_cond=True num_channels=192 num_res_blocks=2 "
                "num_head_channels=64 "
                "attention_resolutions=32,16" },
    { "64x64_classifier", GD_NET_CLASSIFIER, 1.0, "64x64_diffusion",
      "image_size=64 classifier_depth=4 noise_schedule=cosine" },
    { "128x128_classifier", GD_NET_CLASSIFIER, 1.0, "128x128_diffusion", "image_size=128" },
    { "256x256_classifier", GD_NET_CLASSIFIER, 1.0, "256x256_diffusion", "image_size=256" },
    { "512x512_classifier", GD_NET_CLASSIFIER, 1.0, "512x512_diffusion", "image_size=512" },
    /* This program's own, to train from nothing: the built-in models' */
    { "small32", GD_NET_UNET, 1.0, "small32_classifier",
      SMALL "image_size=32 num_channels=32 channel_mult=1,2,2 attention_resolutions=8 "
            "noise_schedule=cosine" },
    { "small8", GD_NET_UNET, 1.0, NULL,
      SMALL "image_size=8 num_channels=32 channel_mult=2,2 attention_resolutions=8 "
            "noise_schedule=cosine" },
    { "small8_32_upsampler", GD_NET_SUPERRES, 1.0, NULL,
      SMALL
      "large_size=32 small_size=8 num_channels=32 channel_mult=1,2,2 attention_resolutions=8" },
    { "small32_classifier", GD_NET_CLASSIFIER, 1.0, "small32",
      "image_size=32 classifier_width=32 classifier_depth=1 classifier_channel_mult=1,2,2 "
      "classifier_attention_resolutions=8 classifier_num_head_channels=32 noise_schedule=cosine" },
};

/* The rows of own presets, which no foreign file is recognised by */
enum { OWN_PRESETS = 4 };

int gd_preset_count(void)
{
    return COUNT(presets) - OWN_PRESETS;
}

const char *gd_preset_name(int i)
{
    return presets[i].name;
}

static const struct preset *find(const char *name)
{
    for (int i = 0; i < COUNT(presets); i++) {
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    }
    return NULL;
}

static gd_status unknown(const char *name)
{
    const char *names[COUNT(presets)];
    char all[512] = "";
    gd_status s = gd_fail(GD_EUSAGE, "no preset is called \"%.64s\"", name);

    for (int i = 0; i < COUNT(presets); i++) {
        size_t used = strlen(all);
        names[i] = presets[i].name;
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = gd_nearest(name, names, COUNT(names));
    if (near)
        gd_detail("hint: did you mean %s?", near);
    gd_detail("hint: presets are %s", all);
    return s;
}

/* "name=value name=value ..." applied to the defaults of the kind */
static gd_status apply_text(gd_model_config *config, const char *text)
{
    enum { MOST = 16 };
    gd_flag flags[MOST];
    char copy[512], *rest = NULL;
    int n = 0;

    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &rest); word && n < MOST;
         word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        *equals = 0;
        flags[n++] = (gd_flag){ word, equals + 1 };
    }
    return gd_flags_apply(config, flags, n);
}

gd_status gd_preset_config(gd_model_config *out, const char *name)
{
    const struct preset *preset = find(name);

    if (!preset)
        return unknown(name);
    gd_config_defaults(out, preset->kind);
    GD_TRY(apply_text(out, preset->flags));
    snprintf(out->preset, sizeof out->preset, "%s", preset->name);
    out->guidance_scale = preset->guidance_scale;
    return GD_OK;
}

const char *gd_preset_partner(const char *name)
{
    const struct preset *preset = find(name);

    return preset ? preset->partner : NULL;
}
