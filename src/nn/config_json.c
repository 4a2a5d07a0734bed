/* config_json.c - guided.config: a configuration as JSON by the authors' names, and back, strictly.
 */
#include "nn/config_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_VERSION = 1 };

/* ---- writing ---- */

static json_t *mult_list(const gd_net_config *net)
{
    json_t *list = json_array();

    for (int l = 0; l < net->n_levels; l++)
        json_array_append_new(list, json_real(net->channel_mult[l]));
    return list;
}

static json_t *attention_list(const gd_net_config *net)
{
    json_t *list = json_array();

    for (int l = 0; l < net->n_levels; l++)
        if (net->attention_ds >> l & 1)
            json_array_append_new(list, json_integer(1 << l));
    return list;
}

gd_status gd_config_to_json(const gd_model_config *config, gd_arena *arena, char **out)
{
    const gd_net_config *n = &config->net;
    const gd_diffusion_config *d = &config->diffusion;
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:f, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:i, s:i, s:i, s:i, s:f, "
        "s:b, s:b, s:b, s:b, s:s,"
        " s:i, s:s, s:b, s:b, s:b, s:b, s:b, s:b}",
        "version", CONFIG_VERSION, "kind", nn_kind_names[n->kind], "preset", config->preset,
        "guidance_scale", config->guidance_scale, "image_size", n->image_size, "small_size",
        n->small_size, "in_channels", n->in_channels, "model_channels", n->model_channels,
        "out_channels", n->out_channels, "num_res_blocks", n->num_res_blocks, "channel_mult",
        mult_list(n), "attention_ds", attention_list(n), "num_classes", n->num_classes, "num_heads",
        n->num_heads, "num_heads_upsample", n->num_heads_upsample, "num_head_channels",
        n->num_head_channels, "dropout", n->dropout, "use_scale_shift_norm",
        n->use_scale_shift_norm, "resblock_updown", n->resblock_updown, "conv_resample",
        n->conv_resample, "use_new_attention_order", n->use_new_attention_order, "pool",
        nn_pool_names[n->pool], "diffusion_steps", d->steps, "noise_schedule", d->noise_schedule,
        "learn_sigma", d->learn_sigma, "sigma_small", d->sigma_small, "predict_xstart",
        d->predict_xstart, "rescale_timesteps", d->rescale_timesteps, "rescale_learned_sigmas",
        d->rescale_learned_sigmas, "use_kl", d->use_kl);
    char *text =
        root ? json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17)) : NULL;

    *out = text ? gd_strdup(arena, text) : NULL;
    free(text);
    json_decref(root);
    return *out ? GD_OK : gd_fail(GD_ENOMEM, "configuration: out of memory");
}

/* ---- reading ---- */

static gd_status word(int *out, const char *text, const char *const *words, int n, const char *what,
                      const char *file)
{
    for (int i = 0; i < n; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return GD_OK;
        }
    return gd_fail(GD_EFORMAT, "%s: guided.config: %s %.40s is not known", file, what, text);
}

static gd_status read_mult(gd_net_config *n, json_t *list, const char *file)
{
    n->n_levels = (int)json_array_size(list);
    if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > GD_MAX_LEVELS)
        return gd_fail(GD_EFORMAT,
                       "%s: guided.config: channel_mult is not a list of 1 to %d numbers", file,
                       GD_MAX_LEVELS);
    for (int l = 0; l < n->n_levels; l++) {
        if (!json_is_number(json_array_get(list, (size_t)l)))
            return gd_fail(GD_EFORMAT,
                           "%s: guided.config: channel_mult holds something that is no number",
                           file);
        n->channel_mult[l] = json_number_value(json_array_get(list, (size_t)l));
    }
    return GD_OK;
}

static gd_status read_attention(gd_net_config *n, json_t *list, const char *file)
{
    size_t i;
    json_t *item;

    n->attention_ds = 0;
    json_array_foreach(list, i, item)
    {
        const json_int_t ds = json_integer_value(item);
        if (ds < 1 || ds > 1 << (GD_MAX_LEVELS - 1) || (ds & (ds - 1)) != 0)
            return gd_fail(GD_EFORMAT,
                           "%s: guided.config: attention_ds holds something that is no power of 2",
                           file);
        n->attention_ds |= (unsigned)ds; /* the bit of rate 2^k is 2^k */
    }
    return GD_OK;
}

static gd_status read_root(gd_model_config *out, json_t *root, const char *file)
{
    gd_net_config *n = &out->net;
    gd_diffusion_config *d = &out->diffusion;
    const char *kind, *preset, *pool, *schedule;
    int version, ssn, updown, conv, order, kind_index, pool_index, learn, small, start, rescale,
        rescale_sigmas, kl;
    json_t *mult, *attention;
    json_error_t e;

    if (json_unpack(root, "{s:i}", "version", &version) == 0 && version > CONFIG_VERSION)
        return gd_fail(
            GD_EFORMAT,
            "%s: guided.config has version %d; this program knows %d: a newer guided wrote it",
            file, version, CONFIG_VERSION);
    if (json_unpack_ex(
            root, &e, JSON_STRICT,
            "{s:i, s:s, s:s, s:F, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:i, s:i, s:i, s:i, s:F, "
            "s:b, s:b, s:b,"
            " s:b, s:s, s:i, s:s, s:b, s:b, s:b, s:b, s:b, s:b}",
            "version", &version, "kind", &kind, "preset", &preset, "guidance_scale",
            &out->guidance_scale, "image_size", &n->image_size, "small_size", &n->small_size,
            "in_channels", &n->in_channels, "model_channels", &n->model_channels, "out_channels",
            &n->out_channels, "num_res_blocks", &n->num_res_blocks, "channel_mult", &mult,
            "attention_ds", &attention, "num_classes", &n->num_classes, "num_heads", &n->num_heads,
            "num_heads_upsample", &n->num_heads_upsample, "num_head_channels",
            &n->num_head_channels, "dropout", &n->dropout, "use_scale_shift_norm", &ssn,
            "resblock_updown", &updown, "conv_resample", &conv, "use_new_attention_order", &order,
            "pool", &pool, "diffusion_steps", &d->steps, "noise_schedule", &schedule, "learn_sigma",
            &learn, "sigma_small", &small, "predict_xstart", &start, "rescale_timesteps", &rescale,
            "rescale_learned_sigmas", &rescale_sigmas, "use_kl", &kl) != 0)
        return gd_fail(GD_EFORMAT, "%s: guided.config: %s", file, e.text);
    GD_TRY(word(&kind_index, kind, nn_kind_names, 3, "kind", file));
    GD_TRY(word(&pool_index, pool, nn_pool_names, 4, "pool", file));
    GD_TRY(read_mult(n, mult, file));
    GD_TRY(read_attention(n, attention, file));
    n->kind = (gd_net_kind)kind_index;
    n->pool = (gd_pool)pool_index;
    n->use_scale_shift_norm = ssn;
    n->resblock_updown = updown;
    n->conv_resample = conv;
    n->use_new_attention_order = order;
    d->learn_sigma = learn;
    d->sigma_small = small;
    d->predict_xstart = start;
    d->rescale_timesteps = rescale;
    d->rescale_learned_sigmas = rescale_sigmas;
    d->use_kl = kl;
    snprintf(out->preset, sizeof out->preset, "%s", preset);
    snprintf(d->noise_schedule, sizeof d->noise_schedule, "%s", schedule);
    return GD_OK;
}

gd_status gd_config_from_json(gd_model_config *out, const char *json, const char *file)
{
    json_t *root;
    gd_status s;

    *out = (gd_model_config){ 0 };
    GD_TRY(gd_json_parse(&root, json, strlen(json), 3, file));
    s = read_root(out, root, file);
    json_decref(root);
    if (s == GD_OK && nn_config_check(out) != GD_OK) {
        gd_context("%s: guided.config", file);
        return GD_EFORMAT;
    }
    return s;
}
