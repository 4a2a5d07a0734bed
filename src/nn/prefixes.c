/* SPDX-License-Identifier: MIT */
/* prefixes.c - what wrappers put before every name of a state dict. */
#include "nn/config_private.h"

#include <string.h>

/* DataParallel, torch.compile, ema_pytorch, latent diffusion's code, Lightning and EDM's
 * preconditioners */
static const char *const prefixes[] = { "module.",          "_orig_mod.",  "ema_model.",
                                        "diffusion_model.", "denoise_fn.", "model." };

/* iDDPMPrecond's levels are a buffer beside the network. */
static bool stands_apart(const char *name)
{
    return strcmp(name, "u") == 0;
}

static bool all_begin_with(const gd_bundle *bundle, const char *prefix)
{
    int n = 0;

    for (int i = 0; i < gd_bundle_count(bundle); i++) {
        const char *name = gd_bundle_array(bundle, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            n++;
        else if (!stands_apart(name))
            return false;
    }
    return n > 0;
}

/* Each round shortens every name, so that it ends. */
gd_status nn_strip_prefixes(gd_bundle *bundle)
{
    for (int k = 0; k < COUNT(prefixes); k++) {
        if (!all_begin_with(bundle, prefixes[k]))
            continue;
        GD_TRY(gd_bundle_strip(bundle, prefixes[k]));
        k = -1;
    }
    return GD_OK;
}
