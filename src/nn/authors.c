/* SPDX-License-Identifier: MIT */
/* authors.c - whose defaults a line of flags means, and what a file's shapes leave to them. */
#include "nn/config_private.h"
#include "nn/scripts.h"

#include <string.h>

const char *const nn_projects[2] = { "guided-diffusion", "improved-diffusion" };
enum { GUIDED, IMPROVED };

/* ---- whose ---- */

static const char *value_of(const gd_flag *flags, int n, const char *name)
{
    for (int i = n - 1; i >= 0; i--)
        if (strcmp(flags[i].name, name) == 0)
            return flags[i].value;
    return "";
}

/* The files that improved-diffusion published begin so */
static bool is_improved_file(const char *path)
{
    static const char *const names[] = { "imagenet64_uncond_", "imagenet64_cond_",
                                         "cifar10_uncond_", "upsample_cond_", "lsun_uncond_" };
    const char *slash = path ? strrchr(path, '/') : NULL, *base = slash ? slash + 1 : path;

    for (int i = 0; base && i < COUNT(names); i++)
        if (strncmp(base, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static bool guided_flag_given(const gd_flag *flags, int n)
{
    for (int i = 0; i < n; i++)
        if (gd_script_is_guided_only(flags[i].name) && gd_flag_known(flags[i].name) &&
            *flags[i].value)
            return true;
    return false;
}

int nn_project(const gd_flag *flags, int n, gd_net_kind kind, const char *path)
{
    const char *said = value_of(flags, n, "script_defaults");

    if (*said)
        return strcmp(said, nn_projects[IMPROVED]) == 0 ? IMPROVED : GUIDED;
    if (kind == GD_NET_CLASSIFIER || guided_flag_given(flags, n))
        return GUIDED;
    if (is_improved_file(path) || nn_flag_given(flags, n, "sigma_small"))
        return IMPROVED;
    /* guided-diffusion has no widths for 32x32 */
    return kind == GD_NET_UNET && strcmp(value_of(flags, n, "image_size"), "32") == 0 ? IMPROVED
                                                                                      : GUIDED;
}

/* ---- what shapes leave open ---- */

/* Where widths are not given, a default size brings its own: those of the file, or it cannot be. */
static bool size_fits(const gd_net_config *net, const gd_net_config *defaults, const gd_flag *flags,
                      int n)
{
    if (nn_flag_given(flags, n, "channel_mult"))
        return true;
    if (defaults->n_levels != net->n_levels)
        return false;
    for (int l = 0; l < net->n_levels; l++)
        if ((int)(defaults->channel_mult[l] * net->model_channels) != nn_level_channels(net, l))
            return false;
    return true;
}

static void take_size(gd_net_config *net, const gd_net_config *defaults, const gd_flag *flags,
                      int n)
{
    const bool given =
        nn_flag_given(flags, n, net->kind == GD_NET_SUPERRES ? "large_size" : "image_size");

    if (net->kind == GD_NET_CLASSIFIER)
        return; /* its pooling's shapes tell, or the guess stays */
    if (!given && size_fits(net, defaults, flags, n))
        net->image_size = defaults->image_size;
    if (!given && net->image_size == defaults->image_size)
        net->small_size = defaults->small_size;
}

static void take_heads(gd_net_config *net, const gd_net_config *defaults)
{
    net->num_heads = defaults->num_heads;
    net->num_heads_upsample = defaults->num_heads_upsample;
    net->num_head_channels = defaults->num_head_channels;
    net->use_new_attention_order = defaults->use_new_attention_order;
    net->dropout = defaults->dropout;
}

/* rescale_timesteps is the one default in which the projects differ and which changes samples. */
static void report_project(const gd_model_config *config, const char *path, const gd_flag *flags,
                           int n, int project)
{
    gd_model_config final = *config;

    if (nn_flags_set(&final, flags, n, true) != GD_OK || final.diffusion.steps == 1000 ||
        final.net.kind == GD_NET_CLASSIFIER || nn_flag_given(flags, n, "rescale_timesteps") ||
        nn_flag_given(flags, n, "script_defaults") || guided_flag_given(flags, n))
        return;
    gd_log(GD_LOG_NOTE, "%s: rescale_timesteps %s is %s's default; for %s's: --script_defaults %s",
           path, final.diffusion.rescale_timesteps ? "True" : "False", nn_projects[project],
           nn_projects[!project], nn_projects[!project]);
}

void nn_take_defaults(gd_model_config *config, const char *path, const gd_flag *flags, int n,
                      gd_model_config *defaults)
{
    const int project = nn_project(flags, n, config->net.kind, path);
    const bool learn_sigma = config->diffusion.learn_sigma;

    nn_script_defaults(defaults, config->net.kind, project);
    take_size(&config->net, &defaults->net, flags, n);
    take_heads(&config->net, &defaults->net);
    config->diffusion = defaults->diffusion;
    config->diffusion.learn_sigma = learn_sigma;
    report_project(config, path, flags, n, project);
}
