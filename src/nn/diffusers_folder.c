/* SPDX-License-Identifier: MIT */
/* diffusers_folder.c - a folder as diffusers' save_pretrained writes it: config.json, weights and
 * scheduler_config.json, flat or in unet/ and scheduler/
 * (docs/reference/networks.md#other-families). */
#include "nn/diffusers.h"

#include <string.h>

typedef char path[GD_MAX_PATH];

static bool find(path out, const char *folder, const char *sub, const char *name)
{
    snprintf(out, GD_MAX_PATH, "%.3900s/%s", folder, name);
    if (gd_path_exists(out))
        return true;
    snprintf(out, GD_MAX_PATH, "%.3900s/%s/%s", folder, sub, name);
    return gd_path_exists(out);
}

bool nn_is_diffusers_folder(const char *folder)
{
    path at;

    return find(at, folder, "unet", "config.json") ||
           find(at, folder, "unet", "diffusion_pytorch_model.safetensors");
}

/* A text file as the bundle's metadata */
static gd_status add_text(gd_bundle *bundle, const char *key, const char *file)
{
    gd_mapped map;
    gd_status s;

    GD_TRY(gd_map_file(&map, file));
    s = gd_bundle_add_meta(bundle, key, map.data, map.bytes);
    gd_unmap(&map);
    return s;
}

/* Attention's layers were renamed once. */
static gd_status rename_attention(gd_bundle *bundle)
{
    static const struct {
        const char *old, *new;
    } names[] = { { ".query.", ".to_q." },
                  { ".key.", ".to_k." },
                  { ".value.", ".to_v." },
                  { ".proj_attn.", ".to_out.0." } };
    int old = 0, new = 0;

    for (int i = 0; i < gd_bundle_count(bundle); i++)
        for (int k = 0; k < COUNT(names); k++) {
            old += strstr(gd_bundle_array(bundle, i)->name, names[k].old) != NULL;
            new += strstr(gd_bundle_array(bundle, i)->name, names[k].new) != NULL;
        }
    if (old > 0 && new > 0)
        return gd_fail(GD_EFORMAT,
                       "%s: attention layers with old names (query) and new ones (to_q)",
                       gd_bundle_path(bundle));
    for (int k = 0; k < COUNT(names) && old > 0; k++)
        GD_TRY(gd_bundle_replace(bundle, names[k].old, names[k].new));
    return GD_OK;
}

static gd_status missing(const char *folder, const char *what)
{
    return gd_fail(GD_EFORMAT,
                   "%s: a diffusers folder without %s\nhint: copy the whole folder of the "
                   "model",
                   folder, what);
}

static gd_status fill(gd_bundle *bundle, const char *config, const char *scheduler)
{
    GD_TRY(add_text(bundle, NN_DIFFUSERS_CONFIG, config));
    GD_TRY(add_text(bundle, NN_DIFFUSERS_SCHEDULER, scheduler));
    return rename_attention(bundle);
}

gd_status nn_open_diffusers(gd_bundle **out, const char *folder)
{
    path config, scheduler, weights;
    gd_status s;

    if (!find(config, folder, "unet", "config.json"))
        return missing(folder, "config.json");
    if (!find(scheduler, folder, "scheduler", "scheduler_config.json"))
        return missing(folder, "scheduler_config.json, which says how the model was trained");
    if (!find(weights, folder, "unet", "diffusion_pytorch_model.safetensors") &&
        !find(weights, folder, "unet", "diffusion_pytorch_model.bin"))
        return missing(folder, "diffusion_pytorch_model.safetensors or .bin");
    GD_TRY(gd_bundle_open(out, weights));
    s = fill(*out, config, scheduler);
    if (s != GD_OK) {
        gd_bundle_close(*out);
        *out = NULL;
    }
    return s;
}
