/* SPDX-License-Identifier: MIT */
/* dtype.c - element types: sizes and the names that safetensors gives them. */
#include "base/base.h"

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [GD_F32] = { "F32", 4 },   [GD_BF16] = { "BF16", 2 }, [GD_F16] = { "F16", 2 },
    [GD_F64] = { "F64", 8 },   [GD_I64] = { "I64", 8 },   [GD_I32] = { "I32", 4 },
    [GD_I16] = { "I16", 2 },   [GD_I8] = { "I8", 1 },     [GD_U8] = { "U8", 1 },
    [GD_BOOL] = { "BOOL", 1 }, [GD_U16] = { "U16", 2 },   [GD_U32] = { "U32", 4 },
    [GD_U64] = { "U64", 8 },
};

size_t gd_dtype_bytes(gd_dtype dtype)
{
    return types[dtype].bytes;
}

const char *gd_dtype_name(gd_dtype dtype)
{
    return types[dtype].name;
}
