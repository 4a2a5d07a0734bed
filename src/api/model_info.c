/* model_info.c - what a program may ask of an open model (guided.h). */
#include "nn/nn.h"

#include <string.h>

void gd_model_get_info(gd_model_info *out, const gd_model *model)
{
    const gd_model_config *c = gd_model_get_config(model);

    *out = (gd_model_info){
        .kind = gd_net_kind_names[c->net.kind],
        .preset = c->preset,
        .assumed = gd_model_assumed(model),
        .image_size = c->net.image_size,
        .small_size = c->net.kind == GD_NET_SUPERRES ? c->net.small_size : 0,
        .channels = c->net.in_channels,
        .classes = gd_model_class_count(model),
        .diffusion_steps = c->diffusion.steps,
        .parameters = gd_model_parameters(model),
        .guidance_scale = c->guidance_scale,
    };
}

gd_status gd_model_config_json(const gd_model *model, char *json, size_t bytes, size_t *needed)
{
    gd_arena *mem;
    char *text = "";
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    s = gd_config_to_json(gd_model_get_config(model), mem, &text);
    *needed = strlen(text) + 1;
    if (s == GD_OK && json && *needed > bytes)
        s = gd_fail(GD_EUSAGE, "the configuration takes %zu bytes, not %zu", *needed, bytes);
    if (s == GD_OK && json)
        memcpy(json, text, *needed);
    gd_arena_free(mem);
    return s;
}
