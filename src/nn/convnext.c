/* SPDX-License-Identifier: MIT */
/* convnext.c - ConvNeXt V2 (Liu et al. 2022, figure 4; Woo et al. 2023, figure 5).  Shape comments:
 * [N,H,W,C]. */
#include "nn/convnext.h"

#include "nn/nn.h"

enum { PATCH = 4, KERNEL = 7, WIDENING = 4 };
static const float epsilon = 1e-6f;

static gd_val norm(nn m, gd_val x, float eps)
{
    const int channels = gd_channels(m.g, x);

    m.g->scope = m.scope;
    return gd_layer_norm(m.g, x, nn_vector(m, "weight", channels, GD_INIT_ONE),
                         nn_vector(m, "bias", channels, GD_INIT_ZERO), eps);
}

static gd_val response(nn m, gd_val x)
{
    const int channels = gd_channels(m.g, x);

    m.g->scope = m.scope;
    return gd_response_norm(m.g, x, nn_vector(m, "weight", channels, GD_INIT_ZERO),
                            nn_vector(m, "bias", channels, GD_INIT_ZERO), epsilon);
}

/* Each channel's 7x7 filter, then a perceptron over the channels */
static gd_val block(nn m, gd_val x)
{
    const int channels = gd_channels(m.g, x);
    nn filter = nn_at(m, "filter");
    gd_val weight = gd_param(m.g, nn_at(filter, "weight").scope, KERNEL * KERNEL, channels, 1, 1);
    gd_val h;

    m.g->scope = filter.scope;
    h = gd_depthwise(m.g, x, weight, nn_vector(filter, "bias", channels, GD_INIT_ZERO), KERNEL);
    h = norm(nn_at(m, "norm"), h, epsilon);
    h = nn_linear(nn_at(m, "fc1"), h, WIDENING * channels);
    h = gd_gelu_of(m.g, h, GD_GELU_EXACT);
    h = response(nn_at(m, "response"), h);
    return gd_plus(m.g, x, nn_linear(nn_at(m, "fc2"), h, channels));
}

gd_val gd_convnext_build(gd_graph *g, const void *config, int n, gd_val *x)
{
    const gd_convnext_config *c = config;
    const nn m = { .g = g, .scope = "" };
    const int side = GD_CONVNEXT_IMAGE;
    gd_val h;

    *x = gd_input(g, "x", gd_act_type(n, side, side, 3), GD_PLACE_ACTIVATION);
    h = nn_conv_padded(nn_at(m, "stem"), *x, c->width[0], PATCH, PATCH, 0);
    h = norm(nn_at(m, "stem_norm"), h, epsilon);
    for (int s = 0; s < GD_CONVNEXT_STAGES; s++) {
        if (s > 0) {
            h = norm(nn_at(m, "down.%d.norm", s), h, epsilon);
            h = nn_conv_padded(nn_at(m, "down.%d.conv", s), h, c->width[s], 2, 2, 0);
        }
        for (int i = 0; i < c->depth[s]; i++)
            h = block(nn_at(m, "stages.%d.%d", s, i), h);
    }
    g->scope = "pool";
    return norm(nn_at(m, "norm"), gd_mean_pixels(g, h), c->last_epsilon);
}
