/* SPDX-License-Identifier: MIT */
/* foreign.c - networks of others that people have files of, by the names of their parameters. */
#include "nn/config_private.h"

#include <string.h>

/* Both texts stand somewhere in names of parameters; the first row that fits. */
static const struct {
    const char *one, *other, *what;
} networks[] = {
    { "transformer.resblocks.", "input_blocks.", "GLIDE, which is conditioned on text" },
    { "attn2.to_k", "attn2.to_v", "a network conditioned on text, as Stable Diffusion's" },
    { "first_stage_model.", "",
      "a latent diffusion model: its images are codes of an autoencoder" },
    { "adaLN_modulation", "x_embedder.", "a diffusion transformer (DiT) on latent codes" },
    { "visual.", "token_embedding.", "CLIP, which compares pictures with texts" },
    { "all_modules.", "", "a network of score_sde" },
    { "downs.0.", "ups.0.", "a network of denoising-diffusion-pytorch" },
    { "down_blocks.", "up_blocks.", "a network of diffusers" },
    { "map_layer0.", "", "a network of EDM" },
    { "synthesis.", "mapping.", "a generator of StyleGAN" },
    { "Mixed_5b.", "Mixed_7c.", "an Inception network: --inception takes it" },
    { "layer1.0.conv1.", "fc.", "a ResNet" },
};

static bool has(const nn_keys *keys, const char *text)
{
    for (int i = 0; i < keys->n; i++)
        if (strstr(keys->sorted[i]->name, text))
            return true;
    return false;
}

void nn_name_foreign(const nn_keys *keys)
{
    for (int i = 0; i < COUNT(networks); i++)
        if (has(keys, networks[i].one) && has(keys, networks[i].other)) {
            gd_detail("hint: its names are those of %s", networks[i].what);
            return;
        }
}
