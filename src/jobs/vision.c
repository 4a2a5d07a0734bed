/* SPDX-License-Identifier: MIT */
/* vision.c - guided info of the weights of a Vision Transformer or of ConvNeXt V2. */
#include "jobs/jobs.h"
#include "eval/eval.h"
#include "nn/convnext.h"
#include "nn/vit.h"

#include <jansson.h>
#include <string.h>

static gd_status vit_json(const char *path, const gd_vit_file *file, const char *name)
{
    const gd_vit_config *c = gd_vit_file_config(file);

    return job_print_json(
        json_pack("{s:o, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i}", "file",
                  gd_json_text(path), "kind", "features", "network", name, "format",
                  gd_vit_file_format(file), "parameters", (json_int_t)gd_vit_file_parameters(file),
                  "image_size", c->image, "patch_size", c->patch, "depth", c->depth, "heads",
                  c->heads, "registers", c->registers, "features", gd_vit_width(c)));
}

static void print_head(const char *path, const char *name, const char *format)
{
    fprintf(job_out(), "%s\n", path);
    fprintf(job_out(), "kind            %s, for guided eval --features\n", name);
    fprintf(job_out(), "weights         in the names of %s\n",
            strcmp(format, "original") == 0 ? "its authors" : format);
}

static gd_status vit_info(const char *path, bool json)
{
    gd_vit_file *file;
    char name[64];
    gd_status s = GD_OK;

    GD_TRY(gd_vit_file_open(&file, path));
    const gd_vit_config *c = gd_vit_file_config(file);
    gd_vit_name(c, name, sizeof name);
    if (json) {
        s = vit_json(path, file, name);
    } else {
        print_head(path, name, gd_vit_file_format(file));
        fprintf(job_out(), "network         %d blocks, %d channels, %d heads\n", c->depth, c->width,
                c->heads);
        fprintf(job_out(), "images          %d x %d, patches of %d x %d\n", c->image, c->image,
                c->patch, c->patch);
        fprintf(job_out(), "features        %d\n", gd_vit_width(c));
        fprintf(job_out(), "parameters      %lld\n", (long long)gd_vit_file_parameters(file));
    }
    gd_vit_file_close(file);
    return s;
}

static gd_status convnext_info(const char *path, bool json)
{
    gd_convnext_file *file;
    gd_status s = GD_OK;

    GD_TRY(gd_convnext_file_open(&file, path));
    const gd_feature_source source = gd_convnext_file_source(file);
    const char *name = gd_convnext_file_name(file), *format = gd_convnext_file_format(file);
    if (json) {
        s = job_print_json(json_pack("{s:o, s:s, s:s, s:s, s:i, s:i}", "file", gd_json_text(path),
                                     "kind", "features", "network", name, "format", format,
                                     "image_size", source.image, "features", source.width));
    } else {
        print_head(path, name, format);
        fprintf(job_out(), "images          %d x %d\n", source.image, source.image);
        fprintf(job_out(), "features        %d\n", source.width);
    }
    gd_convnext_file_close(file);
    return s;
}

gd_status job_vision_info(const char *path, bool json)
{
    return gd_is_vit_file(path) ? vit_info(path, json) : convnext_info(path, json);
}

bool job_is_vision(const char *path, gd_status status)
{
    char before[1024];

    if (status != GD_EFORMAT)
        return false;
    snprintf(before, sizeof before, "%s", gd_error());
    if (gd_is_vision_file(path))
        return true;
    status = gd_fail(status, "%s", before);
    return false;
}
