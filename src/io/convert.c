/* SPDX-License-Identifier: MIT */
/* convert.c - element types to and from float32. */
#include "io/io_private.h"

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

void io_copy_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step)
{
    const size_t width = gd_dtype_bytes(dtype);
    unsigned char *to = out;

    if (step == 1) {
        memcpy(out, in, (size_t)n * width);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * width, in + (size_t)(i * step) * width, width);
}

/* memcpy: a file aligns nothing */
#define WIDEN(TYPE, EXPRESSION)                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                              \
        TYPE v;                                                                                    \
        memcpy(&v, in + (size_t)(i * step) * sizeof v, sizeof v);                                  \
        to[i] = (float)(EXPRESSION);                                                               \
    }                                                                                              \
    break

void io_widen_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step)
{
    float *to = out;

    switch (dtype) {
    case GD_F32:
        io_copy_row(out, in, dtype, n, step);
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
        WIDEN(uint8_t, v);
    case GD_BOOL:
        WIDEN(uint8_t, v != 0);
    case GD_U16:
        WIDEN(uint16_t, v);
    case GD_U32:
        WIDEN(uint32_t, v);
    case GD_U64:
        WIDEN(uint64_t, v);
    }
}

#define INTEGERS(TYPE)                                                                             \
    for (int64_t i = 0; i < n; i++) {                                                              \
        TYPE v;                                                                                    \
        memcpy(&v, in + (size_t)(i * step) * sizeof v, sizeof v);                                  \
        to[i] = (int64_t)v;                                                                        \
    }                                                                                              \
    break

bool io_is_integer(gd_dtype dtype)
{
    return dtype != GD_F32 && dtype != GD_BF16 && dtype != GD_F16 && dtype != GD_F64;
}

void io_integer_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step)
{
    int64_t *to = out;

    switch (dtype) {
    case GD_I64:
    case GD_U64: /* above 2^63 negative: no label */
        INTEGERS(int64_t);
    case GD_I32:
        INTEGERS(int32_t);
    case GD_I16:
        INTEGERS(int16_t);
    case GD_I8:
        INTEGERS(int8_t);
    case GD_U32:
        INTEGERS(uint32_t);
    case GD_U16:
        INTEGERS(uint16_t);
    case GD_BOOL:
    case GD_U8:
        INTEGERS(uint8_t);
    default:
        break;
    }
}

void io_swap_bytes(unsigned char *data, gd_dtype dtype, int64_t n)
{
    const size_t width = gd_dtype_bytes(dtype);

    for (int64_t i = 0; i < n; i++, data += width)
        for (size_t k = 0; k < width / 2; k++) {
            const unsigned char byte = data[k];
            data[k] = data[width - 1 - k];
            data[width - 1 - k] = byte;
        }
}

static uint16_t to_bf16(float v)
{
    uint32_t u;

    memcpy(&u, &v, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Round to nearest even.  Below 2^-14 the sum with 0.5 rounds at the last bit of a subnormal half.
 */
static uint16_t to_half(float v)
{
    uint32_t u, magnitude;
    float sum;

    memcpy(&u, &v, sizeof u);
    magnitude = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (magnitude > 0x7f800000) /* NaN, made quiet */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and more */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude >= 0x38800000)
        return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
    memcpy(&sum, &magnitude, sizeof sum);
    sum += 0.5f;
    memcpy(&u, &sum, sizeof u);
    return (uint16_t)(sign | (u - 0x3f000000));
}

void gd_narrow(void *out, gd_dtype dtype, const float *in, int64_t n)
{
    uint16_t *to = out;

    for (int64_t i = 0; i < n; i++)
        to[i] = dtype == GD_BF16 ? to_bf16(in[i]) : to_half(in[i]);
}
