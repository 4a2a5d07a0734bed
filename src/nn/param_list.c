/* SPDX-License-Identifier: MIT */
/* param_list.c - the parameters of ADM's networks: names = checkpoint keys, in state_dict order.
 * Source: docs/reference/networks.md#unet, #classifier,
 * #initialisation. */
#include "nn/family.h"

#include <math.h>

/* Everything is listed twice: once to count, then into an array of that size. */
typedef struct list {
    const gd_net_config *net;
    gd_param_spec *spec; /* NULL while counting */
    int n;
} list;

enum { SCOPE = 96 }; /* longest: "output_blocks.395.2.skip_connection" */

static void add(list *l, const char *scope, const char *leaf, gd_param_spec made)
{
    if (l->spec) {
        l->spec[l->n] = made;
        snprintf(l->spec[l->n].name, GD_MAX_NAME, "%s.%s", scope, leaf);
    }
    l->n++;
}

/* Convolution or linear layer: weight [out, in, kernel...] of `rank` dimensions, bias [out]. */
static void affine(list *l, const char *scope, int rank, int64_t out, int64_t in, int kernel,
                   bool zero)
{
    gd_param_spec weight = { .rank = rank,
                             .dim = { out, in, kernel, kernel },
                             .init = zero ? GD_INIT_ZERO : GD_INIT_UNIFORM };
    gd_param_spec bias = { .rank = 1, .dim = { out }, .init = weight.init };
    int64_t fan_in = in;

    for (int d = 2; d < rank; d++)
        fan_in *= kernel;
    weight.init_scale = bias.init_scale = 1 / sqrt((double)fan_in);
    for (int d = rank; d < 4; d++)
        weight.dim[d] = 0;
    add(l, scope, "weight", weight);
    add(l, scope, "bias", bias);
}

static void linear(list *l, const char *scope, int64_t out, int64_t in)
{
    affine(l, scope, 2, out, in, 1, false);
}
static void conv(list *l, const char *scope, int64_t out, int64_t in, int kernel)
{
    affine(l, scope, 4, out, in, kernel, false);
}

static void group_norm(list *l, const char *scope, int64_t channels)
{
    add(l, scope, "weight", (gd_param_spec){ .rank = 1, .dim = { channels }, .init = GD_INIT_ONE });
    add(l, scope, "bias", (gd_param_spec){ .rank = 1, .dim = { channels }, .init = GD_INIT_ZERO });
}

static const char *join(char out[SCOPE], const char *scope, const char *leaf)
{
    snprintf(out, SCOPE, "%s.%s", scope, leaf);
    return out;
}

static void resblock(list *l, const char *scope, int64_t in, int64_t out)
{
    int64_t embed = 4 * (int64_t)l->net->model_channels;
    char s[SCOPE];

    group_norm(l, join(s, scope, "in_layers.0"), in);
    conv(l, join(s, scope, "in_layers.2"), out, in, 3);
    linear(l, join(s, scope, "emb_layers.1"), l->net->use_scale_shift_norm ? 2 * out : out, embed);
    group_norm(l, join(s, scope, "out_layers.0"), out);
    affine(l, join(s, scope, "out_layers.3"), 4, out, out, 3, true);
    if (in != out)
        conv(l, join(s, scope, "skip_connection"), out, in, 1);
}

static void attention(list *l, const char *scope, int64_t channels)
{
    char s[SCOPE];

    const int rank = l->net->family == GD_FAMILY_CONSISTENCY ? 4 : 3;

    group_norm(l, join(s, scope, "norm"), channels);
    affine(l, join(s, scope, "qkv"), rank, 3 * channels, channels, 1, false);
    affine(l, join(s, scope, "proj_out"), rank, channels, channels, 1, true);
}

static const char *block(char out[SCOPE], const char *stack, int n, int m)
{
    snprintf(out, SCOPE, "%s.%d.%d", stack, n, m);
    return out;
}

/* Change of resolution: a residual block, a convolution ("op" down, "conv" up), or nothing that has
 * parameters. */
static void resample(list *l, const char *scope, const char *conv_name, int64_t channels)
{
    char s[SCOPE];

    if (l->net->resblock_updown)
        resblock(l, scope, channels, channels);
    else if (l->net->conv_resample)
        conv(l, join(s, scope, conv_name), channels, channels, 3);
}

typedef struct skips {
    int channels[GD_MAX_LEVELS * (NN_MAX_RES_BLOCKS + 1)]; /* of each input block's output */
    int n;
} skips;

static void time_embed(list *l)
{
    int64_t channels = l->net->model_channels, embed = 4 * channels;

    linear(l, "time_embed.0", embed, channels);
    linear(l, "time_embed.2", embed, embed);
    if (l->net->num_classes > 0)
        add(l, "label_emb", "weight",
            (gd_param_spec){ .rank = 2,
                             .dim = { l->net->num_classes, embed },
                             .init = GD_INIT_NORMAL,
                             .init_scale = 1 });
}

/* input_blocks and middle_block; fills `s` and returns the channels at the bottom. */
static int encoder(list *l, skips *s)
{
    const gd_net_config *net = l->net;
    int ch = nn_level_channels(net, 0), n = 1;
    char at[SCOPE];

    conv(l, "input_blocks.0.0", ch,
         net->kind == GD_NET_SUPERRES ? 2 * net->in_channels : net->in_channels, 3);
    s->channels[s->n++] = ch;
    for (int level = 0; level < net->n_levels; level++) {
        for (int i = 0; i < net->num_res_blocks; i++, n++) {
            int out = nn_level_channels(net, level);
            resblock(l, block(at, "input_blocks", n, 0), ch, out);
            ch = out;
            if (net->attention_ds >> level & 1)
                attention(l, block(at, "input_blocks", n, 1), ch);
            s->channels[s->n++] = ch;
        }
        if (level < net->n_levels - 1) {
            resample(l, block(at, "input_blocks", n++, 0), "op", ch);
            s->channels[s->n++] = ch;
        }
    }
    resblock(l, "middle_block.0", ch, ch);
    attention(l, "middle_block.1", ch);
    resblock(l, "middle_block.2", ch, ch);
    return ch;
}

static void decoder(list *l, skips *s, int ch)
{
    const gd_net_config *net = l->net;
    int n = 0;
    char at[SCOPE];

    for (int level = net->n_levels - 1; level >= 0; level--) {
        for (int i = 0; i <= net->num_res_blocks; i++, n++) {
            int out = nn_level_channels(net, level), m = 1;
            resblock(l, block(at, "output_blocks", n, 0), ch + s->channels[--s->n], out);
            ch = out;
            if (net->attention_ds >> level & 1)
                attention(l, block(at, "output_blocks", n, m++), ch);
            if (level > 0 && i == net->num_res_blocks)
                resample(l, block(at, "output_blocks", n, m), "conv", ch);
        }
    }
    group_norm(l, "out.0", ch);
    affine(l, "out.2", 4, net->out_channels, ch, 3, true);
}

static void attention_pool(list *l, int64_t channels)
{
    int64_t side = l->net->image_size >> (l->net->n_levels - 1);
    gd_param_spec position = { .rank = 2,
                               .dim = { channels, side * side + 1 },
                               .init = GD_INIT_NORMAL };

    position.init_scale = 1 / sqrt((double)channels);
    add(l, "out.2", "positional_embedding", position);
    affine(l, "out.2.qkv_proj", 3, 3 * channels, channels, 1, false);
    affine(l, "out.2.c_proj", 3, l->net->out_channels, channels, 1, false);
}

static void classifier_head(list *l, const skips *s, int ch)
{
    int64_t features =
        ch; /* the spatial heads see the mean of every input block and of the middle */
    int classes = l->net->out_channels;

    for (int i = 0; i < s->n; i++)
        features += s->channels[i];
    switch (l->net->pool) {
    case GD_POOL_ATTENTION:
        group_norm(l, "out.0", ch);
        attention_pool(l, ch);
        break;
    case GD_POOL_ADAPTIVE:
        group_norm(l, "out.0", ch);
        affine(l, "out.3", 4, classes, ch, 1, true);
        break;
    case GD_POOL_SPATIAL:
        linear(l, "out.0", NN_POOL_FEATURES, features);
        linear(l, "out.2", classes, NN_POOL_FEATURES);
        break;
    case GD_POOL_SPATIAL_V2:
        linear(l, "out.0", NN_POOL_FEATURES, features);
        group_norm(l, "out.1", NN_POOL_FEATURES);
        linear(l, "out.3", classes, NN_POOL_FEATURES);
        break;
    }
}

static int fill(const gd_net_config *net, gd_param_spec *spec)
{
    list l = { net, spec, 0 };
    skips s = { .n = 0 };

    time_embed(&l);
    int ch = encoder(&l, &s);
    if (net->kind == GD_NET_CLASSIFIER)
        classifier_head(&l, &s, ch);
    else
        decoder(&l, &s, ch);
    return l.n;
}

gd_status nn_list_adm(const gd_net_config *config, gd_arena *arena, gd_param_spec **out, int *n)
{
    *n = fill(config, NULL);
    *out = gd_alloc(arena, (size_t)*n * sizeof **out);
    if (!*out)
        return GD_ENOMEM;
    fill(config, *out);
    return GD_OK;
}

int64_t gd_param_count(const gd_param_spec *spec)
{
    int64_t count = 1;

    for (int d = 0; d < spec->rank; d++)
        count *= spec->dim[d];
    return count;
}
