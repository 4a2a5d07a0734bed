/* SPDX-License-Identifier: MIT */
/* kind_networks.c - whole networks and their gradients. */
#include "golden.h"

#include <string.h>

typedef struct built {
    golden_graph u;
    gd_net net;
} built;

static bool build(golden *g, built *use, const gd_net_config *c, const char *suffix)
{
    const gd_array *x = golden_find(g, "in.x%s", suffix),
                   *low = golden_find(g, "in.low_res%s", suffix);

    if (!x || x->rank != 4) {
        golden_fail(g, "no images in.x%s", suffix);
        return false;
    }
    const gd_net_size size = { (int)x->dim[0], (int)x->dim[2], (int)x->dim[3],
                               low ? (int)low->dim[2] : 0, low ? (int)low->dim[3] : 0 };
    if (gd_graph_make(&use->u.graph) == GD_OK) {
        gd_net_build(&use->net, use->u.graph, c, &size, false);
        if (gd_graph_check(use->u.graph) == GD_OK)
            return true;
    }
    golden_fail(g, "%s", gd_error());
    return false;
}

/* x, t, y, low_res of call `suffix` ("", ".0", ...) */
static void put_inputs(golden *g, built *use, const char *suffix)
{
    int64_t n, *y = golden_i64(g, &n, "in.y%s", suffix);
    float *low = golden_f32(g, NULL, "in.low_res%s", suffix);

    gd_exec_put(use->u.exec, use->net.x, golden_f32(g, NULL, "in.x%s", suffix));
    gd_exec_put(use->u.exec, use->net.t, golden_f32(g, NULL, "in.t%s", suffix));
    if (use->net.y.id && y) {
        int32_t *labels = golden_alloc(g, (size_t)n * sizeof *labels);
        for (int64_t i = 0; i < n; i++)
            labels[i] = (int32_t)y[i];
        gd_exec_put(use->u.exec, use->net.y, labels);
    }
    if (use->net.low_res.id && low)
        gd_exec_put(use->u.exec, use->net.low_res, low);
}

static void compare_value(golden *g, const built *use, const char *name, gd_val v, float factor)
{
    golden_compare(g, name, golden_get(g, &use->u, v, factor), golden_count(&use->u, v));
}

/* out.y, and with a cotangent the gradients of sum(out.y * cotangent) */
static void network_call(golden *g, const gd_net_config *c, int call)
{
    static golden_gradients d;
    golden_weights source = { g, "model" };
    const gd_weights w = golden_source(&source);
    const bool differentiate = call == 0 && golden_find(g, "in.cotangent");
    char suffix[16], name[32];
    gd_val cotangent = GD_NONE, outputs[GOLDEN_MAX_GRADIENTS + 1];
    built use = { 0 };

    snprintf(suffix, sizeof suffix, ".%d", call);
    snprintf(name, sizeof name, "out.y.%d", call);
    d = (golden_gradients){ .prefix = "model", .input_suffix = suffix };
    if (build(g, &use, c, suffix)) {
        if (differentiate) {
            cotangent = gd_input(use.u.graph, "cotangent", *gd_type_of(use.u.graph, use.net.out),
                                 GD_PLACE_ACTIVATION);
            golden_gradients_of(g, &use.u, &d, use.net.out, cotangent);
        }
        outputs[0] = use.net.out;
        memcpy(outputs + 1, d.of, (size_t)d.n * sizeof *outputs);
        if (golden_plan(g, &use.u, outputs, d.n + 1, &w)) {
            put_inputs(g, &use, suffix);
            if (differentiate)
                gd_exec_put(use.u.exec, cotangent, golden_f32(g, NULL, "in.cotangent"));
            gd_exec_run(use.u.exec);
            compare_value(g, &use, name, use.net.out, 1);
            golden_compare_gradients(g, &use.u, &d, 1);
        }
    }
    golden_release(&use.u);
}

static bool read_config(golden *g, gd_net_config *c)
{
    const gd_net_kind kind = strcmp(g->kind, "classifier") == 0 ? GD_NET_CLASSIFIER
                             : strcmp(g->kind, "superres") == 0 ? GD_NET_SUPERRES
                                                                : GD_NET_UNET;

    return golden_net_config(g, g->config, golden_at(g, g->json, "resolved"), kind, c);
}

void golden_network(golden *g)
{
    const int calls = golden_get_int(g, g->json, "num_calls", 1);
    gd_net_config c;

    golden_reads_all(g);
    if (read_config(g, &c))
        for (int i = 0; i < calls; i++)
            network_call(g, &c, i);
}

/* -log p(y | x) of each image, from the log-softmax */
static void compare_loss(golden *g, const built *use, gd_val log_p)
{
    int64_t n, *y = golden_i64(g, &n, "in.y");
    const float *all = golden_get(g, &use->u, log_p, -1);
    const int64_t classes = golden_count(&use->u, log_p) / n;
    float *loss = golden_alloc(g, (size_t)n * sizeof *loss);

    for (int64_t i = 0; i < n; i++)
        loss[i] = all[i * classes + y[i]];
    golden_compare(g, "out.loss", loss, n);
}

/* Logits, guidance (the gradient of sum log p(y | x) times the scale), and the gradients of the
 * mean cross-entropy: those of sum log p times -1 / N */
void golden_classifier(golden *g)
{
    static golden_gradients d;
    golden_weights source = { g, "classifier" };
    const gd_weights w = golden_source(&source);
    const double scale = golden_number(g, g->json, "classifier_scale", 1);
    gd_val outputs[GOLDEN_MAX_GRADIENTS + 2];
    gd_net_config c;
    built use = { 0 };

    golden_reads_all(g);
    d = (golden_gradients){ .prefix = "classifier", .input_suffix = "" };
    if (read_config(g, &c) && build(g, &use, &c, "")) {
        gd_graph *graph = use.u.graph;
        const int64_t images = gd_type_of(graph, use.net.x)->dim[0];
        const gd_val log_p = gd_log_softmax(graph, use.net.out);
        use.net.y = gd_input(graph, "y", (gd_type){ { images, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
        golden_gradients_of(g, &use.u, &d, log_p, gd_one_hot(graph, use.net.y, c.out_channels));
        outputs[0] = use.net.out;
        outputs[1] = log_p;
        memcpy(outputs + 2, d.of, (size_t)d.n * sizeof *outputs);
        if (golden_plan(g, &use.u, outputs, d.n + 2, &w)) {
            put_inputs(g, &use, "");
            gd_exec_run(use.u.exec);
            compare_value(g, &use, "out.logits", use.net.out, 1);
            compare_loss(g, &use, log_p);
            for (int i = 0; i < d.n; i++)
                if (d.wrt[i].id == use.net.x.id)
                    compare_value(g, &use, "out.guidance", d.of[i], (float)scale);
            golden_compare_gradients(g, &use.u, &d, -1.0f / (float)images);
        }
    }
    golden_release(&use.u);
}
