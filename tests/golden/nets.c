/* SPDX-License-Identifier: MIT */
/* nets.c - the networks of a case as a denoiser. */
#include "nets.h"

static bool add(golden_nets *nets, json_t *config, gd_net_kind kind, const char *prefix)
{
    golden *g = nets->g;
    const bool guidance = kind == GD_NET_CLASSIFIER;
    golden_nets_one *w = guidance ? &nets->classifier : &nets->model;
    golden_weights source = { g, prefix };
    const gd_weights weights = golden_source(&source);
    gd_net_config c;

    if (!golden_net_config(g, config, NULL, kind, &c))
        return false;
    if (gd_graph_make(&w->u.graph) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    if (!guidance) {
        nets->channels = c.in_channels;
        nets->out_channels = c.out_channels;
    }
    gd_net_build(&w->net, w->u.graph, &c, &nets->size, false);
    w->out = guidance ? gd_net_guidance(&w->net, w->u.graph, c.out_channels) : w->net.out;
    return golden_plan(g, &w->u, &w->out, 1, &weights);
}

bool golden_nets_add(golden_nets *nets, json_t *config, gd_net_kind kind)
{
    return add(nets, config, kind, kind == GD_NET_CLASSIFIER ? "classifier" : "model");
}

bool golden_nets_add_named(golden_nets *nets, json_t *config, const char *weights)
{
    return add(nets, config, GD_NET_UNET, weights);
}

static void run_network(golden_nets_one *w, const float *x, const float *t, const int64_t *y,
                        const float *low_res, float *out)
{
    const int32_t label = y ? (int32_t)*y : -1;

    gd_exec_put(w->u.exec, w->net.x, x);
    gd_exec_put(w->u.exec, w->net.t, t);
    if (w->net.y.id)
        gd_exec_put(w->u.exec, w->net.y, &label);
    if (w->net.low_res.id)
        gd_exec_put(w->u.exec, w->net.low_res, low_res);
    gd_exec_run(w->u.exec);
    gd_exec_get(w->u.exec, w->out, out);
}

static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    golden_nets *nets = ctx;
    const int64_t pixels = (int64_t)nets->size.h * nets->size.w,
                  low = (int64_t)nets->channels * nets->size.low_h * nets->size.low_w;

    for (int i = 0; i < n; i++)
        run_network(&nets->model, x + i * nets->channels * pixels, t + i, y ? y + i : NULL,
                    nets->low_res ? nets->low_res + i * low : NULL,
                    out + i * nets->out_channels * pixels);
    return GD_OK;
}

static gd_status guide(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                       float *gradient)
{
    golden_nets *nets = ctx;
    const int64_t image = (int64_t)nets->channels * nets->size.h * nets->size.w;

    for (int i = 0; i < n; i++)
        run_network(&nets->classifier, x + i * image, t + i, y + i, NULL, gradient + i * image);
    return GD_OK;
}

gd_denoiser golden_nets_denoiser(golden_nets *nets, bool guided)
{
    return (gd_denoiser){ .ctx = nets,
                          .channels = nets->channels,
                          .height = nets->size.h,
                          .width = nets->size.w,
                          .out_channels = nets->out_channels,
                          .predict = predict,
                          .guide = guided ? guide : NULL };
}

void golden_nets_release(golden_nets *nets)
{
    golden_release(&nets->model.u);
    golden_release(&nets->classifier.u);
}
