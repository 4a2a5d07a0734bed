/* SPDX-License-Identifier: MIT */
/* vit_names.c - in which names people give a Vision Transformer's weights, and which arrays of a
 * file make a parameter of the network. */
#include "nn/vit_names.h"

#include <stdlib.h>
#include <string.h>

static const vit_naming namings[] = {
    { .format = "original",
      .family = GD_VIT_DINOV2,
      .patch = "patch_embed.proj.",
      .class_token = "cls_token",
      .registers = "register_tokens",
      .positions = "pos_embed",
      .norm = "norm.",
      .block = "blocks.%d.",
      .norm1 = "norm1.",
      .qkv = "attn.qkv.",
      .proj = "attn.proj.",
      .scale1 = "ls1.gamma",
      .norm2 = "norm2.",
      .fc1 = "mlp.fc1.",
      .fc2 = "mlp.fc2.",
      .scale2 = "ls2.gamma" },
    { .format = "transformers",
      .family = GD_VIT_DINOV2,
      .patch = "embeddings.patch_embeddings.projection.",
      .class_token = "embeddings.cls_token",
      .registers = "embeddings.register_tokens",
      .positions = "embeddings.position_embeddings",
      .norm = "layernorm.",
      .block = "encoder.layer.%d.",
      .norm1 = "norm1.",
      .q = "attention.attention.query.",
      .k = "attention.attention.key.",
      .v = "attention.attention.value.",
      .proj = "attention.output.dense.",
      .scale1 = "layer_scale1.lambda1",
      .norm2 = "norm2.",
      .fc1 = "mlp.fc1.",
      .fc2 = "mlp.fc2.",
      .scale2 = "layer_scale2.lambda1" },
    { .format = "original",
      .family = GD_VIT_MAE,
      .patch = "patch_embed.proj.",
      .class_token = "cls_token",
      .positions = "pos_embed",
      .norm = "norm.",
      .block = "blocks.%d.",
      .norm1 = "norm1.",
      .qkv = "attn.qkv.",
      .proj = "attn.proj.",
      .norm2 = "norm2.",
      .fc1 = "mlp.fc1.",
      .fc2 = "mlp.fc2." },
    { .format = "transformers",
      .family = GD_VIT_MAE,
      .patch = "embeddings.patch_embeddings.projection.",
      .class_token = "embeddings.cls_token",
      .positions = "embeddings.position_embeddings",
      .norm = "layernorm.",
      .block = "encoder.layer.%d.",
      .norm1 = "layernorm_before.",
      .q = "attention.attention.query.",
      .k = "attention.attention.key.",
      .v = "attention.attention.value.",
      .proj = "attention.output.dense.",
      .norm2 = "layernorm_after.",
      .fc1 = "intermediate.dense.",
      .fc2 = "output.dense." },
    { .format = "transformers",
      .family = GD_VIT_CLIP,
      .patch = "vision_model.embeddings.patch_embedding.",
      .class_token = "vision_model.embeddings.class_embedding",
      .positions = "vision_model.embeddings.position_embedding.weight",
      .norm_before = "vision_model.pre_layrnorm.",
      .norm = "vision_model.post_layernorm.",
      .projection = "visual_projection.weight",
      .block = "vision_model.encoder.layers.%d.",
      .norm1 = "layer_norm1.",
      .q = "self_attn.q_proj.",
      .k = "self_attn.k_proj.",
      .v = "self_attn.v_proj.",
      .proj = "self_attn.out_proj.",
      .norm2 = "layer_norm2.",
      .fc1 = "mlp.fc1.",
      .fc2 = "mlp.fc2." },
    { .format = "open_clip",
      .family = GD_VIT_CLIP,
      .patch = "visual.conv1.",
      .class_token = "visual.class_embedding",
      .positions = "visual.positional_embedding",
      .norm_before = "visual.ln_pre.",
      .norm = "visual.ln_post.",
      .projection = "visual.proj", /* [width][projection], the others the other way */
      .block = "visual.transformer.resblocks.%d.",
      .norm1 = "ln_1.",
      .qkv = "attn.in_proj_",
      .proj = "attn.out_proj.",
      .norm2 = "ln_2.",
      .fc1 = "mlp.c_fc.",
      .fc2 = "mlp.c_proj." },
    { .format = "transformers",
      .family = GD_VIT_SIGLIP,
      .patch = "embeddings.patch_embedding.",
      .positions = "embeddings.position_embedding.weight",
      .norm = "post_layernorm.",
      .block = "encoder.layers.%d.",
      .norm1 = "layer_norm1.",
      .q = "self_attn.q_proj.",
      .k = "self_attn.k_proj.",
      .v = "self_attn.v_proj.",
      .proj = "self_attn.out_proj.",
      .norm2 = "layer_norm2.",
      .fc1 = "mlp.fc1.",
      .fc2 = "mlp.fc2." },
};

/* SigLIP's head, in the only way in which it is named */
static const char head_probe[] = "head.probe", head_attention[] = "head.attention.in_proj_";
static const struct {
    const char *scope, *key;
} head_layers[] = { { "head.proj.", "head.attention.out_proj." },
                    { "head.norm.", "head.layernorm." },
                    { "head.fc1.", "head.mlp.fc1." },
                    { "head.fc2.", "head.mlp.fc2." } };

/* ---- keys ---- */

static vit_key key_of(const gd_vit_file *f, const char *name)
{
    vit_key k;

    snprintf(k.text, sizeof k.text, "%.500s%.520s", f->prefix, name);
    return k;
}

const gd_array *vit_find(const gd_vit_file *f, const char *name)
{
    return name ? gd_bundle_find(f->bundle, key_of(f, name).text) : NULL;
}

/* The key of a layer of block i; suffix: "weight", "bias", or "" where `leaf` is a whole name */
static vit_key block_key(const gd_vit_file *f, int i, const char *leaf, const char *suffix)
{
    char block[GD_MAX_NAME], text[2 * GD_MAX_NAME];
    const char *number = strstr(f->names->block, "%d");

    snprintf(block, sizeof block, "%.*s%d%s", (int)(number - f->names->block), f->names->block, i,
             number + 2);
    snprintf(text, sizeof text, "%.400s%.200s%.20s", block, leaf, suffix);
    return key_of(f, text);
}

const gd_array *vit_find_in_block(const gd_vit_file *f, int i, const char *leaf, const char *suffix)
{
    return gd_bundle_find(f->bundle, block_key(f, i, leaf, suffix).text);
}

/* What stands before the keys: the patches' weights are looked for behind any of it. */
static bool find_prefix(gd_vit_file *f, const vit_naming *names)
{
    char wanted[128];
    size_t n;
    int found = 0;

    snprintf(wanted, sizeof wanted, "%sweight", names->patch);
    n = strlen(wanted);
    for (int i = 0; i < gd_bundle_count(f->bundle); i++) {
        const char *name = gd_bundle_array(f->bundle, i)->name;
        const size_t length = strlen(name);
        if (length < n || strcmp(name + length - n, wanted) != 0 ||
            (length > n && name[length - n - 1] != '.'))
            continue;
        snprintf(f->prefix, sizeof f->prefix, "%.*s", (int)(length - n), name);
        found++;
    }
    f->copies = GD_MAX(f->copies, found);
    return found == 1;
}

/* The keys that tell this vit_naming from the others with the same patches */
static bool fits(gd_vit_file *f, const vit_naming *names)
{
    f->names = names;
    if (!find_prefix(f, names))
        return false;
    if (names->scale1 && !vit_find_in_block(f, 0, names->scale1, ""))
        return false;
    if (!vit_find_in_block(f, 0, names->norm1, "weight"))
        return false;
    return !names->class_token || vit_find(f, names->class_token);
}

bool vit_choose_names(gd_vit_file *f)
{
    for (int i = 0; i < COUNT(namings); i++)
        if (fits(f, &namings[i]))
            return true;
    return false;
}

/* ---- which arrays make a parameter ---- */

static vit_source source_of(vit_key k, int rank, const int64_t *dim)
{
    vit_source s = { k, rank, { 0 } };

    memcpy(s.dim, dim, (size_t)rank * sizeof *dim);
    return s;
}

static bool starts(const char **at, const char *with)
{
    const size_t n = strlen(with);

    if (strncmp(*at, with, n) != 0)
        return false;
    *at += n;
    return true;
}

/* Rows of a matrix [rows][columns], or a vector of rows */
static vit_source layer_source(vit_key k, int64_t rows, int64_t columns, bool weight)
{
    return source_of(k, weight ? 2 : 1, (const int64_t[]){ rows, columns });
}

static int token_sources(const gd_vit_file *f, vit_source *out)
{
    const gd_vit_config *c = &f->config;
    const int64_t positions = (int64_t)c->grid * c->grid + c->class_token;
    int n = 0;

    out[n++] = source_of(key_of(f, f->names->positions), 2, (int64_t[]){ positions, c->width });
    if (c->class_token)
        out[n++] = source_of(key_of(f, f->names->class_token), 1, (int64_t[]){ c->width });
    if (c->registers)
        out[n++] =
            source_of(key_of(f, f->names->registers), 2, (int64_t[]){ c->registers, c->width });
    return n;
}

static int block_sources(const gd_vit_file *f, const char *at, const gd_type *type, vit_source *out)
{
    const vit_naming *names = f->names;
    const struct {
        const char *scope, *key, *scale;
    } layers[] = { { "norm1.", names->norm1, NULL },      { "proj.", names->proj, names->scale1 },
                   { "norm2.", names->norm2, NULL },      { "fc1.", names->fc1, NULL },
                   { "fc2.", names->fc2, names->scale2 }, { "qkv.", names->qkv, NULL } };
    char *rest;
    const int i = (int)strtol(at, &rest, 10);
    const bool weight = type->dim[0] > 1;
    const int64_t rows = weight ? type->dim[0] : type->dim[3], columns = type->dim[1];
    int n = 0;

    at = rest + 1;
    if (!names->qkv && starts(&at, "qkv.")) {
        out[n++] = layer_source(block_key(f, i, names->q, at), rows / 3, columns, weight);
        out[n++] = layer_source(block_key(f, i, names->k, at), rows / 3, columns, weight);
        out[n++] = layer_source(block_key(f, i, names->v, at), rows / 3, columns, weight);
        return n;
    }
    for (int l = 0; l < COUNT(layers); l++)
        if (starts(&at, layers[l].scope)) {
            out[n++] = layer_source(block_key(f, i, layers[l].key, at), rows, columns, weight);
            if (layers[l].scale)
                out[n++] = layer_source(block_key(f, i, layers[l].scale, ""), rows, 0, false);
            break;
        }
    return n;
}

static int head_sources(const gd_vit_file *f, const char *name, const gd_type *type,
                        vit_source *out)
{
    const int64_t width = f->config.width;
    const bool weight = type->dim[0] > 1, query = strcmp(name, "head.query") == 0;
    const char *at = name;
    char text[128];
    int n = 0;

    for (int l = 0; l < COUNT(head_layers); l++)
        if (starts(&at, head_layers[l].scope)) {
            snprintf(text, sizeof text, "%s%s", head_layers[l].key, at);
            out[n++] = layer_source(key_of(f, text), weight ? type->dim[0] : type->dim[3],
                                    type->dim[1], weight);
            return n;
        }
    if (query)
        out[n++] = source_of(key_of(f, head_probe), 1, &width);
    snprintf(text, sizeof text, "%sweight", head_attention);
    if (query || weight)
        out[n++] = layer_source(key_of(f, text), 3 * width, width, true);
    snprintf(text, sizeof text, "%sbias", head_attention);
    if (query || !weight)
        out[n++] = layer_source(key_of(f, text), 3 * width, 0, false);
    return n;
}

int vit_sources(const gd_vit_file *f, const char *name, const gd_type *type, vit_source *out)
{
    const vit_naming *names = f->names;
    const char *at = name;
    char text[128];

    if (strcmp(name, "tokens") == 0)
        return token_sources(f, out);
    if (starts(&at, "blocks."))
        return block_sources(f, at, type, out);
    if (strncmp(name, "head.", 5) == 0)
        return head_sources(f, name, type, out);
    if (starts(&at, "projection.")) {
        const bool turned = strcmp(names->format, "open_clip") == 0;
        out[0] =
            layer_source(key_of(f, names->projection), type->dim[turned], type->dim[!turned], true);
        return 1;
    }
    const char *layer = starts(&at, "patch.")         ? names->patch
                        : starts(&at, "norm_before.") ? names->norm_before
                        : starts(&at, "norm.")        ? names->norm
                                                      : "";
    snprintf(text, sizeof text, "%s%s", layer, at);
    out[0] = type->dim[0] > 1 ? source_of(key_of(f, text), 4, type->dim)
                              : source_of(key_of(f, text), 1, &type->dim[3]);
    return 1;
}
