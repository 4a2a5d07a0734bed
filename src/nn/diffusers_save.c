/* SPDX-License-Identifier: MIT */
/* diffusers_save.c - an ADM model as a folder that diffusers' UNet2DModel loads: the same network
 * under other names, with queries, keys and values apart
 * (docs/reference/networks.md#other-families). */
#include "nn/diffusers.h"
#include "nn/model_private.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- what has a counterpart ---- */

/* Channels of a head, where every attending level has the same; 0: they differ */
static int head_channels(const gd_net_config *net)
{
    int found = net->num_head_channels;

    for (int l = 0; net->num_head_channels < 0 && l < net->n_levels; l++) {
        const int channels = nn_level_channels(net, l) / net->num_heads;
        if (!(net->attention_ds >> l & 1) && l != net->n_levels - 1)
            continue;
        if (found > 0 && found != channels)
            return 0;
        found = channels;
    }
    return found;
}

static gd_status cannot(const char *why)
{
    return gd_fail(GD_EMISMATCH, "--diffusers: %s, which UNet2DModel cannot express", why);
}

static gd_status check_expressible(const gd_model_config *config)
{
    const gd_net_config *net = &config->net;
    const gd_diffusion_config *d = &config->diffusion;

    if (net->family != GD_FAMILY_ADM || net->kind != GD_NET_UNET)
        return gd_fail(GD_EMISMATCH, "--diffusers: only UNetModels of guided-diffusion and "
                                     "improved-diffusion are written as such a folder");
    if (nn_level_channels(net, 0) != net->model_channels)
        return cannot("the first level has another width than the embedding's base");
    if (head_channels(net) == 0)
        return cannot("its attention levels have heads of different widths");
    if (net->num_head_channels < 0 && net->num_heads_upsample > 0 &&
        net->num_heads_upsample != net->num_heads)
        return cannot("it has other heads on the way up");
    if (!net->conv_resample && !net->resblock_updown)
        return cannot("it resamples without convolutions");
    if (d->steps != 1000 && (d->rescale_timesteps || strcmp(d->noise_schedule, "linear") == 0))
        return cannot("its time or its linear schedule is not of 1000 steps");
    return GD_OK;
}

/* ---- names ---- */

/* "in_layers.0.weight" becomes "norm1.weight" */
static const struct {
    const char *adm, *diffusers;
} layers[] = {
    { "in_layers.0.", "norm1." },
    { "in_layers.2.", "conv1." },
    { "emb_layers.1.", "time_emb_proj." },
    { "out_layers.0.", "norm2." },
    { "out_layers.3.", "conv2." },
    { "skip_connection.", "conv_shortcut." },
    { "norm.", "group_norm." },
    { "proj_out.", "to_out.0." },
    { "op.", "conv." },
};

static const char *layer_name(char out[64], const char *adm)
{
    for (int i = 0; i < COUNT(layers); i++) {
        const size_t n = strlen(layers[i].adm);
        if (strncmp(adm, layers[i].adm, n) == 0) {
            snprintf(out, 64, "%s%s", layers[i].diffusers, adm + n);
            return out;
        }
    }
    return adm;
}

/* A block of ADM's lists; `rest` is the layer in it */
static void block_name(char out[GD_MAX_NAME], const gd_net_config *net, const char *list, int n,
                       int m, const char *rest)
{
    const bool up = strcmp(list, "output_blocks") == 0;
    const int per_level = net->num_res_blocks + 1;
    const int level = up ? n / per_level : (n - 1) / per_level,
              i = up ? n % per_level : (n - 1) % per_level;
    const int depth = up ? net->n_levels - 1 - level : level;
    const bool attends = nn_attends(net, depth);
    char layer[64];

    rest = layer_name(layer, rest);
    if (up && m > (attends ? 1 : 0))
        snprintf(out, GD_MAX_NAME, "up_blocks.%d.upsamplers.0.%s", level, rest);
    else if (!up && i == net->num_res_blocks)
        snprintf(out, GD_MAX_NAME, "down_blocks.%d.downsamplers.0.%s", level, rest);
    else
        snprintf(out, GD_MAX_NAME, "%s_blocks.%d.%s.%d.%s", up ? "up" : "down", level,
                 m == 0 ? "resnets" : "attentions", i, rest);
}

static void diffusers_name(char out[GD_MAX_NAME], const gd_net_config *net, const char *adm)
{
    static const struct {
        const char *adm, *diffusers;
    } fixed[] = {
        { "time_embed.0.", "time_embedding.linear_1." },
        { "time_embed.2.", "time_embedding.linear_2." },
        { "label_emb.", "class_embedding." },
        { "input_blocks.0.0.", "conv_in." },
        { "middle_block.0.", "mid_block.resnets.0." },
        { "middle_block.1.", "mid_block.attentions.0." },
        { "middle_block.2.", "mid_block.resnets.1." },
        { "out.0.", "conv_norm_out." },
        { "out.2.", "conv_out." },
    };
    char list[32], layer[64];
    int n, m, used;

    for (int i = 0; i < COUNT(fixed); i++)
        if (strncmp(adm, fixed[i].adm, strlen(fixed[i].adm)) == 0) {
            snprintf(out, GD_MAX_NAME, "%s%s", fixed[i].diffusers,
                     layer_name(layer, adm + strlen(fixed[i].adm)));
            return;
        }
    if (sscanf(adm, "%31[a-z_].%d.%d.%n", list, &n, &m, &used) == 3)
        block_name(out, net, list, n, m, adm + used);
    else
        snprintf(out, GD_MAX_NAME, "%s", adm);
}

/* ---- weights ---- */

typedef struct saving {
    const gd_model *m;
    gd_safetensors_writer *writer;
    gd_array *array;
    int n;
    float *rows; /* block for a third of a qkv parameter */
} saving;

static bool is_qkv(const char *name)
{
    return strstr(name, ".qkv.") != NULL;
}

static gd_status list_array(saving *s, gd_arena *mem, const gd_param_spec *spec, int part)
{
    char name[GD_MAX_NAME];
    gd_array *a = &s->array[s->n++];

    diffusers_name(name, &s->m->config.net, spec->name);
    *a = (gd_array){ .dtype = GD_F32, .rank = spec->rank };
    memcpy(a->dim, spec->dim, sizeof spec->dim);
    if (part >= 0) {
        char *at = strstr(name, "qkv.");
        a->dim[0] /= 3;
        a->name = gd_sprintf(mem, "%.*sto_%c.%s", (int)(at - name), name, "qkv"[part], at + 4);
    } else {
        a->name = gd_strdup(mem, name);
    }
    if (a->rank == 3) /* Conv1d of one pixel: a linear layer there */
        a->rank = 2;
    return a->name ? GD_OK : gd_fail(GD_ENOMEM, "model: out of memory");
}

static gd_status list_arrays(saving *s, gd_arena *mem)
{
    const gd_model *m = s->m;

    s->array = gd_alloc(mem, (size_t)m->n_param * 3 * sizeof *s->array);
    if (!s->array)
        return gd_fail(GD_ENOMEM, "model: out of memory");
    for (int i = 0; i < m->n_param; i++)
        for (int part = 0; part < (is_qkv(m->param[i].name) ? 3 : 1); part++)
            GD_TRY(list_array(s, mem, &m->param[i], is_qkv(m->param[i].name) ? part : -1));
    return GD_OK;
}

/* Rows of one part: legacy order is head, part, channel; the new one part, head, channel */
static void take_part(float *out, const float *in, const gd_net_config *net, int64_t channels,
                      int64_t width, int part)
{
    const int64_t ch = head_channels(net);

    for (int64_t row = 0; row < channels; row++) {
        const int64_t head = row / ch, c = row % ch;
        const int64_t from =
            net->use_new_attention_order ? part * channels + row : (head * 3 + part) * ch + c;
        memcpy(out + row * width, in + from * width, (size_t)width * sizeof *out);
    }
}

static gd_status save_param(void *ctx, int i, const float *data, int64_t count)
{
    const saving *s = ctx;
    const gd_param_spec *spec = &s->m->param[i];
    const int64_t channels = spec->dim[0] / 3, width = count / GD_MAX(spec->dim[0], 1);

    if (!is_qkv(spec->name))
        return gd_safetensors_add(s->writer, data, (size_t)count * sizeof *data);
    for (int part = 0; part < 3; part++) {
        take_part(s->rows, data, &s->m->config.net, channels, width, part);
        GD_TRY(gd_safetensors_add(s->writer, s->rows, (size_t)(channels * width) * sizeof *data));
    }
    return GD_OK;
}

static gd_status write_weights(saving *s, const char *folder, bool overwrite)
{
    static const gd_meta meta = { "format", "pt" };
    char path[GD_MAX_PATH];
    gd_status status;

    snprintf(path, sizeof path, "%.3900s/diffusion_pytorch_model.safetensors", folder);
    GD_TRY(gd_safetensors_begin(&s->writer, path, overwrite, s->array, s->n, &meta, 1));
    status = nn_each_param(s->m, save_param, s);
    if (status == GD_OK)
        return gd_safetensors_commit(s->writer);
    gd_safetensors_abort(s->writer);
    return status;
}

/* ---- texts ---- */

static json_t *block_types(const gd_net_config *net, bool up)
{
    json_t *list = json_array();

    for (int i = 0; i < net->n_levels; i++) {
        const int level = up ? net->n_levels - 1 - i : i;
        const bool attends = nn_attends(net, level);
        const char *plain = up ? "UpBlock2D" : "DownBlock2D",
                   *resnet = up ? "ResnetUpsampleBlock2D" : "ResnetDownsampleBlock2D",
                   *attention = up ? "AttnUpBlock2D" : "AttnDownBlock2D";
        json_array_append_new(list, json_string(attends                ? attention
                                                : net->resblock_updown ? resnet
                                                                       : plain));
    }
    return list;
}

static json_t *network_json(const gd_net_config *net)
{
    const char *resample = net->resblock_updown ? "resnet" : "conv";
    json_t *channels = json_array(), *root;

    for (int l = 0; l < net->n_levels; l++)
        json_array_append_new(channels, json_integer(nn_level_channels(net, l)));
    root =
        json_pack("{s:s, s:i, s:i, s:i, s:o, s:i, s:o, s:o, s:i, s:i, s:f, s:i, s:b, s:i, s:f, "
                  "s:s, s:s, s:s, "
                  "s:s, s:b}",
                  "_class_name", "UNet2DModel", "sample_size", net->image_size, "in_channels",
                  net->in_channels, "out_channels", net->out_channels, "block_out_channels",
                  channels, "layers_per_block", net->num_res_blocks, "down_block_types",
                  block_types(net, false), "up_block_types", block_types(net, true),
                  "attention_head_dim", head_channels(net), "norm_num_groups", 32, "norm_eps", 1e-5,
                  "freq_shift", 0, "flip_sin_to_cos", 1, "downsample_padding", 1, "dropout",
                  net->dropout, "downsample_type", resample, "upsample_type", resample,
                  "resnet_time_scale_shift", net->use_scale_shift_norm ? "scale_shift" : "default",
                  "act_fn", "silu", "center_input_sample", 0);
    if (net->num_classes > 0)
        json_object_set_new(root, "num_class_embeds", json_integer(net->num_classes));
    return root;
}

static json_t *scheduler_json(const gd_diffusion_config *d)
{
    const bool cosine = strncmp(d->noise_schedule, "cosine", 6) == 0;

    return json_pack(
        "{s:s, s:i, s:s, s:f, s:f, s:s, s:s, s:b, s:b}", "_class_name", "DDPMScheduler",
        "num_train_timesteps", d->steps, "beta_schedule", cosine ? "squaredcos_cap_v2" : "linear",
        "beta_start", 1e-4, "beta_end", 0.02, "variance_type",
        d->learn_sigma   ? "learned_range"
        : d->sigma_small ? "fixed_small"
                         : "fixed_large",
        "prediction_type",
        d->predict_v        ? "v_prediction"
        : d->predict_xstart ? "sample"
                            : "epsilon",
        "clip_sample", 1, "rescale_betas_zero_snr", strstr(d->noise_schedule, "-zero-snr") != NULL);
}

/* Takes root over */
static gd_status write_json(const char *folder, const char *name, bool overwrite, json_t *root)
{
    char path[GD_MAX_PATH], *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    gd_status s = text ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", name);

    json_decref(root);
    snprintf(path, sizeof path, "%.3900s/%s", folder, name);
    if (s == GD_OK)
        s = gd_file_put(path, overwrite, text, strlen(text));
    free(text);
    return s;
}

static gd_status write_folder(saving *s, gd_arena *mem, const char *folder, bool overwrite)
{
    const gd_model *m = s->m;
    int64_t most = 1;

    for (int i = 0; i < m->n_param; i++)
        most = GD_MAX(most, gd_param_count(&m->param[i]));
    GD_TRY(list_arrays(s, mem));
    if (gd_os.mkdir(folder, 0777) != 0 && errno != EEXIST)
        return gd_fail_errno(errno, folder);
    GD_TRY(gd_block_make(&s->rows, (size_t)most * sizeof *s->rows, "one parameter"));
    GD_TRY(write_weights(s, folder, overwrite));
    GD_TRY(write_json(folder, "config.json", overwrite, network_json(&m->config.net)));
    return write_json(folder, "scheduler_config.json", overwrite,
                      scheduler_json(&m->config.diffusion));
}

gd_status gd_model_save_diffusers(const gd_model *m, const char *folder, bool overwrite)
{
    saving s = { .m = m };
    gd_arena *mem;
    gd_status status;

    GD_TRY(check_expressible(&m->config));
    GD_TRY(gd_arena_make(&mem));
    status = write_folder(&s, mem, folder, overwrite);
    gd_block_free(s.rows);
    gd_arena_free(mem);
    return status;
}
