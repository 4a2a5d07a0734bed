/* SPDX-License-Identifier: MIT */
/* family_consistency.c - openai/consistency_models (docs/reference/networks.md#other-families):
 * ADM's UNetModel, whose attention has two-dimensional convolutions and rows in the new order
 * whatever the flag. */
#include "nn/family.h"

#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Every network attends in its middle block. */
static bool claims(const nn_evidence *e)
{
    const gd_array *qkv = nn_key_find(e->keys, "middle_block.1.qkv.weight"),
                   *proj = nn_key_find(e->keys, "middle_block.1.proj_out.weight");

    return (qkv && qkv->rank == 4) || (proj && proj->rank == 4);
}

/* The authors' names begin with edm_, cd_, ct_; nothing in the file decides it. */
static void infer_form(gd_model_config *out, nn_evidence *e)
{
    const char *name = base_name(e->keys->path);
    const bool edm = begins(name, "edm_"), consistency = begins(name, "cd_") || begins(name, "ct_");
    const gd_precond said = out->diffusion.precond;

    out->diffusion.precond = edm ? GD_PRECOND_CONSISTENCY_EDM : GD_PRECOND_CONSISTENCY;
    if (*out->preset && said != out->diffusion.precond)
        out->preset[0] = 0;
    if (!edm && !consistency)
        nn_assume(e, "training_mode", "consistency_distillation", "edm");
}

static gd_status infer(gd_model_config *out, nn_evidence *e)
{
    GD_TRY(nn_infer_adm(out, e, GD_FAMILY_CONSISTENCY));
    infer_form(out, e);
    return GD_OK;
}

static gd_status check(const gd_model_config *config)
{
    const gd_diffusion_config *d = &config->diffusion;

    GD_TRY(nn_check_adm(config));
    if (config->net.kind != GD_NET_UNET || d->learn_sigma)
        return gd_fail(GD_EUSAGE, "a consistency model is a UNetModel without learned sigma");
    if (d->precond != GD_PRECOND_CONSISTENCY && d->precond != GD_PRECOND_CONSISTENCY_EDM)
        return gd_fail(GD_EUSAGE, "a consistency model cannot have the preconditioner %s",
                       gd_precond_names[d->precond]);
    return GD_OK;
}

const nn_family nn_family_consistency = { claims, infer,        nn_read_flags_text,
                                          check,  nn_build_adm, NULL };
