/* SPDX-License-Identifier: MIT */
/* runner.c - a network ready to run: graph, plan, executor. */
#include "nn/model_private.h"

#include <math.h>

struct gd_runner {
    gd_arena *mem;
    const gd_runner *beside; /* whose graph and plan these are; NULL: its own */
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val output;
    gd_val cotangent, gradient; /* with vjp: of the output, of x; else none */
    int n, threads;
    int64_t output_count, input_count;
    int32_t *labels; /* [n] */
};

/* What a runner computes: the network, a classifier's guidance, or the network and then its
 * vector-Jacobian product with respect to x. */
typedef enum use { FORWARD, GUIDANCE, VJP, VJP_RECOMPUTED } use;

static void build(gd_runner *r, const gd_net_config *c, const gd_net_size *size, use what)
{
    gd_net_build(&r->net, r->graph, c, size, false);
    r->output = what == GUIDANCE ? gd_net_guidance(&r->net, r->graph, c->out_channels) : r->net.out;
    if (what != VJP && what != VJP_RECOMPUTED)
        return;
    r->graph->scope = "gradient";
    r->cotangent =
        gd_input(r->graph, "cotangent", *gd_type_of(r->graph, r->output), GD_PLACE_ACTIVATION);
    gd_gradient(r->graph, r->output, r->cotangent, &r->net.x, &r->gradient, 1);
}

static gd_status make_graph(gd_runner *r, const gd_model *m, const gd_net_size *size, use what,
                            bool bf16)
{
    gd_val outputs[2];
    int n = 1;

    GD_TRY(gd_graph_make(&r->graph));
    build(r, &gd_model_get_config(m)->net, size, what);
    outputs[0] = r->output;
    if (r->gradient.id)
        outputs[n++] = r->gradient;
    if (what == GUIDANCE)
        outputs[n++] = r->net.out;
    gd_graph_optimise(r->graph, outputs, n, bf16);
    if (what == VJP_RECOMPUTED)
        gd_graph_recompute(r->graph, r->output, outputs, n);
    GD_TRY(gd_graph_check(r->graph));
    return gd_plan_make(&r->plan, r->graph, outputs, n, r->threads);
}

static gd_status make_labels(gd_runner *r, int n)
{
    const int64_t *d = gd_type_of(r->graph, r->output)->dim,
                  *x = gd_type_of(r->graph, r->net.x)->dim;

    r->output_count = d[0] * d[1] * d[2] * d[3];
    r->input_count = x[0] * x[1] * x[2] * x[3];
    r->n = n;
    r->labels = gd_alloc(r->mem, (size_t)r->n * sizeof *r->labels);
    return r->labels ? GD_OK : gd_fail(GD_ENOMEM, "network: out of memory");
}

static gd_status make(gd_runner *r, const gd_model *m, const gd_net_size *size, use what, bool bf16)
{
    const gd_weights weights = gd_model_weights(m);
    const void *packed;

    GD_TRY(make_graph(r, m, size, what, bf16));
    gd_log(GD_LOG_INFO, "%s: %d steps, %.3f GMACs, %.1f MiB of weights, %.1f MiB of activations",
           gd_model_path(m), gd_plan_steps(r->plan), gd_plan_macs(r->plan) * 1e-9,
           (double)gd_plan_weights_bytes(r->plan) / 1048576.0,
           (double)(gd_plan_arena_bytes(r->plan) + gd_plan_scratch_bytes(r->plan)) / 1048576.0);
    gd_plan_log(r->plan);
    GD_TRY(nn_packed_weights(&packed, m, r->plan, bf16));
    GD_TRY(packed ? gd_exec_make_packed(&r->exec, r->plan, packed)
                  : gd_exec_make(&r->exec, r->plan, &weights));
    return make_labels(r, size->n);
}

static gd_status new_runner(gd_runner **out)
{
    gd_arena *mem;

    GD_TRY(gd_arena_make(&mem));
    *out = gd_alloc(mem, sizeof **out);
    if (!*out) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "network: out of memory");
    }
    (*out)->mem = mem;
    return GD_OK;
}

static gd_status make_for(gd_runner **out, const gd_model *m, const gd_net_size *size, use what,
                          bool bf16, int threads)
{
    gd_runner *r;
    gd_status s;

    GD_TRY(new_runner(&r));
    r->threads = threads;
    s = make(r, m, size, what, bf16);
    if (s != GD_OK) {
        gd_context("%s", gd_model_path(m));
        gd_runner_free(r);
        return s;
    }
    *out = r;
    return GD_OK;
}

gd_status gd_runner_make(gd_runner **out, const gd_model *m, const gd_net_size *size, bool guidance,
                         bool bf16, int threads)
{
    return make_for(out, m, size, guidance ? GUIDANCE : FORWARD, bf16, threads);
}

gd_status gd_runner_make_vjp(gd_runner **out, const gd_model *m, const gd_net_size *size, bool bf16,
                             bool recompute, int threads)
{
    return make_for(out, m, size, recompute ? VJP_RECOMPUTED : VJP, bf16, threads);
}

gd_status gd_runner_make_beside(gd_runner **out, const gd_runner *of)
{
    gd_runner *r;
    gd_status s;

    GD_TRY(new_runner(&r));
    r->beside = of;
    r->graph = of->graph;
    r->plan = of->plan;
    r->net = of->net;
    r->output = of->output;
    r->cotangent = of->cotangent;
    r->gradient = of->gradient;
    s = gd_exec_make_beside(&r->exec, of->exec);
    if (s == GD_OK)
        s = make_labels(r, of->n);
    if (s != GD_OK) {
        gd_runner_free(r);
        return s;
    }
    *out = r;
    return GD_OK;
}

void gd_runner_free(gd_runner *r)
{
    if (!r)
        return;
    gd_exec_free(r->exec);
    if (!r->beside) {
        gd_plan_free(r->plan);
        gd_graph_free(r->graph);
    }
    gd_arena_free(r->mem);
}

size_t gd_runner_bytes(const gd_runner *r)
{
    return gd_exec_bytes(r->exec);
}

const gd_plan *gd_runner_plan(const gd_runner *r)
{
    return r->plan;
}

gd_exec *gd_runner_exec(const gd_runner *r)
{
    return r->exec;
}

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

gd_status gd_runner_run(gd_runner *r, const float *x, const float *t, const int64_t *y,
                        const float *low_res, float *out)
{
    gd_exec_put(r->exec, r->net.x, x);
    gd_exec_put(r->exec, r->net.t, t);
    if (r->net.y.id) {
        for (int i = 0; i < r->n; i++)
            r->labels[i] = y ? (int32_t)y[i] : -1;
        gd_exec_put(r->exec, r->net.y, r->labels);
    }
    if (r->net.low_res.id)
        gd_exec_put(r->exec, r->net.low_res, low_res);
    if (r->gradient.id)
        gd_exec_run_before(r->exec, r->output);
    else
        gd_exec_run(r->exec);
    gd_exec_get(r->exec, r->output, out);
    if (all_finite(out, r->output_count))
        return GD_OK;
    return gd_fail(GD_EFAILED, "the network's result is not finite; first bad layer: %s",
                   gd_exec_probe(r->exec));
}

void gd_runner_logits(const gd_runner *r, float *logits)
{
    gd_exec_get(r->exec, r->net.out, logits);
}

gd_status gd_runner_vjp(gd_runner *r, const float *cotangent, float *gradient)
{
    gd_exec_put(r->exec, r->cotangent, cotangent);
    gd_exec_run_after(r->exec, r->output);
    gd_exec_get(r->exec, r->gradient, gradient);
    return all_finite(gradient, r->input_count)
               ? GD_OK
               : gd_fail(GD_EFAILED, "the network's gradient is not finite");
}
