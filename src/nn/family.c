/* SPDX-License-Identifier: MIT */
/* family.c - the table of families, what each does with a configuration, and files of families that
 * this program does not run. */
#include "nn/family.h"

#include <string.h>

static const nn_family *const families[GD_N_FAMILIES] = {
    [GD_FAMILY_CONSISTENCY] = &nn_family_consistency,
    [GD_FAMILY_ADM] = &nn_family_adm,
    [GD_FAMILY_EDM] = &nn_family_edm,
    [GD_FAMILY_DIFFUSERS] = &nn_family_diffusers,
};

const nn_family *nn_family_of(const gd_net_config *config)
{
    return families[config->family];
}

/* ---- recognising ---- */

void nn_assume(nn_evidence *e, const char *flag, const char *value, const char *other)
{
    if (!nn_flag_given(e->flags, e->n_flags, flag))
        e->assumed = gd_sprintf(e->arena, "%s%s%s %s (assumed; --%s %s if not)",
                                e->assumed ? e->assumed : "", e->assumed ? "\n" : "", flag, value,
                                flag, other);
}

/* Names that only files of other families have */
static const struct foreign {
    const char *part; /* of some key */
    const char *what;
} foreign[] = {
    { "first_stage_model.",
      "a latent diffusion model (its networks work on an autoencoder's codes)" },
    { "cond_stage_model.",
      "a latent diffusion model (its networks work on an autoencoder's codes)" },
    { "transformer.resblocks.", "GLIDE or another model of texts" },
    { "transformer_proj.", "GLIDE or another model of texts" },
    { "encoder_hid_proj.", "a diffusers network that is conditioned on texts" },
    { ".attn2.", "a network with cross-attention, as text models have" },
    { "emb_fourier.", "EDM2" },
    { "all_modules.", "score_sde" },
    { "patch_embed.", "a transformer" },
    { "x_embedder.", "a transformer (DiT, SiT)" },
    { "decoder.up.", "an autoencoder" },
};

static gd_status name_foreign(const nn_keys *keys)
{
    for (int f = 0; f < COUNT(foreign); f++)
        for (int i = 0; i < keys->n; i++)
            if (strstr(keys->sorted[i]->name, foreign[f].part))
                return gd_fail(GD_EFORMAT, "%s: looks like %s, which this program does not run",
                               keys->path, foreign[f].what);
    return GD_OK;
}

gd_status nn_family_find(const nn_family **out, const nn_evidence *e)
{
    GD_TRY(name_foreign(e->keys));
    for (int i = GD_N_FAMILIES - 1; i >= 0; i--) /* ADM, which the others resemble, is last */
        if (families[i]->claims(e)) {
            *out = families[i];
            return GD_OK;
        }
    *out = &nn_family_adm; /* whose reader names the missing key */
    return GD_OK;
}

/* ---- by configuration ---- */

gd_status gd_config_from_text(gd_model_config *out, gd_family family, gd_net_kind kind,
                              const char *text)
{
    gd_config_defaults(out, kind);
    out->net.family = family;
    if (family == GD_FAMILY_CONSISTENCY)
        nn_sigma_defaults(out, GD_PRECOND_CONSISTENCY);
    GD_TRY(families[family]->read_text(out, text));
    return nn_config_check(out);
}

gd_status nn_config_check(const gd_model_config *config)
{
    return nn_family_of(&config->net)->check(config);
}

void gd_net_build(gd_net *out, gd_graph *g, const gd_net_config *config, const gd_net_size *size,
                  bool training)
{
    const nn root = { .g = g, .scope = "", .dropout = training ? config->dropout : 0 };

    *out = (gd_net){ 0 };
    nn_family_of(config)->build(out, root, config, size);
    out->dropout_keys = gd_find_input(g, NN_DROPOUT_KEYS);
    /* fused before it is differentiated: gradients are of the fused nodes */
    gd_graph_optimise(g, &out->out, 1, false);
}

/* What the layers ask for while the network is built */
static gd_status list_layers(nn_listing *out, const gd_model_config *config, gd_arena *arena)
{
    const gd_net_size size = gd_net_natural_size(&config->net, 1);
    gd_graph *g;
    gd_net net = { 0 };
    gd_status s;

    *out = (nn_listing){ .mem = arena };
    GD_TRY(gd_graph_make(&g));
    nn_family_of(&config->net)
        ->build(&net, (nn){ .g = g, .scope = "", .listing = out }, &config->net, &size);
    s = gd_graph_check(g);
    gd_graph_free(g);
    return s;
}

static bool is_adm(const gd_net_config *net)
{
    return net->family == GD_FAMILY_ADM || net->family == GD_FAMILY_CONSISTENCY;
}

gd_status gd_config_params(const gd_model_config *config, gd_arena *arena, gd_param_spec **out,
                           int *n)
{
    nn_listing listing;

    GD_TRY(nn_config_check(config));
    if (is_adm(&config->net))
        return nn_list_adm(&config->net, arena, out, n);
    GD_TRY(list_layers(&listing, config, arena));
    *out = listing.param;
    *n = listing.n_param;
    return GD_OK;
}

gd_status nn_config_constants(const gd_model_config *config, gd_arena *arena, gd_param_spec **out,
                              int *n)
{
    nn_listing listing;

    *out = NULL;
    *n = 0;
    if (!nn_family_of(&config->net)->check_constant)
        return GD_OK;
    GD_TRY(list_layers(&listing, config, arena));
    *out = listing.constant;
    *n = listing.n_constant;
    return GD_OK;
}

/* ---- in words ---- */

const char *gd_architecture_name(const gd_net_config *net)
{
    if (net->family != GD_FAMILY_EDM)
        return net->family == GD_FAMILY_DIFFUSERS ? ": UNet2DModel" : "";
    if (!net->song)
        return ": DhariwalUNet (adm)";
    return net->residual_encoder ? ": SongUNet (NCSN++)" : ": SongUNet (DDPM++)";
}

const char *gd_head_order_name(const gd_net_config *net)
{
    switch (net->family) {
    case GD_FAMILY_EDM:
        return "interleaved";
    case GD_FAMILY_ADM:
        return net->use_new_attention_order ? "new" : "legacy";
    default:
        return "new";
    }
}
