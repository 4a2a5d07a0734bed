/* vit.c - guided info of a Vision Transformer's weights. */
#include "cli/cli.h"
#include "nn/vit.h"

#include <jansson.h>
#include <string.h>

static gd_status print_json(const char *path, const gd_vit_file *file, const char *name)
{
    const gd_vit_config *c = gd_vit_file_config(file);

    return cli_print_json(
        json_pack("{s:o, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i}", "file",
                  gd_json_text(path), "kind", "features", "network", name, "format",
                  gd_vit_file_format(file), "parameters", (json_int_t)gd_vit_file_parameters(file),
                  "image_size", c->image, "patch_size", c->patch, "depth", c->depth, "heads",
                  c->heads, "registers", c->registers, "features", gd_vit_width(c)));
}

gd_status cli_vit_info(const char *path, bool json)
{
    gd_vit_file *file;
    char name[64];
    gd_status s = GD_OK;

    GD_TRY(gd_vit_file_open(&file, path));
    const gd_vit_config *c = gd_vit_file_config(file);
    gd_vit_name(c, name, sizeof name);
    if (json) {
        s = print_json(path, file, name);
    } else {
        printf("%s\n", path);
        printf("kind            %s, for guided eval --features\n", name);
        printf("weights         in the names of %s\n", strcmp(gd_vit_file_format(file), "original")
                                                           ? gd_vit_file_format(file)
                                                           : "its authors");
        printf("network         %d blocks, %d channels, %d heads\n", c->depth, c->width, c->heads);
        printf("images          %d x %d, patches of %d x %d\n", c->image, c->image, c->patch,
               c->patch);
        printf("features        %d\n", gd_vit_width(c));
        printf("parameters      %lld\n", (long long)gd_vit_file_parameters(file));
    }
    gd_vit_file_close(file);
    return s;
}

bool cli_is_vit(const char *path, gd_status status)
{
    char before[1024];

    if (status != GD_EFORMAT)
        return false;
    snprintf(before, sizeof before, "%s", gd_error());
    if (gd_is_vit_file(path))
        return true;
    status = gd_fail(status, "%s", before);
    return false;
}
