/* SPDX-License-Identifier: MIT */
/* vit_folder.c - what only the configuration beside the weights says: the activation, of which keys
 * and shapes show nothing, and the number of heads. */
#include "nn/nn.h"
#include "nn/vit_names.h"

#include <jansson.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 16 };

/* The JSON object in file `name` beside `path`; NULL: there is none that can be read */
static json_t *open_beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char file[GD_MAX_PATH];
    json_t *root = NULL;
    gd_mapped map;

    if (snprintf(file, sizeof file, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name) >=
            GD_MAX_PATH ||
        !gd_path_exists(file) || gd_map_file(&map, file) != GD_OK)
        return NULL;
    if (map.bytes > MAX_BYTES ||
        gd_json_parse(&root, (const char *)map.data, map.bytes, MAX_DEPTH, file) != GD_OK)
        root = NULL;
    gd_unmap(&map);
    return root;
}

/* transformers: of the image encoder, which may be a part of the model */
static bool read_transformers(gd_vit_config *c, json_t *root)
{
    static const struct {
        const char *word;
        gd_gelu kind;
    } words[] = { { "gelu", GD_GELU_EXACT },
                  { "quick_gelu", GD_GELU_QUICK },
                  { "gelu_pytorch_tanh", GD_GELU_TANH } };
    json_t *part = json_object_get(root, "vision_config");
    json_t *of = part ? part : root;
    const char *act = json_string_value(json_object_get(of, "hidden_act"));
    const int64_t heads = json_integer_value(json_object_get(of, "num_attention_heads"));
    bool known = false;

    if (json_integer_value(json_object_get(of, "hidden_size")) != c->width)
        return false; /* of another network */
    for (int i = 0; i < COUNT(words); i++)
        if (act && strcmp(act, words[i].word) == 0) {
            c->gelu = words[i].kind;
            known = true;
        }
    if (heads > 0 && c->width % heads == 0)
        c->heads = (int)heads;
    return known;
}

/* open_clip: quick_gelu stands beside the towers and is false unless said */
static bool read_open_clip(gd_vit_config *c, const json_t *root)
{
    json_t *model = json_object_get(root, "model_cfg");

    if (json_integer_value(json_object_get(json_object_get(model, "vision_cfg"), "width")) !=
        c->width)
        return false;
    c->gelu = json_is_true(json_object_get(model, "quick_gelu")) ? GD_GELU_QUICK : GD_GELU_EXACT;
    return true;
}

bool vit_read_folder(gd_vit_config *c, const char *format, const char *path)
{
    const bool open_clip = strcmp(format, "open_clip") == 0;
    json_t *root = open_beside(path, open_clip ? "open_clip_config.json" : "config.json");
    bool known = false;

    if (json_is_object(root))
        known = open_clip ? read_open_clip(c, root) : read_transformers(c, root);
    json_decref(root);
    return known;
}
