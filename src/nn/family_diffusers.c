/* SPDX-License-Identifier: MIT */
/* family_diffusers.c - folders of diffusers' UNet2DModel: config.json describes the network,
 * scheduler_config.json what it was trained for (docs/reference/networks.md#other-families). */
#include "nn/diffusers.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 4 };

static bool claims(const nn_evidence *e)
{
    return nn_key_find(e->keys, "conv_in.weight") &&
           nn_key_find(e->keys, "time_embedding.linear_1.weight");
}

/* ---- one option: what it may be ---- */

typedef enum type {
    INT,
    REAL,
    BOOL,
    SIZE,       /* a number, or two that are equal */
    CHANNELS,   /* block_out_channels */
    DOWN_TYPES, /* down_block_types */
    UP_TYPES,   /* up_block_types */
    HEAD_WIDTH, /* attention_head_dim: null is one head */
    PADDING,    /* downsample_padding */
    ZERO_ONE,
    WORD,     /* one of two: `no`, `yes` */
    VARIANCE, /* variance_type; learned ones show in out_channels */
    CLASSES,  /* num_class_embeds: a number or null */
    ONLY,     /* the text `no`, the number `only`, or null */
    UNUSED
} type;

#define NET(field) offsetof(gd_model_config, net.field)
#define DIFFUSION(field) offsetof(gd_model_config, diffusion.field)

typedef struct option {
    const char *name;
    type type;
    size_t offset;
    const char *no, *yes;
    double only;
} option;

static const option network_options[] = {
    { "sample_size", SIZE, NET(image_size) },
    { "in_channels", INT, NET(in_channels) },
    { "out_channels", INT, NET(out_channels) },
    { "block_out_channels", CHANNELS },
    { "layers_per_block", INT, NET(num_res_blocks) },
    { "down_block_types", DOWN_TYPES },
    { "up_block_types", UP_TYPES },
    { "attention_head_dim", HEAD_WIDTH },
    { "norm_num_groups", INT, NET(norm_groups) },
    { "norm_eps", REAL, NET(norm_eps) },
    { "freq_shift", ZERO_ONE, NET(freq_shift) },
    { "flip_sin_to_cos", BOOL, NET(flip_sin_to_cos) },
    { "downsample_padding", PADDING },
    { "dropout", REAL, NET(dropout) },
    { "downsample_type", WORD, NET(resblock_updown), "conv", "resnet" },
    { "upsample_type", WORD, NET(resblock_updown), "conv", "resnet" },
    { "resnet_time_scale_shift", WORD, NET(use_scale_shift_norm), "default", "scale_shift" },
    { "num_class_embeds", CLASSES },
    { "act_fn", ONLY, 0, "silu" },
    { "time_embedding_type", ONLY, 0, "positional" },
    { "mid_block_type", ONLY, 0, "UNetMidBlock2D" },
    { "mid_block_scale_factor", ONLY, 0, NULL, NULL, 1 },
    { "center_input_sample", ONLY, 0, NULL, NULL, 0 },
    { "add_attention", ONLY, 0, NULL, NULL, 1 },
    { "class_embed_type", ONLY, 0, "" },
    { "attn_norm_num_groups", ONLY, 0, "" },
    { "num_train_timesteps", UNUSED },
};

/* What a sampler of its own decides (spacing, thresholds) is not the model's. */
static const option scheduler_options[] = {
    { "num_train_timesteps", INT, DIFFUSION(steps) },
    { "variance_type", VARIANCE },
    { "prediction_type", WORD, DIFFUSION(predict_xstart), "epsilon", "sample" },
    { "rescale_betas_zero_snr", ONLY, 0, NULL, NULL, 0 },
    { "trained_betas", ONLY, 0, "" },
};

static gd_status bad(const option *o, const char *expected)
{
    return gd_fail(GD_EFORMAT, "option %s is not %s, which is all that is known", o->name,
                   expected);
}

static gd_status read_size(int *out, const json_t *value, const option *o)
{
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;

    if (!json_is_integer(first) || json_integer_value(first) > GD_MAX_IMAGE_SIDE ||
        (json_is_array(value) &&
         (json_array_size(value) != 2 || !json_equal(first, json_array_get(value, 1)))))
        return bad(o, "a size of square images");
    *out = (int)json_integer_value(first);
    return GD_OK;
}

static gd_status read_channels(gd_net_config *net, const json_t *list, const option *o)
{
    const size_t n = json_array_size(list);
    const json_int_t first = json_integer_value(json_array_get(list, 0));

    if (n < 1 || n > GD_MAX_LEVELS)
        return bad(o, "a list of 1 to 12 widths");
    net->n_levels = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_int_t width = json_integer_value(json_array_get(list, i));
        if (width < 1 || width > NN_MAX_CHANNELS)
            return bad(o, "a list of widths");
        net->channel_mult[i] = nn_width_factor((int)width, (int)first);
    }
    net->model_channels = (int)first;
    return GD_OK;
}

/* Bit l: level l attends.  Up blocks are listed from the lowest level up. */
static gd_status read_types(unsigned *attention, bool *resnet, const json_t *list, const option *o,
                            const char *const names[3])
{
    const bool up = o->type == UP_TYPES;
    const size_t n = json_array_size(list);

    *attention = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        const size_t level = up ? n - 1 - i : i;
        if (name && strcmp(name, names[1]) == 0 && level < GD_MAX_LEVELS)
            *attention |= 1u << level;
        else if (name && strcmp(name, names[2]) == 0)
            *resnet = true;
        else if (!name || strcmp(name, names[0]) != 0)
            return gd_fail(GD_EFORMAT, "%s: block type %.64s is not supported", o->name,
                           name ? name : "(no text)");
    }
    return GD_OK;
}

static gd_status read_word(bool *out, const json_t *value, const option *o)
{
    const char *text = json_string_value(value);
    char expected[64];

    snprintf(expected, sizeof expected, "\"%s\" or \"%s\"", o->no, o->yes);
    if (!text || (strcmp(text, o->no) != 0 && strcmp(text, o->yes) != 0))
        return bad(o, expected);
    *out = strcmp(text, o->yes) == 0;
    return GD_OK;
}

static gd_status read_only(const json_t *value, const option *o)
{
    const char *text = json_string_value(value);
    const double number = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
    char expected[64];

    snprintf(expected, sizeof expected, o->no ? *o->no ? "\"%s\"" : "null%s" : "%s",
             o->no ? o->no : "");
    if (!o->no)
        snprintf(expected, sizeof expected, "%g", o->only);
    if (o->no ? (text ? strcmp(text, o->no) != 0 : !json_is_null(value)) : number != o->only)
        return bad(o, expected);
    return GD_OK;
}

static gd_status read_variance(gd_model_config *out, const json_t *value, const option *o)
{
    const char *text = json_string_value(value);

    if (!text || (strcmp(text, "fixed_small") != 0 && strcmp(text, "fixed_large") != 0 &&
                  (strcmp(text, "learned_range") != 0 || !out->diffusion.learn_sigma)))
        return bad(o, "\"fixed_small\", \"fixed_large\", or \"learned_range\" with twice the "
                      "channels");
    out->diffusion.sigma_small = strcmp(text, "fixed_small") == 0;
    return GD_OK;
}

static gd_status read_option(gd_model_config *out, const json_t *value, const option *o,
                             unsigned attention[2])
{
    static const char *const down[] = { "DownBlock2D", "AttnDownBlock2D",
                                        "ResnetDownsampleBlock2D" },
                             *const up[] = { "UpBlock2D", "AttnUpBlock2D",
                                             "ResnetUpsampleBlock2D" };
    void *at = (char *)out + o->offset;
    const json_int_t integer = json_integer_value(value);

    switch (o->type) {
    case INT:
    case ZERO_ONE:
        if (!json_is_integer(value) || integer < 0 || integer > (o->type == INT ? NN_MAX_STEPS : 1))
            return bad(o, o->type == INT ? "a whole number in a sensible range" : "0 or 1");
        *(int *)at = (int)integer;
        return GD_OK;
    case REAL:
        if (!json_is_number(value))
            return bad(o, "a number");
        *(double *)at = json_number_value(value);
        return GD_OK;
    case BOOL:
        if (!json_is_boolean(value))
            return bad(o, "true or false");
        *(bool *)at = json_is_true(value);
        return GD_OK;
    case SIZE:
        return read_size(at, value, o);
    case CHANNELS:
        return read_channels(&out->net, value, o);
    case DOWN_TYPES:
        return read_types(&attention[0], &out->net.resblock_updown, value, o, down);
    case UP_TYPES:
        return read_types(&attention[1], &out->net.resblock_updown, value, o, up);
    case HEAD_WIDTH:
        if (!json_is_null(value) &&
            (!json_is_integer(value) || integer < 1 || integer > NN_MAX_CHANNELS))
            return bad(o, "a number or null");
        out->net.num_head_channels = json_is_null(value) ? -1 : (int)integer;
        return GD_OK;
    case PADDING:
        if (!json_is_integer(value) || integer < 0 || integer > 1)
            return bad(o, "0 or 1");
        out->net.pad_right_bottom = integer == 0;
        return GD_OK;
    case CLASSES:
        if (!json_is_null(value) &&
            (!json_is_integer(value) || integer < 1 || integer > NN_MAX_CLASSES))
            return bad(o, "a number or null");
        out->net.num_classes = (int)integer;
        return GD_OK;
    case VARIANCE:
        return read_variance(out, value, o);
    case WORD:
        return read_word(at, value, o);
    case ONLY:
        return read_only(value, o);
    case UNUSED:
        break;
    }
    return GD_OK;
}

/* strict: options that are not in the table are refused */
static gd_status read_options(gd_model_config *out, const char *text, const char *file,
                              const option *options, int n, bool strict)
{
    unsigned attention[2] = { 0 };
    gd_status s = GD_OK;
    const char *key;
    json_t *root, *value;

    GD_TRY(gd_json_parse(&root, text, strlen(text), MAX_DEPTH, file));
    json_object_foreach(root, key, value)
    {
        int i = 0;
        while (i < n && strcmp(options[i].name, key) != 0)
            i++;
        if (i < n)
            s = read_option(out, value, &options[i], attention);
        else if (strict && *key != '_')
            s = gd_fail(GD_EFORMAT, "option %.64s is not known", key);
        if (s != GD_OK)
            break;
    }
    if (s == GD_OK && strict && attention[0] != attention[1])
        s = gd_fail(GD_EFORMAT, "up_block_types are not down_block_types in reverse");
    out->net.attention_ds = strict ? attention[0] : out->net.attention_ds;
    json_decref(root);
    return s;
}

static void set_defaults(gd_model_config *out)
{
    gd_config_defaults(out, GD_NET_UNET);
    out->net.family = GD_FAMILY_DIFFUSERS;
    out->net.n_levels = 0;
    out->net.image_size = 0;
    out->net.attention_ds = 0;
    out->net.use_scale_shift_norm = false;
    out->net.num_heads = 1;
    out->net.num_head_channels = 8; /* the class's defaults where config.json is silent */
    out->net.norm_groups = 32;
    out->net.norm_eps = 1e-5;
    out->net.flip_sin_to_cos = true;
    out->diffusion.sigma_small = true;
}

static gd_status read_network(gd_model_config *out, const char *text)
{
    set_defaults(out);
    GD_TRY(read_options(out, text, "config.json", network_options, COUNT(network_options), true));
    out->diffusion.learn_sigma = out->net.out_channels == 2 * out->net.in_channels;
    return GD_OK;
}

/* The betas that this program knows: 1e-4 to 0.02 in 1000 steps, or the cosine's */
static gd_status read_betas(gd_diffusion_config *d, const char *text)
{
    json_t *root;

    GD_TRY(gd_json_parse(&root, text, strlen(text), MAX_DEPTH, "scheduler_config.json"));
    const char *kind = json_string_value(json_object_get(root, "beta_schedule"));
    const json_t *start = json_object_get(root, "beta_start"),
                 *end = json_object_get(root, "beta_end");
    const bool linear = !kind || strcmp(kind, "linear") == 0,
               cosine = kind && strcmp(kind, "squaredcos_cap_v2") == 0,
               usual = (!start || json_number_value(start) == 1e-4) &&
                       (!end || json_number_value(end) == 0.02) && d->steps == 1000;
    json_decref(root);
    if (!cosine && !(linear && usual))
        return gd_fail(GD_EFORMAT, "betas are neither linear from 0.0001 to 0.02 in 1000 steps nor "
                                   "squaredcos_cap_v2");
    snprintf(d->noise_schedule, sizeof d->noise_schedule, cosine ? "cosine" : "linear");
    return GD_OK;
}

static gd_status infer(gd_model_config *out, nn_evidence *e)
{
    const char *config = gd_bundle_meta(e->bundle, NN_DIFFUSERS_CONFIG),
               *scheduler = gd_bundle_meta(e->bundle, NN_DIFFUSERS_SCHEDULER);
    gd_status s;

    if (!config || !scheduler)
        return gd_fail(GD_EFORMAT,
                       "%s: a network of diffusers, whose options stand in config.json beside it\n"
                       "hint: give the model's folder instead of the file",
                       e->keys->path);
    s = read_network(out, config);
    if (s == GD_OK)
        s = read_options(out, scheduler, "scheduler_config.json", scheduler_options,
                         COUNT(scheduler_options), false);
    if (s == GD_OK)
        s = read_betas(&out->diffusion, scheduler);
    if (s == GD_OK)
        return GD_OK;
    gd_context("%s", e->keys->path);
    return GD_EFORMAT;
}

/* ---- what can exist ---- */

static gd_status check_levels(const gd_net_config *net)
{
    const int head = net->num_head_channels;

    for (int l = 0; l < net->n_levels; l++) {
        const double width = net->channel_mult[l] * net->model_channels;
        const int channels = width >= 1 && width <= NN_MAX_CHANNELS ? nn_level_channels(net, l) : 0;
        const bool attention = nn_attends(net, l) || l == net->n_levels - 1;
        if (channels == 0 || channels % net->norm_groups != 0)
            return gd_fail(GD_EUSAGE,
                           "level %d has %g channels: not a multiple of %d, the groups of "
                           "its norms",
                           l, width, net->norm_groups);
        if (attention && head > 0 && channels % head != 0)
            return gd_fail(GD_EUSAGE,
                           "attention_head_dim %d does not divide the %d channels of level "
                           "%d",
                           head, channels, l);
    }
    if (net->image_size % (1 << (net->n_levels - 1)) != 0)
        return gd_fail(GD_EUSAGE, "sample_size %d cannot be halved %d times, which %d levels need",
                       net->image_size, net->n_levels - 1, net->n_levels);
    return GD_OK;
}

static gd_status check(const gd_model_config *config)
{
    const gd_net_config *net = &config->net;
    const gd_diffusion_config *d = &config->diffusion;

    if (net->kind != GD_NET_UNET || d->precond != GD_PRECOND_STEPS)
        return gd_fail(GD_EUSAGE, "diffusers has networks for discrete steps only");
    GD_TRY(nn_check_range("sample_size", net->image_size, 1, GD_MAX_IMAGE_SIDE));
    GD_TRY(nn_check_range("in_channels", net->in_channels, 1, NN_MAX_IMAGE_CHANNELS));
    GD_TRY(nn_check_range("layers_per_block", net->num_res_blocks, 1, NN_MAX_RES_BLOCKS));
    GD_TRY(nn_check_range("number of levels", net->n_levels, 1, GD_MAX_LEVELS));
    GD_TRY(nn_check_range("block_out_channels", net->model_channels, 4, NN_MAX_CHANNELS));
    GD_TRY(nn_check_range("norm_num_groups", net->norm_groups, 1, NN_MAX_CHANNELS));
    GD_TRY(nn_check_range("num_class_embeds", net->num_classes, 0, NN_MAX_CLASSES));
    GD_TRY(nn_check_range("freq_shift", net->freq_shift, 0, 1));
    GD_TRY(nn_check_range("num_train_timesteps", d->steps, 1, NN_MAX_STEPS));
    GD_TRY(check_levels(net));
    if (net->out_channels != (d->learn_sigma ? 2 : 1) * net->in_channels)
        return gd_fail(GD_EUSAGE, "the network takes %d channels and gives %d", net->in_channels,
                       net->out_channels);
    if (!(net->norm_eps > 0 && net->norm_eps < 1) || !(net->dropout >= 0 && net->dropout < 1))
        return gd_fail(GD_EUSAGE, "norm_eps %g or dropout %g is out of range", net->norm_eps,
                       net->dropout);
    return GD_OK;
}

const nn_family nn_family_diffusers = {
    claims, infer, read_network, check, nn_build_diffusers, NULL
};
