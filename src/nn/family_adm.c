/* SPDX-License-Identifier: MIT */
/* family_adm.c - guided-diffusion, improved-diffusion and whatever was trained with their networks:
 * the configuration is in the shapes and in the authors' flags. */
#include "nn/family.h"

static bool claims(const nn_evidence *e)
{
    return nn_key_find(e->keys, "input_blocks.0.0.weight") ||
           nn_key_find(e->keys, "time_embed.0.weight");
}

static gd_status infer(gd_model_config *out, nn_evidence *e)
{
    return nn_infer_adm(out, e, GD_FAMILY_ADM);
}

const nn_family nn_family_adm = { claims,       infer,        nn_read_flags_text,
                                  nn_check_adm, nn_build_adm, NULL };
