/* SPDX-License-Identifier: MIT */
/* model.c - models of the public API. */
#include "api/handles.h"

#include <string.h>

guided_status guided_model_open(guided_model **out, guided_context *context, const char *path,
                                const guided_option *flags, int n)
{
    const gd_entered before = gd_enter(context);
    guided_model *m;
    gd_status s = gd_block_make(&m, sizeof *m, "model");

    *out = NULL;
    if (s != GD_OK)
        return gd_leave(&before, s);
    m->context = context;
    s = gd_model_open(&m->model, path, flags, n);
    if (s == GD_OK)
        s = job_names_of_model(&m->names, m->model);
    if (s == GD_OK)
        *out = m;
    else
        guided_model_close(m);
    return gd_leave(&before, s);
}

void guided_model_close(guided_model *model)
{
    if (!model)
        return;
    job_names_free(&model->names);
    gd_model_close(model->model);
    gd_block_free(model);
}

void guided_model_get_info(guided_model_info *out, const guided_model *model)
{
    const gd_model_config *c = gd_model_get_config(model->model);

    *out = (guided_model_info){
        .kind = gd_net_kind_names[c->net.kind],
        .preset = c->preset,
        .assumed = gd_model_assumed(model->model),
        .image_size = c->net.image_size,
        .small_size = c->net.kind == GD_NET_SUPERRES ? c->net.small_size : 0,
        .channels = c->net.in_channels,
        .classes = gd_model_class_count(model->model),
        .diffusion_steps = c->diffusion.steps,
        .parameters = gd_model_parameters(model->model),
        .guidance_scale = c->guidance_scale,
    };
}

const char *guided_model_class_name(const guided_model *model, int i)
{
    return i >= 0 && i < model->names.n ? model->names.name[i] : NULL;
}

guided_status guided_model_read_classes(const guided_model *model, const char *spec,
                                        const char *labels_file, uint64_t seed, int64_t first,
                                        int64_t n, int64_t *labels)
{
    const gd_entered before = gd_enter(model->context);
    job_classes classes;
    gd_status s = job_classes_read(&classes, spec, model->model, gd_model_class_count(model->model),
                                   labels_file);

    for (int64_t i = 0; i < n && s == GD_OK; i++)
        labels[i] = job_class_of(&classes, seed, first + i);
    job_classes_free(&classes);
    return gd_leave(&before, s);
}

guided_status guided_model_config_json(const guided_model *model, char *json, size_t bytes,
                                       size_t *needed)
{
    gd_arena *mem;
    char *text = "";
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    s = gd_config_to_json(gd_model_get_config(model->model), mem, &text);
    *needed = strlen(text) + 1;
    if (s == GD_OK && json && *needed > bytes)
        s = gd_fail(GD_EUSAGE, "the configuration takes %zu bytes, not %zu", *needed, bytes);
    if (s == GD_OK && json)
        memcpy(json, text, *needed);
    gd_arena_free(mem);
    return s;
}

guided_status guided_model_hash(const guided_model *model, char text[33])
{
    const gd_entered before = gd_enter(model->context);

    return gd_leave(&before, gd_model_hash(model->model, text));
}
