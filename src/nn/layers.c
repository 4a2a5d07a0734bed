/* layers.c - the blocks that the three networks share (spec models.md 3).  Shape comments:
 * [N,H,W,C]. */
#include "nn/nn.h"

static const int norm_groups = 32; /* GroupNorm32 */
static const float norm_epsilon = 1e-5f;
static const int pool_order = GD_HEADS_NEW; /* AttentionPool2d always */

nn nn_at(nn m, const char *format, ...)
{
    char text[GD_MAX_NAME];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    m.scope = gd_sprintf(m.g->mem, "%s%s%s", m.scope, *m.scope ? "." : "", text);
    if (!m.scope) {
        gd_graph_fail(m.g, GD_ENOMEM, "out of memory");
        m.scope = "";
    }
    return m;
}

/* New nodes carry the scope of the layer that made them: errors and profiles name it. */
static void enter(nn m)
{
    m.g->scope = m.scope;
}

static gd_val param(nn m, const char *name, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    return gd_param(m.g, nn_at(m, "%s", name).scope, d0, d1, d2, d3);
}

static gd_val vector(nn m, const char *name, int64_t channels)
{
    return param(m, name, 1, 1, 1, channels);
}

gd_val nn_conv(nn m, gd_val x, int channels, int kernel, int stride)
{
    enter(m);
    return gd_conv2d(m.g, x, param(m, "weight", channels, gd_channels(m.g, x), kernel, kernel),
                     vector(m, "bias", channels), stride);
}

gd_val nn_linear(nn m, gd_val x, int channels)
{
    return nn_conv(m, x, channels, 1, 1);
}

gd_val nn_norm(nn m, gd_val x, gd_val scale_shift)
{
    const int channels = gd_channels(m.g, x);

    enter(m);
    return gd_group_norm(m.g, x, vector(m, "weight", channels), vector(m, "bias", channels),
                         scale_shift, norm_groups, norm_epsilon);
}

static gd_val resample(nn m, gd_val x, nn_resample kind)
{
    enter(m);
    return kind == NN_UP ? gd_upsample(m.g, x) : kind == NN_DOWN ? gd_downsample(m.g, x) : x;
}

/* A layer's draws are told from the others' by its name. */
static int name_hash(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return (int)(h >> 1);
}

static gd_val dropout(nn m, gd_val h)
{
    const int n = (int)gd_type_of(m.g, h)->dim[0];
    gd_val keys;

    if (m.dropout <= 0)
        return h;
    keys = gd_find_input(m.g, NN_DROPOUT_KEYS);
    if (!keys.id)
        keys = gd_input(m.g, NN_DROPOUT_KEYS, (gd_type){ { n, 1, 1, 2 }, GD_I32 }, GD_PLACE_PLAIN);
    enter(m);
    return gd_dropout(m.g, h, keys, name_hash(m.scope), (float)m.dropout);
}

/* x: [N,H,W,Ci]  emb: [N,1,1,E] -> [N,H',W',channels] */
gd_val nn_resblock(nn m, gd_val x, gd_val emb, int channels, nn_resample kind,
                   bool scale_shift_norm)
{
    gd_val h = gd_silu(m.g, nn_norm(nn_at(m, "in_layers.0"), x, GD_NONE));
    h = resample(m, h, kind);
    x = resample(m, x, kind);
    h = nn_conv(nn_at(m, "in_layers.2"), h, channels, 3, 1);
    gd_val e = nn_linear(nn_at(m, "emb_layers.1"), emb, scale_shift_norm ? 2 * channels : channels);
    if (!scale_shift_norm)
        h = gd_plus_channel(m.g, h, e);
    h = gd_silu(m.g, nn_norm(nn_at(m, "out_layers.0"), h, scale_shift_norm ? e : GD_NONE));
    h = dropout(nn_at(m, "out_layers.2"), h);
    h = nn_conv(nn_at(m, "out_layers.3"), h, channels, 3, 1);
    if (gd_channels(m.g, x) != channels)
        x = nn_conv(nn_at(m, "skip_connection"), x, channels, 1, 1);
    enter(m);
    return gd_plus(m.g, x, h);
}

/* x: [N,H,W,C] -> [N,H,W,C] */
gd_val nn_attention_block(nn m, gd_val x, int heads, gd_head_order order)
{
    const int channels = gd_channels(m.g, x);
    gd_val h = nn_norm(nn_at(m, "norm"), x, GD_NONE);

    h = nn_conv(nn_at(m, "qkv"), h, 3 * channels, 1, 1);
    enter(m);
    h = gd_attention(m.g, h, heads, order);
    h = nn_conv(nn_at(m, "proj_out"), h, channels, 1, 1);
    return gd_plus(m.g, x, h);
}

/* x: [N,S,S,C] -> [N,1,1,out]: attention of the mean token over all tokens */
gd_val nn_attention_pool(nn m, gd_val x, int heads, int out_channels)
{
    const gd_type *t = gd_type_of(m.g, x);
    const int channels = (int)t->dim[3];
    gd_val positions = param(m, "positional_embedding", channels, t->dim[1] * t->dim[2] + 1, 1, 1);

    enter(m);
    gd_val h = gd_pool_tokens(m.g, x, positions); /* [N,1,S*S+1,C] */
    h = nn_conv(nn_at(m, "qkv_proj"), h, 3 * channels, 1, 1);
    enter(m);
    h = gd_attention(m.g, h, heads, pool_order);
    h = gd_first_pixel(m.g, h);
    return nn_linear(nn_at(m, "c_proj"), h, out_channels);
}

gd_val nn_upsample(nn m, gd_val x, bool conv, int channels)
{
    x = resample(m, x, NN_UP);
    return conv ? nn_conv(nn_at(m, "conv"), x, channels, 3, 1) : x;
}

gd_val nn_downsample(nn m, gd_val x, bool conv, int channels)
{
    return conv ? nn_conv(nn_at(m, "op"), x, channels, 3, 2) : resample(m, x, NN_DOWN);
}
