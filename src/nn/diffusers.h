/* SPDX-License-Identifier: MIT */
/* diffusers.h - diffusers' UNet2DModel and its folders, shared by diffusers_unet.c,
 * family_diffusers.c, diffusers_folder.c and diffusers_save.c. */
#ifndef GD_NN_DIFFUSERS_H
#define GD_NN_DIFFUSERS_H

#include "nn/family.h"

/* The texts of a folder beside its weights (gd_bundle_meta) */
#define NN_DIFFUSERS_CONFIG "diffusers.config"
#define NN_DIFFUSERS_SCHEDULER "diffusers.scheduler"

/* diffusers_unet.c */
void nn_build_diffusers(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size);

/* diffusers_folder.c: does the folder hold config.json, or unet/config.json? */
bool nn_is_diffusers_folder(const char *folder);
/* Its weights, by the names that new files have, with the two texts */
GD_CHECKED gd_status nn_open_diffusers(gd_bundle **out, const char *folder);

#endif
