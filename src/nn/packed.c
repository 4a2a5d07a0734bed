/* SPDX-License-Identifier: MIT */
/* packed.c - a model file whose weights lie as one plan wants them: nothing is read, allocated or
 * packed when it is opened again, and all processes share its pages. */
#include "nn/model_private.h"

#include <string.h>

enum { ALIGN = 64, PIECE = 16 << 20 };

/* For people; what counts is the layout. */
static const char *packed_for(gd_arena *mem, const gd_model *m, bool bf16)
{
    const int size = gd_model_get_config(m)->net.image_size;

    return gd_sprintf(mem, "%dx%d, %s, %s, oneDNN %s", size, size, bf16 ? "bf16" : "fp32",
                      gd_isa_name(gd_isa_used()), gd_onednn_version());
}

/* ---- writing ---- */

static gd_status write_pieces(gd_safetensors_writer *w, const unsigned char *weights, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        GD_TRY(gd_check_stop());
        GD_TRY(gd_safetensors_add(w, weights + at, GD_MIN((size_t)PIECE, bytes - at)));
    }
    return GD_OK;
}

static gd_status write_file(const gd_runner *r, const char *path, bool overwrite,
                            const gd_meta *meta, int n_meta)
{
    const size_t bytes = gd_plan_weights_bytes(gd_runner_plan(r));
    const gd_array array = {
        .name = NN_PACKED, .dtype = GD_U8, .rank = 1, .dim = { (int64_t)bytes }
    };
    gd_safetensors_writer *w;
    gd_status s;

    GD_TRY(gd_safetensors_begin(&w, path, overwrite, &array, 1, meta, n_meta));
    s = write_pieces(w, gd_exec_weights(gd_runner_exec(r)), bytes);
    if (s == GD_OK)
        return gd_safetensors_commit(w);
    gd_safetensors_abort(w);
    return s;
}

static gd_status pack(const gd_model *m, gd_arena *mem, const gd_runner *r, const char *path,
                      bool overwrite, bool bf16, const char *const *classes, int n_classes)
{
    gd_meta meta[NN_MODEL_META + 3];
    char layout[33], hash[33];
    int n;

    GD_TRY(nn_model_describe(m, mem, classes, n_classes, meta, &n));
    GD_TRY(gd_plan_layout(gd_runner_plan(r), layout));
    GD_TRY(gd_model_hash(m, hash));
    meta[n++] = (gd_meta){ NN_PACKED_FOR, packed_for(mem, m, bf16) };
    if (!meta[n - 1].value)
        return gd_fail(GD_ENOMEM, "model: out of memory");
    meta[n++] = (gd_meta){ NN_PACKED_LAYOUT, layout };
    meta[n++] = (gd_meta){ NN_PACKED_HASH, hash };
    return write_file(r, path, overwrite, meta, n);
}

gd_status gd_model_pack(const gd_model *m, const char *path, bool overwrite, bool bf16,
                        const char *const *classes, int n_classes)
{
    const gd_net_config *c = &gd_model_get_config(m)->net;
    const gd_net_size size = gd_net_natural_size(c, 1);
    gd_runner *r = NULL;
    gd_arena *mem;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    s = gd_runner_make(&r, m, &size, c->kind == GD_NET_CLASSIFIER, bf16, gd_threads());
    if (s == GD_OK)
        s = pack(m, mem, r, path, overwrite, bf16, classes, n_classes);
    gd_runner_free(r);
    gd_arena_free(mem);
    return s;
}

/* ---- reading ---- */

static gd_status refuse(const gd_model *m, bool bf16)
{
    gd_arena *mem;

    GD_TRY(gd_arena_make(&mem));
    const char *here = packed_for(mem, m, bf16);
    gd_status s = gd_fail(GD_EMISMATCH,
                          "its weights are packed for %s; wanted here: %s\n"
                          "hint: give the file that they were packed from, or pack that one for "
                          "this: guided convert IN OUT --packed --dtype %s",
                          gd_model_packed(m), here ? here : "", bf16 ? "bf16" : "fp32");
    gd_arena_free(mem);
    return s;
}

gd_status nn_packed_weights(const void **out, const gd_model *m, const gd_plan *plan, bool bf16)
{
    const gd_bundle *b = m->bundle;
    const gd_array *array;
    const char *layout;
    char wanted[33];

    *out = NULL;
    if (!gd_model_packed(m))
        return GD_OK;
    layout = gd_bundle_meta(b, NN_PACKED_LAYOUT);
    array = gd_bundle_find(b, NN_PACKED);
    GD_TRY(gd_plan_layout(plan, wanted));
    if (!layout || strcmp(layout, wanted) != 0 ||
        gd_array_count(array) != (int64_t)gd_plan_weights_bytes(plan))
        return refuse(m, bf16);
    *out = gd_bundle_view(b, array);
    if (*out && (uintptr_t)*out % ALIGN == 0)
        return GD_OK;
    return gd_fail(GD_EFORMAT, "its weights do not begin at a multiple of %d bytes", ALIGN);
}
