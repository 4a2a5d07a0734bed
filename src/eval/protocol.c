/* SPDX-License-Identifier: MIT */
/* protocol.c - the table of published references.  Sources: evaluations/README.md of
 * guided-diffusion (names, sizes, 50,000 samples); the README of EDM (statistics under fid-refs).
 */
#include "eval/protocol.h"

#include <string.h>

static const char two[] = "ImageNet 64 x 64 is in use with two references, one for FID and one for "
                          "precision and recall: name the one of each number";

static const gd_published references[] = {
    { "VIRTUAL_imagenet64_labeled.npz", "ADM's ImageNet 64 x 64", "adm", 64, 50000, true, two },
    { "VIRTUAL_imagenet128_labeled.npz", "ADM's ImageNet 128 x 128", "adm", 128, 50000, true,
      NULL },
    { "VIRTUAL_imagenet256_labeled.npz", "ADM's ImageNet 256 x 256", "adm", 256, 50000, true,
      NULL },
    { "VIRTUAL_imagenet512.npz", "ADM's ImageNet 512 x 512", "adm", 512, 50000, true,
      "the file may hold 1,000 images (guided-diffusion, issue 66), fewer than precision and "
      "recall "
      "presume" },
    { "VIRTUAL_lsun_bedroom256.npz", "ADM's LSUN bedroom", "adm", 256, 50000, false, NULL },
    { "VIRTUAL_lsun_cat256.npz", "ADM's LSUN cat", "adm", 256, 50000, false, NULL },
    { "VIRTUAL_lsun_horse256.npz", "ADM's LSUN horse", "adm", 256, 50000, false, NULL },
    { "cifar10-32x32.npz", "EDM's CIFAR-10", "edm", 0, 50000, false, NULL },
    { "ffhq-64x64.npz", "EDM's FFHQ 64 x 64", "edm", 0, 50000, false, NULL },
    { "afhqv2-64x64.npz", "EDM's AFHQv2 64 x 64", "edm", 0, 50000, false, NULL },
    { "imagenet-64x64.npz", "EDM's ImageNet 64 x 64", "edm", 0, 50000, false,
      "EDM's resize of the training images is not that of ADM's reference" },
};

const gd_published *gd_published_find(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    for (int i = 0; i < COUNT(references); i++)
        if (strcmp(name, references[i].name) == 0)
            return &references[i];
    return NULL;
}
