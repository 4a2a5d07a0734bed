/* SPDX-License-Identifier: MIT */
/* vit.c - the Vision Transformer (Dosovitskiy et al. 2020, figure 1 and eq. 1 to 4).  Shape
 * comments: [N,H,W,C]; tokens are a row of pixels, [N,1,T,D]. */
#include "nn/vit.h"

#include "nn/nn.h"

typedef struct vit {
    nn m;
    const gd_vit_config *c;
} vit;

static gd_val norm(const vit *v, nn m, gd_val x)
{
    const int channels = gd_channels(m.g, x);

    m.g->scope = m.scope;
    return gd_layer_norm(m.g, x, nn_vector(m, "weight", channels, GD_INIT_ONE),
                         nn_vector(m, "bias", channels, GD_INIT_ZERO), v->c->epsilon);
}

/* Patches as tokens, those in front of them, and all positions (eq. 1) */
static gd_val embed(const vit *v, gd_val x)
{
    const gd_vit_config *c = v->c;
    const int side = c->image / c->patch, tokens = side * side + c->class_token + c->registers;
    nn m = nn_at(v->m, "patch");
    gd_val weight = gd_param(m.g, nn_at(m, "weight").scope, c->width, 3, c->patch, c->patch);
    gd_val bias = c->patch_bias ? nn_vector(m, "bias", c->width, GD_INIT_ZERO) : GD_NONE;

    m.g->scope = m.scope;
    x = gd_conv2d_padded(m.g, x, weight, bias, c->patch, 0);
    m.g->scope = "tokens";
    x = gd_tokens(m.g, x, gd_param(m.g, "tokens", tokens, c->width, 1, 1));
    return c->norm_before ? norm(v, nn_at(v->m, "norm_before"), x) : x;
}

/* The multilayer perceptron of a block */
static gd_val mlp(const vit *v, nn m, gd_val x, int width)
{
    x = nn_linear(nn_at(m, "fc1"), x, v->c->mlp);
    x = gd_gelu_of(m.g, x, v->c->gelu);
    return nn_linear(nn_at(m, "fc2"), x, width);
}

/* x + attention, then + mlp (eq. 2, 3).  of_first: nothing reads the other tokens afterwards. */
static gd_val block(const vit *v, nn m, gd_val x, bool of_first)
{
    gd_graph *g = m.g;
    const int width = v->c->width;
    gd_val h = norm(v, nn_at(m, "norm1"), x);

    h = nn_linear(nn_at(m, "qkv"), h, 3 * width);
    h = gd_attention(g, h, v->c->heads, GD_HEADS_NEW);
    if (of_first) {
        h = gd_first_pixel(g, h);
        x = gd_first_pixel(g, x);
    }
    x = gd_plus(g, x, nn_linear(nn_at(m, "proj"), h, width));
    h = norm(v, nn_at(m, "norm2"), x);
    return gd_plus(g, x, mlp(v, m, h, width));
}

/* SigLIP's head: a learned query attends to all tokens, then a residual mlp (Zhai et al. 2022) */
static gd_val attention_pool(const vit *v, gd_val x)
{
    gd_graph *g = v->m.g;
    const int width = v->c->width;
    nn m = nn_at(v->m, "head");
    gd_val query = nn_vector(m, "query", width, GD_INIT_ZERO);
    gd_val h = gd_probe(g, query, nn_linear(nn_at(m, "kv"), x, 2 * width), v->c->heads);

    h = nn_linear(nn_at(m, "proj"), h, width);
    return gd_plus(g, h, mlp(v, m, norm(v, nn_at(m, "norm"), h), width));
}

gd_val gd_vit_build(gd_graph *g, const void *config, int n, gd_val *x)
{
    const gd_vit_config *c = config;
    const vit v = { { .g = g, .scope = "" }, c };
    gd_val h;

    *x = gd_input(g, "x", gd_act_type(n, c->image, c->image, 3), GD_PLACE_ACTIVATION);
    h = embed(&v, *x);
    for (int i = 0; i < c->depth; i++)
        h = block(&v, nn_at(v.m, "blocks.%d", i), h, c->class_token && i == c->depth - 1);
    h = norm(&v, nn_at(v.m, "norm"), h);
    if (!c->class_token)
        h = attention_pool(&v, h);
    return c->projection ? nn_linear_plain(nn_at(v.m, "projection"), h, c->projection) : h;
}

/* ---- names ---- */

const char *gd_vit_family_name(gd_vit_family family)
{
    static const char *const names[] = { [GD_VIT_DINOV2] = "DINOv2",
                                         [GD_VIT_CLIP] = "CLIP",
                                         [GD_VIT_MAE] = "MAE",
                                         [GD_VIT_SIGLIP] = "SigLIP2" };
    return names[family];
}

int gd_vit_width(const gd_vit_config *c)
{
    return c->projection ? c->projection : c->width;
}

void gd_vit_name(const gd_vit_config *c, char *out, size_t size)
{
    static const struct {
        int width;
        const char *letter;
    } sizes[] = { { 384, "S" },  { 768, "B" },  { 1024, "L" }, { 1152, "So400m" },
                  { 1280, "H" }, { 1408, "g" }, { 1536, "g" }, { 1664, "G" } };
    char letter[24];
    int used;

    snprintf(letter, sizeof letter, "%d", c->width);
    for (int i = 0; i < COUNT(sizes); i++)
        if (sizes[i].width == c->width)
            snprintf(letter, sizeof letter, "%s", sizes[i].letter);
    used = snprintf(out, size, "%s ViT-%s/%d", gd_vit_family_name(c->family), letter, c->patch);
    if (c->registers && used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, " + %d registers", c->registers);
}
