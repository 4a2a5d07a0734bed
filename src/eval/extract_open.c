/* extract_open.c - features by a file of weights, whichever network it is of. */
#include "eval/eval.h"

#include "nn/inception.h"
#include "nn/vit.h"

gd_status gd_extractor_open(gd_extractor **out, const char *path, int batch, int height, int width)
{
    if (gd_is_vit_file(path))
        return gd_extractor_vit(out, path, batch, height, width);
    if (gd_is_inception_file(path))
        return gd_extractor_inception(out, path, GD_DIALECT_ADM, batch, height, width);
    return gd_fail(
        GD_EFORMAT,
        "%s: no network of features is known by these keys\nhint: the 2015 Inception, or "
        "a Vision Transformer of DINOv2, CLIP, MAE or SigLIP2",
        path);
}
