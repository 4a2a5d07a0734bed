/* SPDX-License-Identifier: MIT */
/* presets.c - the published files, as their authors' README writes them, and small ones of ours.
 * Source: docs/reference/networks.md#presets. */
#include "nn/family.h"

#include <string.h>

/* diffusion_steps 1000 and use_scale_shift_norm True, which all have, are the defaults; use_fp16
 * and dropout do not touch what a sample is, dropout is kept for those who train on. */
#define DIFFUSION "learn_sigma=True resblock_updown=True "
#define IMAGENET256                                                                                \
    DIFFUSION "image_size=256 num_channels=256 num_res_blocks=2 num_head_channels=64 "             \
              "attention_resolutions=32,16,8 "

/* consistency_models: its launch.sh */
#define CONSISTENCY64                                                                              \
    "image_size=64 num_channels=192 num_res_blocks=3 num_head_channels=64 "                        \
    "attention_resolutions=32,16,8 class_cond=True resblock_updown=True "
#define CONSISTENCY256                                                                             \
    "image_size=256 num_channels=256 num_res_blocks=2 num_head_channels=64 "                       \
    "attention_resolutions=32,16,8 resblock_updown=True use_scale_shift_norm=False "
#define CONSISTENCY(name, shape, mode)                                                             \
    {                                                                                              \
        name, GD_NET_UNET, 1.0, NULL, shape "training_mode=" mode, GD_FAMILY_CONSISTENCY           \
    }

/* P2 weighting's networks, which ILVR and DPS use too */
#define P2                                                                                         \
    DIFFUSION "image_size=256 num_channels=128 num_res_blocks=1 num_head_channels=64 "             \
              "attention_resolutions=16"

/* improved-diffusion: convolutions up and down, four heads */
#define IMPROVED "learn_sigma=True num_heads=4 attention_resolutions=16,8 "
#define IMPROVED64                                                                                 \
    IMPROVED "image_size=64 num_channels=128 num_res_blocks=3 diffusion_steps=4000 "               \
             "noise_schedule=cosine rescale_timesteps=True rescale_learned_sigmas=True"
#define IMPROVED32                                                                                 \
    IMPROVED "image_size=32 num_channels=128 num_res_blocks=3 channel_mult=1,2,2,2 dropout=0.3 "   \
             "diffusion_steps=4000 noise_schedule=cosine rescale_timesteps=True "                  \
             "rescale_learned_sigmas=True"
#define IMPROVED_LSUN                                                                              \
    "learn_sigma=True image_size=256 num_channels=128 num_res_blocks=2 num_heads=1 "               \
    "use_scale_shift_norm=False attention_resolutions=16"

/* EDM: constructor arguments that are not the class's defaults */
#define EDM(name, class, args)                                                                     \
    {                                                                                              \
        name, GD_NET_UNET, 1.0, NULL,                                                              \
            "{\"class_name\":\"" class "\",\"init_kwargs\":{\"img_channels\":3," args "}}",        \
            GD_FAMILY_EDM                                                                          \
    }
#define SONG "\"model_type\":\"SongUNet\",\"augment_dim\":9,"
#define DDPMPP SONG
#define NCSNPP                                                                                     \
    SONG "\"embedding_type\":\"fourier\",\"encoder_type\":\"residual\",\"channel_mult_noise\":2,"  \
         "\"resample_filter\":[1,3,3,1],"
#define CIFAR10 "\"img_resolution\":32,\"channel_mult\":[2,2,2],\"dropout\":0.13"
#define FACES "\"img_resolution\":64,\"channel_mult\":[1,2,2,2],\"dropout\":0.05"
#define EDM64 "\"img_resolution\":64,\"label_dim\":1000,\"model_type\":\"DhariwalUNet\""

/* diffusers: config.json of google/ddpm-* */
#define DDPM(name, size, widths, down, up)                                                         \
    {                                                                                              \
        name, GD_NET_UNET, 1.0, NULL,                                                              \
            "{\"sample_size\":" size ",\"in_channels\":3,\"out_channels\":3,\"freq_shift\":1,"     \
            "\"flip_sin_to_cos\":false,\"downsample_padding\":0,\"norm_eps\":1e-6,"                \
            "\"attention_head_dim\":null,\"layers_per_block\":2,\"block_out_channels\":[" widths   \
            "],\"down_block_types\":[" down "],\"up_block_types\":[" up "]}",                      \
            GD_FAMILY_DIFFUSERS                                                                    \
    }
#define D "\"DownBlock2D\""
#define DA "\"AttnDownBlock2D\""
#define U "\"UpBlock2D\""
#define UA "\"AttnUpBlock2D\""
#define DDPM256(name)                                                                              \
    DDPM(name, "256", "128,128,256,256,512,512", D "," D "," D "," D "," DA "," D,                 \
         U "," UA "," U "," U "," U "," U)

#define SMALL DIFFUSION "num_res_blocks=1 num_head_channels=32 class_cond=True "

static const struct preset {
    const char *name;
    gd_net_kind kind;
    double guidance_scale; /* at 250 steps */
    const char *partner;
    const char *text; /* as the family reads it: the authors' flags, constructor arguments */
    gd_family family;
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
    { "imagenet64_uncond_100M_1500K", GD_NET_UNET, 1.0, NULL, IMPROVED64 },
    { "imagenet64_uncond_vlb_100M_1500K", GD_NET_UNET, 1.0, NULL, IMPROVED64 " use_kl=True" },
    { "imagenet64_cond_270M_250K", GD_NET_UNET, 1.0, NULL,
      IMPROVED "image_size=64 num_channels=192 num_res_blocks=3 class_cond=True "
               "diffusion_steps=4000 noise_schedule=cosine" },
    { "cifar10_uncond_50M_500K", GD_NET_UNET, 1.0, NULL, IMPROVED32 },
    { "cifar10_uncond_vlb_50M_500K", GD_NET_UNET, 1.0, NULL, IMPROVED32 " use_kl=True" },
    { "lsun_uncond_100M_1200K_bs128", GD_NET_UNET, 1.0, NULL, IMPROVED_LSUN },
    { "lsun_uncond_100M_2400K_bs64", GD_NET_UNET, 1.0, NULL, IMPROVED_LSUN },
    { "upsample_cond_500K", GD_NET_SUPERRES, 1.0, NULL,
      IMPROVED "large_size=256 small_size=64 num_channels=192 num_res_blocks=2 class_cond=True "
               "diffusion_steps=4000" },
    { "ffhq_10m", GD_NET_UNET, 1.0, NULL, P2 },
    { "ffhq_p2", GD_NET_UNET, 1.0, NULL, P2 },
    CONSISTENCY("cd_imagenet64_lpips", CONSISTENCY64, "consistency_distillation"),
    CONSISTENCY("cd_imagenet64_l2", CONSISTENCY64, "consistency_distillation"),
    CONSISTENCY("ct_imagenet64", CONSISTENCY64, "consistency_training"),
    CONSISTENCY("edm_imagenet64_ema", CONSISTENCY64, "edm"),
    CONSISTENCY("cd_bedroom256_lpips", CONSISTENCY256, "consistency_distillation"),
    CONSISTENCY("cd_bedroom256_l2", CONSISTENCY256, "consistency_distillation"),
    CONSISTENCY("ct_bedroom256", CONSISTENCY256, "consistency_training"),
    CONSISTENCY("edm_bedroom256_ema", CONSISTENCY256, "edm"),
    CONSISTENCY("cd_cat256_lpips", CONSISTENCY256, "consistency_distillation"),
    CONSISTENCY("cd_cat256_l2", CONSISTENCY256, "consistency_distillation"),
    CONSISTENCY("ct_cat256", CONSISTENCY256, "consistency_training"),
    CONSISTENCY("edm_cat256_ema", CONSISTENCY256, "edm"),
    EDM("edm-cifar10-32x32-uncond-vp", "EDMPrecond", DDPMPP CIFAR10),
    EDM("edm-cifar10-32x32-cond-vp", "EDMPrecond", DDPMPP CIFAR10 ",\"label_dim\":10"),
    EDM("edm-cifar10-32x32-uncond-ve", "EDMPrecond", NCSNPP CIFAR10),
    EDM("edm-cifar10-32x32-cond-ve", "EDMPrecond", NCSNPP CIFAR10 ",\"label_dim\":10"),
    EDM("edm-ffhq-64x64-uncond-vp", "EDMPrecond", DDPMPP FACES),
    EDM("edm-ffhq-64x64-uncond-ve", "EDMPrecond", NCSNPP FACES),
    EDM("edm-afhqv2-64x64-uncond-vp", "EDMPrecond", DDPMPP FACES),
    EDM("edm-afhqv2-64x64-uncond-ve", "EDMPrecond", NCSNPP FACES),
    EDM("edm-imagenet-64x64-cond-adm", "EDMPrecond", EDM64),
    EDM("baseline-cifar10-32x32-uncond-vp", "VPPrecond", DDPMPP CIFAR10),
    EDM("baseline-cifar10-32x32-uncond-ve", "VEPrecond", NCSNPP CIFAR10),
    EDM("baseline-imagenet-64x64-cond-adm", "iDDPMPrecond", EDM64),
    DDPM("ddpm-cifar10-32", "32", "128,256,256,256", D "," DA "," D "," D, U "," U "," UA "," U),
    DDPM256("ddpm-celebahq-256"),
    DDPM256("ddpm-church-256"),
    DDPM256("ddpm-bedroom-256"),
    DDPM256("ddpm-cat-256"),
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
    char all[2048] = "";
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
gd_status nn_read_flags_text(gd_model_config *config, const char *text)
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
    GD_TRY(gd_config_from_text(out, preset->family, preset->kind, preset->text));
    snprintf(out->preset, sizeof out->preset, "%s", preset->name);
    out->guidance_scale = preset->guidance_scale;
    return GD_OK;
}

const char *gd_preset_partner(const char *name)
{
    const struct preset *preset = find(name);

    return preset ? preset->partner : NULL;
}
