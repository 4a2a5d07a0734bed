/* convert.c - element types to and from float32. */
#include "io/io.h"

#include <string.h>

static float from_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31,
                   fraction = h & 0x3ff;
    uint32_t bits;
    float out;

    if (exponent == 0) {
        out = (float)fraction * 0x1p-24f; /* zero or subnormal */
        memcpy(&bits, &out, sizeof bits);
    } else {
        bits =
            exponent == 31 ? 0x7f800000 | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
    }
    bits |= sign;
    memcpy(&out, &bits, sizeof out);
    return out;
}

static float from_bf16(uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float out;

    memcpy(&out, &bits, sizeof out);
    return out;
}

#define WIDEN(TYPE, EXPRESSION)                                                                    \
    for (int64_t i = n - 1; i >= 0; i--) {                                                         \
        TYPE v;                                                                                    \
        memcpy(&v, from + i * (int64_t)sizeof v, sizeof v);                                        \
        out[i] = (float)(EXPRESSION);                                                              \
    }                                                                                              \
    break

static void widen(float *out, gd_dtype dtype, const unsigned char *from, int64_t n)
{
    switch (dtype) {
    case GD_F32:
        memmove(out, from, (size_t)n * sizeof *out);
        break;
    case GD_F16:
        WIDEN(uint16_t, from_half(v));
    case GD_BF16:
        WIDEN(uint16_t, from_bf16(v));
    case GD_F64:
        WIDEN(double, v);
    case GD_I64:
        WIDEN(int64_t, v);
    case GD_I32:
        WIDEN(int32_t, v);
    case GD_I16:
        WIDEN(int16_t, v);
    case GD_I8:
        WIDEN(int8_t, v);
    case GD_U8:
    case GD_BOOL:
        WIDEN(uint8_t, v);
    }
}

gd_status gd_bundle_read_f32(const gd_bundle *b, const gd_array *array, float *out)
{
    const int64_t n = gd_array_count(array);
    void *raw;

    if (array->dtype == GD_F32)
        return gd_bundle_read(b, array, out);
    GD_TRY(gd_block_make(&raw, (size_t)GD_MAX(n, 1) * gd_dtype_bytes(array->dtype), array->name));
    gd_status s = gd_bundle_read(b, array, raw);
    if (s == GD_OK)
        widen(out, array->dtype, raw, n);
    gd_block_free(raw);
    return s;
}

static uint16_t to_bf16(float v)
{
    uint32_t u;

    memcpy(&u, &v, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* The compiler rounds to nearest even. */
static uint16_t to_half(float v)
{
    const _Float16 half = (_Float16)v;
    uint16_t out;

    memcpy(&out, &half, sizeof out);
    return out;
}

void gd_narrow(void *out, gd_dtype dtype, const float *in, int64_t n)
{
    uint16_t *to = out;

    for (int64_t i = 0; i < n; i++)
        to[i] = dtype == GD_BF16 ? to_bf16(in[i]) : to_half(in[i]);
}
