/* SPDX-License-Identifier: MIT */
/* diffusers_unet.c - diffusers' UNet2DModel (docs/reference/networks.md#other-families; Ho et al.
 * 2020).  Shape comments: [N,H,W,C]. */
#include "nn/diffusers.h"

enum { MAX_BLOCKS = GD_MAX_LEVELS * (NN_MAX_RES_BLOCKS + 1) + 1 };

static nn_style style_of(const gd_net_config *c)
{
    return (nn_style){ .norm0 = "norm1",
                       .conv0 = "conv1",
                       .embed = "time_emb_proj",
                       .norm1 = "norm2",
                       .dropout = "dropout",
                       .conv1 = "conv2",
                       .skip = "conv_shortcut",
                       .attention_norm = "group_norm",
                       .norm_groups = c->norm_groups,
                       .group_channels = 1,
                       .norm_epsilon = (float)c->norm_eps,
                       .block_scale = 1 };
}

typedef struct build {
    nn m;
    const gd_net_config *c;
    gd_val emb; /* [N,1,1,E] through SiLU */
    gd_val skip[MAX_BLOCKS];
    int n_skip;
    gd_val h;
} build;

static void embed(build *b, gd_net *net, int n)
{
    const gd_net_config *c = b->c;
    const int channels = nn_level_channels(c, 0), width = 4 * channels;
    gd_graph *g = b->m.g;

    g->scope = "time_embedding";
    net->t = gd_input(g, "t", (gd_type){ { n, 1, 1, 1 }, GD_F32 }, GD_PLACE_PLAIN);
    gd_val e = gd_sinusoids(g, net->t, channels, 10000, c->freq_shift, !c->flip_sin_to_cos);
    e = gd_silu(g, nn_linear(nn_at(b->m, "time_embedding.linear_1"), e, width));
    e = nn_linear(nn_at(b->m, "time_embedding.linear_2"), e, width);
    if (c->num_classes > 0) {
        net->y = gd_input(g, "y", (gd_type){ { n, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
        e = gd_plus(g, e,
                    nn_embedding(nn_at(b->m, "class_embedding"), net->y, c->num_classes, width));
    }
    b->emb = gd_silu(g, e);
}

static void resblock(build *b, nn m, int channels, nn_resample resample)
{
    b->h = nn_resblock(m, b->h, b->emb, channels, resample, b->c->use_scale_shift_norm);
}

/* q, k and v are layers of their own; side by side their rows are in the new order */
static void attention(build *b, nn m)
{
    const int channels = gd_channels(b->m.g, b->h);
    const int heads = b->c->num_head_channels > 0 ? channels / b->c->num_head_channels : 1;
    gd_val h = nn_norm(nn_at(m, "group_norm"), b->h, GD_NONE), qkv[3];

    for (int i = 0; i < 3; i++)
        qkv[i] = nn_linear(nn_at(m, "to_%c", "qkv"[i]), h, channels);
    b->m.g->scope = m.scope;
    h = gd_attention(b->m.g, gd_concat_all(b->m.g, qkv, 3), heads, GD_HEADS_NEW);
    h = nn_linear(nn_at(m, "to_out.0"), h, channels);
    b->h = gd_plus(b->m.g, b->h, h);
}

static void keep(build *b)
{
    if (b->n_skip == MAX_BLOCKS)
        gd_graph_fail(b->m.g, GD_EUSAGE, "more than %d blocks", MAX_BLOCKS);
    else
        b->skip[b->n_skip++] = b->h;
}

/* With padding 0 the picture gets a row and a column of zeros at the far ends only. */
static void downsample(build *b, nn m, int channels)
{
    const gd_type *t = gd_type_of(b->m.g, b->h);

    if (b->c->resblock_updown) {
        resblock(b, m, channels, NN_DOWN);
        return;
    }
    m = nn_at(m, "conv");
    b->m.g->scope = m.scope;
    if (b->c->pad_right_bottom)
        b->h = gd_frame(b->m.g, b->h, 0, 0, (int)t->dim[1] + 1, (int)t->dim[2] + 1);
    b->h = nn_conv_padded(m, b->h, channels, 3, 2, b->c->pad_right_bottom ? 0 : 1);
}

static void upsample(build *b, nn m, int channels)
{
    if (b->c->resblock_updown)
        resblock(b, m, channels, NN_UP);
    else
        b->h = nn_upsample(m, b->h, true, channels);
}

static void down_blocks(build *b)
{
    const gd_net_config *c = b->c;

    b->h = nn_conv(nn_at(b->m, "conv_in"), b->h, nn_level_channels(c, 0), 3, 1);
    keep(b);
    for (int level = 0; level < c->n_levels; level++) {
        nn m = nn_at(b->m, "down_blocks.%d", level);
        for (int i = 0; i < c->num_res_blocks; i++) {
            resblock(b, nn_at(m, "resnets.%d", i), nn_level_channels(c, level), NN_SAME);
            if (nn_attends(c, level))
                attention(b, nn_at(m, "attentions.%d", i));
            keep(b);
        }
        if (level < c->n_levels - 1) {
            downsample(b, nn_at(m, "downsamplers.0"), nn_level_channels(c, level));
            keep(b);
        }
    }
}

static void mid_block(build *b)
{
    const int channels = gd_channels(b->m.g, b->h);

    resblock(b, nn_at(b->m, "mid_block.resnets.0"), channels, NN_SAME);
    attention(b, nn_at(b->m, "mid_block.attentions.0"));
    resblock(b, nn_at(b->m, "mid_block.resnets.1"), channels, NN_SAME);
}

static void up_blocks(build *b)
{
    const gd_net_config *c = b->c;

    for (int level = c->n_levels - 1; level >= 0; level--) {
        nn m = nn_at(b->m, "up_blocks.%d", c->n_levels - 1 - level);
        for (int i = 0; i <= c->num_res_blocks; i++) {
            b->m.g->scope = m.scope;
            b->h = gd_concat(b->m.g, b->h, b->skip[--b->n_skip]);
            resblock(b, nn_at(m, "resnets.%d", i), nn_level_channels(c, level), NN_SAME);
            if (nn_attends(c, level))
                attention(b, nn_at(m, "attentions.%d", i));
        }
        if (level > 0)
            upsample(b, nn_at(m, "upsamplers.0"), nn_level_channels(c, level));
    }
}

void nn_build_diffusers(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size)
{
    const nn_style style = style_of(config);
    build b = { .m = m, .c = config };

    b.m.style = &style;
    m.g->scope = "input";
    out->x = gd_input(m.g, "x", gd_act_type(size->n, size->h, size->w, config->in_channels),
                      GD_PLACE_ACTIVATION);
    b.h = out->x;
    embed(&b, out, size->n);
    down_blocks(&b);
    mid_block(&b);
    up_blocks(&b);
    b.h = gd_silu(m.g, nn_norm(nn_at(b.m, "conv_norm_out"), b.h, GD_NONE));
    out->out = nn_conv_zero(nn_at(b.m, "conv_out"), b.h, config->out_channels, 3);
}
