/* SPDX-License-Identifier: MIT */
#include "fixture.h"

const shape shapes[] = {
    { 1, 1, 1, 1 },  { 2, 3, 3, 5 },    { 1, 6, 4, 4 },  { 3, 8, 2, 3 },    { 1, 16, 17, 19 },
    { 2, 16, 1, 1 }, { 2, 17, 5, 7 },   { 1, 17, 1, 1 }, { 1, 32, 16, 16 }, { 3, 33, 3, 3 },
    { 2, 48, 9, 7 }, { 1, 64, 23, 12 }, { 2, 64, 1, 1 }, { 1, 192, 8, 8 },
};
const int n_shapes = COUNT(shapes);

enum { GUARD = 32 }; /* elements before and after */
static const unsigned char guard_byte = 0x7b;

static int lanes_of(const gd_view *v)
{
    return v->image == (int64_t)v->h * v->w * v->c ? v->c : (v->c + 15) / 16 * 16;
}

static int64_t at(const gd_view *v, int n, int c, int p)
{
    return n * v->image + c / 16 * v->block + p * v->pixel + c % 16;
}

static gd_view allocate(shape s, bool blocked, gd_dtype dtype)
{
    const int64_t pixels = (int64_t)s.h * s.w;
    gd_view v = { .dtype = dtype, .n = s.n, .c = s.c, .h = s.h, .w = s.w };
    const size_t element = dtype == GD_F32 ? 4 : 2;

    v.pixel = blocked ? 16 : s.c;
    v.block = blocked ? 16 * pixels : 16;
    v.image = blocked ? (s.c + 15) / 16 * 16 * pixels : pixels * s.c;
    unsigned char *bytes = malloc((size_t)(v.n * v.image + 2 * GUARD) * element);
    assert_non_null(bytes);
    memset(bytes, guard_byte, (size_t)(v.n * v.image + 2 * GUARD) * element);
    v.data = bytes + GUARD * element;
    return v;
}

static void store(gd_view *v, int64_t i, float x)
{
    uint32_t bits;

    if (v->dtype == GD_F32) {
        ((float *)v->data)[i] = x;
        return;
    }
    memcpy(&bits, &x, sizeof bits);
    ((uint16_t *)v->data)[i] = (uint16_t)(bits >> 16);
}

float random_unit(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (1 << 23) - 1.0f;
}

gd_view make_view(shape s, bool blocked, gd_dtype dtype, unsigned seed)
{
    gd_view v = allocate(s, blocked, dtype);

    memset(v.data, 0, (size_t)(v.n * v.image) * (dtype == GD_F32 ? 4 : 2));
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int p = 0; p < s.h * s.w; p++)
                set_value(&v, n, c, p, 2 * random_unit(&seed));
    return v;
}

gd_view make_output(shape s, bool blocked, gd_dtype dtype)
{
    gd_view v = allocate(s, blocked, dtype);

    for (int64_t i = 0; i < v.n * v.image; i++)
        store(&v, i, NAN);
    return v;
}

gd_view copy_of(const gd_view *v)
{
    gd_view copy = allocate((shape){ v->n, v->c, v->h, v->w },
                            v->image != (int64_t)v->h * v->w * v->c, v->dtype);

    copy.pixel = v->pixel;
    copy.block = v->block;
    memcpy(copy.data, v->data, (size_t)(v->n * v->image) * (v->dtype == GD_F32 ? 4 : 2));
    return copy;
}

void release(gd_view *v)
{
    const size_t element = v->dtype == GD_F32 ? 4 : 2, bytes = GUARD * element;
    unsigned char *first = (unsigned char *)v->data - bytes;
    const unsigned char *end = (unsigned char *)v->data + (size_t)(v->n * v->image) * element;

    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(first[i], guard_byte);
        assert_int_equal(end[i], guard_byte);
    }
    free(first);
}

double value(const gd_view *v, int n, int c, int p)
{
    const int64_t i = at(v, n, c, p);
    float x;

    if (v->dtype == GD_F32)
        return ((const float *)v->data)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)v->data)[i] << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

void set_value(gd_view *v, int n, int c, int p, float x)
{
    store(v, at(v, n, c, p), x);
}

void assert_pads_zero(const gd_view *v)
{
    for (int n = 0; n < v->n; n++)
        for (int c = v->c; c < lanes_of(v); c++)
            for (int p = 0; p < v->h * v->w; p++)
                if (value(v, n, c, p) != 0)
                    fail_msg("pad lane %d of %d channels, pixel %d: %g", c, v->c, p,
                             value(v, n, c, p));
}

void assert_same_bits(const gd_view *a, const gd_view *b, const char *what)
{
    if (memcmp(a->data, b->data, (size_t)(a->n * a->image) * (a->dtype == GD_F32 ? 4 : 2)) != 0)
        fail_msg("%s: bits differ ([%d,%d,%d,%d])", what, a->n, a->c, a->h, a->w);
}

void assert_ulps(double a, double b, double ulps, double absolute, const char *what)
{
    const float near = fabsf((float)b);
    const double unit = isinf(near) ? 0 : (double)nextafterf(near, INFINITY) - (double)near;

    if (isnan(b) ? isnan(a) : a == b || (float)a == (float)b)
        return;
    if (!(fabs(a - b) <= ulps * unit + absolute))
        fail_msg("%s: %.9g, expected %.9g (%.1f ulp)", what, a, b, fabs(a - b) / unit);
}

const gd_kernels *kernels_of(int k)
{
    for (int isa = GD_ISA_C; isa <= GD_ISA_AVX512_AMX; isa++)
        if (gd_kernels_of((gd_isa)isa) && k-- == 0)
            return gd_kernels_of((gd_isa)isa);
    return NULL;
}
