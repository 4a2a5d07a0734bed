/* SPDX-License-Identifier: MIT */
/* Every convolution engine against plain loops in double: three passes, both layouts, direct and
 * Winograd, bfloat16. */
#include "cpu/conv.h"
#include "cpu/kernels/conv_jobs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct problem {
    gd_conv_desc d;
    int oh, ow;
    float *x, *w, *bias, *y; /* x, dx: [n][ci][h][w]; y, dy: [n][co][oh][ow]; w: [co][ci][kh][kw] */
} problem;

static uint32_t state_of_rng = 1;

static float uniform(void)
{
    state_of_rng = state_of_rng * 1664525u + 1013904223u;
    return (float)(state_of_rng >> 8) / (1 << 23) - 1.0f;
}

static float *random_array(int64_t n)
{
    float *a = malloc((size_t)n * sizeof *a);

    for (int64_t i = 0; i < n; i++)
        a[i] = uniform();
    return a;
}

static int64_t x_count(const problem *p)
{
    return (int64_t)p->d.n * p->d.ci * p->d.h * p->d.w;
}

static int64_t y_count(const problem *p)
{
    return (int64_t)p->d.n * p->d.co * p->oh * p->ow;
}

static int64_t w_count(const problem *p)
{
    return (int64_t)p->d.co * p->d.ci * p->d.kernel * gd_conv_kernel_w(&p->d);
}

static int64_t result_count(const problem *p)
{
    return p->d.pass == GD_CONV_FORWARD     ? y_count(p)
           : p->d.pass == GD_CONV_GRAD_DATA ? x_count(p)
                                            : w_count(p);
}

static void make_problem(problem *p, const gd_conv_desc *d)
{
    p->d = *d;
    p->oh = gd_conv_out(d->h, d);
    p->ow = gd_conv_out_w(d->w, d);
    p->x = random_array(x_count(p));
    p->w = random_array(w_count(p));
    p->y = random_array(y_count(p));
    p->bias = random_array(d->co);
}

static void free_problem(problem *p)
{
    free(p->x);
    free(p->w);
    free(p->y);
    free(p->bias);
}

/* Add every product of the convolution to the pass's result; expected: [result], magnitude: sum of
 * absolute products */
static void reference(const problem *p, double *expected, double *magnitude)
{
    const gd_conv_desc *d = &p->d;
    const int kw = gd_conv_kernel_w(d), taps = d->kernel * kw;

    for (int n = 0; n < d->n; n++)
        for (int o = 0; o < d->co; o++)
            for (int oy = 0; oy < p->oh; oy++)
                for (int ox = 0; ox < p->ow; ox++)
                    for (int i = 0; i < d->ci; i++)
                        for (int t = 0; t < taps; t++) {
                            int iy = oy * d->stride + t / kw - d->pad,
                                ix = ox * d->stride + t % kw - gd_conv_pad_w(d);
                            if (iy < 0 || ix < 0 || iy >= d->h || ix >= d->w)
                                continue;
                            int64_t xi = (((int64_t)n * d->ci + i) * d->h + iy) * d->w + ix;
                            int64_t yi = (((int64_t)n * d->co + o) * p->oh + oy) * p->ow + ox;
                            int64_t wi = ((int64_t)o * d->ci + i) * taps + t;
                            double product =
                                d->pass == GD_CONV_FORWARD     ? (double)p->x[xi] * p->w[wi]
                                : d->pass == GD_CONV_GRAD_DATA ? (double)p->y[yi] * p->w[wi]
                                                               : (double)p->x[xi] * p->y[yi];
                            int64_t to = d->pass == GD_CONV_FORWARD     ? yi
                                         : d->pass == GD_CONV_GRAD_DATA ? xi
                                                                        : wi;
                            expected[to] += product;
                            magnitude[to] += fabs(product);
                        }
}

/* [n][c][h][w] floats <-> the layout and type of a buffer */
static size_t at(const gd_conv_desc *d, int c_count, int hw, int n, int c, int p)
{
    const int wide = d->blocked ? (c_count + 15) / 16 * 16 : c_count;

    if (d->blocked)
        return (((size_t)n * wide / 16 + c / 16) * hw + p) * 16 + c % 16;
    return ((size_t)n * hw + p) * wide + c;
}

static uint16_t to_bf16(float v)
{
    uint32_t u;

    memcpy(&u, &v, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void *laid_out(const problem *p, const float *a, int c_count, int hw, bool bf16)
{
    const size_t count = (size_t)p->d.n * ((c_count + 15) / 16 * 16) * hw + 64;
    float *out = aligned_alloc(64, (count * sizeof *out + 63) / 64 * 64);

    memset(out, 0, count * sizeof *out);
    for (int n = 0; n < p->d.n; n++)
        for (int c = 0; c < c_count; c++)
            for (int i = 0; i < hw; i++) {
                float v = a ? a[((size_t)n * c_count + c) * hw + i] : 0.0f;
                if (bf16)
                    ((uint16_t *)out)[at(&p->d, c_count, hw, n, c, i)] = to_bf16(v);
                else
                    out[at(&p->d, c_count, hw, n, c, i)] = v;
            }
    return out;
}

static void run(const problem *p, gd_conv_algo algo, float *result)
{
    const gd_conv_desc *d = &p->d;
    const bool bf16 = d->dtype == GD_BF16;
    const int x_hw = d->h * d->w, y_hw = p->oh * p->ow;
    const bool x_out = d->pass == GD_CONV_GRAD_DATA, y_out = d->pass == GD_CONV_FORWARD;
    gd_conv_buffers b = { .bias = p->bias };
    float *residual = d->accumulate ? laid_out(p, p->y, d->co, y_hw, false) : NULL;
    gd_conv_call *call;
    gd_conv *conv;

    if (gd_conv_make_as(&conv, d, algo) != GD_OK)
        fail_msg("%s", gd_error());
    b.x = laid_out(p, x_out ? NULL : p->x, d->ci, x_hw, bf16 && !x_out);
    b.y = laid_out(p, y_out ? NULL : p->y, d->co, y_hw, bf16 && !y_out);
    b.residual = residual;
    b.weights = aligned_alloc(64, gd_conv_weights_bytes(conv) / 64 * 64 + 64);
    b.scratch = aligned_alloc(64, gd_conv_scratch_bytes(conv) / 64 * 64 + 64);
    b.dweights = d->pass == GD_CONV_GRAD_WEIGHTS ? result : NULL;
    if (d->pass != GD_CONV_GRAD_WEIGHTS)
        assert_int_equal(gd_conv_pack(conv, b.weights, p->w), GD_OK);
    assert_int_equal(gd_conv_bind(&call, conv, &b), GD_OK);
    gd_conv_run(call);
    for (int n = 0; n < d->n; n++) {
        for (int c = 0; y_out && c < d->co; c++)
            for (int i = 0; i < y_hw; i++)
                result[((size_t)n * d->co + c) * y_hw + i] =
                    ((float *)b.y)[at(d, d->co, y_hw, n, c, i)];
        for (int c = 0; x_out && c < d->ci; c++)
            for (int i = 0; i < x_hw; i++)
                result[((size_t)n * d->ci + c) * x_hw + i] =
                    ((float *)b.x)[at(d, d->ci, x_hw, n, c, i)];
    }
    gd_conv_call_free(call);
    gd_conv_free(conv);
    free(b.x);
    free(b.y);
    free(b.weights);
    free(b.scratch);
    free(residual);
}

typedef struct conv_shape {
    int n, ci, h, w, co, kernel, stride;
    int pad, kernel_w, pad_w;
} conv_shape;

static const conv_shape shapes[] = {
    { 1, 32, 8, 8, 48, 3, 1, 1 },
    { 2, 3, 6, 5, 32, 3, 1, 1 },
    { 1, 64, 7, 9, 6, 3, 1, 1 },
    { 2, 16, 8, 8, 32, 3, 2, 1 },
    { 2, 17, 5, 5, 10, 3, 1, 1 },
    { 1, 96, 4, 4, 64, 1, 1, 0 },
    { 3, 48, 1, 1, 100, 1, 1, 0 },
    { 1, 16, 12, 10, 16, 3, 1, 1 },
    { 2, 8, 7, 7, 12, 1, 1, 0 },
    { 1, 5, 3, 3, 7, 3, 2, 1 },
    /* of Inception: no padding, 5x5, and kernels that are not square */
    { 1, 3, 9, 9, 32, 3, 2, 0 },
    { 2, 32, 7, 6, 16, 3, 1, 0 },
    { 1, 48, 6, 7, 64, 5, 1, 2 },
    { 1, 32, 9, 8, 48, 1, 1, 0, 7, 3 },
    { 2, 32, 8, 9, 48, 7, 1, 3, 1, 0 },
    { 1, 32, 4, 5, 16, 1, 1, 0, 3, 1 },
    { 1, 17, 5, 4, 10, 3, 1, 1, 1, 0 },
    /* of our Winograd: several rounds, panels that are not full, fewer pixels than a patch */
    { 3, 48, 9, 23, 80, 3, 1, 1 },
    { 1, 16, 1, 2, 16, 3, 1, 1 },
};

/* `epsilon`: rounding of one product relative to the sum of the absolute products */
static void check(const gd_conv_desc *d, gd_conv_algo algo, double epsilon)
{
    problem p;

    make_problem(&p, d);
    const int64_t count = result_count(&p);
    double *expected = calloc((size_t)count, sizeof *expected),
           *magnitude = calloc((size_t)count, sizeof *magnitude);
    float *found = malloc((size_t)count * sizeof *found);
    reference(&p, expected, magnitude);
    run(&p, algo, found);
    for (int64_t i = 0; i < count; i++) {
        const int channel = (int)(i / ((int64_t)p.oh * p.ow) % d->co);
        double e = expected[i] + (d->bias ? p.bias[channel] : 0) + (d->accumulate ? p.y[i] : 0);
        e = d->relu ? fmax(e, 0) : e;
        if (!(fabs(found[i] - e) <= epsilon * (magnitude[i] + 1)))
            fail_msg(
                "pass %d %s %s %dx%d %d->%d k%dx%d/%d n%d: element %lld is %.8g, expected %.8g",
                d->pass, gd_conv_algo_name(algo), d->blocked ? "nChw16c" : "nhwc", d->h, d->w,
                d->ci, d->co, d->kernel, gd_conv_kernel_w(d), d->stride, d->n, (long long)i,
                found[i], e);
    }
    free(expected);
    free(magnitude);
    free(found);
    free_problem(&p);
}

static gd_conv_desc desc_of(const conv_shape *s, gd_conv_pass pass, bool blocked)
{
    return (gd_conv_desc){ .pass = pass,
                           .n = s->n,
                           .ci = s->ci,
                           .h = s->h,
                           .w = s->w,
                           .co = s->co,
                           .kernel = s->kernel,
                           .stride = s->stride,
                           .pad = s->pad,
                           .kernel_w = s->kernel_w,
                           .pad_w = s->pad_w,
                           .dtype = GD_F32,
                           .blocked = blocked };
}

/* Forward with bias, and residual, and relu, one more each time */
static void check_extras(gd_conv_desc d, gd_conv_algo algo, double epsilon)
{
    d.bias = true;
    check(&d, algo, epsilon);
    d.accumulate = true;
    check(&d, algo, epsilon);
    d.relu = true;
    check(&d, algo, epsilon);
}

static void direct_equals_the_sum(void **state)
{
    const gd_conv_algo algo = gd_isa_used() == GD_ISA_C ? GD_CONV_PLAIN : GD_CONV_DIRECT;
    const bool has_blocked = gd_isa_used() >= GD_ISA_AVX512;

    (void)state;
    for (int s = 0; s < COUNT(shapes); s++)
        for (int pass = 0; pass < 3; pass++)
            for (int blocked = 0; blocked <= has_blocked; blocked++) {
                gd_conv_desc d = desc_of(&shapes[s], pass, blocked);
                check(&d, algo, 1e-6);
                if (pass != GD_CONV_FORWARD)
                    continue;
                check_extras(d, algo, 1e-6);
                d.bias = d.relu = true;
                check(&d, algo, 1e-6);
            }
}

static void plain_c_equals_the_sum(void **state)
{
    (void)state;
    for (int s = 0; s < COUNT(shapes); s++)
        for (int pass = 0; pass < 3; pass++) {
            gd_conv_desc d = desc_of(&shapes[s], pass, false);
            check(&d, GD_CONV_PLAIN, 1e-7);
            d.relu = pass == GD_CONV_FORWARD;
            check(&d, GD_CONV_PLAIN, 1e-7);
        }
}

/* Rounding is relative to a whole patch: more than the few products at a padded corner */
static void winograd_equals_the_sum(void **state)
{
    const double epsilon = 4e-6;
    const bool has_blocked = gd_isa_used() >= GD_ISA_AVX512;

    (void)state;
    for (int s = 0; s < COUNT(shapes); s++)
        for (int pass = 0; pass < 3; pass++)
            for (int blocked = 0; blocked <= has_blocked; blocked++) {
                gd_conv_desc d = desc_of(&shapes[s], pass, blocked);
                if (d.kernel != 3 || d.kernel_w || d.stride != 1 || d.ci % 16 || d.co % 16)
                    continue;
                check(&d, GD_CONV_WINOGRAD, epsilon);
                if (pass == GD_CONV_FORWARD)
                    check_extras(d, GD_CONV_WINOGRAD, epsilon);
            }
}

static void check_bands(const gd_conv_desc *d, gd_conv_algo algo)
{
    gd_conv *conv;
    problem p;

    assert_int_equal(gd_conv_make_as(&conv, d, algo), GD_OK);
    const int bands = gd_conv_pack_bands(conv);
    if (algo == GD_CONV_DIRECT && bands == 0) { /* oneDNN's versions lay out as they like */
        print_message("%s: only as a whole\n", gd_conv_kernel_name(conv));
        gd_conv_free(conv);
        return;
    }
    assert_int_equal(bands, d->co / GD_BAND);
    const size_t bytes = gd_conv_weights_bytes(conv);
    unsigned char *whole = aligned_alloc(64, bytes / 64 * 64 + 64);
    unsigned char *banded = aligned_alloc(64, bytes / 64 * 64 + 64);
    make_problem(&p, d);
    memset(whole, 0xaa, bytes);
    memset(banded, 0xaa, bytes);
    assert_int_equal(gd_conv_pack(conv, whole, p.w), GD_OK);
    for (int i = bands - 1; i >= 0; i--)
        gd_conv_pack_band(conv, banded, p.w, i, true);
    assert_memory_equal(whole, banded, bytes);
    free(whole);
    free(banded);
    free_problem(&p);
    gd_conv_free(conv);
}

/* Past the caches go the same bytes as into them, in any order of bands. */
static void bands_pack_what_the_whole_packs(void **state)
{
    static const int channels[][2] = { { 16, 16 }, { 48, 80 }, { 64, 32 }, { 16, 96 } };
    const bool has_avx512 = gd_isa_used() >= GD_ISA_AVX512;

    (void)state;
    for (int c = 0; c < COUNT(channels); c++)
        for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_DATA; pass++) {
            gd_conv_desc d = { .pass = pass,
                               .n = 1,
                               .ci = channels[c][0],
                               .co = channels[c][1],
                               .h = 4,
                               .w = 4,
                               .kernel = 3,
                               .stride = 1,
                               .pad = 1 };
            for (int bf16 = 0; bf16 <= has_avx512; bf16++) {
                d.dtype = bf16 ? GD_BF16 : GD_F32;
                check_bands(&d, GD_CONV_WINOGRAD);
            }
            d.kernel = 1;
            d.pad = 0;
            d.dtype = GD_F32;
            d.blocked = true;
            if (has_avx512)
                check_bands(&d, GD_CONV_DIRECT);
        }
}

static bool outer_takes(const gd_conv_desc *d)
{
    return (d->kernel == 1 || d->kernel == 3) && !d->kernel_w && d->ci % 16 == 0 && d->co % 16 == 0;
}

static void outer_products_equal_the_sum(void **state)
{
    const bool has_blocked = gd_isa_used() >= GD_ISA_AVX512;

    (void)state;
    for (int s = 0; s < COUNT(shapes); s++)
        for (int blocked = 0; blocked <= has_blocked; blocked++) {
            const gd_conv_desc d = desc_of(&shapes[s], GD_CONV_GRAD_WEIGHTS, blocked);
            if (outer_takes(&d))
                check(&d, GD_CONV_OUTER, 1e-6);
        }
}

/* Patches and panels are shared out in other ways for other thread counts, slices are not. */
static void check_threads(gd_conv_pass pass, gd_conv_algo algo, gd_dtype dtype, int images,
                          int kernel)
{
    static const int counts[] = { 2, 3, 5, 7, 16, 64 };
    const int threads = gd_threads();
    const gd_conv_desc d = { .pass = pass,
                             .n = images,
                             .ci = 144,
                             .h = 37,
                             .w = 22,
                             .co = 80,
                             .kernel = kernel,
                             .stride = 1,
                             .pad = kernel / 2,
                             .dtype = dtype };
    problem p;

    make_problem(&p, &d);
    const size_t bytes = (size_t)result_count(&p) * sizeof(float);
    float *found[2] = { malloc(bytes), malloc(bytes) };
    gd_set_threads(1);
    run(&p, algo, found[0]);
    for (int n = 0; n < COUNT(counts); n++) {
        gd_set_threads(counts[n]);
        run(&p, algo, found[1]);
        assert_memory_equal(found[0], found[1], bytes);
    }
    gd_set_threads(threads);
    free(found[0]);
    free(found[1]);
    free_problem(&p);
}

static void our_kernels_do_not_depend_on_threads(void **state)
{
    (void)state;
    const bool has_bf16 = gd_isa_used() >= GD_ISA_AVX512;

    for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_WEIGHTS; pass++)
        for (int bf16 = 0; bf16 <= has_bf16; bf16++)
            check_threads(pass, GD_CONV_WINOGRAD, bf16 ? GD_BF16 : GD_F32, 2, 3);
    check_threads(GD_CONV_GRAD_WEIGHTS, GD_CONV_OUTER, GD_F32, 2, 3);
    for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_DATA; pass++)
        if (gd_isa_used() == GD_ISA_AVX512_AMX)
            check_threads(pass, GD_CONV_TILES, GD_BF16, 2, 3);
}

/* Few and many images: these are cut up by channels (or rows) and by images, which stay in groups
 * from some number on. */
static void slices_do_not_depend_on_threads(void **state)
{
    static const int images[] = { 1, 3, 34 };

    (void)state;
    if (gd_isa_used() == GD_ISA_C)
        skip();
    for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_WEIGHTS; pass++)
        for (int i = 0; i < COUNT(images); i++)
            for (int kernel = 1; kernel <= 3; kernel += 2)
                check_threads(pass, GD_CONV_DIRECT, GD_F32, images[i], kernel);
}

/* One image and two of 8x8 have four and eight patches, which winograd_few.inc takes; five images
 * have more. */
static void check_few(gd_conv_pass pass, gd_dtype dtype)
{
    static const conv_shape five_images = { 5, 112, 8, 8, 80, 3, 1, 1 };
    const int threads = gd_threads();
    gd_conv_desc d = desc_of(&five_images, pass, false);
    problem p;

    d.dtype = dtype;
    make_problem(&p, &d);
    const size_t bytes = (size_t)result_count(&p) * sizeof(float);
    float *five = malloc(bytes), *fewer = malloc(bytes);
    gd_set_threads(1);
    run(&p, GD_CONV_WINOGRAD, five);
    for (int n = 1; n <= 2; n++) {
        p.d.n = n;
        run(&p, GD_CONV_WINOGRAD, fewer);
        assert_memory_equal(five, fewer, bytes / 5 * (size_t)n);
    }
    gd_set_threads(threads);
    free(five);
    free(fewer);
    free_problem(&p);
}

static void few_patches_have_the_bits_of_many(void **state)
{
    (void)state;
    const bool has_bf16 = gd_isa_used() >= GD_ISA_AVX512;

    for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_DATA; pass++)
        for (int bf16 = 0; bf16 <= has_bf16; bf16++)
            check_few(pass, bf16 ? GD_BF16 : GD_F32);
}

/* More patches than a round of the weight gradient holds */
static void winograd_adds_the_rounds_of_a_weight_gradient(void **state)
{
    const gd_conv_desc d = { .pass = GD_CONV_GRAD_WEIGHTS,
                             .n = 3,
                             .ci = 32,
                             .h = 160,
                             .w = 150,
                             .co = 16,
                             .kernel = 3,
                             .stride = 1,
                             .pad = 1,
                             .dtype = GD_F32 };

    (void)state;
    check(&d, GD_CONV_WINOGRAD, 4e-6);
}

static void bf16_is_within_its_rounding(void **state)
{
    (void)state;
    if (gd_isa_used() < GD_ISA_AVX512) {
        print_message("bf16 needs AVX-512: skipped\n");
        skip();
    }
    for (int s = 0; s < COUNT(shapes); s++)
        for (int pass = 0; pass < 3; pass++)
            for (int blocked = 0; blocked < 2; blocked++) {
                gd_conv_desc d = desc_of(&shapes[s], pass, blocked);
                d.dtype = GD_BF16;
                if (s == 0 && blocked)
                    check(&d, GD_CONV_DIRECT, 1.0 / 128); /* two operands of 8 bits each */
                if (d.kernel == 3 && !d.kernel_w && d.stride == 1 && d.ci % 16 == 0 &&
                    d.co % 16 == 0)
                    check(&d, GD_CONV_WINOGRAD, 1.0 / 128);
            }
}

static bool no_tiles(void)
{
    if (gd_isa_used() == GD_ISA_AVX512_AMX)
        return false;
    print_message("this machine, or GUIDED_ISA, has no AMX: skipped\n");
    return true;
}

/* Shapes that end inside a tile, a plane of 32 channels, a panel, a block of panels */
static const conv_shape tile_shapes[] = {
    { 1, 32, 8, 8, 32, 3, 1, 1, 0, 0 },  { 1, 16, 1, 1, 16, 3, 1, 1, 0, 0 },
    { 2, 48, 5, 7, 80, 3, 1, 1, 0, 0 },  { 1, 64, 17, 30, 16, 3, 1, 0, 0, 0 },
    { 3, 16, 9, 4, 48, 1, 1, 0, 0, 0 },  { 1, 96, 8, 8, 112, 1, 1, 0, 0, 0 },
    { 2, 32, 4, 8, 32, 1, 1, 0, 0, 0 },  { 1, 80, 33, 3, 64, 1, 1, 0, 0, 0 },
    { 1, 576, 8, 8, 48, 3, 1, 1, 0, 0 },
};

static gd_conv_desc tile_desc(const conv_shape *shape, gd_conv_pass pass, bool blocked)
{
    gd_conv_desc d = desc_of(shape, pass, blocked);

    d.dtype = GD_BF16;
    return d;
}

static void tiles_equal_the_sum(void **state)
{
    (void)state;
    if (no_tiles())
        skip();
    for (int s = 0; s < COUNT(tile_shapes); s++)
        for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_DATA; pass++)
            for (int blocked = 0; blocked < 2; blocked++) {
                gd_conv_desc d = tile_desc(&tile_shapes[s], pass, blocked);
                check(&d, GD_CONV_TILES, 1.0 / 128);
                if (pass == GD_CONV_FORWARD)
                    check_extras(d, GD_CONV_TILES, 1.0 / 128);
            }
}

static void tiles_are_what_bf16_gets(void **state)
{
    gd_conv_desc d = tile_desc(&tile_shapes[0], GD_CONV_FORWARD, true);

    (void)state;
    if (no_tiles())
        skip();
    assert_int_equal(gd_conv_choose(&d), GD_CONV_TILES);
    d.stride = 2;
    assert_int_equal(gd_conv_choose(&d), GD_CONV_DIRECT);
    check(&d, GD_CONV_DIRECT, 1.0 / 128);
    gd_conv *conv;
    assert_int_equal(gd_conv_make_as(&conv, &d, GD_CONV_TILES), GD_EUSAGE);
}

static void the_choice_is_a_function_of_the_shape(void **state)
{
    gd_conv_desc d = { .n = 1,
                       .ci = 192,
                       .h = 32,
                       .w = 32,
                       .co = 192,
                       .kernel = 3,
                       .stride = 1,
                       .pad = 1,
                       .dtype = GD_F32,
                       .blocked = true };

    (void)state;
    setenv("GUIDED_CONV", "auto", 1);
    assert_int_equal(gd_conv_choose(&d),
                     gd_isa_used() == GD_ISA_C ? GD_CONV_PLAIN : GD_CONV_WINOGRAD);
    if (gd_isa_used() >= GD_ISA_AVX512) {
        const bool tiles = gd_isa_used() == GD_ISA_AVX512_AMX;
        d.dtype = GD_BF16;
        assert_int_equal(gd_conv_choose(&d), tiles ? GD_CONV_TILES : GD_CONV_WINOGRAD);
        d.h = d.w = 8; /* few patches share a filter's transform */
        assert_int_equal(gd_conv_choose(&d), tiles ? GD_CONV_TILES
                                             : gd_isa_used() == GD_ISA_AVX512_BF16
                                                 ? GD_CONV_DIRECT
                                                 : GD_CONV_WINOGRAD);
    }
    d.h = d.w = 32;
    d.dtype = GD_F32;
    setenv("GUIDED_CONV", "direct", 1);
    assert_int_equal(gd_conv_choose(&d),
                     gd_isa_used() == GD_ISA_C ? GD_CONV_PLAIN : GD_CONV_DIRECT);
    setenv("GUIDED_CONV", "fastest", 1);
    gd_conv *conv;
    assert_int_equal(gd_conv_make(&conv, &d), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "GUIDED_CONV=fastest"));
    unsetenv("GUIDED_CONV");
    const char *before = getenv("GUIDED_ISA");
    setenv("GUIDED_ISA", "fastest", 1);
    assert_int_equal(gd_conv_make(&conv, &d), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "GUIDED_ISA=fastest: expected one of c, "));
    if (before)
        setenv("GUIDED_ISA", before, 1);
    else
        unsetenv("GUIDED_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_c_equals_the_sum),
        cmocka_unit_test(direct_equals_the_sum),
        cmocka_unit_test(winograd_equals_the_sum),
        cmocka_unit_test(bands_pack_what_the_whole_packs),
        cmocka_unit_test(outer_products_equal_the_sum),
        cmocka_unit_test(our_kernels_do_not_depend_on_threads),
        cmocka_unit_test(slices_do_not_depend_on_threads),
        cmocka_unit_test(few_patches_have_the_bits_of_many),
        cmocka_unit_test(winograd_adds_the_rounds_of_a_weight_gradient),
        cmocka_unit_test(bf16_is_within_its_rounding),
        cmocka_unit_test(tiles_equal_the_sum),
        cmocka_unit_test(tiles_are_what_bf16_gets),
        cmocka_unit_test(the_choice_is_a_function_of_the_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
