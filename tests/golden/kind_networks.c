/* kind_networks.c - whole networks, their gradients, full-size networks, trajectories. */
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- configuration ---- */

static int flag_int(json_t *c, const char *a, const char *b, int absent)
{
    return golden_int(c, a, b ? golden_int(c, b, absent) : absent);
}

static bool flag_bool(json_t *c, const char *a, const char *b, bool absent)
{
    return golden_bool(c, a, b ? golden_bool(c, b, absent) : absent);
}

static gd_pool pool_of(json_t *c, gd_pool absent)
{
    static const char *const names[] = { "attention", "adaptive", "spatial", "spatial_v2" };
    const char *name = json_string_value(json_object_get(c, "pool"));

    if (!name)
        name = json_string_value(json_object_get(c, "classifier_pool"));
    for (int i = 0; name && i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (gd_pool)i;
    return absent;
}

/* What flags leave open stands in `resolved`; trajectories have no such part, there flags and
 * arguments say it. */
static void widths(json_t *c, json_t *resolved, gd_net_config *n)
{
    json_t *mult = json_object_get(resolved ? resolved : c, "channel_mult"), *ds, *item;
    size_t i;

    if (json_is_string(mult)) {
        const char *p = json_string_value(mult);
        for (; *p; p += strcspn(p, ","), p += *p == ',')
            n->channel_mult[n->n_levels++] = strtod(p, NULL);
    }
    json_array_foreach(mult, i, item) n->channel_mult[n->n_levels++] = json_number_value(item);
    ds = json_object_get(resolved, "attention_ds");
    if (!ds)
        ds = json_object_get(c, "attention_resolutions");
    json_array_foreach(ds, i, item) n->attention_ds |= (unsigned)json_integer_value(item);
    if (json_is_string(ds)) {
        const char *p = json_string_value(ds);
        for (; *p; p += strcspn(p, ","), p += *p == ',')
            n->attention_ds |= (unsigned)(n->image_size / (int)strtol(p, NULL, 10));
    }
}

bool golden_net_config(golden *g, json_t *c, json_t *resolved, const char *kind, gd_net_config *n)
{
    const bool classifier = strcmp(kind, "classifier") == 0,
               superres = strcmp(kind, "superres") == 0;
    const bool constructed = json_object_get(c, "model_channels") != NULL;

    (void)g;
    *n = (gd_net_config){ .kind = classifier ? GD_NET_CLASSIFIER
                                  : superres ? GD_NET_SUPERRES
                                             : GD_NET_UNET,
                          .in_channels = 3,
                          .conv_resample = true };
    n->image_size = flag_int(c, "image_size", "large_size", 64);
    n->model_channels =
        flag_int(c, "model_channels", classifier ? "classifier_width" : "num_channels", 128);
    n->num_res_blocks = flag_int(c, "num_res_blocks", "classifier_depth", 2);
    n->num_heads = golden_int(c, "num_heads", classifier || constructed ? 1 : 4);
    n->num_heads_upsample = golden_int(c, "num_heads_upsample", -1);
    n->num_head_channels = golden_int(c, "num_head_channels", classifier && !constructed ? 64 : -1);
    n->use_scale_shift_norm =
        flag_bool(c, "use_scale_shift_norm", "classifier_use_scale_shift_norm", false);
    n->resblock_updown = flag_bool(c, "resblock_updown", "classifier_resblock_updown", false);
    n->use_new_attention_order = golden_bool(c, "use_new_attention_order", false);
    n->conv_resample = golden_bool(c, "conv_resample", true);
    n->pool = pool_of(c, constructed ? GD_POOL_ADAPTIVE : GD_POOL_ATTENTION);
    n->out_channels = golden_int(c, "out_channels",
                                 classifier                             ? 1000
                                 : golden_bool(c, "learn_sigma", false) ? 6
                                                                        : 3);
    n->num_classes = golden_int(c, "num_classes", golden_bool(c, "class_cond", false) ? 1000 : 0);
    if (classifier)
        n->num_classes = 0;
    widths(c, resolved, n);
    return n->n_levels > 0;
}

/* ---- running ---- */

typedef struct use {
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
} use;

static void release(use *u)
{
    gd_exec_free(u->exec);
    gd_plan_free(u->plan);
    gd_graph_free(u->graph);
}

static bool start(golden *g, use *u, const gd_val *outputs, int n, const gd_weights *w)
{
    gd_graph_optimise(u->graph, outputs, n, false);
    if (gd_graph_check(u->graph) == GD_OK &&
        gd_plan_make(&u->plan, u->graph, outputs, n) == GD_OK &&
        gd_exec_make(&u->exec, u->plan, w) == GD_OK)
        return true;
    golden_fail(g, "%s", gd_error());
    return false;
}

static gd_net_size size_of(golden *g, const gd_array *x, const gd_array *low)
{
    (void)g;
    return (gd_net_size){ (int)x->dim[0], (int)x->dim[2], (int)x->dim[3],
                          low ? (int)low->dim[2] : 0, low ? (int)low->dim[3] : 0 };
}

/* x, t, y, low_res of call `suffix` ("", ".0", ...) */
static void put_inputs(golden *g, use *u, const char *suffix)
{
    int64_t n, *y = golden_i64(g, &n, "in.y%s", suffix);
    float *low = golden_f32(g, NULL, "in.low_res%s", suffix);

    gd_exec_put(u->exec, u->net.x, golden_f32(g, NULL, "in.x%s", suffix));
    gd_exec_put(u->exec, u->net.t, golden_f32(g, NULL, "in.t%s", suffix));
    if (u->net.y.id && y) {
        int32_t *labels = golden_alloc(g, (size_t)n * sizeof *labels);
        for (int64_t i = 0; i < n; i++)
            labels[i] = (int32_t)y[i];
        gd_exec_put(u->exec, u->net.y, labels);
    }
    if (u->net.low_res.id && low)
        gd_exec_put(u->exec, u->net.low_res, low);
}

static int64_t count_of(const use *u, gd_val v)
{
    const int64_t *d = gd_type_of(u->graph, v)->dim;
    return d[0] * d[1] * d[2] * d[3];
}

static void compare_output(golden *g, use *u, gd_val v, const char *name, float factor)
{
    const int64_t n = count_of(u, v);
    float *out = golden_alloc(g, (size_t)n * sizeof *out);

    gd_exec_get(u->exec, v, out);
    for (int64_t i = 0; i < n; i++)
        out[i] *= factor;
    golden_compare(g, name, out, n);
}

/* Gradients that the file holds in full: of inputs and of parameters, by name */
enum { MAX_GRADIENTS = 1024 };
typedef struct gradients {
    gd_val wrt[MAX_GRADIENTS], of[MAX_GRADIENTS];
    char name[MAX_GRADIENTS][200];
    int n;
} gradients;

static void collect(golden *g, const use *u, const char *prefix, gradients *d)
{
    for (int i = 1; i < u->graph->n_value && d->n < MAX_GRADIENTS; i++) {
        const gd_value *v = &u->graph->value[i];
        if (v->role == GD_ROLE_NODE || v->type.dtype != GD_F32)
            continue;
        if (v->role == GD_ROLE_PARAM)
            snprintf(d->name[d->n], sizeof d->name[0], "grad.%s.%s", prefix, v->name);
        else
            snprintf(d->name[d->n], sizeof d->name[0], "grad.in.%s%s", v->name,
                     strcmp(prefix, "model") == 0 ? ".0" : "");
        if (golden_find(g, "%s", d->name[d->n]))
            d->wrt[d->n++] = (gd_val){ i };
    }
}

static bool build(golden *g, use *u, const gd_net_config *c, const gd_net_size *size)
{
    *u = (use){ 0 };
    if (gd_graph_make(&u->graph) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    gd_net_build(&u->net, u->graph, c, size, false);
    if (gd_graph_check(u->graph) == GD_OK)
        return true;
    golden_fail(g, "%s", gd_error());
    release(u);
    return false;
}

static void network_call(golden *g, const gd_net_config *c, int call)
{
    static gradients d;
    golden_weights source = { g, "model" };
    const gd_weights w = golden_source(&source);
    char suffix[16], name[32];
    gd_val cotangent = GD_NONE, outputs[MAX_GRADIENTS + 1];
    use u;

    snprintf(suffix, sizeof suffix, ".%d", call);
    snprintf(name, sizeof name, "out.y.%d", call);
    const gd_net_size size =
        size_of(g, golden_find(g, "in.x%s", suffix), golden_find(g, "in.low_res%s", suffix));
    if (!build(g, &u, c, &size))
        return;
    d.n = 0;
    if (call == 0 && golden_find(g, "in.cotangent")) {
        collect(g, &u, "model", &d);
        cotangent =
            gd_input(u.graph, "cotangent", *gd_type_of(u.graph, u.net.out), GD_PLACE_ACTIVATION);
        gd_gradient(u.graph, u.net.out, cotangent, d.wrt, d.of, d.n);
    }
    outputs[0] = u.net.out;
    memcpy(outputs + 1, d.of, (size_t)d.n * sizeof *outputs);
    if (start(g, &u, outputs, d.n + 1, &w)) {
        put_inputs(g, &u, suffix);
        if (cotangent.id)
            gd_exec_put(u.exec, cotangent, golden_f32(g, NULL, "in.cotangent"));
        gd_exec_run(u.exec);
        compare_output(g, &u, u.net.out, name, 1);
        for (int i = 0; i < d.n; i++)
            compare_output(g, &u, d.of[i], d.name[i], 1);
    }
    release(&u);
}

void golden_network(golden *g)
{
    const int calls = golden_int(g->json, "num_calls", 1);
    gd_net_config c;

    if (!golden_net_config(g, g->config, json_object_get(g->json, "resolved"), g->kind, &c)) {
        golden_fail(g, "configuration not understood");
        return;
    }
    for (int i = 0; i < calls; i++)
        network_call(g, &c, i);
}

/* logits, guidance, and parameter gradients of the mean cross-entropy: those of sum log p times -1
 * / N */
void golden_classifier(golden *g)
{
    static gradients d;
    golden_weights source = { g, "classifier" };
    const gd_weights w = golden_source(&source);
    const double scale = json_number_value(json_object_get(g->json, "classifier_scale"));
    gd_val outputs[MAX_GRADIENTS + 2];
    gd_net_config c;
    use u;

    golden_net_config(g, g->config, json_object_get(g->json, "resolved"), g->kind, &c);
    const gd_net_size size = size_of(g, golden_find(g, "in.x"), NULL);
    if (!build(g, &u, &c, &size))
        return;
    d.n = 0;
    collect(g, &u, "classifier", &d);
    d.wrt[d.n] = u.net.x;
    u.net.y = gd_input(u.graph, "y", (gd_type){ { size.n, 1, 1, 1 }, GD_I32 }, GD_PLACE_PLAIN);
    gd_gradient(u.graph, gd_log_softmax(u.graph, u.net.out),
                gd_one_hot(u.graph, u.net.y, c.out_channels), d.wrt, d.of, d.n + 1);
    outputs[0] = u.net.out;
    memcpy(outputs + 1, d.of, (size_t)(d.n + 1) * sizeof *outputs);
    if (start(g, &u, outputs, d.n + 2, &w)) {
        put_inputs(g, &u, "");
        gd_exec_run(u.exec);
        compare_output(g, &u, u.net.out, "out.logits", 1);
        compare_output(g, &u, d.of[d.n], "out.guidance", (float)scale);
        for (int i = 0; i < d.n; i++)
            if (strncmp(d.name[i], "grad.classifier.", 16) == 0)
                compare_output(g, &u, d.of[i], d.name[i], -1.0f / (float)size.n);
    }
    release(&u);
}

/* ---- full size ---- */

static void fill_named(float *out, int64_t n, const char *key, float scale)
{
    gd_param_spec spec = { .rank = 1, .dim = { n } };

    snprintf(spec.name, sizeof spec.name, "%s", key);
    gd_init_synthetic(out, &spec, ""); /* 0.1 u */
    for (int64_t i = 0; i < n; i++)
        out[i] *= scale * 10.0f;
}

static void compare_rms(golden *g, const char *what, const float *found, int every, int channels,
                        int size, double limit)
{
    const gd_array *a =
        every > 1 ? golden_find(g, "%s.every%d", what, every) : golden_find(g, "%s", what);
    float *stored = a ? golden_f32(g, NULL, "%s", a->name) : NULL;
    double error = 0, norm = 0;
    int64_t k = 0;

    if (!stored) {
        golden_fail(g, "no tensor %s", what);
        return;
    }
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < size; y += every)
            for (int x = 0; x < size; x += every, k++) {
                const double e = (double)found[((int64_t)c * size + y) * size + x] - stored[k];
                error += e * e;
                norm += (double)stored[k] * stored[k];
            }
    g->worst = fmax(g->worst, sqrt(error / norm) / limit);
    g->worst_relative = fmax(g->worst_relative, sqrt(error / norm));
    snprintf(g->detail, sizeof g->detail, "%s", what);
}

static int every_of(golden *g, const char *what)
{
    for (int k = 2; k <= 16; k++)
        if (golden_find(g, "%s.every%d", what, k))
            return k;
    return 1;
}

static void run_fullsize(golden *g, const gd_model *m, const gd_net_config *c, bool guidance)
{
    const gd_net_size size = { 1, c->image_size, c->image_size, c->small_size, c->small_size };
    const float t = (float)golden_int(g->json, "timestep", 0);
    const int64_t y = golden_int(g->json, "y", 0), pixels = (int64_t)size.h * size.w,
                  low = 3 * (int64_t)size.low_h * size.low_w;
    const bool logits = c->kind == GD_NET_CLASSIFIER && !guidance;
    const char *mode, *what = guidance ? "out.grad_log_prob" : logits ? "out.logits" : "out.model";
    json_t *tolerance = json_object_get(g->json, "tolerance");
    float *x = golden_alloc(g, (size_t)pixels * 12), *lr = golden_alloc(g, (size_t)low * 4 + 4),
          *out = golden_alloc(g, (size_t)GD_MAX(pixels * 6, 1000) * 4);
    gd_runner *r;

    fill_named(x, 3 * pixels, "input.x", 1.7f);
    fill_named(lr, low, "input.low_res", 1.0f);
    if (gd_conv_mode(&mode) != GD_OK || gd_runner_make(&r, m, &size, guidance, false) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    if (gd_runner_run(r, x, &t, &y, lr, out) != GD_OK)
        golden_fail(g, "%s", gd_error());
    gd_runner_free(r);
    const bool direct = gd_isa_used() < GD_ISA_AVX512 || strcmp(mode, "direct") == 0;
    const double limit =
        json_number_value(json_object_get(tolerance, guidance ? "gradient_relative_rms"
                                                     : direct ? "relative_rms_direct"
                                                              : "relative_rms_winograd"));
    compare_rms(g, what, out, logits ? 1 : every_of(g, what),
                logits     ? 1000
                : guidance ? 3
                           : 6,
                logits ? 1 : size.h, limit);
}

void golden_fullsize(golden *g)
{
    gd_model_config c;
    gd_model *m;

    if (gd_preset_config(&c, json_string_value(json_object_get(g->json, "name"))) != GD_OK ||
        gd_model_create(&m, &c, 0, true) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    run_fullsize(g, m, &c.net, false);
    if (c.net.kind == GD_NET_CLASSIFIER)
        run_fullsize(g, m, &c.net, true);
    gd_model_close(m);
}

void golden_timestep_embedding(golden *g)
{
    json_t *runs = json_object_get(g->config, "runs"), *run;
    int64_t n, ni;
    float *t = golden_f32(g, &n, "in.t"), *ti = golden_f32(g, &ni, "in.ti"), *out;
    char name[64];
    size_t i;

    json_array_foreach(runs, i, run)
    {
        const int dim = golden_int(run, "dim", 0);
        const float period = (float)golden_int(run, "max_period", 10000);
        out = golden_alloc(g, (size_t)(n + ni) * (size_t)dim * 4);
        gd_kernels_get()->timestep_embedding(out, t, (int)n, dim, period);
        snprintf(name, sizeof name, "out.t.%zu", i);
        golden_compare(g, name, out, n * dim);
        gd_kernels_get()->timestep_embedding(out, ti, (int)ni, dim, period);
        snprintf(name, sizeof name, "out.ti.%zu", i);
        golden_compare(g, name, out, ni * dim);
    }
}
