/* SPDX-License-Identifier: MIT */
/* eval_network.c - which network gives guided eval its features. */
#include "jobs/eval.h"

#include <stdlib.h>
#include <string.h>

/* Under these names the 2015 network's weights are passed on (docs/reference/networks.md#inception)
 */
static const char *const known_files[] = { "classify_image_graph_def.pb",
                                           "pt_inception-2015-12-05-6726825d.pth",
                                           "weights-inception-2015-12-05-6726825d.pth",
                                           "inception-2015-12-05.pt", "inception.safetensors" };

static void data_folder(char out[GD_MAX_PATH])
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (data && *data)
        snprintf(out, GD_MAX_PATH, "%s/guided", data);
    else
        snprintf(out, GD_MAX_PATH, "%s/.local/share/guided", home ? home : "");
}

/* The one known file in the data folder; two of them are not the same network to the last bit. */
static gd_status find_file(const char **out)
{
    static char path[GD_MAX_PATH + 64];
    char folder[GD_MAX_PATH], other[GD_MAX_PATH + 64];

    data_folder(folder);
    *out = NULL;
    for (int i = 0; i < COUNT(known_files); i++) {
        snprintf(other, sizeof other, "%s/%s", folder, known_files[i]);
        if (!gd_path_exists(other))
            continue;
        if (*out)
            return gd_fail(GD_EUSAGE, "%s and %s: which is the network?\nhint: --inception FILE",
                           path, other);
        memcpy(path, other, sizeof path);
        *out = path;
    }
    return GD_OK;
}

gd_status eval_network_missing(void)
{
    char folder[GD_MAX_PATH];
    gd_status s = gd_fail(GD_EUSAGE, "no Inception network: its weights are a file of their own");

    data_folder(folder);
    gd_detail("file: classify_image_graph_def.pb, about 100 MB, at");
    gd_detail("  https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches/"
              "classify_image_graph_def.pb");
    gd_detail("  or pt_inception-2015-12-05-6726825d.pth (SHA-256 begins with 6726825d)");
    gd_detail("hint: --inception FILE, GUIDED_INCEPTION=FILE, or the file in %.300s;", folder);
    gd_detail(
        "hint: --features FILE takes those of a classifier or of a Vision Transformer instead");
    return s;
}

/* Weights are read when images are there. */
static gd_status find_vit(eval_run *r)
{
    eval_network *n = &r->network;

    n->path = r->o.features;
    return gd_extractor_vision_shape(&n->shape, n->vit, sizeof n->vit, n->path);
}

static gd_status open_classifier(eval_run *r)
{
    eval_network *n = &r->network;

    n->path = r->o.features;
    GD_TRY(job_builtin_path(&n->path, n->built_in, JOB_CLASSIFIER));
    GD_TRY(gd_model_open(&n->model, n->path, r->words.flag, r->words.n_flags));
    GD_TRY(gd_extractor_classifier(&n->extractor, n->model));
    n->shape = gd_extractor_get_shape(n->extractor);
    return gd_extractor_hash(n->extractor, n->hash);
}

/* Where the weights of other representations are published */
static void say_where(void)
{
    static const struct {
        const char *network, *address;
    } known[] = { { "DINOv2", "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/"
                              "dinov2_vitl14_pretrain.pth" },
                  { "CLIP", "https://huggingface.co/openai/clip-vit-large-patch14-336" },
                  { "MAE",
                    "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_large.pth" },
                  { "SigLIP2", "https://huggingface.co/google/siglip2-base-patch16-224" },
                  { "ConvNeXt V2", "https://dl.fbaipublicfiles.com/convnext/convnextv2/im22k/"
                                   "convnextv2_base_22k_224_ema.pt" } };

    gd_detail("hint: a classifier of guided train-classifier, or published weights, for example");
    for (int i = 0; i < COUNT(known); i++)
        gd_detail("  %-12s %s", known[i].network, known[i].address);
}

static gd_status find_features(eval_run *r)
{
    gd_status s;

    if (gd_is_vision_file(r->o.features))
        return find_vit(r);
    s = open_classifier(r);
    if (s != GD_OK && !gd_path_exists(r->o.features))
        say_where();
    return s;
}

gd_status eval_network_find(eval_run *r)
{
    const char *environment = getenv("GUIDED_INCEPTION");
    eval_network *n = &r->network;

    if (r->o.features && r->o.inception)
        return gd_fail(GD_EUSAGE, "--features and --inception: one network gives the features");
    if (r->o.features)
        return find_features(r);
    n->shape = gd_inception_shape;
    n->path = r->o.inception ? r->o.inception : environment;
    return n->path && *n->path ? GD_OK : find_file(&n->path);
}

static gd_status open_vit(eval_run *r)
{
    eval_network *n = &r->network;

    if (n->extractor)
        return GD_OK;
    GD_TRY(gd_extractor_vision(&n->extractor, n->path, r->o.batch, n->height, n->width));
    return gd_extractor_hash(n->extractor, n->hash);
}

static gd_status check_classifier(const eval_network *n, const eval_side *side)
{
    const int height = gd_images_height(side->images), width = gd_images_width(side->images);
    const int size = n->shape.size;
    char name[512];

    if (height == size && width == size)
        return GD_OK;
    gd_images_name(side->images, 0, name, sizeof name);
    return gd_fail(GD_EMISMATCH, "%s is %d x %d, the classifier sees %d x %d\nhint: %s", name,
                   width, height, size, size,
                   width < size ? "--pad puts a border around it"
                                : "--crop SIZE shrinks and crops it");
}

gd_status eval_network_ready(eval_run *r, const eval_side *side)
{
    eval_network *n = &r->network;
    const int height = gd_images_height(side->images), width = gd_images_width(side->images);

    if (!n->path)
        return eval_network_missing();
    if (n->model)
        return check_classifier(n, side);
    if (n->extractor && height == n->height && width == n->width)
        return GD_OK;
    n->height = height;
    n->width = width;
    if (n->extractor && gd_extractor_set_size(n->extractor, height, width))
        return GD_OK;
    if (*n->vit)
        return open_vit(r);
    gd_extractor_free(n->extractor);
    n->extractor = NULL;
    GD_TRY(gd_extractor_inception(&n->extractor, n->path, r->dialect, n->beside, r->o.batch, height,
                                  width));
    return gd_extractor_hash(n->extractor, n->hash);
}

void eval_network_close(eval_network *n)
{
    gd_extractor_free(n->extractor);
    gd_model_close(n->model);
}
