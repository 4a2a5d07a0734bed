/* SPDX-License-Identifier: MIT */
/* model.c - a model: configuration, classes, weights; opening a file, making fresh ones. */
#include "nn/model_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static gd_status read_class_names(gd_model *m, json_t *list)
{
    const size_t n = json_array_size(list);

    if (!json_is_array(list) || n > GD_MAX_ARRAYS)
        return gd_fail(GD_EFORMAT, "guided.classes is not a list of names");
    m->class_name = gd_alloc(m->mem, GD_MAX(n, 1) * sizeof *m->class_name);
    if (!m->class_name)
        return gd_fail(GD_ENOMEM, "class names: out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name || !gd_is_text(name, strlen(name)))
            return gd_fail(GD_EFORMAT, "guided.classes: entry %zu is not a name", i);
        m->class_name[i] = gd_strdup(m->mem, name);
        if (!m->class_name[i])
            return gd_fail(GD_ENOMEM, "class names: out of memory");
    }
    m->n_class_names = (int)n;
    return GD_OK;
}

static gd_status read_classes(gd_model *m)
{
    const char *text = gd_bundle_meta(m->bundle, "guided.classes");
    json_t *list = NULL;
    gd_status s;

    if (!text)
        return GD_OK;
    GD_TRY(gd_json_parse(&list, text, strlen(text), 2, m->path));
    s = read_class_names(m, list);
    json_decref(list);
    if (s == GD_OK && m->n_class_names != gd_model_class_count(m))
        s = gd_fail(GD_EFORMAT, "guided.classes has %d names, the network %d classes",
                    m->n_class_names, gd_model_class_count(m));
    return s;
}

static void report_line(const gd_model *m)
{
    char line[2048];

    gd_flags_line(&m->config, line, sizeof line);
    gd_log(GD_LOG_INFO, "%s: %s", m->path, line);
}

static gd_status load(gd_model *m, const gd_flag *flags, int n_flags)
{
    GD_TRY(nn_open_weights(&m->bundle, m->path, flags, n_flags));
    GD_TRY(gd_config_recognise(&m->config, m->mem, &m->assumed, m->bundle, flags, n_flags));
    report_line(m);
    GD_TRY(gd_config_params(&m->config, m->mem, &m->param, &m->n_param));
    return read_classes(m);
}

static gd_status new_model(gd_model **out, const char *path)
{
    gd_arena *mem;
    gd_model *m;

    GD_TRY(gd_arena_make(&mem));
    m = gd_alloc(mem, sizeof *m);
    if (m)
        m->path = gd_strdup(mem, path);
    if (!m || !m->path) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "model: out of memory");
    }
    m->mem = mem;
    *out = m;
    return GD_OK;
}

gd_status gd_model_open(gd_model **out, const char *path, const gd_flag *flags, int n_flags)
{
    gd_model *m;
    gd_status s;

    GD_TRY(new_model(&m, path));
    s = load(m, flags, n_flags);
    if (s != GD_OK) {
        gd_model_close(m);
        return s;
    }
    *out = m;
    return GD_OK;
}

gd_status gd_model_create(gd_model **out, const gd_model_config *config, uint64_t seed,
                          bool synthetic)
{
    GD_TRY(gd_model_wrap(out, config, NULL));
    (*out)->seed = seed;
    (*out)->synthetic = synthetic;
    return GD_OK;
}

gd_status gd_model_wrap(gd_model **out, const gd_model_config *config, const gd_weights *weights)
{
    gd_model *m;
    gd_status s;

    GD_TRY(new_model(&m, ""));
    m->config = *config;
    if (weights)
        m->source = *weights;
    s = gd_config_params(config, m->mem, &m->param, &m->n_param);
    if (s != GD_OK) {
        gd_model_close(m);
        return s;
    }
    *out = m;
    return GD_OK;
}

void gd_model_close(gd_model *m)
{
    if (!m)
        return;
    gd_bundle_close(m->bundle);
    gd_arena_free(m->mem);
}

/* ---- what it is ---- */

const gd_model_config *gd_model_get_config(const gd_model *m)
{
    return &m->config;
}

const char *gd_model_assumed(const gd_model *m)
{
    return m->assumed ? m->assumed : "";
}

const char *gd_model_path(const gd_model *m)
{
    return m->path;
}

const char *gd_model_packed(const gd_model *m)
{
    return m->bundle ? gd_bundle_meta(m->bundle, NN_PACKED_FOR) : NULL;
}

int gd_model_class_count(const gd_model *m)
{
    return gd_net_classes(&m->config.net);
}

const char *gd_model_class_name(const gd_model *m, int i)
{
    return i >= 0 && i < m->n_class_names ? m->class_name[i] : NULL;
}

int64_t gd_model_parameters(const gd_model *m)
{
    int64_t n = 0;

    for (int i = 0; i < m->n_param; i++)
        n += m->param[i].init == GD_INIT_BUFFER ? 0 : gd_param_count(&m->param[i]);
    return n;
}

gd_status gd_model_levels(const gd_model *m, float levels[GD_EDM_LEVELS])
{
    const gd_array *u = m->bundle ? gd_bundle_find(m->bundle, "u") : NULL;

    if (u && gd_array_count(u) == GD_EDM_LEVELS)
        return gd_bundle_read_f32(m->bundle, u, levels);
    gd_edm_levels(levels);
    return GD_OK;
}

/* ---- weights ---- */

static gd_status read_param(const gd_model *m, int i, float *dst)
{
    const gd_param_spec *spec = &m->param[i];
    const gd_array *array;

    GD_TRY(gd_check_stop());
    if (m->source.fetch) {
        gd_type type = { { gd_param_count(spec), 1, 1, 1 }, GD_F32 };
        return m->source.fetch(m->source.ctx, spec->name, &type, dst);
    }
    if (!m->bundle) {
        if (m->synthetic)
            gd_init_synthetic(dst, spec, "");
        else
            gd_init_parameter(dst, spec, m->seed, i);
        return GD_OK;
    }
    if (gd_model_packed(m))
        return gd_fail(
            GD_EMISMATCH,
            "%s: its weights are packed for sampling (%s)\nhint: give the file that they "
            "were packed from",
            m->path, gd_model_packed(m));
    array = gd_bundle_find(m->bundle, spec->name);
    if (!array || gd_array_count(array) != gd_param_count(spec))
        return gd_fail(GD_EFORMAT, "%s: %s is missing", m->path, spec->name);
    GD_TRY(gd_bundle_read_f32(m->bundle, array, dst));
    gd_bundle_release(m->bundle, array);
    return GD_OK;
}

/* -1: none of this name */
static int find_param(const gd_model *m, const char *name)
{
    for (int i = 0; i < m->n_param; i++)
        if (strcmp(m->param[i].name, name) == 0)
            return i;
    return -1;
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_model *m = ctx;
    const int i = find_param(m, name);

    if (i < 0)
        return gd_fail(GD_EFORMAT, "%s: the network's parameter %s is not in the configuration",
                       m->path, name);
    if (gd_param_count(&m->param[i]) != type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3])
        return gd_fail(GD_EFORMAT, "%s: %s has another size than the network", m->path, name);
    return read_param(m, i, dst);
}

static bool has_shape(const gd_param_spec *spec, const gd_type *type)
{
    int i = 0, k = 0;

    for (;; i++, k++) {
        while (i < spec->rank && spec->dim[i] == 1)
            i++;
        while (k < COUNT(type->dim) && type->dim[k] == 1)
            k++;
        if (i == spec->rank || k == COUNT(type->dim))
            return i == spec->rank && k == COUNT(type->dim);
        if (spec->dim[i] != type->dim[k])
            return false;
    }
}

bool gd_model_has(const gd_model *m, const char *name, const gd_type *type)
{
    const int i = find_param(m, name);

    return i >= 0 && has_shape(&m->param[i], type);
}

gd_weights gd_model_weights(const gd_model *m)
{
    return (gd_weights){ fetch, (void *)m };
}

gd_status nn_each_param(const gd_model *m, nn_visit *visit, void *ctx)
{
    int64_t most = 1;
    void *staged;
    gd_status s;

    for (int i = 0; i < m->n_param; i++)
        most = GD_MAX(most, gd_param_count(&m->param[i]));
    GD_TRY(gd_block_make(&staged, (size_t)most * sizeof(float), "one parameter"));
    s = GD_OK;
    for (int i = 0; i < m->n_param && s == GD_OK; i++) {
        s = read_param(m, i, staged);
        if (s == GD_OK)
            s = visit(ctx, i, staged, gd_param_count(&m->param[i]));
    }
    gd_block_free(staged);
    return s;
}

static gd_status add_to_hash(void *ctx, int i, const float *data, int64_t count)
{
    (void)i;
    gd_hasher_add(ctx, data, (size_t)count * sizeof *data);
    return GD_OK;
}

/* A file of ours was hashed when it was opened: its data are the parameters in this order, or its
 * header states what they were. */
static const char *hash_of_file(const gd_model *m)
{
    if (gd_model_packed(m))
        return gd_bundle_meta(m->bundle, NN_PACKED_HASH);
    if (!m->bundle || gd_bundle_count(m->bundle) != m->n_param)
        return NULL;
    for (int i = 0; i < m->n_param; i++)
        if (strcmp(gd_bundle_array(m->bundle, i)->name, m->param[i].name) != 0)
            return NULL;
    return gd_bundle_f32_hash(m->bundle);
}

gd_status gd_model_hash(const gd_model *m, char text[33])
{
    const char *known = hash_of_file(m);
    gd_hasher *hasher;
    gd_status s;

    if (known) {
        snprintf(text, 33, "%s", known);
        return GD_OK;
    }
    GD_TRY(gd_hasher_make(&hasher));
    s = nn_each_param(m, add_to_hash, hasher);
    if (s == GD_OK)
        gd_hasher_text(hasher, text);
    gd_hasher_free(hasher);
    return s;
}

/* ---- cost ---- */

static gd_status plan_cost(const gd_model *m, bool gradient, bool bf16, double *macs,
                           gd_model_cost *cost)
{
    const gd_net_size size = gd_net_natural_size(&m->config.net, 1);
    gd_graph *g = NULL;
    gd_plan *plan = NULL;
    gd_net net;
    gd_val out;
    gd_status s;

    GD_TRY(gd_graph_make(&g));
    gd_net_build(&net, g, &m->config.net, &size, false);
    out = gradient ? gd_net_guidance(&net, g, m->config.net.out_channels) : net.out;
    gd_graph_optimise(g, &out, 1, bf16);
    s = gd_plan_make(&plan, g, &out, 1, gd_threads());
    if (s == GD_OK) {
        *macs = gd_plan_macs(plan);
        cost->weights_bytes = gd_plan_weights_bytes(plan);
        cost->activations_bytes = gd_plan_arena_bytes(plan) + gd_plan_scratch_bytes(plan);
    }
    gd_plan_free(plan);
    gd_graph_free(g);
    return s;
}

gd_status gd_model_get_cost(gd_model_cost *out, const gd_model *m, bool bf16)
{
    *out = (gd_model_cost){ 0 };
    GD_TRY(plan_cost(m, false, bf16, &out->forward_macs, out));
    if (m->config.net.kind == GD_NET_CLASSIFIER)
        GD_TRY(plan_cost(m, true, bf16, &out->gradient_macs, out));
    return GD_OK;
}

gd_status gd_model_dump_graph(const gd_model *m, FILE *out)
{
    const gd_net_size size = gd_net_natural_size(&m->config.net, 1);
    gd_graph *g = NULL;
    gd_net net;
    gd_status s;

    GD_TRY(gd_graph_make(&g));
    gd_net_build(&net, g, &m->config.net, &size, false);
    s = gd_graph_check(g);
    if (s == GD_OK)
        gd_graph_print(g, out);
    gd_graph_free(g);
    return s;
}
