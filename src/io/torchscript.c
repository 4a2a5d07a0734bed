/* SPDX-License-Identifier: MIT */
/* torchscript.c - the weights of an archive of torch.jit.save: a tree of modules, inert records
 * whose state maps attributes to tensors, to further modules and to what decides no weight.  The
 * program beside them (code/) is neither read nor run. */
#include "io/io_private.h"

#include <string.h>

/* Modules within modules; names join with dots, as in a state dict */
static gd_status add_module(io_pickle *p, gd_bundle *b, const gd_pickle_node *object,
                            const char *path)
{
    const gd_pickle_node *state = object->count == 1 ? object->item[0] : NULL;
    char name[GD_MAX_NAME];

    for (int i = 0; state && state->kind == GD_PICKLE_DICT && i < state->count; i++) {
        const gd_pickle_node *key = state->item[2 * i], *v = state->item[2 * i + 1];
        if (v->kind != GD_PICKLE_TENSOR && v->kind != GD_PICKLE_OBJECT)
            continue;
        if (key->kind != GD_PICKLE_STRING ||
            snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", key->text) >= GD_MAX_NAME)
            return gd_fail(GD_EFORMAT, "%s: a module without a name, or too long a one", b->path);
        if (v->kind == GD_PICKLE_TENSOR)
            GD_TRY(io_pickle_add_tensor(p, b, v, name));
        else
            GD_TRY(add_module(p, b, v, name));
    }
    return GD_OK;
}

gd_status io_read_torchscript(gd_bundle *b)
{
    io_pickle *p;

    b->format = "TorchScript";
    GD_TRY(io_read_torch_pickle(&p, b, io_pickle_read_script));
    if (io_pickle_root(p)->kind != GD_PICKLE_OBJECT)
        return gd_fail(GD_EFORMAT, "%s: no module", b->path);
    return add_module(p, b, io_pickle_root(p), "");
}
