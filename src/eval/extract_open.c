/* SPDX-License-Identifier: MIT */
/* extract_open.c - features by a file of weights, whichever network it is of. */
#include "eval/eval.h"

#include "nn/inception.h"

static gd_status unknown(const char *path)
{
    const gd_pickle_node *root;
    gd_bundle *bundle;

    GD_TRY(gd_bundle_open_tree(&bundle, &root, path)); /* what is wrong with the file itself */
    gd_bundle_close(bundle);
    return gd_fail(
        GD_EFORMAT,
        "%s: no network of features is known by these keys\nhint: the 2015 Inception, VGG16, "
        "or one of DINOv2, CLIP, MAE, SigLIP2, ConvNeXt V2",
        path);
}

gd_status gd_extractor_open(gd_extractor **out, const char *path, int batch, int height, int width)
{
    if (gd_is_vision_file(path))
        return gd_extractor_vision(out, path, batch, height, width);
    if (gd_is_vgg16_file(path))
        return gd_extractor_vgg16(out, path, batch, height, width);
    if (gd_is_inception_file(path))
        return gd_extractor_inception(out, path, &gd_dialect_adm, NULL, batch, height, width);
    return unknown(path);
}

gd_status gd_extractor_known(char *name, size_t size, const char *path)
{
    gd_extractor_shape shape;

    if (gd_is_vision_file(path))
        return gd_extractor_vision_shape(&shape, name, size, path);
    if (!gd_is_vgg16_file(path) && !gd_is_inception_file(path))
        return unknown(path);
    snprintf(name, size, "%s", gd_is_vgg16_file(path) ? "VGG16" : "Inception");
    return GD_OK;
}
