/* convert.c - elements of every type, in rows: copied, widened to float32, narrowed from it. */
#include "io/io_private.h"

#include <string.h>

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Exact: a half has 1 sign, 5 exponent (bias 15) and 10 fraction bits. */
static float widen_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;

    if (exponent == 0x1f)
        return float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { /* fraction * 2^-24 */
        const float f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Round to nearest even; NaN stays NaN. */
static uint16_t narrow_bf16(float f)
{
    const uint32_t bits = bits_of_float(f);

    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t narrow_f16(float f)
{
    const uint32_t bits = bits_of_float(f), magnitude = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);

    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* below 2^-14: the sum's last bits are the half's subnormal, rounded by the addition */
        const float sum = float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (uint16_t)(bits_of_float(sum) - 0x3f000000));
    }
    return (uint16_t)(sign | (uint16_t)((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}

void gd_narrow(void *out, gd_dtype dtype, const float *in, int64_t n)
{
    uint16_t *narrow = out;

    for (int64_t i = 0; i < n; i++)
        narrow[i] = dtype == GD_BF16 ? narrow_bf16(in[i]) : narrow_f16(in[i]);
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

/* One loop for each type; memcpy because a file aligns nothing */
#define WIDEN(type, value)                                                                                             \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
        type v;                                                                                                        \
        memcpy(&v, in + (size_t)(i * step) * sizeof v, sizeof v);                                                      \
        out[i] = (value);                                                                                              \
    }                                                                                                                  \
    break

void io_widen_row(float *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step)
{
    switch (dtype) {
    case GD_F32: io_copy_row(out, in, dtype, n, step); break;
    case GD_BF16: WIDEN(uint16_t, float_of_bits((uint32_t)v << 16));
    case GD_F16: WIDEN(uint16_t, widen_f16(v));
    case GD_F64: WIDEN(double, (float)v);
    case GD_I64: WIDEN(int64_t, (float)v);
    case GD_I32: WIDEN(int32_t, (float)v);
    case GD_I16: WIDEN(int16_t, (float)v);
    case GD_I8: WIDEN(int8_t, (float)v);
    case GD_U8: WIDEN(uint8_t, (float)v);
    case GD_BOOL: WIDEN(uint8_t, v != 0 ? 1.0f : 0.0f);
    }
}
