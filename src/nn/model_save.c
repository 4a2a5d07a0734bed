/* SPDX-License-Identifier: MIT */
/* model_save.c - writing a model's weights: self-describing safetensors, or a state dict. */
#include "nn/model_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct saving {
    gd_safetensors_writer *writer; /* this one */
    gd_torch_writer *torch;        /* or this */
    gd_dtype dtype;
    unsigned char *narrow; /* block for one parameter in dtype; NULL for float32 */
} saving;

static gd_status save_param(void *ctx, int i, const float *data, int64_t count)
{
    const saving *s = ctx;
    const size_t bytes = (size_t)count * gd_dtype_bytes(s->dtype);
    const void *from = data;

    (void)i;
    if (s->dtype != GD_F32) {
        gd_narrow(s->narrow, s->dtype, data, count);
        from = s->narrow;
    }
    return s->torch ? gd_torch_add(s->torch, from, bytes)
                    : gd_safetensors_add(s->writer, from, bytes);
}

static char *classes_json(gd_arena *mem, const char *const *names, int n)
{
    json_t *list = json_array();
    char *text, *copy;

    for (int i = 0; i < n; i++)
        json_array_append_new(list, gd_is_text(names[i], strlen(names[i]))
                                        ? json_string(names[i])
                                        : gd_json_text(names[i]));
    text = json_dumps(list, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(list);
    copy = text ? gd_strdup(mem, text) : NULL;
    free(text);
    return copy;
}

static gd_array *arrays_of(const gd_model *m, gd_arena *mem, gd_dtype dtype, int64_t *most)
{
    gd_array *arrays = gd_alloc(mem, (size_t)m->n_param * sizeof *arrays);

    for (int i = 0; arrays && i < m->n_param; i++) {
        arrays[i] =
            (gd_array){ .name = m->param[i].name, .dtype = dtype, .rank = m->param[i].rank };
        memcpy(arrays[i].dim, m->param[i].dim, sizeof m->param[i].dim);
        *most = GD_MAX(*most, gd_param_count(&m->param[i]));
    }
    return arrays;
}

gd_status nn_model_describe(const gd_model *m, gd_arena *mem, const char *const *classes,
                            int n_classes, gd_meta meta[NN_MODEL_META], int *n)
{
    char *config;

    if (!classes) {
        classes = m->class_name;
        n_classes = m->n_class_names;
    }
    if (n_classes > 0 && n_classes != gd_model_class_count(m))
        return gd_fail(GD_EMISMATCH, "%d class names for a model of %d classes", n_classes,
                       gd_model_class_count(m));
    GD_TRY(gd_config_to_json(&m->config, mem, &config));
    *n = 0;
    meta[(*n)++] = (gd_meta){ "guided.format", "1" };
    meta[(*n)++] = (gd_meta){ "guided.kind", gd_net_kind_names[m->config.net.kind] };
    meta[(*n)++] = (gd_meta){ "guided.config", config };
    if (n_classes > 0)
        meta[(*n)++] = (gd_meta){ "guided.classes", classes_json(mem, classes, n_classes) };
    return meta[*n - 1].value ? GD_OK : gd_fail(GD_ENOMEM, "model: out of memory");
}

static gd_status write_safetensors(const gd_model *m, gd_arena *mem, saving *s,
                                   const gd_array *arrays, const char *path, bool overwrite,
                                   const char *const *classes, int n_classes)
{
    gd_meta meta[NN_MODEL_META];
    int n_meta;
    gd_status status;

    GD_TRY(nn_model_describe(m, mem, classes, n_classes, meta, &n_meta));
    GD_TRY(gd_safetensors_begin(&s->writer, path, overwrite, arrays, m->n_param, meta, n_meta));
    status = nn_each_param(m, save_param, s);
    if (status == GD_OK)
        return gd_safetensors_commit(s->writer);
    gd_safetensors_abort(s->writer);
    return status;
}

/* A state dict and nothing else: a .pt has no fields for the rest. */
static gd_status write_torch(const gd_model *m, gd_arena *mem, saving *s, const gd_array *arrays,
                             const char *path, bool overwrite)
{
    gd_pickle_node *dict = gd_pickle_new(mem, GD_PICKLE_DICT, m->n_param);
    bool ok = dict != NULL;
    gd_status status;

    for (int i = 0; i < m->n_param && ok; i++) {
        const gd_pickle_node tensor = { .kind = GD_PICKLE_TENSOR, .tensor = &arrays[i] };
        ok = gd_pickle_set(mem, dict, i, arrays[i].name, &tensor);
    }
    if (!ok)
        return gd_fail(GD_ENOMEM, "model: out of memory");
    GD_TRY(gd_torch_begin(&s->torch, path, overwrite, dict));
    status = nn_each_param(m, save_param, s);
    if (status == GD_OK)
        return gd_torch_commit(s->torch);
    gd_torch_abort(s->torch);
    return status;
}

static gd_status write_file(const gd_model *m, gd_arena *mem, const char *path, bool overwrite,
                            gd_dtype dtype, const char *const *classes, int n_classes)
{
    int64_t most = 1;
    gd_array *arrays = arrays_of(m, mem, dtype, &most);
    saving s = { .dtype = dtype };
    gd_status status;

    GD_TRY(gd_suffix_check(path, "safetensors pt", "X.safetensors, or X.pt as PyTorch writes it"));

    if (!arrays)
        return gd_fail(GD_ENOMEM, "model: out of memory");
    if (dtype != GD_F32)
        GD_TRY(gd_block_make(&s.narrow, (size_t)most * gd_dtype_bytes(dtype), "one parameter"));
    status = gd_ends_with(path, ".pt")
                 ? write_torch(m, mem, &s, arrays, path, overwrite)
                 : write_safetensors(m, mem, &s, arrays, path, overwrite, classes, n_classes);
    gd_block_free(s.narrow);
    return status;
}

gd_status gd_model_save(const gd_model *m, const char *path, bool overwrite, gd_dtype dtype,
                        const char *const *classes, int n_classes)
{
    gd_arena *mem;
    gd_status s;

    if (gd_ends_with(path, ".pt") && m->config.net.family == GD_FAMILY_EDM)
        return gd_fail(GD_EUSAGE, "%s: a network of EDM is written as safetensors only", path);
    GD_TRY(gd_arena_make(&mem));
    s = write_file(m, mem, path, overwrite, dtype, classes, n_classes);
    gd_arena_free(mem);
    return s;
}
