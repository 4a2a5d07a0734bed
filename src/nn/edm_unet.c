/* SPDX-License-Identifier: MIT */
/* edm_unet.c - DhariwalUNet and SongUNet, the networks of NVlabs/edm (Karras et al. 2022;
 * docs/reference/networks.md#other-families).  Shape comments: [N,H,W,C]. */
#include "nn/edm.h"

#include <math.h>

enum { MAX_BLOCKS = GD_MAX_LEVELS * (NN_MAX_RES_BLOCKS + 1) + 1 };

#define EDM_NAMES                                                                                  \
    .norm0 = "norm0", .conv0 = "conv0", .embed = "affine", .norm1 = "norm1", .dropout = "dropout", \
    .conv1 = "conv1", .skip = "skip", .attention_norm = "norm2", .qkv = "qkv", .proj = "proj",     \
    .norm_groups = 32, .group_channels = 4, .interleaved_heads = true, .attention_rank = 4

static const nn_style dhariwal_style = { EDM_NAMES, .norm_epsilon = 1e-5f, .block_scale = 1 };

static nn_style style_of(const gd_net_config *c)
{
    const nn_style song = { EDM_NAMES, .norm_epsilon = 1e-6f, .block_scale = (float)M_SQRT1_2,
                            .resampled_skip = true, .smooth_resampling = c->smooth_resampling };

    return c->song ? song : dhariwal_style;
}

typedef struct build {
    nn m;
    const gd_net_config *c;
    gd_val emb;              /* [N,1,1,E] through SiLU */
    gd_val skip[MAX_BLOCKS]; /* outputs of the encoder's layers */
    int n_skip;
    gd_val h, aux; /* aux: the image as the residual encoder keeps it */
} build;

/* ---- the noise level, the class and the augmentation ---- */

static gd_val input_value(gd_graph *g, const char *name, int n, int channels, gd_dtype dtype)
{
    return gd_input(g, name, (gd_type){ { n, 1, 1, channels }, dtype },
                    dtype == GD_F32 && channels > 1 ? GD_PLACE_ACTIVATION : GD_PLACE_PLAIN);
}

/* One row of a linear layer's weights; label -1: zeros */
static gd_val one_hot(build *b, gd_net *net, int n)
{
    b->m.g->scope = "map_label";
    net->y = input_value(b->m.g, "y", n, 1, GD_I32);
    return gd_one_hot(b->m.g, net->y, b->c->num_classes);
}

/* The term of augmented training images.  Sampling leaves it out, but a file has its weights. */
static gd_val plus_augment(build *b, gd_net *net, gd_val e, const gd_net_size *size)
{
    const gd_net_config *c = b->c;
    gd_graph *g = b->m.g;

    if (c->augment_dim == 0 || (!size->augmented && !b->m.listing))
        return e;
    g->scope = "map_augment";
    net->augment = input_value(g, "augment", size->n, c->augment_dim, GD_F32);
    return gd_plus(g, e,
                   nn_linear_plain(nn_at(b->m, "map_augment"), net->augment, gd_channels(g, e)));
}

static gd_val silu_linear(build *b, const char *name, gd_val e, int channels)
{
    return gd_silu(b->m.g, nn_linear(nn_at(b->m, "%s", name), e, channels));
}

static void embed_dhariwal(build *b, gd_net *net, const gd_net_size *size)
{
    const gd_net_config *c = b->c;
    const int width = c->model_channels * c->embedding_mult;
    gd_graph *g = b->m.g;

    gd_val e = gd_timestep_embedding(g, net->t, c->model_channels, 10000);
    e = plus_augment(b, net, e, size);
    e = silu_linear(b, "map_layer0", e, width);
    e = nn_linear(nn_at(b->m, "map_layer1"), e, width);
    if (c->num_classes > 0)
        e = gd_plus(g, e,
                    nn_linear_plain(nn_at(b->m, "map_label"), one_hot(b, net, size->n), width));
    b->emb = gd_silu(g, e);
}

static void embed_song(build *b, gd_net *net, const gd_net_size *size)
{
    const gd_net_config *c = b->c;
    const int width = c->model_channels * c->embedding_mult,
              noise = c->model_channels * c->noise_mult;
    gd_graph *g = b->m.g;
    gd_val e;

    if (c->fourier)
        e = gd_fourier_embedding(
            g, net->t, nn_vector(nn_at(b->m, "map_noise"), "freqs", noise / 2, GD_INIT_BUFFER));
    else
        e = gd_sinusoids(g, net->t, noise, 10000, 1, true);
    if (c->num_classes > 0) {
        gd_val y = gd_scaled(g, one_hot(b, net, size->n), sqrtf((float)c->num_classes));
        e = gd_plus(g, e, nn_linear(nn_at(b->m, "map_label"), y, noise));
    }
    e = plus_augment(b, net, e, size);
    e = silu_linear(b, "map_layer0", e, width);
    b->emb = silu_linear(b, "map_layer1", e, width);
}

/* ---- blocks ---- */

/* A residual block and, with `attention`, an attention block in the same scope */
static void block(build *b, nn m, int channels, nn_resample resample, bool attention)
{
    const int heads = nn_edm_heads(b->c, channels);

    b->h = nn_resblock(m, b->h, b->emb, channels, resample, !b->c->song);
    if (attention && heads > 0)
        b->h = nn_attention_block(m, b->h, heads, GD_HEADS_LEGACY);
}

static void keep(build *b)
{
    if (b->n_skip == MAX_BLOCKS)
        gd_graph_fail(b->m.g, GD_EUSAGE, "more than %d blocks", MAX_BLOCKS);
    else
        b->skip[b->n_skip++] = b->h;
}

/* "enc.16x16_down" */
static nn at_level(build *b, const char *half, int level, const char *name)
{
    const int size = b->c->image_size >> level;

    return nn_at(b->m, "%s.%dx%d_%s", half, size, size, name);
}

static nn at_block(build *b, const char *half, int level, int i)
{
    char name[32];

    snprintf(name, sizeof name, "block%d", i);
    return at_level(b, half, level, name);
}

/* x = aux = (x + conv(aux)) / sqrt 2: the image, kept beside the encoder at every size.  It takes
 * the position of the skip just kept. */
static void residual_branch(build *b, int level)
{
    nn m = at_level(b, "enc", level, "aux_residual");

    b->aux = nn_conv_smooth_down(m, b->aux, gd_channels(b->m.g, b->h));
    b->aux = gd_scaled(b->m.g, gd_plus(b->m.g, b->h, b->aux), (float)M_SQRT1_2);
    b->h = b->skip[b->n_skip - 1] = b->aux;
}

static void encoder(build *b)
{
    const gd_net_config *c = b->c;
    const int first = c->song ? c->model_channels : nn_level_channels(c, 0);

    for (int level = 0; level < c->n_levels; level++) {
        if (level == 0)
            b->h = nn_conv(at_level(b, "enc", 0, "conv"), b->h, first, 3, 1);
        else
            block(b, at_level(b, "enc", level, "down"), gd_channels(b->m.g, b->h), NN_DOWN, false);
        keep(b);
        if (level > 0 && c->residual_encoder)
            residual_branch(b, level);
        for (int i = 0; i < c->num_res_blocks; i++) {
            block(b, at_block(b, "enc", level, i), nn_level_channels(c, level), NN_SAME,
                  nn_attends(c, level));
            keep(b);
        }
    }
}

static void decoder(build *b)
{
    const gd_net_config *c = b->c;

    for (int level = c->n_levels - 1; level >= 0; level--) {
        const int above = gd_channels(b->m.g, b->h);
        if (level == c->n_levels - 1) {
            block(b, at_level(b, "dec", level, "in0"), above, NN_SAME, true);
            block(b, at_level(b, "dec", level, "in1"), above, NN_SAME, false);
        } else {
            block(b, at_level(b, "dec", level, "up"), above, NN_UP, false);
        }
        for (int i = 0; i <= c->num_res_blocks; i++) {
            nn m = at_block(b, "dec", level, i);
            const bool last = i == c->num_res_blocks;
            b->m.g->scope = m.scope;
            b->h = gd_concat(b->m.g, b->h, b->skip[--b->n_skip]);
            block(b, m, nn_level_channels(c, level), NN_SAME,
                  nn_attends(c, level) && (last || !c->song));
        }
    }
}

static gd_val head(build *b)
{
    const bool song = b->c->song;
    nn norm = song ? at_level(b, "dec", 0, "aux_norm") : nn_at(b->m, "out_norm"),
       conv = song ? at_level(b, "dec", 0, "aux_conv") : nn_at(b->m, "out_conv");

    b->h = gd_silu(b->m.g, nn_norm(norm, b->h, GD_NONE));
    return nn_conv_zero(conv, b->h, b->c->out_channels, 3);
}

void nn_build_edm(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size)
{
    const nn_style style = style_of(config);
    build b = { .m = m, .c = config };

    b.m.style = &style;
    if (config->out_channels == 2 * config->in_channels) /* iDDPMPrecond */
        nn_constant(m, "u", 1, (const int64_t[]){ GD_EDM_LEVELS });
    m.g->scope = "input";
    out->x = gd_input(m.g, "x", gd_act_type(size->n, size->h, size->w, config->in_channels),
                      GD_PLACE_ACTIVATION);
    out->t = input_value(m.g, "t", size->n, 1, GD_F32);
    b.h = b.aux = out->x;
    if (config->song)
        embed_song(&b, out, size);
    else
        embed_dhariwal(&b, out, size);
    encoder(&b);
    decoder(&b);
    out->out = head(&b);
}
