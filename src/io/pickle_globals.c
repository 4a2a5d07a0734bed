/* SPDX-License-Identifier: MIT */
/* pickle_globals.c - all that a pickle may name.  None of it is imported or called: a name stands
 * for the record that pickle_records.c or pickle_objects.c makes. */
#include "io/pickle_private.h"

#include <string.h>

static const struct {
    const char *module, *name;
    global global;
    gd_dtype dtype;
} allowed[] = {
    { "collections", "OrderedDict", GLOBAL_ORDERED_DICT, GD_F32 },
    { "torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR, GD_F32 },
    { "torch._utils", "_rebuild_parameter", GLOBAL_REBUILD_PARAMETER, GD_F32 },
    { "torch", "FloatStorage", GLOBAL_STORAGE, GD_F32 },
    { "torch", "HalfStorage", GLOBAL_STORAGE, GD_F16 },
    { "torch", "BFloat16Storage", GLOBAL_STORAGE, GD_BF16 },
    { "torch", "DoubleStorage", GLOBAL_STORAGE, GD_F64 },
    { "torch", "LongStorage", GLOBAL_STORAGE, GD_I64 },
    { "torch", "IntStorage", GLOBAL_STORAGE, GD_I32 },
    { "torch", "ShortStorage", GLOBAL_STORAGE, GD_I16 },
    { "torch", "CharStorage", GLOBAL_STORAGE, GD_I8 },
    { "torch", "ByteStorage", GLOBAL_STORAGE, GD_U8 },
    { "torch", "BoolStorage", GLOBAL_STORAGE, GD_BOOL },
    /* networks that EDM pickles as objects */
    { "torch.storage", "_load_from_bytes", GLOBAL_STORAGE_BYTES, GD_F32 },
    { "torch_utils.persistence", "_reconstruct_persistent_obj", GLOBAL_PERSISTENT, GD_F32 },
    { "torch.nn.modules.container", "ModuleDict", GLOBAL_CLASS, GD_F32 },
    { "dnnlib.util", "EasyDict", GLOBAL_DICT_CLASS, GD_F32 },
    { "numpy.core.multiarray", "scalar", GLOBAL_SCALAR, GD_F32 },
    { "numpy._core.multiarray", "scalar", GLOBAL_SCALAR, GD_F32 },
    { "numpy", "dtype", GLOBAL_DTYPE, GD_F32 },
    { "_codecs", "encode", GLOBAL_ENCODE, GD_F32 },
    { "torch.jit._pickle", "build_intlist", GLOBAL_SET, GD_F32 }, /* lists of TorchScript */
    { "torch.jit._pickle", "build_doublelist", GLOBAL_SET, GD_F32 },
    { "torch.jit._pickle", "build_boollist", GLOBAL_SET, GD_F32 },
    { "__builtin__", "set", GLOBAL_SET, GD_F32 },
    { "builtins", "set", GLOBAL_SET, GD_F32 },
    /* hyper-parameters beside a state dict */
    { "argparse", "Namespace", GLOBAL_CLASS, GD_F32 },
};

static gd_status take_line(machine *m, char *out, size_t size)
{
    uint8_t c = 0;

    for (size_t i = 0; i < size; i++) {
        GD_TRY(gd_take_u8(m->c, &c));
        out[i] = c == '\n' ? '\0' : (char)c;
        if (c == '\n')
            return GD_OK;
    }
    return io_pickle_refuse(m, "a name too long for a global");
}

static gd_status push_named(machine *m, char *module, char *name)
{
    value *v;

    for (int i = 0; i < COUNT(allowed); i++)
        if (strcmp(module, allowed[i].module) == 0 && strcmp(name, allowed[i].name) == 0) {
            GD_TRY(io_pickle_make(m, &v, GD_PICKLE_NONE, TAG_GLOBAL));
            v->global = allowed[i].global;
            v->dtype = allowed[i].dtype;
            v->node.text = allowed[i].name;
            return GD_OK;
        }
    if (m->script && strncmp(module, "__torch__", 9) == 0) {
        GD_TRY(io_pickle_make(m, &v, GD_PICKLE_NONE, TAG_GLOBAL));
        v->global = GLOBAL_CLASS;
        v->node.text = "module"; /* which class it is decides nothing */
        return GD_OK;
    }
    for (char *p = module; *p; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    for (char *p = name; *p; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    gd_status s =
        gd_fail(GD_EFORMAT,
                "%s: pickle offset %llu, opcode 0x%02x: asks for %s.%s, which a model file "
                "does not need: refused",
                m->c->file, (unsigned long long)m->op_offset, m->op, module, name);
    if (strncmp(module, "pytorch_lightning", 17) == 0 || strncmp(module, "omegaconf", 9) == 0)
        gd_detail("hint: a checkpoint of PyTorch Lightning; save its state_dict alone");
    return s;
}

gd_status io_pickle_push_global(machine *m)
{
    char module[256], name[128]; /* those of a program have the path of its file */

    GD_TRY(take_line(m, module, sizeof module));
    GD_TRY(take_line(m, name, sizeof name));
    return push_named(m, module, name);
}

gd_status io_pickle_push_stack_global(machine *m)
{
    value *module, *name;
    char text[2][128];

    GD_TRY(io_pickle_pop(m, &name));
    GD_TRY(io_pickle_pop(m, &module));
    if (!is(module, GD_PICKLE_STRING) || !is(name, GD_PICKLE_STRING))
        return io_pickle_refuse(m, "a global whose names are no texts");
    snprintf(text[0], sizeof text[0], "%s", module->node.text);
    snprintf(text[1], sizeof text[1], "%s", name->node.text);
    return push_named(m, text[0], text[1]);
}
