/* SPDX-License-Identifier: MIT */
/* config.c - the authors' defaults, and which configurations can exist.  Source:
 * docs/reference/networks.md#flags, #unet. */
#include "nn/config_private.h"
#include "nn/family.h"
#include "nn/scripts.h"

#include <math.h>
#include <string.h>

const char *const gd_net_kind_names[3] = { "diffusion", "upsampler", "classifier" };
const char *const gd_family_names[GD_N_FAMILIES] = { "adm", "consistency_models", "edm",
                                                     "diffusers" };
const char *const gd_precond_names[GD_N_PRECONDS] = { "steps",      "edm",   "vp",
                                                      "ve",         "iddpm", "consistency_edm",
                                                      "consistency" };
const char *const gd_noise_schedules[GD_N_NOISE_SCHEDULES] = { "linear", "cosine",
                                                               "linear-zero-snr",
                                                               "cosine-zero-snr" };
const char *const nn_kind_names[3] = { "unet", "superres", "classifier" };
const char *const nn_pool_names[4] = { "attention", "adaptive", "spatial", "spatial_v2" };

int nn_level_channels(const gd_net_config *net, int level)
{
    return (int)(net->channel_mult[level] * net->model_channels);
}

bool nn_attends(const gd_net_config *net, int level)
{
    return net->attention_ds >> level & 1;
}

double nn_width_factor(int width, int model_channels)
{
    double factor = (double)width / model_channels;

    return (int)(factor * model_channels) < width ? nextafter(factor, INFINITY) : factor;
}

/* ---- defaults ---- */

static const struct {
    int image_size, n_levels;
    double mult[GD_MAX_LEVELS];
} default_mults[] = {
    { 32, 4, { 1, 2, 2, 2 } }, /* improved-diffusion's, diffusion models only */
    { 64, 4, { 1, 2, 3, 4 } },        { 128, 5, { 1, 1, 2, 3, 4 } },
    { 256, 6, { 1, 1, 2, 2, 4, 4 } }, { 512, 7, { 0.5, 1, 1, 2, 2, 4, 4 } },
};

int nn_default_channel_mult(double mult[GD_MAX_LEVELS], gd_net_kind kind, int image_size)
{
    if (kind == GD_NET_SUPERRES) {
        if (image_size == 128)
            return 0;
        if (image_size == 512)
            image_size = 256; /* the authors give both upsamplers the same widths */
    }
    if (kind != GD_NET_UNET && image_size == 32)
        return 0;
    for (int i = 0; i < COUNT(default_mults); i++) {
        if (default_mults[i].image_size == image_size) {
            memcpy(mult, default_mults[i].mult, sizeof default_mults[i].mult);
            return default_mults[i].n_levels;
        }
    }
    return 0;
}

/* Values without a flag of theirs, then the script's defaults */
void nn_script_defaults(gd_model_config *out, gd_net_kind kind, int project)
{
    enum { MOST = 64 };
    gd_net_config *net = &out->net;
    gd_flag all[MOST], known[MOST];
    const int total = gd_script_flags(gd_script_of(nn_projects[project], kind), all, MOST);
    int n = 0;

    memset(out, 0, sizeof *out);
    *net = (gd_net_config){
        .kind = kind,
        .in_channels = 3,
        .out_channels = NN_IMAGE_CLASSES, /* a classifier's */
        .num_heads = 1,                   /* a classifier's */
        .num_heads_upsample = -1,
        .num_head_channels = kind == GD_NET_CLASSIFIER ? 64 : -1,
        .conv_resample = true,
    };
    out->guidance_scale = 1.0;
    for (int i = 0; i < total && i < MOST; i++)
        if (gd_flag_fits(all[i].name, kind))
            known[n++] = all[i];
    if (nn_flags_set(out, known, n, false) != GD_OK)
        net->n_levels = 0; /* refused by nn_config_check; the table is tested */
}

void gd_config_defaults(gd_model_config *out, gd_net_kind kind)
{
    nn_script_defaults(out, kind, 0);
}

gd_status gd_config_from_flags(gd_model_config *out, gd_net_kind kind, const gd_flag *flags, int n)
{
    nn_script_defaults(out, kind, nn_project(flags, n, kind, NULL));
    return gd_flags_apply(out, flags, n);
}

void nn_sigma_defaults(gd_model_config *config, gd_precond precond)
{
    config->diffusion.precond = precond;
    config->diffusion.sigma_data = 0.5; /* of images in [-1, 1] */
    config->diffusion.sigma_min = 0.002;
    config->diffusion.sigma_max = 80;
}

void gd_config_for_levels(gd_model_config *config, gd_precond precond)
{
    config->net.family = GD_FAMILY_CONSISTENCY;
    config->net.out_channels = config->net.in_channels;
    config->net.use_new_attention_order = true;
    config->diffusion.learn_sigma = false;
    config->preset[0] = 0;
    nn_sigma_defaults(config, precond);
}

/* ---- what can exist ---- */

gd_status nn_check_range(const char *name, int value, int min, int max)
{
    if (value < min || value > max)
        return gd_fail(GD_EUSAGE, "%s is %d, must be %d to %d", name, value, min, max);
    return GD_OK;
}

static gd_status check_ranges(const gd_net_config *net)
{
    int most_outputs = net->kind == GD_NET_CLASSIFIER ? NN_MAX_CLASSES : 2 * NN_MAX_IMAGE_CHANNELS;

    GD_TRY(nn_check_range("image_size", net->image_size, 1, NN_MAX_IMAGE_SIZE));
    GD_TRY(nn_check_range("in_channels", net->in_channels, 1, NN_MAX_IMAGE_CHANNELS));
    GD_TRY(nn_check_range("num_channels", net->model_channels, 1, NN_MAX_CHANNELS));
    GD_TRY(nn_check_range("out_channels", net->out_channels, 1, most_outputs));
    GD_TRY(nn_check_range("num_res_blocks", net->num_res_blocks, 1, NN_MAX_RES_BLOCKS));
    GD_TRY(nn_check_range("number of levels in channel_mult", net->n_levels, 1, GD_MAX_LEVELS));
    GD_TRY(nn_check_range("num_classes", net->num_classes, 0, NN_MAX_CLASSES));
    if (net->kind == GD_NET_SUPERRES)
        GD_TRY(nn_check_range("small_size", net->small_size, 1, net->image_size));
    if (net->kind == GD_NET_CLASSIFIER && net->num_classes != 0)
        return gd_fail(GD_EUSAGE, "a classifier has no label input, num_classes is %d",
                       net->num_classes);
    if (!(net->dropout >= 0 && net->dropout < 1))
        return gd_fail(GD_EUSAGE, "dropout is %g, must be 0 to less than 1", net->dropout);
    return GD_OK;
}

/* Every level's width, and a picture that every level but the last can halve: skips and upsampled
 * maps must meet again. */
static gd_status check_levels(const gd_net_config *net)
{
    for (int l = 0; l < net->n_levels; l++) {
        double mult = net->channel_mult[l];
        if (!(mult > 0 && mult * net->model_channels <= NN_MAX_CHANNELS))
            return gd_fail(GD_EUSAGE,
                           "channel_mult %g of level %d times %d channels must be 1 to %d", mult, l,
                           net->model_channels, NN_MAX_CHANNELS);
        int channels = nn_level_channels(net, l);
        if (channels < 32 || channels % 32 != 0)
            return gd_fail(
                GD_EUSAGE,
                "level %d has %d channels (%g x %d): not a multiple of 32, the groups of its norms",
                l, channels, mult, net->model_channels);
    }
    int rate = 1 << (net->n_levels - 1);
    if (net->image_size % rate != 0)
        return gd_fail(GD_EUSAGE, "image_size %d cannot be halved %d times, which %d levels need",
                       net->image_size, net->n_levels - 1, net->n_levels);
    return GD_OK;
}

static gd_status check_split(const char *name, int per_head, int heads, int channels, int level)
{
    int divisor = per_head > 0 ? per_head : heads;

    if (channels % divisor != 0)
        return gd_fail(GD_EUSAGE, "%s %d does not divide the %d channels of level %d", name,
                       divisor, channels, level);
    return GD_OK;
}

static gd_status check_heads(const gd_net_config *net)
{
    int per_head = net->num_head_channels, up = net->num_heads_upsample;
    const char *name = per_head > 0 ? "num_head_channels" : "num_heads";

    if (per_head != -1)
        GD_TRY(nn_check_range("num_head_channels", per_head, 1, NN_MAX_CHANNELS));
    GD_TRY(nn_check_range("num_heads", net->num_heads, 1, NN_MAX_CHANNELS));
    if (up != -1)
        GD_TRY(nn_check_range("num_heads_upsample", up, 1, NN_MAX_CHANNELS));
    for (int l = 0; l < net->n_levels; l++) {
        bool last = l == net->n_levels - 1, attends = nn_attends(net, l);
        int channels = nn_level_channels(net, l);

        if (attends || last) /* the middle block always attends, at the last level's width */
            GD_TRY(check_split(name, per_head, net->num_heads, channels, l));
        if (attends && up != -1 && net->kind != GD_NET_CLASSIFIER)
            GD_TRY(check_split("num_heads_upsample", per_head, up, channels, l));
    }
    if (net->kind == GD_NET_CLASSIFIER && net->pool == GD_POOL_ATTENTION && per_head == -1)
        return gd_fail(GD_EUSAGE, "attention pooling needs num_head_channels, which is -1");
    return GD_OK;
}

static gd_status check_noise(const gd_diffusion_config *d)
{
    int which = 0;

    while (which < GD_N_NOISE_SCHEDULES &&
           strcmp(d->noise_schedule, gd_noise_schedules[which]) != 0)
        which++;
    if (which == GD_N_NOISE_SCHEDULES)
        return gd_fail(GD_EUSAGE,
                       "noise_schedule is \"%s\", must be linear or cosine, or either with "
                       "-zero-snr",
                       d->noise_schedule);
    if (d->predict_v && d->predict_xstart)
        return gd_fail(GD_EUSAGE, "predict_v and predict_xstart: a network predicts one of them");
    if (strstr(d->noise_schedule, "-zero-snr") && !d->predict_v && !d->predict_xstart)
        return gd_fail(GD_EUSAGE,
                       "noise_schedule %s leaves nothing of the image at its last step, where the "
                       "noise tells nothing\nhint: --predict_v True",
                       d->noise_schedule);
    return GD_OK;
}

static gd_status check_diffusion(const gd_model_config *config)
{
    const gd_diffusion_config *diffusion = &config->diffusion;
    const gd_net_config *net = &config->net;
    int outputs = (diffusion->learn_sigma ? 2 : 1) * net->in_channels;

    GD_TRY(nn_check_range("diffusion_steps", diffusion->steps, 1, NN_MAX_STEPS));
    GD_TRY(check_noise(diffusion));
    if (net->kind != GD_NET_CLASSIFIER && net->out_channels != outputs)
        return gd_fail(
            GD_EUSAGE,
            "out_channels is %d, must be %d: learn_sigma is %s and images have %d channels",
            net->out_channels, outputs, diffusion->learn_sigma ? "True" : "False",
            net->in_channels);
    if (!isfinite(config->guidance_scale))
        return gd_fail(GD_EUSAGE, "guidance_scale is not a finite number");
    return GD_OK;
}

gd_status nn_check_adm(const gd_model_config *config)
{
    GD_TRY(check_ranges(&config->net));
    GD_TRY(check_levels(&config->net));
    GD_TRY(check_heads(&config->net));
    return check_diffusion(config);
}
