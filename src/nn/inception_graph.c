/* SPDX-License-Identifier: MIT */
/* inception_graph.c - the network, block by block (docs/reference/networks.md#inception).  Every
 * convolution is followed by ReLU; its batch normalisation is in its weights.  Beside TensorFlow's
 * scopes stand the names that the PyTorch ports gave. */
#include "nn/inception_private.h"

#include <string.h>

enum { SIDE = 299, SPATIAL_CHANNELS = 7 };

typedef struct block {
    inception_net *net;
    gd_graph *g;
    const char *scope, *torch; /* "" outside of blocks */
} block;

static const char *joined(gd_graph *g, const char *scope, const char *name)
{
    const char *text = gd_sprintf(g->mem, "%s%s%s", scope, *scope ? "." : "", name);

    if (!text)
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
    return text ? text : "";
}

static block in(inception_net *net, const char *scope, const char *torch)
{
    return (block){ net, net->graph, scope, torch };
}

static gd_val layer(block b, const char *name, const char *torch, gd_val x, int channels, int kh,
                    int kw, int stride, bool padded)
{
    gd_graph *g = b.g;
    const char *scope = joined(g, b.scope, name);
    inception_layer l = { scope, joined(g, b.torch, torch), channels, gd_channels(g, x), kh, kw };
    gd_val weight, bias;

    if (g->first_error == GD_OK && b.net->n_layer < INCEPTION_LAYERS)
        b.net->layer[b.net->n_layer++] = l;
    g->scope = scope;
    weight = gd_param(g, joined(g, scope, "weight"), l.co, l.ci, kh, kw);
    bias = gd_param(g, joined(g, scope, "bias"), 1, 1, 1, l.co);
    return gd_conv2d_relu(g, x, weight, bias, stride, padded);
}

static gd_val conv(block b, const char *name, const char *torch, gd_val x, int channels, int kh,
                   int kw)
{
    return layer(b, name, torch, x, channels, kh, kw, 1, true);
}

/* 3x3 without padding */
static gd_val conv_valid(block b, const char *name, const char *torch, gd_val x, int channels,
                         int stride)
{
    return layer(b, name, torch, x, channels, 3, 3, stride, false);
}

static gd_val max_pool(block b, gd_val x)
{
    b.g->scope = joined(b.g, b.scope, "pool");
    return gd_max_pool(b.g, x, 3, 2, false);
}

static gd_val join(block b, const gd_val *x, int n)
{
    b.g->scope = joined(b.g, b.scope, "join");
    return gd_concat_all(b.g, x, n);
}

/* [N,35,35,*] -> [N,35,35,224 + pooled] */
static gd_val block_a(block b, gd_val x, int pooled)
{
    gd_val one, five, three, pool;

    one = conv(b, "conv", "branch1x1", x, 64, 1, 1);
    five = conv(b, "tower.conv", "branch5x5_1", x, 48, 1, 1);
    five = conv(b, "tower.conv_1", "branch5x5_2", five, 64, 5, 5);
    three = conv(b, "tower_1.conv", "branch3x3dbl_1", x, 64, 1, 1);
    three = conv(b, "tower_1.conv_1", "branch3x3dbl_2", three, 96, 3, 3);
    three = conv(b, "tower_1.conv_2", "branch3x3dbl_3", three, 96, 3, 3);
    pool = gd_mean_pool(b.g, x, 3, 1, true);
    pool = conv(b, "tower_2.conv", "branch_pool", pool, pooled, 1, 1);
    return join(b, (gd_val[]){ one, five, three, pool }, 4);
}

/* [N,35,35,288] -> [N,17,17,768] */
static gd_val block_b(block b, gd_val x)
{
    gd_val three, twice, pool;

    three = conv_valid(b, "conv", "branch3x3", x, 384, 2);
    twice = conv(b, "tower.conv", "branch3x3dbl_1", x, 64, 1, 1);
    twice = conv(b, "tower.conv_1", "branch3x3dbl_2", twice, 96, 3, 3);
    twice = conv_valid(b, "tower.conv_2", "branch3x3dbl_3", twice, 96, 2);
    pool = max_pool(b, x);
    return join(b, (gd_val[]){ three, twice, pool }, 3);
}

/* [N,17,17,768] -> the same; *first: the 1x1 branch [N,17,17,192] */
static gd_val block_c(block b, gd_val x, int c7, gd_val *first)
{
    gd_val one, seven, twice, pool;

    one = *first = conv(b, "conv", "branch1x1", x, 192, 1, 1);
    seven = conv(b, "tower.conv", "branch7x7_1", x, c7, 1, 1);
    seven = conv(b, "tower.conv_1", "branch7x7_2", seven, c7, 1, 7);
    seven = conv(b, "tower.conv_2", "branch7x7_3", seven, 192, 7, 1);
    twice = conv(b, "tower_1.conv", "branch7x7dbl_1", x, c7, 1, 1);
    twice = conv(b, "tower_1.conv_1", "branch7x7dbl_2", twice, c7, 7, 1);
    twice = conv(b, "tower_1.conv_2", "branch7x7dbl_3", twice, c7, 1, 7);
    twice = conv(b, "tower_1.conv_3", "branch7x7dbl_4", twice, c7, 7, 1);
    twice = conv(b, "tower_1.conv_4", "branch7x7dbl_5", twice, 192, 1, 7);
    pool = gd_mean_pool(b.g, x, 3, 1, true);
    pool = conv(b, "tower_2.conv", "branch_pool", pool, 192, 1, 1);
    return join(b, (gd_val[]){ one, seven, twice, pool }, 4);
}

/* [N,17,17,768] -> [N,8,8,1280] */
static gd_val block_d(block b, gd_val x)
{
    gd_val three, seven, pool;

    three = conv(b, "tower.conv", "branch3x3_1", x, 192, 1, 1);
    three = conv_valid(b, "tower.conv_1", "branch3x3_2", three, 320, 2);
    seven = conv(b, "tower_1.conv", "branch7x7x3_1", x, 192, 1, 1);
    seven = conv(b, "tower_1.conv_1", "branch7x7x3_2", seven, 192, 1, 7);
    seven = conv(b, "tower_1.conv_2", "branch7x7x3_3", seven, 192, 7, 1);
    seven = conv_valid(b, "tower_1.conv_3", "branch7x7x3_4", seven, 192, 2);
    pool = max_pool(b, x);
    return join(b, (gd_val[]){ three, seven, pool }, 3);
}

/* [N,8,8,*] -> [N,8,8,2048]; pool: what the fourth branch begins with */
static gd_val block_e(block b, gd_val x, gd_val pool)
{
    gd_val one, three, twice, part[6];

    one = conv(b, "conv", "branch1x1", x, 320, 1, 1);
    three = conv(b, "tower.conv", "branch3x3_1", x, 384, 1, 1);
    part[0] = one;
    part[1] = conv(b, "tower.mixed.conv", "branch3x3_2a", three, 384, 1, 3);
    part[2] = conv(b, "tower.mixed.conv_1", "branch3x3_2b", three, 384, 3, 1);
    twice = conv(b, "tower_1.conv", "branch3x3dbl_1", x, 448, 1, 1);
    twice = conv(b, "tower_1.conv_1", "branch3x3dbl_2", twice, 384, 3, 3);
    part[3] = conv(b, "tower_1.mixed.conv", "branch3x3dbl_3a", twice, 384, 1, 3);
    part[4] = conv(b, "tower_1.mixed.conv_1", "branch3x3dbl_3b", twice, 384, 3, 1);
    part[5] = conv(b, "tower_2.conv", "branch_pool", pool, 192, 1, 1);
    return join(b, part, 6);
}

/* [N,299,299,3] -> [N,35,35,192] */
static gd_val stem(inception_net *net, gd_val x)
{
    const block b = in(net, "", "");

    x = conv_valid(b, "conv", "Conv2d_1a_3x3", x, 32, 2);
    x = conv_valid(b, "conv_1", "Conv2d_2a_3x3", x, 32, 1);
    x = conv(b, "conv_2", "Conv2d_2b_3x3", x, 64, 3, 3);
    x = max_pool(b, x);
    x = conv(b, "conv_3", "Conv2d_3b_1x1", x, 80, 1, 1);
    x = conv_valid(b, "conv_4", "Conv2d_4a_3x3", x, 192, 1);
    return max_pool(b, x);
}

/* [N,299,299,3] -> [N,8,8,2048] */
static gd_val body(inception_net *net, gd_val x)
{
    gd_graph *g = net->graph;
    gd_val unused, spatial;

    x = stem(net, x);
    x = block_a(in(net, "mixed", "Mixed_5b"), x, 32);
    x = block_a(in(net, "mixed_1", "Mixed_5c"), x, 64);
    x = block_a(in(net, "mixed_2", "Mixed_5d"), x, 64);
    x = block_b(in(net, "mixed_3", "Mixed_6a"), x);
    x = block_c(in(net, "mixed_4", "Mixed_6b"), x, 128, &unused);
    x = block_c(in(net, "mixed_5", "Mixed_6c"), x, 160, &unused);
    x = block_c(in(net, "mixed_6", "Mixed_6d"), x, 160, &spatial);
    net->spatial = gd_channel_range(g, spatial, 0, SPATIAL_CHANNELS);
    x = block_c(in(net, "mixed_7", "Mixed_6e"), x, 192, &unused);
    x = block_d(in(net, "mixed_8", "Mixed_7a"), x);
    x = block_e(in(net, "mixed_9", "Mixed_7b"), x, gd_mean_pool(g, x, 3, 1, true));
    return block_e(in(net, "mixed_10", "Mixed_7c"), x, gd_max_pool(g, x, 3, 1, true));
}

gd_status inception_build(inception_net *out, int n, int h, int w)
{
    const gd_type pixels = { { n, h, w, 3 }, GD_U8 }, scaled = { { n, SIDE, SIDE, 3 }, GD_F32 };
    gd_graph *g;
    gd_val x;
    gd_status s;

    *out = (inception_net){ .n_layer = 0 };
    GD_TRY(gd_graph_make(&g));
    out->graph = g;
    if (h > 0) {
        out->pixels = gd_input(g, "pixels", pixels, GD_PLACE_PLAIN);
        x = gd_resize_bytes(g, out->pixels, SIDE, SIDE);
    } else {
        x = out->pixels = gd_input(g, "x", scaled, GD_PLACE_ACTIVATION);
    }
    x = body(out, x);
    g->scope = "pool_3";
    out->pool = gd_mean_pixels(g, x);
    g->scope = "output";
    out->logits = gd_conv2d(
        g, out->pool, gd_param(g, "output.weight", GD_INCEPTION_CLASSES, GD_INCEPTION_POOL, 1, 1),
        GD_NONE, 1);
    s = gd_graph_check(g);
    if (s != GD_OK) {
        gd_graph_free(g);
        out->graph = NULL;
    }
    return s;
}
