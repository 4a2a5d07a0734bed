/* SPDX-License-Identifier: MIT */
/* scripts.c - flags and defaults of the authors' scripts.  Source: their argument parsers. */
#include "nn/scripts.h"

#include <string.h>

enum {
    G_SAMPLE = 1 << 0,
    G_GUIDED = 1 << 1, /* classifier_sample */
    G_NLL = 1 << 2,
    G_TRAIN = 1 << 3,
    G_CLASSIFIER = 1 << 4, /* classifier_train */
    G_SR_SAMPLE = 1 << 5,
    G_SR_TRAIN = 1 << 6,
    I_SAMPLE = 1 << 7,
    I_NLL = 1 << 8,
    I_TRAIN = 1 << 9,
    I_SR_SAMPLE = 1 << 10,
    I_SR_TRAIN = 1 << 11
};
enum {
    G_UNET = G_SAMPLE | G_GUIDED | G_NLL | G_TRAIN,
    G_SR = G_SR_SAMPLE | G_SR_TRAIN,
    G_CLASSIFIED = G_GUIDED | G_CLASSIFIER,
    G_DIFFUSION = G_UNET | G_SR | G_CLASSIFIER,
    I_UNET = I_SAMPLE | I_NLL | I_TRAIN,
    I_SR = I_SR_SAMPLE | I_SR_TRAIN,
    I_ALL = I_UNET | I_SR,
    UNETS = G_UNET | I_UNET,
    DENOISERS = UNETS | G_SR | I_SR,
    ALL = G_DIFFUSION | I_ALL,
    SAMPLING = G_SAMPLE | G_GUIDED | G_SR_SAMPLE | I_SAMPLE | I_SR_SAMPLE,
    NLL = G_NLL | I_NLL,
    TRAINING = G_TRAIN | G_SR_TRAIN | I_TRAIN | I_SR_TRAIN
};

static const gd_script scripts[] = {
    { "guided-diffusion", "image_sample", "sample", GD_NET_UNET },
    { "guided-diffusion", "classifier_sample", "sample", GD_NET_UNET },
    { "guided-diffusion", "image_nll", "nll", GD_NET_UNET },
    { "guided-diffusion", "image_train", "train", GD_NET_UNET },
    { "guided-diffusion", "classifier_train", "train-classifier", GD_NET_CLASSIFIER },
    { "guided-diffusion", "super_res_sample", "upsample", GD_NET_SUPERRES },
    { "guided-diffusion", "super_res_train", "train", GD_NET_SUPERRES },
    { "improved-diffusion", "image_sample", "sample", GD_NET_UNET },
    { "improved-diffusion", "image_nll", "nll", GD_NET_UNET },
    { "improved-diffusion", "image_train", "train", GD_NET_UNET },
    { "improved-diffusion", "super_res_sample", "upsample", GD_NET_SUPERRES },
    { "improved-diffusion", "super_res_train", "train", GD_NET_SUPERRES },
};

static const struct row {
    const char *name, *value;
    unsigned scripts;
} table[] = {
    { "data_dir", "", NLL | TRAINING | G_CLASSIFIER },
    { "val_data_dir", "", G_CLASSIFIER },
    { "noised", "True", G_CLASSIFIER },
    { "iterations", "150000", G_CLASSIFIER },
    { "schedule_sampler", "uniform", TRAINING | G_CLASSIFIER },
    { "lr", "1e-4", TRAINING },
    { "lr", "3e-4", G_CLASSIFIER },
    { "weight_decay", "0.0", TRAINING | G_CLASSIFIER },
    { "lr_anneal_steps", "0", TRAINING },
    { "anneal_lr", "False", G_CLASSIFIER },
    { "clip_denoised", "True", SAMPLING | NLL },
    { "num_samples", "10000", SAMPLING },
    { "num_samples", "1000", NLL },
    { "batch_size", "16", SAMPLING },
    { "batch_size", "1", NLL | TRAINING },
    { "batch_size", "4", G_CLASSIFIER },
    { "microbatch", "-1", TRAINING | G_CLASSIFIER },
    { "ema_rate", "0.9999", TRAINING },
    { "log_interval", "10", TRAINING | G_CLASSIFIER },
    { "eval_interval", "5", G_CLASSIFIER },
    { "save_interval", "10000", TRAINING | G_CLASSIFIER },
    { "resume_checkpoint", "", TRAINING | G_CLASSIFIER },
    { "fp16_scale_growth", "1e-3", TRAINING },
    { "use_ddim", "False", SAMPLING },
    { "base_samples", "", G_SR_SAMPLE | I_SR_SAMPLE },
    { "model_path", "", SAMPLING | NLL },
    { "classifier_path", "", G_GUIDED },
    { "classifier_scale", "1.0", G_GUIDED },

    { "image_size", "64", UNETS | G_CLASSIFIER },
    { "large_size", "256", G_SR | I_SR },
    { "small_size", "64", G_SR | I_SR },
    { "num_channels", "128", DENOISERS },
    { "num_res_blocks", "2", DENOISERS },
    { "num_heads", "4", DENOISERS },
    { "num_heads_upsample", "-1", DENOISERS },
    { "num_head_channels", "-1", G_UNET | G_SR },
    { "attention_resolutions", "16,8", DENOISERS },
    { "channel_mult", "", G_UNET },
    { "dropout", "0.0", DENOISERS },
    { "class_cond", "False", DENOISERS },
    { "use_checkpoint", "False", DENOISERS },
    { "use_scale_shift_norm", "True", DENOISERS },
    { "resblock_updown", "False", G_UNET | G_SR },
    { "use_fp16", "False", G_UNET | G_SR | I_TRAIN | I_SR_TRAIN },
    { "use_new_attention_order", "False", G_UNET },
    { "classifier_use_fp16", "False", G_CLASSIFIED },
    { "classifier_width", "128", G_CLASSIFIED },
    { "classifier_depth", "2", G_CLASSIFIED },
    { "classifier_attention_resolutions", "32,16,8", G_CLASSIFIED },
    { "classifier_use_scale_shift_norm", "True", G_CLASSIFIED },
    { "classifier_resblock_updown", "True", G_CLASSIFIED },
    { "classifier_pool", "attention", G_CLASSIFIED },

    { "learn_sigma", "False", ALL },
    { "sigma_small", "False", I_ALL },
    { "diffusion_steps", "1000", ALL },
    { "noise_schedule", "linear", ALL },
    { "timestep_respacing", "", ALL },
    { "use_kl", "False", ALL },
    { "predict_xstart", "False", ALL },
    { "rescale_timesteps", "False", G_DIFFUSION },
    { "rescale_timesteps", "True", I_ALL },
    { "rescale_learned_sigmas", "False", G_DIFFUSION },
    { "rescale_learned_sigmas", "True", I_ALL },
};

int gd_script_count(void)
{
    return COUNT(scripts);
}

const gd_script *gd_script_at(int script)
{
    return &scripts[script];
}

int gd_script_flags(int script, gd_flag *out, int most)
{
    int n = 0;

    for (int i = 0; i < COUNT(table); i++) {
        if (!(table[i].scripts >> script & 1))
            continue;
        if (n < most)
            out[n] = (gd_flag){ table[i].name, table[i].value };
        n++;
    }
    return n;
}

/* All scripts that have it */
static unsigned scripts_of(const char *flag)
{
    unsigned all = 0;

    for (int i = 0; i < COUNT(table); i++)
        if (strcmp(table[i].name, flag) == 0)
            all |= table[i].scripts;
    return all;
}

bool gd_script_knows(const char *flag)
{
    return scripts_of(flag) != 0;
}

bool gd_script_takes(gd_net_kind kind, const char *flag)
{
    const unsigned all = scripts_of(flag);

    for (int i = 0; i < COUNT(scripts); i++)
        if (all >> i & 1 && scripts[i].kind == kind)
            return true;
    return false;
}

bool gd_script_is_guided_only(const char *flag)
{
    const unsigned all = scripts_of(flag);

    return all && !(all & I_ALL);
}

int gd_script_of(const char *project, gd_net_kind kind)
{
    int found = 0;

    for (int i = 0; i < COUNT(scripts); i++)
        if (scripts[i].kind == kind && strncmp(scripts[i].verb, "train", 5) == 0 &&
            (strcmp(scripts[i].project, project) == 0 || kind == GD_NET_CLASSIFIER))
            found = i;
    return found;
}
