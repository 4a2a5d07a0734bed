/* SPDX-License-Identifier: MIT */
/* edm.h - NVlabs/edm's networks and their configuration, shared by edm_unet.c and family_edm.c. */
#ifndef GD_NN_EDM_H
#define GD_NN_EDM_H

#include "nn/family.h"

/* edm_unet.c */
void nn_build_edm(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size);

/* Attention heads of a block of this width: DhariwalUNet has 64 channels in each, so that a
 * narrower block does not attend at all; SongUNet has one. */
static inline int nn_edm_heads(const gd_net_config *config, int channels)
{
    return config->song ? 1 : channels / 64;
}

#endif
