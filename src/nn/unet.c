/* SPDX-License-Identifier: MIT */
/* unet.c - UNetModel, SuperResModel and EncoderUNetModel (docs/reference/networks.md#unet,
 * #upsampler, #classifier).  Shape comments: [N,H,W,C]. */
#include "nn/family.h"

enum { MAX_BLOCKS = GD_MAX_LEVELS * (NN_MAX_RES_BLOCKS + 1) };

typedef struct build {
    nn m;
    const gd_net_config *c;
    gd_val emb;              /* [N,1,1,E] through SiLU */
    gd_val skip[MAX_BLOCKS]; /* outputs of the input blocks, as UNetModel.forward keeps them */
    int n_skip;
    gd_val h;
} build;

static int heads_of(const gd_net_config *c, int channels, int num_heads)
{
    return c->num_head_channels > 0 ? channels / c->num_head_channels : num_heads;
}

static gd_head_order order_of(const gd_net_config *c)
{
    const bool new_order = c->use_new_attention_order || c->family == GD_FAMILY_CONSISTENCY;

    return new_order ? GD_HEADS_NEW : GD_HEADS_LEGACY;
}

static void resblock(build *b, nn m, int channels, nn_resample resample)
{
    b->h = nn_resblock(m, b->h, b->emb, channels, resample, b->c->use_scale_shift_norm);
}

static void attention(build *b, nn m, int num_heads)
{
    b->h = nn_attention_block(m, b->h, heads_of(b->c, gd_channels(b->m.g, b->h), num_heads),
                              order_of(b->c));
}

static void keep(build *b)
{
    b->skip[b->n_skip++] = b->h; /* nn_config_check bounds levels and blocks */
}

/* emb = time_embed(sinusoids(t)) + label_emb[y]; every block takes SiLU(emb) */
static void embed(build *b, gd_net *net, int n)
{
    const gd_net_config *c = b->c;
    const int width = 4 * c->model_channels;
    gd_graph *g = b->m.g;

    g->scope = "time_embed";
    net->t = gd_input(g, "t", (gd_type){ { n, 1, 1, 1 }, GD_F32 }, GD_PLACE_PLAIN);
    gd_val e = gd_timestep_embedding(g, net->t, c->model_channels, 10000.0f);
    e = nn_linear(nn_at(b->m, "time_embed.0"), e, width);
    e = nn_linear(nn_at(b->m, "time_embed.2"), gd_silu(g, e), width);
    if (c->num_classes > 0) {
        g->scope = "label_emb";
        net->y = gd_input(g, "y", (gd_type){ { n, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
        e = gd_plus(g, e, nn_embedding(nn_at(b->m, "label_emb"), net->y, c->num_classes, width));
    }
    b->emb = gd_silu(g, e);
}

static void input_blocks(build *b)
{
    const gd_net_config *c = b->c;
    int block = 1;

    b->h = nn_conv(nn_at(b->m, "input_blocks.0.0"), b->h, nn_level_channels(c, 0), 3, 1);
    keep(b);
    for (int level = 0; level < c->n_levels; level++) {
        for (int i = 0; i < c->num_res_blocks; i++, block++) {
            resblock(b, nn_at(b->m, "input_blocks.%d.0", block), nn_level_channels(c, level),
                     NN_SAME);
            if (nn_attends(c, level))
                attention(b, nn_at(b->m, "input_blocks.%d.1", block), c->num_heads);
            keep(b);
        }
        if (level == c->n_levels - 1)
            break;
        nn down = nn_at(b->m, "input_blocks.%d.0", block++);
        if (c->resblock_updown)
            resblock(b, down, nn_level_channels(c, level), NN_DOWN);
        else
            b->h = nn_downsample(down, b->h, c->conv_resample, nn_level_channels(c, level));
        keep(b);
    }
}

static void middle_block(build *b)
{
    const int channels = gd_channels(b->m.g, b->h);

    resblock(b, nn_at(b->m, "middle_block.0"), channels, NN_SAME);
    attention(b, nn_at(b->m, "middle_block.1"), b->c->num_heads);
    resblock(b, nn_at(b->m, "middle_block.2"), channels, NN_SAME);
}

static void up(build *b, nn m, int channels)
{
    if (b->c->resblock_updown)
        resblock(b, m, channels, NN_UP);
    else
        b->h = nn_upsample(m, b->h, b->c->conv_resample, channels);
}

static void output_blocks(build *b)
{
    const gd_net_config *c = b->c;
    const int up_heads = c->num_heads_upsample < 0 ? c->num_heads : c->num_heads_upsample;
    int block = 0;

    for (int level = c->n_levels - 1; level >= 0; level--) {
        const int channels = nn_level_channels(c, level);
        for (int i = 0; i <= c->num_res_blocks; i++, block++) {
            int layer = 0;
            nn m = nn_at(b->m, "output_blocks.%d", block);
            b->m.g->scope = m.scope;
            b->h = gd_concat(b->m.g, b->h, b->skip[--b->n_skip]); /* current first, skip second */
            resblock(b, nn_at(m, "%d", layer++), channels, NN_SAME);
            if (nn_attends(c, level))
                attention(b, nn_at(m, "%d", layer++), up_heads);
            if (level > 0 && i == c->num_res_blocks)
                up(b, nn_at(m, "%d", layer), channels);
        }
    }
}

/* ---- heads ---- */

static gd_val norm_silu(build *b, const char *scope)
{
    return gd_silu(b->m.g, nn_norm(nn_at(b->m, "%s", scope), b->h, GD_NONE));
}

/* Spatial means of every block's output, side by side: [N,1,1,F] */
static gd_val spatial_features(build *b)
{
    gd_val all = gd_mean_pixels(b->m.g, b->skip[0]);

    for (int i = 1; i < b->n_skip; i++)
        all = gd_concat(b->m.g, all, gd_mean_pixels(b->m.g, b->skip[i]));
    return gd_concat(b->m.g, all, gd_mean_pixels(b->m.g, b->h));
}

static gd_val classifier_head(build *b)
{
    const gd_net_config *c = b->c;
    gd_val h;

    b->m.g->scope = "out";
    switch (c->pool) {
    case GD_POOL_ATTENTION:
        h = norm_silu(b, "out.0");
        return nn_attention_pool(nn_at(b->m, "out.2"), h,
                                 heads_of(c, gd_channels(b->m.g, h), c->num_heads),
                                 c->out_channels);
    case GD_POOL_ADAPTIVE:
        h = gd_mean_pixels(b->m.g, norm_silu(b, "out.0"));
        return nn_linear(nn_at(b->m, "out.3"), h, c->out_channels);
    case GD_POOL_SPATIAL:
        h = gd_relu(b->m.g, nn_linear(nn_at(b->m, "out.0"), spatial_features(b), NN_POOL_FEATURES));
        return nn_linear(nn_at(b->m, "out.2"), h, c->out_channels);
    default:
        h = nn_linear(nn_at(b->m, "out.0"), spatial_features(b), NN_POOL_FEATURES);
        h = gd_silu(b->m.g, nn_norm(nn_at(b->m, "out.1"), h, GD_NONE));
        return nn_linear(nn_at(b->m, "out.3"), h, c->out_channels);
    }
}

gd_net_size gd_net_natural_size(const gd_net_config *c, int n)
{
    return (gd_net_size){ n, c->image_size, c->image_size, c->small_size, c->small_size };
}

void nn_build_adm(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size)
{
    gd_graph *g = m.g;
    build b = { .m = m, .c = config };

    g->scope = "input";
    out->x = gd_input(g, "x", gd_act_type(size->n, size->h, size->w, config->in_channels),
                      GD_PLACE_ACTIVATION);
    b.h = out->x;
    if (config->kind == GD_NET_SUPERRES) { /* [x, low_res enlarged to x's size] */
        out->low_res = gd_input(g, "low_res",
                                gd_act_type(size->n, size->low_h, size->low_w, config->in_channels),
                                GD_PLACE_ACTIVATION);
        b.h = gd_concat(g, out->x, gd_bilinear(g, out->low_res, size->h, size->w));
    }
    embed(&b, out, size->n);
    input_blocks(&b);
    middle_block(&b);
    if (config->kind == GD_NET_CLASSIFIER) {
        out->out = classifier_head(&b);
    } else {
        output_blocks(&b);
        b.h = norm_silu(&b, "out.0");
        out->out = nn_conv(nn_at(b.m, "out.2"), b.h, config->out_channels, 3, 1);
    }
}

gd_val gd_net_guidance(gd_net *net, gd_graph *g, int classes)
{
    const int n = (int)gd_type_of(g, net->x)->dim[0];
    gd_val gradient;

    g->scope = "guidance";
    net->y = gd_input(g, "y", (gd_type){ { n, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
    gd_gradient(g, gd_log_softmax(g, net->out), gd_one_hot(g, net->y, classes), &net->x, &gradient,
                1);
    return gradient;
}
