/* SPDX-License-Identifier: MIT */
/* bench.c - the floor of a network's kernels. */
#include "nn/bench.h"

#include <string.h>

enum { MAX_SHAPES = 512, RUNS = 6 };

typedef struct shape {
    gd_conv_desc desc;
    int count;
    double best; /* seconds of one run, 0 = not measured */
    gd_conv_algo algo;
    gd_dtype dtype;
} shape;

struct gd_floor {
    shape shape[MAX_SHAPES];
    int n;
    bool bf16;
    double attention_macs, peak;
};

gd_status gd_floor_make(gd_floor **out, const gd_plan *plan, bool bf16)
{
    gd_conv_desc desc[MAX_SHAPES];
    int count[MAX_SHAPES];
    gd_floor *f;

    GD_TRY(gd_block_make(&f, sizeof *f, "benchmark"));
    f->n = gd_plan_convs(plan, desc, count, MAX_SHAPES);
    for (int i = 0; i < f->n; i++)
        f->shape[i] = (shape){ .desc = desc[i], .count = count[i] };
    f->bf16 = bf16;
    f->attention_macs = gd_plan_attention_macs(plan);
    *out = f;
    return GD_OK;
}

void gd_floor_free(gd_floor *f)
{
    gd_block_free(f);
}

static size_t tensor_bytes(int n, int c, int h, int w)
{
    return (size_t)n * (size_t)((c + 15) / 16 * 16) * (size_t)h * (size_t)w * sizeof(float) + 64;
}

/* Written once: pages never written are all the same page of zeros, and reading them costs no
 * way to memory. */
static gd_status make_buffer(void **out, size_t bytes)
{
    GD_TRY(gd_block_make(out, GD_MAX(bytes, 64), "benchmark"));
    memset(*out, 0, bytes);
    return GD_OK;
}

static gd_status make_buffers(const gd_conv *conv, const gd_conv_desc *d, gd_conv_buffers *b)
{
    const size_t taps = (size_t)d->kernel * gd_conv_kernel_w(d);
    const size_t weights = (size_t)d->co * d->ci * taps * sizeof(float);
    const int oh = gd_conv_out(d->h, d), ow = gd_conv_out_w(d->w, d);
    void *dweights;

    GD_TRY(make_buffer(&b->x, tensor_bytes(d->n, d->ci, d->h, d->w)));
    GD_TRY(make_buffer(&b->y, tensor_bytes(d->n, d->co, oh, ow)));
    GD_TRY(make_buffer(&b->weights, gd_conv_weights_bytes(conv)));
    GD_TRY(make_buffer(&dweights, d->pass == GD_CONV_GRAD_WEIGHTS ? weights : 0));
    b->dweights = dweights;
    return make_buffer(&b->scratch, gd_conv_scratch_bytes(conv));
}

static void free_buffers(gd_conv_buffers *b)
{
    gd_block_free(b->x);
    gd_block_free(b->y);
    gd_block_free(b->weights);
    gd_block_free(b->dweights);
    gd_block_free(b->scratch);
}

static gd_status time_call(const gd_conv *conv, const gd_conv_buffers *b, double *best)
{
    gd_conv_call *call;

    GD_TRY(gd_conv_bind(&call, conv, b));
    gd_conv_run(call); /* warm */
    for (int r = 0; r < RUNS; r++) {
        double start = gd_seconds(), seconds;
        gd_conv_run(call);
        seconds = gd_seconds() - start;
        *best = r == 0 ? seconds : GD_MIN(*best, seconds);
    }
    gd_conv_call_free(call);
    return GD_OK;
}

gd_status gd_conv_seconds(double *seconds, const gd_conv_desc *desc, gd_conv_algo algo)
{
    gd_conv_buffers b = { 0 };
    gd_conv *conv;
    gd_status status;

    *seconds = 0;
    if (gd_conv_make_as(&conv, desc, algo) != GD_OK)
        return GD_OK;
    status = make_buffers(conv, desc, &b);
    if (status == GD_OK)
        status = time_call(conv, &b, seconds);
    free_buffers(&b);
    gd_conv_free(conv);
    return status;
}

/* An algorithm that does not exist for the shape is no error: it does not take part. */
static gd_status try_algo(shape *s, gd_conv_algo algo, gd_dtype dtype)
{
    double seconds;

    s->desc.dtype = dtype;
    GD_TRY(gd_conv_seconds(&seconds, &s->desc, algo));
    if (seconds > 0 && (s->best == 0 || seconds < s->best)) {
        s->best = seconds;
        s->algo = algo;
        s->dtype = dtype;
    }
    return GD_OK;
}

/* oneDNN's kernels for AMX run in nhwc. */
static gd_status measure_bf16(shape *s)
{
    const bool blocked = s->desc.blocked;
    gd_status status;

    if (gd_isa_used() == GD_ISA_AVX512_AMX)
        s->desc.blocked = false;
    status = try_algo(s, GD_CONV_DIRECT, GD_BF16);
    s->desc.blocked = blocked;
    return status;
}

static gd_status measure_shape(shape *s, bool bf16)
{
    const bool winograd = s->desc.kernel == 3 && !s->desc.kernel_w && s->desc.stride == 1 &&
                          s->desc.ci % 16 == 0 && s->desc.co % 16 == 0;

    if (gd_isa_used() == GD_ISA_C)
        return try_algo(s, GD_CONV_PLAIN, GD_F32);
    GD_TRY(try_algo(s, GD_CONV_DIRECT, GD_F32));
    if (winograd)
        GD_TRY(try_algo(s, GD_CONV_ONEDNN_WINOGRAD, GD_F32));
    return bf16 ? measure_bf16(s) : GD_OK;
}

gd_status gd_floor_measure(gd_floor *f, double *seconds)
{
    f->peak = GD_MAX(f->peak, gd_peak_macs(f->bf16 ? GD_BF16 : GD_F32));
    *seconds = f->attention_macs / f->peak;
    for (int i = 0; i < f->n; i++) {
        GD_TRY(measure_shape(&f->shape[i], f->bf16));
        *seconds += f->shape[i].best * f->shape[i].count;
    }
    return GD_OK;
}

int gd_floor_shapes(const gd_floor *f)
{
    return f->n;
}

double gd_floor_peak_macs(const gd_floor *f)
{
    return f->peak;
}

void gd_floor_print(const gd_floor *f, FILE *out)
{
    for (int i = 0; i < f->n; i++) {
        const shape *s = &f->shape[i];
        const gd_conv_desc *d = &s->desc;
        double macs = gd_conv_macs(d);
        fprintf(out, "%3d x  %4d -> %4d  %3dx%-3d  %dx%d/%d  %-8s %-4s  %8.3f ms  %6.0f GFLOP/s\n",
                s->count, d->ci, d->co, d->h, d->w, d->kernel, gd_conv_kernel_w(d), d->stride,
                gd_conv_algo_name(s->algo), s->dtype == GD_BF16 ? "bf16" : "fp32", s->best * 1e3,
                2e-9 * macs / s->best);
    }
}
