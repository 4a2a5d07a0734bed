/* SPDX-License-Identifier: MIT */
/* infer.c - a configuration from the keys and shapes of a file.  Source:
 * docs/reference/networks.md#names-of-parameters, #classifier. */
#include "nn/family.h"

#include <stdlib.h>
#include <string.h>

typedef struct inference {
    nn_evidence *e;
    const nn_keys *keys; /* the evidence's */
    gd_model_config *config;
    gd_net_config *net; /* the configuration's */
    gd_family family;
    int blocks;         /* input blocks, the stem included */
    const char *origin; /* of a value that is no guess: for -v only */
} inference;

/* ---- reading shapes ---- */

/* Dimension d of a key; 0 where there is no such key, dimension or sensible size */
static int dim(const nn_keys *keys, int d, const char *format, ...) GD_PRINTF(3, 4);
static int dim(const nn_keys *keys, int d, const char *format, ...)
{
    char name[96];
    const gd_array *a;
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    a = nn_key_find(keys, name);
    return a && d < a->rank && a->dim[d] >= 1 && a->dim[d] <= NN_MAX_CLASSES ? (int)a->dim[d] : 0;
}

/* Each question is put to two keys, so that a file that lacks one of them is still understood and
 * the check can name what is missing. */
static int block_width(const nn_keys *keys, int block)
{
    int width = dim(keys, 0, "input_blocks.%d.0.in_layers.2.weight", block);

    return width ? width : dim(keys, 0, "input_blocks.%d.0.out_layers.3.weight", block);
}

static bool is_conv_down(const nn_keys *keys, int block)
{
    return dim(keys, 0, "input_blocks.%d.0.op.weight", block) > 0 ||
           dim(keys, 0, "input_blocks.%d.0.op.bias", block) > 0;
}

static bool attends(const nn_keys *keys, int block)
{
    return dim(keys, 0, "input_blocks.%d.1.qkv.weight", block) > 0 ||
           dim(keys, 0, "input_blocks.%d.1.proj_out.weight", block) > 0;
}

static bool changes_width(const nn_keys *keys, int block)
{
    return dim(keys, 0, "input_blocks.%d.0.skip_connection.weight", block) > 0 ||
           dim(keys, 0, "input_blocks.%d.0.skip_connection.bias", block) > 0;
}

static bool has_decoder(const nn_keys *keys)
{
    for (int i = 0; i < keys->n; i++)
        if (strncmp(nn_key_name(keys, i), "output_blocks.", 14) == 0)
            return true;
    return false;
}

/* Average pools have no keys, but are never last. */
static int count_blocks(const nn_keys *keys)
{
    int last = 0;

    for (int i = 1; i <= last + 2 && i < GD_MAX_LEVELS * (NN_MAX_RES_BLOCKS + 1); i++)
        if (block_width(keys, i) || is_conv_down(keys, i))
            last = i;
    return last + 1;
}

/* ---- assumptions ---- */

static void assume(inference *in, const char *flag, const char *value, const char *other)
{
    if (!in->origin)
        nn_assume(in->e, flag, value, other);
    else if (!nn_flag_given(in->e->flags, in->e->n_flags, flag))
        gd_log(GD_LOG_INFO, "%s: %s %s (%s)", in->keys->path, flag, value, in->origin);
}

static void assume_int(inference *in, const char *flag, int value)
{
    char text[16];

    snprintf(text, sizeof text, "%d", value);
    assume(in, flag, text, "N");
}

static void assume_bool(inference *in, const char *flag, bool value)
{
    assume(in, flag, value ? "True" : "False", value ? "False" : "True");
}

/* ---- levels ---- */

/* In a UNet the block with the upsampler ends a level: the first one after num_res_blocks + 1
 * blocks. */
static int step_of_decoder(const nn_keys *keys, int blocks)
{
    for (int i = 0; i < blocks; i++)
        for (int layer = 1; layer <= 2; layer++)
            if (dim(keys, 0, "output_blocks.%d.%d.in_layers.2.bias", i, layer) ||
                dim(keys, 0, "output_blocks.%d.%d.out_layers.3.bias", i, layer) ||
                dim(keys, 0, "output_blocks.%d.%d.conv.weight", i, layer) ||
                dim(keys, 0, "output_blocks.%d.%d.conv.bias", i, layer))
                return i + 1;
    return 0;
}

/* The first block that is a strided convolution or, for average pools, nothing */
static int step_of_gap(const nn_keys *keys, int blocks)
{
    for (int i = 1; i < blocks; i++)
        if (is_conv_down(keys, i) || !block_width(keys, i))
            return i;
    return 0;
}

/* An encoder of residual blocks alone does not show which of them halve.  Could every step-th?
 * Those keep the width and do not attend; the others change width only at the start of a level, and
 * attend on the whole level or not at all. */
static bool step_fits(const nn_keys *keys, int blocks, int step)
{
    if (blocks % step != 0 || blocks / step > GD_MAX_LEVELS)
        return false;
    for (int i = 1; i < blocks; i++) {
        const bool halves = i % step == 0, first = i % step == 1;

        if (!first && changes_width(keys, i))
            return false;
        if (halves && attends(keys, i))
            return false;
        if (!halves && !first && attends(keys, i) != attends(keys, i - 1))
            return false;
    }
    return true;
}

/* Two blocks a level as the authors' classifiers have, else the fewest that fit. */
static int step_of_encoder(inference *in)
{
    int step = 0, n_fits = 0;
    gd_model_config told;

    gd_config_defaults(&told, GD_NET_CLASSIFIER);
    if (nn_flag_given(in->e->flags, in->e->n_flags, "classifier_depth") &&
        nn_flags_set(&told, in->e->flags, in->e->n_flags, true) == GD_OK)
        return told.net.num_res_blocks + 1;
    for (int s = 2; s <= in->blocks; s++) {
        if (!step_fits(in->keys, in->blocks, s))
            continue;
        n_fits++;
        if (step == 0 || s == 3)
            step = s;
    }
    if (n_fits > 1)
        assume_int(in, "classifier_depth", step - 1);
    return step;
}

static int find_step(inference *in, bool decoder)
{
    int step = decoder ? step_of_decoder(in->keys, in->blocks) : 0;

    if (step == 0)
        step = step_of_gap(in->keys, in->blocks);
    if (step == 0)
        step = decoder ? in->blocks : step_of_encoder(in);
    return step;
}

static gd_status infer_levels(inference *in, bool decoder)
{
    const nn_keys *keys = in->keys;
    gd_net_config *net = in->net;
    const int step = find_step(in, decoder);

    if (step < 2 || in->blocks % step != 0 || in->blocks / step > GD_MAX_LEVELS)
        return gd_fail(GD_EFORMAT,
                       "%s: no network of this family: its %d input blocks form no levels",
                       keys->path, in->blocks);
    net->num_res_blocks = step - 1;
    net->n_levels = in->blocks / step;
    net->attention_ds = 0;
    for (int l = 0; l < net->n_levels; l++) {
        net->channel_mult[l] =
            nn_width_factor(block_width(keys, l * step + 1), net->model_channels);
        if (attends(keys, l * step + 1))
            net->attention_ds |= 1u << l;
    }
    net->resblock_updown = net->n_levels > 1 && block_width(keys, step) > 0;
    net->conv_resample = net->n_levels == 1 || net->resblock_updown || is_conv_down(keys, step);
    return GD_OK;
}

/* ---- kind and ends ---- */

/* Channels that go in and come out of a denoiser: x and low_res double the input, a learned
 * variance doubles the output.  Where both readings are possible an image has 1 or 3 channels. */
static bool is_superres(int in, int out)
{
    return in == 2 * out || (in == out && (in == 2 || in == 6));
}

static gd_status infer_denoiser(inference *in, int stem, int out)
{
    gd_net_config *net = in->net;

    net->in_channels = net->kind == GD_NET_SUPERRES ? stem / 2 : stem;
    net->out_channels = out;
    net->num_classes = dim(in->keys, 0, "label_emb.weight");
    in->config->diffusion.learn_sigma = out == 2 * net->in_channels;
    if (out != net->in_channels && out != 2 * net->in_channels)
        return gd_fail(GD_EFORMAT,
                       "%s: no network of this family: input_blocks.0.0.weight takes %d channels, "
                       "out.2 gives %d",
                       in->keys->path, stem, out);
    return GD_OK;
}

static int isqrt(int n)
{
    int root = 0;

    while ((root + 1) * (root + 1) <= n)
        root++;
    return root;
}

/* The first dimension of a layer's parameters, by its weight or its bias */
static int outputs(const nn_keys *keys, const char *layer)
{
    const int bias = dim(keys, 0, "%s.bias", layer);

    return bias ? bias : dim(keys, 0, "%s.weight", layer);
}

static void infer_classifier(inference *in, int stem)
{
    const nn_keys *keys = in->keys;
    gd_net_config *net = in->net;
    const int tokens = dim(keys, 1, "out.2.positional_embedding"),
              classes = outputs(keys, "out.2.c_proj"), third = outputs(keys, "out.3");

    net->in_channels = stem;
    if (tokens || classes) {
        net->pool = GD_POOL_ATTENTION;
        net->out_channels = classes;
        net->image_size = isqrt(GD_MAX(tokens - 1, 1)) << (net->n_levels - 1);
    } else if (third) {
        net->pool = dim(keys, 1, "out.0.weight") ? GD_POOL_SPATIAL_V2 : GD_POOL_ADAPTIVE;
        net->out_channels = third;
    } else {
        net->pool = GD_POOL_SPATIAL;
        net->out_channels = outputs(keys, "out.2");
    }
}

static gd_status infer_shapes(inference *in)
{
    const nn_keys *keys = in->keys;
    const bool decoder = has_decoder(keys);
    const int channels = dim(keys, 1, "time_embed.0.weight"),
              stem = dim(keys, 1, "input_blocks.0.0.weight"), out = outputs(keys, "out.2");
    gd_net_kind kind = GD_NET_CLASSIFIER;

    if (!channels || !stem)
        return gd_fail(GD_EFORMAT, "%s: no network of this family: %s is missing or misshapen",
                       keys->path, channels ? "input_blocks.0.0.weight" : "time_embed.0.weight");
    if (decoder)
        kind = is_superres(stem, out) ? GD_NET_SUPERRES : GD_NET_UNET;
    gd_config_defaults(in->config, kind);
    in->net->family = in->family;
    if (in->family == GD_FAMILY_CONSISTENCY)
        nn_sigma_defaults(in->config, GD_PRECOND_CONSISTENCY);
    in->net->model_channels = channels;
    in->blocks = count_blocks(keys);
    GD_TRY(infer_levels(in, decoder));
    in->net->use_scale_shift_norm = dim(keys, 0, "middle_block.0.emb_layers.1.bias") !=
                                    dim(keys, 0, "middle_block.0.in_layers.2.bias");
    if (decoder)
        return infer_denoiser(in, stem, out);
    infer_classifier(in, stem);
    return GD_OK;
}

/* ---- presets ---- */

/* Same keys and shapes, but for class counts and learn_sigma */
static bool is_like(const gd_net_config *a, const gd_net_config *b)
{
    if (a->family != b->family || a->kind != b->kind || a->in_channels != b->in_channels ||
        a->model_channels != b->model_channels || a->num_res_blocks != b->num_res_blocks ||
        a->n_levels != b->n_levels || a->attention_ds != b->attention_ds ||
        a->use_scale_shift_norm != b->use_scale_shift_norm ||
        a->resblock_updown != b->resblock_updown || a->conv_resample != b->conv_resample ||
        a->pool != b->pool)
        return false;
    if (a->kind == GD_NET_CLASSIFIER && a->pool == GD_POOL_ATTENTION &&
        a->image_size != b->image_size)
        return false;
    for (int l = 0; l < a->n_levels; l++)
        if (nn_level_channels(a, l) != nn_level_channels(b, l))
            return false;
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* How much of a preset's name the file's name begins with: all of it, or nothing */
static int name_match(const char *path, const char *preset)
{
    const size_t n = strlen(preset);

    return strncmp(base_name(path), preset, n) == 0 ? (int)n : 0;
}

static void say_preset(inference *in, const gd_model_config *preset, const char *family)
{
    const char *name = base_name(in->keys->path), *dot = strrchr(name, '.');
    const size_t n = strlen(preset->preset);

    if (strncmp(name, preset->preset, n) == 0 && (!name[n] || name + n == dot))
        return;
    in->e->assumed = gd_sprintf(
        in->e->arena, "preset %s (assumed from its shapes%s%s; the authors' flags override it)",
        preset->preset, family ? ", which are also those of " : "", family ? family : "");
}

/* The preset with these shapes; among files of equal shapes the file's own name decides.  Else
 * *like is one that differs in class counts or learn_sigma only, as a fine-tuned file does. */
static gd_status find_preset(inference *in, gd_model_config *like, bool *found_like, bool *found)
{
    gd_model_config exact = { 0 };
    char *family = NULL;
    int best = -1;

    *found_like = false;
    for (int i = 0; i < gd_preset_count(); i++) {
        gd_model_config c;

        GD_TRY(gd_preset_config(&c, gd_preset_name(i)));
        if (!is_like(in->net, &c.net))
            continue;
        if (!*found_like)
            *like = c;
        *found_like = true;
        if (c.net.num_classes != in->net->num_classes ||
            c.net.out_channels != in->net->out_channels)
            continue;
        const int match = name_match(in->keys->path, c.preset);
        if (best >= 0)
            family = gd_sprintf(in->e->arena, "%s%s%s", family ? family : "", family ? ", " : "",
                                match > best ? exact.preset : c.preset);
        if (match > best) {
            exact = c;
            best = match;
        }
    }
    *found = best >= 0;
    if (*found) {
        *in->config = exact;
        say_preset(in, &exact, family);
    }
    return GD_OK;
}

/* ---- what does not follow from shapes ---- */

/* Every published network ends at 8x8; only the authors' earlier CIFAR-10 network with widths
 * 1,2,2,2 ends at 4x4. */
static void guess_image_size(gd_net_config *net)
{
    static const double cifar10[] = { 1, 2, 2, 2 };

    if (net->kind == GD_NET_CLASSIFIER && net->pool == GD_POOL_ATTENTION)
        return;
    net->image_size = 8 << (net->n_levels - 1);
    if (net->kind == GD_NET_UNET && net->n_levels == 4 &&
        memcmp(net->channel_mult, cifar10, sizeof cifar10) == 0)
        net->image_size = 32;
    if (net->kind == GD_NET_SUPERRES)
        net->small_size = GD_MAX(net->image_size / 4, 1); /* both published ones enlarge 4 times */
}

/* 64 channels a head, as in most published files and all classifiers, where every attending width
 * divides so; else 32, which all widths that pass a norm of 32 groups do. */
static void guess_heads(gd_net_config *net)
{
    net->num_head_channels = 64;
    for (int l = 0; l < net->n_levels; l++)
        if ((net->attention_ds >> l & 1 || l == net->n_levels - 1) &&
            nn_level_channels(net, l) % 64 != 0)
            net->num_head_channels = 32;
}

static void take_guesses_of(gd_model_config *out, const gd_model_config *like)
{
    const bool learn_sigma = out->diffusion.learn_sigma;

    out->net.image_size = like->net.image_size;
    out->net.small_size = like->net.small_size;
    out->net.num_heads = like->net.num_heads;
    out->net.num_head_channels = like->net.num_head_channels;
    out->net.use_new_attention_order = like->net.use_new_attention_order;
    out->net.dropout = like->net.dropout;
    out->diffusion = like->diffusion;
    out->diffusion.learn_sigma = learn_sigma;
}

static void say_heads(inference *in)
{
    const gd_net_config *net = in->net;
    const char *heads = net->kind == GD_NET_CLASSIFIER ? "classifier_num_heads" : "num_heads",
               *width = net->kind == GD_NET_CLASSIFIER ? "classifier_num_head_channels"
                                                       : "num_head_channels";

    if (nn_flag_given(in->e->flags, in->e->n_flags, heads) ||
        nn_flag_given(in->e->flags, in->e->n_flags, width))
        return;
    if (net->num_head_channels > 0)
        assume_int(in, width, net->num_head_channels);
    else
        assume_int(in, heads, net->num_heads);
}

static void say_size(inference *in)
{
    const gd_net_config *net = in->net;

    if (net->kind == GD_NET_SUPERRES) {
        assume_int(in, "large_size", net->image_size);
        assume_int(in, "small_size", net->small_size);
    } else if (net->kind == GD_NET_UNET || net->pool != GD_POOL_ATTENTION) {
        assume_int(in, "image_size", net->image_size);
    }
}

static void say_guesses(inference *in)
{
    const gd_net_config *net = in->net;
    const gd_diffusion_config *diffusion = &in->config->diffusion;

    say_heads(in);
    if (net->family == GD_FAMILY_CONSISTENCY)
        return;
    if (net->kind == GD_NET_UNET)
        assume_bool(in, "use_new_attention_order", net->use_new_attention_order);
    assume(in, "noise_schedule", diffusion->noise_schedule,
           strcmp(diffusion->noise_schedule, "linear") == 0 ? "cosine" : "linear");
    assume_int(in, "diffusion_steps", diffusion->steps);
    if (net->kind == GD_NET_CLASSIFIER)
        return;
    assume_bool(in, "predict_xstart", diffusion->predict_xstart);
    assume_bool(in, "rescale_timesteps", diffusion->rescale_timesteps);
}

/* What does not follow from shapes */
static bool same_guesses(const gd_model_config *a, const gd_model_config *b)
{
    const gd_net_config *m = &a->net, *n = &b->net;

    return strcmp(a->diffusion.noise_schedule, b->diffusion.noise_schedule) == 0 &&
           a->diffusion.steps == b->diffusion.steps &&
           a->diffusion.predict_xstart == b->diffusion.predict_xstart &&
           a->diffusion.rescale_timesteps == b->diffusion.rescale_timesteps &&
           m->image_size == n->image_size &&
           m->use_new_attention_order == n->use_new_attention_order &&
           m->num_head_channels == n->num_head_channels &&
           (m->num_head_channels > 0 || m->num_heads == n->num_heads);
}

/* A published file by its own flags is that file; one that is read by other flags and defaults than
 * its own is most likely meant otherwise. */
static gd_status compare_preset(inference *in)
{
    gd_model_config final = *in->config, like, exact = final;
    inference look = *in;
    bool found_like, found;
    char line[2048];

    look.config = &exact;
    look.net = &exact.net;
    GD_TRY(nn_flags_set(&final, in->e->flags, in->e->n_flags, true));
    GD_TRY(find_preset(&look, &like, &found_like, &found));
    if (!found)
        return GD_OK;
    if (same_guesses(&final, &exact)) {
        memcpy(in->config->preset, exact.preset, sizeof exact.preset);
        in->config->guidance_scale = exact.guidance_scale;
        return GD_OK;
    }
    gd_flags_line(&exact, line, sizeof line);
    gd_log(GD_LOG_NOTE,
           "%s: has the shapes of %s; the flags given, with the authors' defaults for the others, "
           "are not that file's: %s",
           in->keys->path, exact.preset, line);
    return GD_OK;
}

static gd_status take_defaults(inference *in)
{
    gd_model_config defaults;

    guess_image_size(in->net);
    if (in->net->kind == GD_NET_CLASSIFIER)
        guess_heads(in->net);
    nn_take_defaults(in->config, in->keys->path, in->e->flags, in->e->n_flags, &defaults);
    if (in->net->image_size == defaults.net.image_size)
        in->origin = "the authors' default";
    say_size(in);
    in->origin = "the authors' default";
    say_guesses(in);
    return compare_preset(in);
}

gd_status nn_infer_adm(gd_model_config *out, nn_evidence *e, gd_family family)
{
    inference in = { .e = e, .keys = e->keys, .config = out, .net = &out->net, .family = family };
    gd_model_config like;
    bool found_like, found;

    GD_TRY(infer_shapes(&in));
    if (family == GD_FAMILY_ADM && nn_network_flag_given(e->flags, e->n_flags, in.net->kind))
        return take_defaults(&in);
    GD_TRY(find_preset(&in, &like, &found_like, &found));
    if (found)
        return GD_OK;
    if (found_like) {
        take_guesses_of(out, &like);
    } else {
        guess_image_size(in.net);
        guess_heads(in.net);
    }
    say_size(&in);
    say_guesses(&in);
    return GD_OK;
}
