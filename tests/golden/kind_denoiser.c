/* SPDX-License-Identifier: MIT */
/* kind_denoiser.c - networks of other families behind their preconditioners: D(x; sigma) and its
 * gradient with respect to x. */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

/* A case's network with the gradient of sum(F * cotangent) */
typedef struct network {
    golden_graph u;
    gd_net net;
    gd_val cotangent, gradient;
    const char *suffix; /* of the case's inputs: "", ".0" */
    int n;
    int64_t count; /* elements of x for one image */
} network;

static bool build(golden *g, network *w, const gd_net_config *c, const gd_weights *weights)
{
    const gd_array *x = golden_find(g, "in.x%s", w->suffix);
    gd_val outputs[2];

    x = x ? x : golden_find(g, "in.z");

    if (!x || x->rank != 4) {
        golden_fail(g, "no images in.x%s", w->suffix);
        return false;
    }
    const gd_net_size size = { .n = (int)x->dim[0],
                               .h = (int)x->dim[2],
                               .w = (int)x->dim[3],
                               .augmented = golden_find(g, "in.augment_labels") != NULL };
    if (gd_graph_make(&w->u.graph) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    gd_net_build(&w->net, w->u.graph, c, &size, false);
    outputs[0] = w->net.out;
    w->cotangent =
        gd_input(w->u.graph, "cotangent", *gd_type_of(w->u.graph, w->net.out), GD_PLACE_ACTIVATION);
    gd_gradient(w->u.graph, w->net.out, w->cotangent, &w->net.x, &w->gradient, 1);
    outputs[1] = w->gradient;
    w->n = size.n;
    w->count = gd_array_count(x) / size.n;
    return golden_plan(g, &w->u, outputs, 2, weights);
}

int64_t *golden_class_labels(golden *g, const char *name, int images)
{
    int64_t n, *labels = golden_alloc(g, (size_t)images * sizeof *labels);
    const float *rows = golden_f32(g, &n, "%s", name);

    for (int i = 0; rows && i < images; i++) {
        labels[i] = -1;
        for (int64_t k = 0; k < n / images; k++)
            if (rows[i * (n / images) + k] == 1)
                labels[i] = k;
    }
    return rows ? labels : NULL;
}

/* in.y, or in.class_labels; -1: none */
static void put_labels(golden *g, const network *w)
{
    const int64_t *y = golden_i64(g, NULL, "in.y%s", w->suffix);
    int32_t *labels = golden_alloc(g, (size_t)w->n * sizeof *labels);

    y = y ? y : golden_class_labels(g, gd_sprintf(g->mem, "in.class_labels%s", w->suffix), w->n);
    for (int i = 0; i < w->n; i++)
        labels[i] = y ? (int32_t)y[i] : -1;
    if (w->net.y.id)
        gd_exec_put(w->u.exec, w->net.y, labels);
}

/* What one preconditioner makes of the network */
typedef struct result {
    float *network, *denoised, *gradient;
    double *time;
} result;

static result run(golden *g, network *w, const gd_preconditioner *p, const float *x,
                  const float *sigma)
{
    const float *dy = golden_f32(g, NULL, "in.cotangent"),
                *augment = golden_f32(g, NULL, "in.augment_labels");
    const int64_t n = w->n * w->count, outputs = golden_count(&w->u, w->net.out) / w->n;
    float *scaled = golden_alloc(g, (size_t)n * sizeof *scaled),
          *time = golden_alloc(g, (size_t)w->n * sizeof *time),
          *dout = golden_alloc(g, (size_t)(w->n * outputs) * sizeof *dout);
    result r = { .denoised = golden_alloc(g, (size_t)n * sizeof(float)),
                 .time = golden_alloc(g, (size_t)w->n * sizeof(double)) };

    for (int i = 0; i < w->n; i++) {
        const gd_scaling c = gd_precondition(p, sigma[i]);
        r.time[i] = c.time;
        time[i] = (float)c.time;
        for (int64_t k = 0; k < w->count; k++) {
            scaled[i * w->count + k] = (float)c.c_in * x[i * w->count + k];
            dout[i * outputs + k] = dy ? (float)c.c_out * dy[i * w->count + k] : 0;
        }
    }
    gd_exec_put(w->u.exec, w->net.x, scaled);
    gd_exec_put(w->u.exec, w->net.t, time);
    gd_exec_put(w->u.exec, w->cotangent, dout);
    if (w->net.augment.id)
        gd_exec_put(w->u.exec, w->net.augment, augment);
    put_labels(g, w);
    gd_exec_run(w->u.exec);
    r.network = golden_get(g, &w->u, w->net.out, 1);
    r.gradient = golden_get(g, &w->u, w->gradient, 1);
    for (int64_t k = 0; k < n; k++) {
        const gd_scaling c = gd_precondition(p, sigma[k / w->count]);
        const float f = r.network[k / w->count * outputs + k % w->count];
        r.denoised[k] = (float)c.c_skip * x[k] + (float)c.c_out * f;
        if (dy)
            r.gradient[k] = (float)c.c_in * r.gradient[k] + (float)c.c_skip * dy[k];
    }
    return r;
}

static void compare(golden *g, const network *w, const result *r, const char *suffix)
{
    char name[64];

    snprintf(name, sizeof name, "out.denoised%s", suffix);
    golden_compare(g, name, r->denoised, w->n * w->count);
    snprintf(name, sizeof name, "grad.in.x%s", suffix);
    if (golden_find(g, "%s", name))
        golden_compare(g, name, r->gradient, w->n * w->count);
}

/* gd_predict_x0, which samplers call, comes to the same; the engine's place is taken by the graph
 */
static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    const network *w = ctx;

    (void)n;
    (void)y;
    gd_exec_put(w->u.exec, w->net.x, x);
    gd_exec_put(w->u.exec, w->net.t, t);
    gd_exec_run(w->u.exec);
    gd_exec_get(w->u.exec, w->net.out, out);
    return GD_OK;
}

static void check_denoise(golden *g, network *w, const gd_preconditioner *p, const result *r)
{
    const gd_type *x = gd_type_of(w->u.graph, w->net.x), *out = gd_type_of(w->u.graph, w->net.out);
    const gd_denoiser net = {
        w, (int)x->dim[3], (int)x->dim[1], (int)x->dim[2], (int)out->dim[3], predict, NULL
    };
    const float *sigma = golden_f32(g, NULL, "in.sigma%s", w->suffix);
    double *levels = golden_alloc(g, (size_t)w->n * sizeof *levels);
    float *d = golden_alloc(g, (size_t)(w->n * w->count) * sizeof *d);
    void *work;

    for (int i = 0; i < w->n; i++)
        levels[i] = sigma[i];
    if (gd_block_make(&work, gd_predict_x0_bytes(&net, w->n), "test") != GD_OK)
        abort();
    if (gd_predict_x0(&net, p, w->n, golden_f32(g, NULL, "in.x%s", w->suffix), levels, NULL, d,
                      work) != GD_OK ||
        memcmp(d, r->denoised, (size_t)(w->n * w->count) * sizeof *d) != 0)
        golden_fail(g, "gd_predict_x0 differs from its parts");
    gd_block_free(work);
}

static void run_form(golden *g, network *w, const gd_diffusion_config *config, const char *suffix,
                     bool first)
{
    gd_preconditioner *p;
    result r;

    if (gd_preconditioner_make(&p, config, NULL, NULL) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    if (golden_find(g, "in.u"))
        gd_preconditioner_set_levels(p, golden_f32(g, NULL, "in.u"));
    r = run(g, w, p, golden_f32(g, NULL, "in.x%s", w->suffix),
            golden_f32(g, NULL, "in.sigma%s", w->suffix));
    compare(g, w, &r, suffix);
    if (first && golden_find(g, "out.network"))
        golden_compare(g, "out.network", r.network, golden_count(&w->u, w->net.out));
    if (first && golden_find(g, "out.time"))
        golden_compare_f64(g, "out.time", r.time, w->n);
    check_denoise(g, w, p, &r);
    gd_preconditioner_free(p);
}

bool golden_cm_config(golden *g, gd_model_config *out)
{
    json_t *flags = json_object_get(g->config, "flags"),
           *data = json_object_get(g->config, "sigma_data");

    if (!golden_flags_config(g, flags, GD_NET_UNET, out))
        return false;
    out->net.family = GD_FAMILY_CONSISTENCY;
    out->diffusion.precond = GD_PRECOND_CONSISTENCY;
    out->diffusion.sigma_data = data ? json_number_value(data) : 0.5;
    out->diffusion.sigma_min = json_number_value(json_object_get(flags, "sigma_min"));
    out->diffusion.sigma_max = json_number_value(json_object_get(flags, "sigma_max"));
    return true;
}

void golden_cm_denoiser(golden *g)
{
    golden_weights source = { g, "model", NULL };
    const gd_weights weights = golden_source(&source);
    gd_model_config c;
    network w = { .suffix = "" };

    if (!golden_cm_config(g, &c))
        return;
    if (build(g, &w, &c.net, &weights)) {
        run_form(g, &w, &c.diffusion, ".distilled", true);
        c.diffusion.precond = GD_PRECOND_CONSISTENCY_EDM;
        run_form(g, &w, &c.diffusion, ".edm", false);
    }
    golden_release(&w.u);
}

/* The levels of iDDPMPrecond: ours differ from the authors' by the rounding of another sine */
static void check_levels(golden *g)
{
    int64_t n;
    const float *stored = golden_f32(g, &n, "in.u");
    float u[GD_EDM_LEVELS];

    gd_edm_levels(u);
    if (stored && n != GD_EDM_LEVELS)
        golden_fail(g, "in.u has %lld entries", (long long)n);
    for (int64_t i = 0; stored && !g->failed && i < n; i++)
        if (!(u[i] - stored[i] <= 2e-5f * stored[i] && stored[i] - u[i] <= 2e-5f * stored[i]))
            golden_fail(g, "level %lld is %.9g, expected %.9g", (long long)i, u[i], stored[i]);
}

bool golden_edm_config(golden *g, gd_model_config *out)
{
    json_t *text = json_pack("{s:s+,s:O}", "class_name",
                             json_string_value(json_object_get(g->config, "preconditioning")),
                             "Precond", "init_kwargs", json_object_get(g->config, "init_kwargs"));
    char *dumped = json_dumps(text, JSON_COMPACT);
    const bool ok =
        gd_config_from_text(out, GD_FAMILY_EDM, GD_NET_UNET, dumped ? dumped : "") == GD_OK;

    if (!ok)
        golden_fail(g, "%s", gd_error());
    free(dumped);
    json_decref(text);
    return ok;
}

void golden_edm_denoiser(golden *g)
{
    golden_weights source = { g, "net", "model." };
    const gd_weights weights = golden_source(&source);
    gd_model_config c;
    network w = { .suffix = "" };

    check_levels(g);
    if (golden_edm_config(g, &c) && build(g, &w, &c.net, &weights))
        run_form(g, &w, &c.diffusion, "", true);
    golden_release(&w.u);
}

/* ---- model files ---- */

static gd_status open_model(const char *path)
{
    gd_model *m;

    GD_TRY(gd_model_open(&m, path, NULL, 0));
    gd_model_close(m);
    return GD_OK;
}

/* Every tensor of the file is stored under prefix, bit for bit, and no other */
static void compare_arrays(golden *g, const char *path, const char *prefix)
{
    gd_bundle *b;

    if (gd_bundle_open(&b, path) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    for (int i = 0; i < gd_bundle_count(b) && !g->failed; i++) {
        const gd_array *a = gd_bundle_array(b, i), *s = golden_find(g, "%s%s", prefix, a->name);
        const size_t bytes = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
        void *found = golden_alloc(g, bytes), *stored = golden_alloc(g, bytes);
        if (!s || s->rank != a->rank || s->dtype != a->dtype ||
            memcmp(s->dim, a->dim, (size_t)a->rank * sizeof *a->dim) != 0)
            golden_fail(g, "%s: %s is not among the case's tensors", path, a->name);
        else if (gd_bundle_read(b, a, found) != GD_OK ||
                 gd_bundle_read(g->tensors, s, stored) != GD_OK ||
                 memcmp(found, stored, bytes) != 0)
            golden_fail(g, "%s: %s has other elements", path, a->name);
        else
            golden_saw(g, s->name);
    }
    for (int i = 0; i < gd_bundle_count(g->tensors) && !g->failed; i++) {
        const char *name = gd_bundle_array(g->tensors, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) == 0 && !gd_bundle_find(b, name + strlen(prefix)))
            golden_fail(g, "%s: has no %s", path, name + strlen(prefix));
    }
    gd_bundle_close(b);
}

static void compare_constructor(golden *g, const char *path, json_t *file)
{
    gd_bundle *b;
    json_t *found;

    if (gd_bundle_open(&b, path) != GD_OK)
        return;
    found = json_loads(gd_bundle_meta(b, GD_NETWORK_META), 0, NULL);
    if (!json_equal(json_object_get(found, "init_kwargs"), json_object_get(file, "init_kwargs")) ||
        !json_equal(json_object_get(found, "class_name"), json_object_get(file, "class_name")))
        golden_fail(g, "%s: another class or other arguments", path);
    json_decref(found);
    gd_bundle_close(b);
}

/* Run a model file on the case's inputs with this suffix */
static void run_file(golden *g, const char *path, const char *suffix)
{
    network w = { .suffix = suffix };
    gd_model *m;

    if (gd_model_open(&m, path, NULL, 0) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    const gd_model_config *c = gd_model_get_config(m);
    const gd_weights weights = gd_model_weights(m);
    if (golden_find(g, "in.x%s", suffix) && build(g, &w, &c->net, &weights))
        run_form(g, &w, &c->diffusion, suffix, false);
    golden_release(&w.u);
    gd_model_close(m);
}

void golden_edm_pkl(golden *g)
{
    json_t *file;
    size_t i;

    json_array_foreach(json_object_get(g->config, "files"), i, file)
    {
        const char *expect = json_string_value(json_object_get(file, "expect"));
        const char *prefix = json_string_value(json_object_get(file, "tensors"));
        char path[4400], suffix[24];
        snprintf(path, sizeof path, "%s/%s", g->folder,
                 json_string_value(json_object_get(file, "file")));
        snprintf(suffix, sizeof suffix, ".%zu", i);
        if (expect && strcmp(expect, "load") == 0) {
            compare_arrays(g, path, prefix);
            compare_constructor(g, path, file);
            run_file(g, path, suffix);
        } else {
            golden_must_refuse(g, path, open_model);
        }
    }
}

/* ---- one-call generators ---- */

/* Bytes may differ by 1 in 1 of 100 where x lies at the edge of two */
static void compare_byte_images(golden *g, const char *name, const float *x, int64_t n,
                                float offset)
{
    const uint8_t *stored = golden_u8(g, NULL, "%s", name);
    int64_t other = 0;

    golden_saw(g, name);
    for (int64_t i = 0; stored && i < n; i++) {
        const float v = offset == 1 ? (x[i] + 1) * 127.5f : x[i] * 127.5f + offset;
        const int byte = v < 0 ? 0 : v > 255 ? 255 : (int)v;
        other += byte != stored[i];
        if (abs(byte - stored[i]) > 1)
            golden_fail(g, "%s: byte %lld is %d, expected %d", name, (long long)i, byte, stored[i]);
    }
    if (other * 100 > n)
        golden_fail(g, "%s: %lld of %lld bytes differ", name, (long long)other, (long long)n);
}

static void generate(golden *g, network *w, const gd_preconditioner *p, double sigma)
{
    const float *z = golden_f32(g, NULL, "in.z");
    const int64_t n = w->n * w->count;
    float *x = golden_alloc(g, (size_t)n * sizeof *x),
          *levels = golden_alloc(g, (size_t)w->n * sizeof *levels);
    char name[64], text[24];
    result r;

    for (int64_t i = 0; i < n; i++)
        x[i] = (float)sigma * z[i];
    for (int i = 0; i < w->n; i++)
        levels[i] = (float)sigma;
    r = run(g, w, p, x, levels);
    snprintf(text, sizeof text, sigma == (int)sigma ? "%.1f" : "%g", sigma);
    snprintf(name, sizeof name, "out.images.%s", text);
    golden_compare(g, name, r.denoised, n);
    snprintf(name, sizeof name, "out.uint8.dmd2.%s", text);
    compare_byte_images(g, name, r.denoised, n, 1);
    snprintf(name, sizeof name, "out.uint8.edm.%s", text);
    compare_byte_images(g, name, r.denoised, n, 128);
}

void golden_onecall_state_dict(golden *g)
{
    const char *file = json_string_value(json_object_get(g->config, "file"));
    network w = { .suffix = "" };
    gd_preconditioner *p;
    json_t *sigma;
    char path[4400];
    gd_model *m;
    size_t i;

    snprintf(path, sizeof path, "%s/%s", g->folder, file ? file : "");
    compare_arrays(g, path, "file.");
    if (gd_model_open(&m, path, NULL, 0) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    const gd_model_config *c = gd_model_get_config(m);
    const gd_weights weights = gd_model_weights(m);
    if (gd_preconditioner_make(&p, &c->diffusion, NULL, NULL) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else if (build(g, &w, &c->net, &weights))
        json_array_foreach(json_object_get(g->config, "sigmas"), i, sigma)
            generate(g, &w, p, json_number_value(sigma));
    golden_release(&w.u);
    gd_preconditioner_free(p);
    gd_model_close(m);
}

/* ---- diffusers ---- */

/* out.eps at in.t, and with a cotangent the gradient of sum(eps * cotangent) */
static void run_steps(golden *g, network *w)
{
    int64_t n, *t = golden_i64(g, &n, "in.t");
    const float *dy = golden_f32(g, NULL, "in.cotangent");
    float *time = golden_alloc(g, (size_t)w->n * sizeof *time),
          *zeros = golden_alloc(g, (size_t)golden_count(&w->u, w->net.out) * sizeof *zeros);

    for (int i = 0; t && i < w->n; i++)
        time[i] = (float)t[i];
    gd_exec_put(w->u.exec, w->net.x, golden_f32(g, NULL, "in.x"));
    gd_exec_put(w->u.exec, w->net.t, time);
    gd_exec_put(w->u.exec, w->cotangent, dy ? dy : zeros);
    put_labels(g, w);
    gd_exec_run(w->u.exec);
    golden_compare(g, "out.eps", golden_get(g, &w->u, w->net.out, 1),
                   golden_count(&w->u, w->net.out));
    if (golden_find(g, "grad.in.x"))
        golden_compare(g, "grad.in.x", golden_get(g, &w->u, w->gradient, 1), w->n * w->count);
}

void golden_diffusers_unet2d(golden *g)
{
    golden_weights source = { g, "unet", NULL };
    const gd_weights weights = golden_source(&source);
    char *text = json_dumps(json_object_get(g->config, "config_json"), JSON_COMPACT);
    gd_model_config c;
    network w = { .suffix = "" };

    if (gd_config_from_text(&c, GD_FAMILY_DIFFUSERS, GD_NET_UNET, text ? text : "") != GD_OK)
        golden_fail(g, "%s", gd_error());
    else if (build(g, &w, &c.net, &weights))
        run_steps(g, &w);
    golden_release(&w.u);
    free(text);
}

static void run_folder(golden *g, const char *path)
{
    network w = { .suffix = "" };
    gd_model *m;

    if (gd_model_open(&m, path, NULL, 0) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    const gd_weights weights = gd_model_weights(m);
    if (build(g, &w, &gd_model_get_config(m)->net, &weights))
        run_steps(g, &w);
    golden_release(&w.u);
    gd_model_close(m);
}

void golden_diffusers_folder(golden *g)
{
    json_t *folder;
    size_t i;

    json_array_foreach(json_object_get(g->config, "folders"), i, folder)
    {
        const char *expect = json_string_value(json_object_get(folder, "expect"));
        char path[4400];
        snprintf(path, sizeof path, "%s/%s", g->folder,
                 json_string_value(json_object_get(folder, "folder")));
        if (expect && strcmp(expect, "load") == 0)
            run_folder(g, path);
        else
            golden_must_refuse(g, path, open_model);
    }
}
