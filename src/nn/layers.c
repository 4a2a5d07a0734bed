/* SPDX-License-Identifier: MIT */
/* layers.c - the blocks that the three networks share (docs/reference/networks.md#layers).  Shape
 * comments: [N,H,W,C]. */
#include "nn/nn.h"

#include <math.h>
#include <string.h>

static const nn_style adm_style = { .norm0 = "in_layers.0",
                                    .conv0 = "in_layers.2",
                                    .embed = "emb_layers.1",
                                    .norm1 = "out_layers.0",
                                    .dropout = "out_layers.2",
                                    .conv1 = "out_layers.3",
                                    .skip = "skip_connection",
                                    .attention_norm = "norm",
                                    .qkv = "qkv",
                                    .proj = "proj_out",
                                    .norm_groups = 32, /* GroupNorm32 */
                                    .group_channels = 1,
                                    .norm_epsilon = 1e-5f,
                                    .block_scale = 1,
                                    .attention_rank = 3 };
static const int pool_order = GD_HEADS_NEW; /* AttentionPool2d always */

static const nn_style *style_of(nn m)
{
    return m.style ? m.style : &adm_style;
}

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

/* ---- parameters ---- */

static void grow(nn m, gd_param_spec **list, int n, int *capacity)
{
    const int more = GD_MAX(64, 2 * n);
    gd_param_spec *bigger;

    if (n < *capacity)
        return;
    bigger = gd_alloc(m.listing->mem, (size_t)more * sizeof *bigger);
    if (!bigger) {
        gd_graph_fail(m.g, GD_ENOMEM, "out of memory");
        return;
    }
    if (n > 0)
        memcpy(bigger, *list, (size_t)n * sizeof *bigger);
    *list = bigger;
    *capacity = more;
}

/* `name` of the scope, of spec's shape; spec->name is filled in */
static void list_param(nn m, const char *name, const gd_param_spec *spec)
{
    nn_listing *l = m.listing;

    if (!l)
        return;
    grow(m, &l->param, l->n_param, &l->cap_param);
    if (l->n_param == l->cap_param)
        return;
    l->param[l->n_param] = *spec;
    snprintf(l->param[l->n_param++].name, GD_MAX_NAME, "%s", nn_at(m, "%s", name).scope);
}

void nn_constant(nn m, const char *name, int rank, const int64_t *dim)
{
    nn_listing *l = m.listing;
    gd_param_spec spec = { .rank = rank };

    if (!l)
        return;
    memcpy(spec.dim, dim, (size_t)rank * sizeof *dim);
    grow(m, &l->constant, l->n_constant, &l->cap_constant);
    if (l->n_constant == l->cap_constant)
        return;
    l->constant[l->n_constant] = spec;
    snprintf(l->constant[l->n_constant++].name, GD_MAX_NAME, "%s", nn_at(m, "%s", name).scope);
}

/* The filter of a layer that resamples */
static void list_filter(nn m)
{
    const int taps = style_of(m)->smooth_resampling ? 4 : 2;

    nn_constant(m, "resample_filter", 4, (const int64_t[]){ 1, 1, taps, taps });
}

static gd_val param(nn m, const char *name, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    return gd_param(m.g, nn_at(m, "%s", name).scope, d0, d1, d2, d3);
}

gd_val nn_vector(nn m, const char *name, int64_t channels, gd_init_rule init)
{
    list_param(m, name,
               &(gd_param_spec){ .rank = 1, .dim = { channels }, .init = init, .init_scale = 1 });
    return param(m, name, 1, 1, 1, channels);
}

/* ---- layers ---- */

typedef struct affine {
    int channels, kernel, stride, pad;
    int rank;        /* of the weights in the file */
    int interleaved; /* heads of a qkv projection whose rows are interleaved; 0: none */
    bool plain;      /* no bias */
    bool zero;       /* before it is trained */
} affine;

static void list_affine(nn m, const affine *a, int in)
{
    const double fan_in = (double)in * a->kernel * a->kernel;
    gd_param_spec spec = { .rank = a->rank,
                           .dim = { a->channels, in },
                           .init = a->zero ? GD_INIT_ZERO : GD_INIT_UNIFORM,
                           .init_scale = 1 / sqrt(fan_in) };

    for (int d = 2; d < a->rank; d++)
        spec.dim[d] = a->kernel;
    list_param(m, "weight", &spec);
    spec.rank = 1;
    spec.dim[1] = spec.dim[2] = spec.dim[3] = 0;
    if (!a->plain)
        list_param(m, "bias", &spec);
}

/* Convolution; a linear layer is one of kernel 1 */
static gd_val apply(nn m, gd_val x, const affine *a)
{
    const int in = gd_channels(m.g, x);
    gd_val w, bias = GD_NONE;

    enter(m);
    list_affine(m, a, in);
    if (a->interleaved > 0) {
        w = gd_param_interleaved(m.g, nn_at(m, "weight").scope, a->channels, in, 1, 1,
                                 a->interleaved);
        bias =
            gd_param_interleaved(m.g, nn_at(m, "bias").scope, 1, 1, 1, a->channels, a->interleaved);
    } else {
        w = param(m, "weight", a->channels, in, a->kernel, a->kernel);
        if (!a->plain)
            bias = param(m, "bias", 1, 1, 1, a->channels);
    }
    return gd_conv2d_padded(m.g, x, w, bias, a->stride, a->pad);
}

gd_val nn_conv_padded(nn m, gd_val x, int channels, int kernel, int stride, int pad)
{
    return apply(m, x, &(affine){ channels, kernel, stride, pad, .rank = 4 });
}

gd_val nn_conv(nn m, gd_val x, int channels, int kernel, int stride)
{
    return nn_conv_padded(m, x, channels, kernel, stride, kernel / 2);
}

gd_val nn_conv_zero(nn m, gd_val x, int channels, int kernel)
{
    return apply(m, x, &(affine){ channels, kernel, 1, kernel / 2, .rank = 4, .zero = true });
}

gd_val nn_conv_smooth_down(nn m, gd_val x, int channels)
{
    x = nn_conv_padded(m, x, channels, 3, 1, 2);
    enter(m);
    list_filter(m);
    return gd_downsample_smooth(m.g, x, 0);
}

gd_val nn_linear(nn m, gd_val x, int channels)
{
    return apply(m, x, &(affine){ channels, 1, 1, 0, .rank = 2 });
}

gd_val nn_linear_plain(nn m, gd_val x, int channels)
{
    return apply(m, x, &(affine){ channels, 1, 1, 0, .rank = 2, .plain = true });
}

gd_val nn_embedding(nn m, gd_val labels, int rows, int channels)
{
    enter(m);
    list_param(m, "weight",
               &(gd_param_spec){
                   .rank = 2, .dim = { rows, channels }, .init = GD_INIT_NORMAL, .init_scale = 1 });
    return gd_lookup(m.g, param(m, "weight", rows, channels, 1, 1), labels);
}

gd_val nn_norm(nn m, gd_val x, gd_val scale_shift)
{
    const nn_style *style = style_of(m);
    const int channels = gd_channels(m.g, x);
    const int groups = GD_MIN(style->norm_groups, channels / style->group_channels);

    enter(m);
    gd_val weight = nn_vector(m, "weight", channels, GD_INIT_ONE);
    gd_val bias = nn_vector(m, "bias", channels, GD_INIT_ZERO);
    return gd_group_norm(m.g, x, weight, bias, scale_shift, groups, style->norm_epsilon);
}

static gd_val resample(nn m, gd_val x, nn_resample kind)
{
    const bool smooth = style_of(m)->smooth_resampling;

    if (kind == NN_SAME)
        return x;
    enter(m);
    list_filter(m);
    if (kind == NN_UP)
        return smooth ? gd_upsample_smooth(m.g, x) : gd_upsample(m.g, x);
    return smooth ? gd_downsample_smooth(m.g, x, 1) : gd_downsample(m.g, x);
}

/* A layer's draws differ from the others' by its name. */
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

static gd_val scaled(nn m, gd_val x)
{
    const float factor = style_of(m)->block_scale;
    return factor == 1 ? x : gd_scaled(m.g, x, factor);
}

/* x: [N,H,W,Ci]  emb: [N,1,1,E] -> [N,H',W',channels] */
gd_val nn_resblock(nn m, gd_val x, gd_val emb, int channels, nn_resample kind,
                   bool scale_shift_norm)
{
    const nn_style *s = style_of(m);
    const bool widens = gd_channels(m.g, x) != channels || (s->resampled_skip && kind != NN_SAME);

    gd_val h = gd_silu(m.g, nn_norm(nn_at(m, "%s", s->norm0), x, GD_NONE));
    h = resample(nn_at(m, "%s", s->conv0), h, kind);
    x = resample(nn_at(m, "%s", s->skip), x, kind);
    h = nn_conv(nn_at(m, "%s", s->conv0), h, channels, 3, 1);
    gd_val e = nn_linear(nn_at(m, "%s", s->embed), emb, scale_shift_norm ? 2 * channels : channels);
    if (!scale_shift_norm)
        h = gd_plus_channel(m.g, h, e);
    h = gd_silu(m.g, nn_norm(nn_at(m, "%s", s->norm1), h, scale_shift_norm ? e : GD_NONE));
    h = dropout(nn_at(m, "%s", s->dropout), h);
    h = nn_conv_zero(nn_at(m, "%s", s->conv1), h, channels, 3);
    if (widens)
        x = nn_conv(nn_at(m, "%s", s->skip), x, channels, 1, 1);
    enter(m);
    return scaled(m, gd_plus(m.g, x, h));
}

/* x: [N,H,W,C] -> [N,H,W,C].  Interleaved rows are put in legacy order as they are packed. */
gd_val nn_attention_block(nn m, gd_val x, int heads, gd_head_order order)
{
    const nn_style *s = style_of(m);
    const int channels = gd_channels(m.g, x);
    gd_val h = nn_norm(nn_at(m, "%s", s->attention_norm), x, GD_NONE);
    affine qkv = { 3 * channels, 1, 1, 0, .rank = s->attention_rank },
           proj = { channels, 1, 1, 0, .rank = s->attention_rank, .zero = true };

    if (s->interleaved_heads)
        qkv.interleaved = heads;
    h = apply(nn_at(m, "%s", s->qkv), h, &qkv);
    enter(m);
    h = gd_attention(m.g, h, heads, s->interleaved_heads ? GD_HEADS_LEGACY : order);
    h = apply(nn_at(m, "%s", s->proj), h, &proj);
    return scaled(m, gd_plus(m.g, x, h));
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
