/* SPDX-License-Identifier: MIT */
/* kind_fullsize.c - the published networks at full size, with weights that are a pure function of
 * their names. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct giant {
    golden *g;
    const char *salt;
    gd_net_config c;
    gd_param_spec *spec;
    int n_spec;
    gd_net_size size;
    float *x, *low_res;
} giant;

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const giant *p = ctx;

    (void)type;
    for (int i = 0; i < p->n_spec; i++) {
        if (strcmp(p->spec[i].name, name) != 0)
            continue;
        gd_init_synthetic(dst, &p->spec[i], p->salt);
        return GD_OK;
    }
    return gd_fail(GD_EMISMATCH, "no parameter %s", name);
}

/* scale * u, u uniform in [-1, 1): a function of the key and the index */
static float *input(golden *g, int64_t n, const char *salt, const char *key, float scale)
{
    float *out = golden_alloc(g, (size_t)n * sizeof *out);
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (const char *s = salt; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 0x100000001b3u;
    for (const char *s = key; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 0x100000001b3u;
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = hash + (uint64_t)i + 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        out[i] = scale * ((float)(z >> 40) * (2.0f / (1 << 24)) - 1.0f);
    }
    return out;
}

/* out.WHAT whole or out.WHAT.everyK, every K-th row and column; [channels][size][size].  Errors are
 * relative RMS. */
static double rms_error(golden *g, const char *what, const float *found, int channels, int size)
{
    char name[64];
    double error = 0, norm = 0;
    int every = 1;

    snprintf(name, sizeof name, "out.%s", what);
    for (int k = 2; k <= size && !golden_find(g, "%s", name); every = k++)
        snprintf(name, sizeof name, "out.%s.every%d", what, k);
    const float *stored = golden_f32(g, NULL, "%s", name);
    if (!stored) {
        golden_fail(g, "no tensor out.%s", what);
        return INFINITY;
    }
    golden_saw(g, name);
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < size; y += every)
            for (int x = 0; x < size; x += every, stored++) {
                const double e = (double)found[((int64_t)c * size + y) * size + x] - *stored;
                error += e * e;
                norm += (double)*stored * *stored;
            }
    return sqrt(error / norm);
}

/* The RMS of the whole, which also what every K-th pixel leaves out must have */
static double whole_error(golden *g, const char *what, const float *found, int64_t n)
{
    const float *stored = golden_f32(g, NULL, "out.%s.rms", what);
    char name[64];
    double sum = 0;

    if (!stored)
        return 0;
    snprintf(name, sizeof name, "out.%s.rms", what);
    golden_saw(g, name);
    for (int64_t i = 0; i < n; i++)
        sum += (double)found[i] * found[i];
    return fabs(sqrt(sum / (double)n) / *stored - 1);
}

static double limit_of(golden *g, bool guidance)
{
    const char *mode, *key = "relative_rms_winograd";

    if (gd_conv_mode(&mode) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else if (gd_isa_used() == GD_ISA_C || strcmp(mode, "direct") == 0)
        key = "relative_rms_direct"; /* no Winograd kernel runs */
    if (guidance)
        key = "gradient_relative_rms";
    return json_number_value(json_object_get(json_object_get(g->json, "tolerance"), key));
}

/* The relative RMS error of one use of the network */
static double use(giant *p, const char *what, bool guidance)
{
    golden *g = p->g;
    const bool logits = p->c.kind == GD_NET_CLASSIFIER && !guidance;
    const float t = (float)golden_number(g, g->json, "timestep", 0);
    const int32_t y = golden_get_int(g, g->json, "y", 0);
    const gd_weights w = { fetch, p };
    golden_graph u = { 0 };
    double error = INFINITY;
    gd_net net;
    gd_val out;

    if (gd_graph_make(&u.graph) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return error;
    }
    gd_net_build(&net, u.graph, &p->c, &p->size, false);
    out = guidance ? gd_net_guidance(&net, u.graph, p->c.out_channels) : net.out;
    if (golden_plan(g, &u, &out, 1, &w)) {
        gd_exec_put(u.exec, net.x, p->x);
        gd_exec_put(u.exec, net.t, &t);
        if (net.y.id)
            gd_exec_put(u.exec, net.y, &y);
        if (net.low_res.id)
            gd_exec_put(u.exec, net.low_res, p->low_res);
        gd_exec_run(u.exec);
        const float *found = golden_get(g, &u, out, 1);
        const int side = logits ? 1 : p->size.h;
        const int64_t n = golden_count(&u, out);
        error = fmax(rms_error(g, what, found, (int)(n / side / side), side),
                     whole_error(g, what, found, n));
    }
    golden_release(&u);
    return error;
}

static void set_inputs(giant *p, const char *salt)
{
    p->x = input(p->g, 3 * (int64_t)p->size.h * p->size.w, salt, "input.x", 1.7f);
    p->low_res = input(p->g, 3 * (int64_t)p->size.low_h * p->size.low_w, salt, "input.low_res", 1);
}

/* Whether the salt stands before the inputs' keys too is left open: the input that fits is the
 * right one. */
static void compare_use(giant *p, bool guidance)
{
    const char *what = guidance                         ? "grad_log_prob"
                       : p->c.kind == GD_NET_CLASSIFIER ? "logits"
                                                        : "model";
    const double limit = limit_of(p->g, guidance);
    double error;

    set_inputs(p, p->salt);
    error = use(p, what, guidance);
    if (!(error <= limit) && *p->salt) {
        set_inputs(p, "");
        error = fmin(error, use(p, what, guidance));
    }
    golden_record(p->g, what, error / limit, error);
}

static gd_net_kind kind_of(json_t *flags)
{
    return json_object_get(flags, "classifier_width") ? GD_NET_CLASSIFIER
           : json_object_get(flags, "large_size")     ? GD_NET_SUPERRES
                                                      : GD_NET_UNET;
}

static int64_t count_parameters(const giant *p)
{
    int64_t sum = 0;

    for (int i = 0; i < p->n_spec; i++)
        sum += gd_param_count(&p->spec[i]);
    return sum;
}

void golden_fullsize(golden *g)
{
    json_t *flags = golden_at(g, g->json, "flags");
    const char *salt = golden_text(g, g->json, "salt", "");
    gd_model_config config;
    giant p = { .g = g, .salt = salt };

    golden_reads_all(g);
    if (!golden_flags_config(g, flags, kind_of(flags), &config))
        return;
    if (gd_config_params(&config, g->mem, &p.spec, &p.n_spec) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    p.c = config.net;
    golden_require(g, g->json, "size", p.c.image_size);
    golden_require(g, g->json, "parameters", (double)count_parameters(&p));
    p.size = gd_net_natural_size(&p.c, 1);
    compare_use(&p, false);
    if (p.c.kind == GD_NET_CLASSIFIER)
        compare_use(&p, true);
}
