/* SPDX-License-Identifier: MIT */
/* onednn.c - convolutions by oneDNN; the only file that knows it.
 *
 * Every kernel is made for one thread and runs on the thread that calls it: slices.c cuts a
 * convolution into slices for the threads of gd_par.  oneDNN's own threads are OpenMP's, which wait
 * by spinning (par.c), and some of its kernels split a sum among them, so that bits depend on their
 * number.
 *
 * Glossary: md = memory descriptor (shape and layout), pd = primitive descriptor (the chosen
 * kernel). */
#include "cpu/conv/conv_private.h"
#include "cpu/conv/onednn_versions.h"

#include <stdlib.h>
#include <string.h>

/* ---- engine ---- */

static struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    bool ready;
} one;

static dnnl_cpu_isa_t isa_limit(void)
{
    switch (gd_isa_used()) {
    case GD_ISA_AVX512_AMX:
        return EVERY_ISA;
    case GD_ISA_AVX512_BF16:
        return dnnl_cpu_isa_avx512_core_bf16;
    case GD_ISA_AVX512:
        return dnnl_cpu_isa_avx512_core_vnni;
    case GD_ISA_AVX2:
        return dnnl_cpu_isa_avx2;
    default:
        return dnnl_cpu_isa_sse41;
    }
}

gd_status onednn_ready(void)
{
    if (one.ready)
        return GD_OK;
    if (gd_isa_used() >= GD_ISA_SSE41)     /* those of x86 */
        dnnl_set_max_cpu_isa(isa_limit()); /* refused after the first primitive: then the limit of
                                          the first call holds */
    if (dnnl_engine_create(&one.engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&one.stream, one.engine, dnnl_stream_default_flags) != dnnl_success)
        return gd_fail(GD_EFAILED, "oneDNN %s: no CPU engine", gd_onednn_version());
    one.ready = true;
    return GD_OK;
}

const char *gd_onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();

    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

/* ---- one convolution ---- */

/* In nChw16c the lanes beyond the channels exist and hold zeros: they may take part as channels
 * with zero weights. oneDNN has no fast forward kernel for 3 blocked channels (nor a weight
 * gradient), but one for 16. */
static int padded_ci(const gd_conv_desc *d)
{
    return d->blocked && d->pass != GD_CONV_GRAD_DATA ? (d->ci + 15) / 16 * 16 : d->ci;
}

static size_t taps_of(const gd_conv_desc *d)
{
    return (size_t)d->kernel * (size_t)gd_conv_kernel_w(d);
}

struct onednn_conv {
    gd_conv_desc desc;
    int row_channels; /* of x in a row of the plain weights */
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t run;
    dnnl_primitive_desc_t reorder_pd;
    dnnl_primitive_t reorder; /* plain <-> packed weights */
    md_t x, y, bias, plain_w; /* as given */
    md_view w;                /* as the kernel wants them, owned by pd */
    md_view scratchpad;
    float *wide; /* block: weights with padded channels, on their way to be packed; or NULL */
    gd_blocks blocks;
    bool in_blocks;
};

static gd_status check(dnnl_status_t status, const gd_conv_desc *d)
{
    if (status == dnnl_success)
        return GD_OK;
    if (status == dnnl_out_of_memory)
        return gd_fail(GD_ENOMEM, "convolution %dx%d %d->%d: out of memory", d->h, d->w, d->ci,
                       d->co);
    return gd_fail(
        GD_EUSAGE,
        "convolution %dx%d %d->%d kernel %dx%d stride %d: oneDNN %s has no kernel (status %d)",
        d->h, d->w, d->ci, d->co, d->kernel, gd_conv_kernel_w(d), d->stride, gd_onednn_version(),
        (int)status);
}

static dnnl_status_t attributes(dnnl_primitive_attr_t *attr, bool accumulate, bool relu)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t s = dnnl_primitive_attr_create(attr);

    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (s != dnnl_success || (!accumulate && !relu))
        return s;
    s = dnnl_post_ops_create(&ops);
    if (s == dnnl_success && accumulate)
        s = append_sum(ops);
    if (s == dnnl_success && relu)
        s = append_relu(ops);
    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return s;
}

static dnnl_status_t make_mds(onednn_conv *o, md_t *any_w, const gd_conv_desc *d)
{
    const int ci = padded_ci(d);
    const int64_t x_dim[4] = { d->n, ci, d->h, d->w };
    const int64_t y_dim[4] = { d->n, d->co, gd_conv_out(d->h, d), gd_conv_out_w(d->w, d) };
    const int64_t w_dim[4] = { d->co, ci, d->kernel, gd_conv_kernel_w(d) };
    const int64_t bias_dim[1] = { d->co };
    const dnnl_data_type_t operand = d->dtype == GD_BF16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_format_tag_t tag = d->blocked ? dnnl_nChw16c : dnnl_nhwc;
    const bool x_is_result = d->pass == GD_CONV_GRAD_DATA, y_is_result = d->pass == GD_CONV_FORWARD;
    dnnl_status_t s = md_make(&o->x, 4, x_dim, x_is_result ? dnnl_f32 : operand, tag);

    if (s == dnnl_success)
        s = md_make(&o->y, 4, y_dim, y_is_result ? dnnl_f32 : operand, tag);
    if (s == dnnl_success)
        s = md_make(any_w, 4, w_dim, d->pass == GD_CONV_GRAD_WEIGHTS ? dnnl_f32 : operand,
                    dnnl_format_tag_any);
    if (s == dnnl_success)
        s = md_make_rows(&o->plain_w, 4, w_dim, dnnl_f32, (int64_t)o->row_channels * taps_of(d));
    if (s == dnnl_success && d->bias)
        s = md_make(&o->bias, 1, bias_dim, dnnl_f32, dnnl_x);
    return s;
}

/* Packing needs working space as large as the weights: oneDNN would keep it for ever, so it is
 * ours. */
static dnnl_status_t make_reorder(onednn_conv *o, bool unpack)
{
    dnnl_primitive_attr_t attr = NULL;
    md_view from = unpack ? o->w : o->plain_w, to = unpack ? o->plain_w : o->w;
    dnnl_status_t s = attributes(&attr, false, false);

    if (s == dnnl_success)
        s = dnnl_reorder_primitive_desc_create(&o->reorder_pd, from, one.engine, to, one.engine,
                                               unpack ? NULL : attr);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&o->reorder, o->reorder_pd);
    dnnl_primitive_attr_destroy(attr);
    return s;
}

static gd_status make(onednn_conv **out, const gd_conv_desc *d, gd_conv_algo algo, int row_channels)
{
    const dnnl_alg_kind_t alg =
        algo == GD_CONV_ONEDNN_WINOGRAD ? dnnl_convolution_winograd : dnnl_convolution_direct;
    const bool unpack = d->pass == GD_CONV_GRAD_WEIGHTS;
    dnnl_primitive_attr_t attr = NULL;
    onednn_conv *o = NULL;
    md_t any_w = NULL;
    dnnl_status_t s;

    *out = NULL;
    GD_TRY(onednn_ready());
    o = calloc(1, sizeof *o);
    if (!o)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    o->desc = *d;
    o->row_channels = d->pass == GD_CONV_GRAD_DATA ? row_channels : padded_ci(d);
    s = make_mds(o, &any_w, d);
    if (s == dnnl_success)
        s = attributes(&attr, d->accumulate, d->relu);
    if (s == dnnl_success)
        s = pd_make(&o->pd, d, &(conv_mds){ o->x, any_w, o->bias, o->y }, alg, attr, one.engine);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&o->run, o->pd);
    if (s == dnnl_success) {
        o->w = dnnl_primitive_desc_query_md(
            o->pd, unpack ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
        o->scratchpad = dnnl_primitive_desc_query_md(o->pd, dnnl_query_scratchpad_md, 0);
        s = make_reorder(o, unpack);
    }
    dnnl_primitive_attr_destroy(attr);
    md_free(any_w);
    if (s != dnnl_success) {
        onednn_conv_free(o);
        return check(s, d);
    }
    *out = o;
    return GD_OK;
}

/* Padded once here and not at every packing: training packs at every step. */
static gd_status make_wide(onednn_conv *o)
{
    const gd_conv_desc *d = &o->desc;

    if (padded_ci(d) == d->ci || d->pass == GD_CONV_GRAD_WEIGHTS)
        return GD_OK;
    return gd_block_make(&o->wide, (size_t)d->co * padded_ci(d) * taps_of(d) * sizeof *o->wide,
                         "padded weights");
}

static void find_blocks(onednn_conv *o)
{
    const gd_conv_desc *d = &o->desc;
    int64_t layout[MAX_LAYOUT];
    const int n = md_layout(layout, o->w);
    const int64_t *stride = layout + LAYOUT_DIMS + 2 * 4, *size = stride + 4, *index = size + 2;

    if (n == 0 || layout[LAYOUT_RANK] != 4 || layout[LAYOUT_BLOCKS] != 2 ||
        layout[LAYOUT_TYPE] != dnnl_f32 || layout[LAYOUT_OFFSET] != 0)
        return;
    o->blocks = (gd_blocks){ stride[0], stride[1], index[0] == 1 };
    o->in_blocks = taps_of(d) == 1 && d->ci % 16 == 0 && d->co % 16 == 0 && size[0] == 16 &&
                   size[1] == 16 && index[0] + index[1] == 1;
}

const gd_blocks *onednn_conv_blocks(const onednn_conv *o)
{
    return o->in_blocks ? &o->blocks : NULL;
}

gd_status onednn_conv_make(onednn_conv **out, const gd_conv_desc *d, gd_conv_algo algo,
                           int row_channels)
{
    const int threads = gd_set_openmp_threads(1);
    gd_status s = make(out, d, algo, row_channels);

    gd_set_openmp_threads(threads);
    if (s == GD_OK)
        s = make_wide(*out);
    if (s != GD_OK) {
        onednn_conv_free(*out);
        *out = NULL;
        return s;
    }
    find_blocks(*out);
    return GD_OK;
}

void onednn_conv_free(onednn_conv *o)
{
    if (!o)
        return;
    dnnl_primitive_destroy(o->run);
    dnnl_primitive_destroy(o->reorder);
    dnnl_primitive_desc_destroy(o->pd);
    dnnl_primitive_desc_destroy(o->reorder_pd);
    md_free(o->x);
    md_free(o->y);
    md_free(o->bias);
    md_free(o->plain_w);
    gd_block_free(o->wide);
    free(o);
}

const char *onednn_conv_kernel_name(const onednn_conv *o)
{
    const char *name = "";
    dnnl_primitive_desc_query(o->pd, dnnl_query_impl_info_str, 0, (void *)&name);
    return name;
}

size_t onednn_conv_weights_bytes(const onednn_conv *o)
{
    return dnnl_memory_desc_get_size(o->w);
}

gd_status onednn_conv_hash_layout(const onednn_conv *o, gd_hasher *hasher)
{
    int64_t layout[MAX_LAYOUT];
    const int n = md_layout(layout, o->w);

    if (n == 0)
        return gd_fail(GD_EUSAGE, "oneDNN %s keeps these weights in no order that could be stored",
                       gd_onednn_version());
    gd_hasher_add(hasher, layout, (size_t)n * sizeof *layout);
    return GD_OK;
}

static size_t onednn_round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* oneDNN's own scratchpad; then, for a weight gradient, the gradient as the kernel lays it out, and
 * unpacked with padding */
size_t onednn_conv_scratch_bytes(const onednn_conv *o)
{
    size_t bytes = onednn_round_up(o->scratchpad ? dnnl_memory_desc_get_size(o->scratchpad) : 0);

    if (o->desc.pass != GD_CONV_GRAD_WEIGHTS)
        return bytes;
    return bytes + onednn_round_up(dnnl_memory_desc_get_size(o->w)) +
           dnnl_memory_desc_get_size(o->plain_w);
}

static gd_status run_pack(const onednn_conv *o, void *plain, void *packed)
{
    md_view space_md = dnnl_primitive_desc_query_md(o->reorder_pd, dnnl_query_scratchpad_md, 0);
    const size_t space_bytes = space_md ? dnnl_memory_desc_get_size(space_md) : 0;
    dnnl_memory_t from = NULL, to = NULL, space = NULL;
    void *block = NULL;
    dnnl_status_t s;

    if (space_bytes > 0)
        GD_TRY(gd_block_make(&block, space_bytes, "packing of weights"));
    s = dnnl_memory_create(&from, o->plain_w, one.engine, plain);
    if (s == dnnl_success)
        s = dnnl_memory_create(&to, o->w, one.engine, packed);
    if (s == dnnl_success && space_bytes > 0)
        s = dnnl_memory_create(&space, space_md, one.engine, block);
    if (s == dnnl_success) {
        const dnnl_exec_arg_t args[3] = { { DNNL_ARG_FROM, from },
                                          { DNNL_ARG_TO, to },
                                          { DNNL_ARG_SCRATCHPAD, space } };
        s = dnnl_primitive_execute(o->reorder, one.stream, space ? 3 : 2, args);
    }
    if (s == dnnl_success)
        s = dnnl_stream_wait(one.stream);
    dnnl_memory_destroy(from);
    dnnl_memory_destroy(to);
    dnnl_memory_destroy(space);
    gd_block_free(block);
    return s == dnnl_success
               ? GD_OK
               : gd_fail(GD_EFAILED, "oneDNN %s: reorder of weights failed", gd_onednn_version());
}

gd_status onednn_conv_pack(const onednn_conv *o, void *packed, const float *weights)
{
    const gd_conv_desc *d = &o->desc;
    const size_t row = d->ci * taps_of(d), wide_row = padded_ci(d) * taps_of(d);
    const int threads = gd_set_openmp_threads(1);
    gd_status s;

    for (int i = 0; i < d->co && o->wide; i++)
        memcpy(o->wide + i * wide_row, weights + i * row, row * sizeof *o->wide);
    s = run_pack(o, o->wide ? o->wide : (void *)weights, packed);
    gd_set_openmp_threads(threads);
    return s;
}

/* ---- bound to buffers ---- */

enum { MAX_ARGS = 5 };

struct onednn_call {
    const onednn_conv *conv;
    dnnl_exec_arg_t arg[MAX_ARGS];
    int n_args;
    dnnl_exec_arg_t unpack[2]; /* GRAD_WEIGHTS: packed gradient -> plain */
    float *wide,
        *dweights; /* plain with padded channels, and without: the same where nothing is padded */
};

static gd_status add_arg(onednn_call *c, int id, md_view md, void *data)
{
    dnnl_memory_t memory = NULL;

    if (dnnl_memory_create(&memory, md, one.engine, data) != dnnl_success)
        return gd_fail(GD_ENOMEM, "oneDNN %s: memory object", gd_onednn_version());
    c->arg[c->n_args++] = (dnnl_exec_arg_t){ id, memory };
    return GD_OK;
}

static gd_status bind_args(onednn_call *c, const gd_conv_desc *d, const gd_conv_buffers *b,
                           void *packed_gradient)
{
    const onednn_conv *o = c->conv;

    GD_TRY(add_arg(c, d->pass == GD_CONV_GRAD_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, o->x, b->x));
    GD_TRY(add_arg(c, d->pass == GD_CONV_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, o->y, b->y));
    if (d->pass == GD_CONV_GRAD_WEIGHTS)
        GD_TRY(add_arg(c, DNNL_ARG_DIFF_WEIGHTS, o->w, packed_gradient));
    else
        GD_TRY(add_arg(c, DNNL_ARG_WEIGHTS, o->w, b->weights));
    if (d->bias)
        GD_TRY(add_arg(c, DNNL_ARG_BIAS, o->bias, (void *)b->bias));
    if (o->scratchpad && dnnl_memory_desc_get_size(o->scratchpad) > 0)
        GD_TRY(add_arg(c, DNNL_ARG_SCRATCHPAD, o->scratchpad, b->scratch));
    return GD_OK;
}

static gd_status bind_unpack(onednn_call *c, void *packed_gradient, float *dweights)
{
    dnnl_memory_t to = NULL, from = NULL;

    if (dnnl_memory_create(&from, c->conv->w, one.engine, packed_gradient) != dnnl_success ||
        dnnl_memory_create(&to, c->conv->plain_w, one.engine, dweights) != dnnl_success) {
        dnnl_memory_destroy(from);
        return gd_fail(GD_ENOMEM, "oneDNN %s: memory object", gd_onednn_version());
    }
    c->unpack[0] = (dnnl_exec_arg_t){ DNNL_ARG_FROM, from };
    c->unpack[1] = (dnnl_exec_arg_t){ DNNL_ARG_TO, to };
    return GD_OK;
}

gd_status onednn_call_make(onednn_call **out, const onednn_conv *conv, const gd_conv_buffers *b)
{
    const size_t scratchpad =
        onednn_round_up(conv->scratchpad ? dnnl_memory_desc_get_size(conv->scratchpad) : 0);
    unsigned char *packed_gradient = (unsigned char *)b->scratch + scratchpad;
    onednn_call *c = calloc(1, sizeof *c);
    gd_status s;

    if (!c)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    c->conv = conv;
    c->wide = c->dweights = b->dweights;
    s = bind_args(c, &conv->desc, b, packed_gradient);
    if (s == GD_OK && conv->desc.pass == GD_CONV_GRAD_WEIGHTS) {
        if (padded_ci(&conv->desc) != conv->desc.ci)
            c->wide =
                (float *)(packed_gradient + onednn_round_up(dnnl_memory_desc_get_size(conv->w)));
        s = bind_unpack(c, packed_gradient, c->wide);
    }
    if (s != GD_OK) {
        onednn_call_free(c);
        return s;
    }
    *out = c;
    return GD_OK;
}

void onednn_call_free(onednn_call *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n_args; i++)
        dnnl_memory_destroy(c->arg[i].memory);
    dnnl_memory_destroy(c->unpack[0].memory);
    dnnl_memory_destroy(c->unpack[1].memory);
    free(c);
}

static void drop_padding(const onednn_call *c)
{
    const gd_conv_desc *d = &c->conv->desc;
    const size_t taps = (size_t)d->kernel * gd_conv_kernel_w(d), row = d->ci * taps,
                 wide_row = padded_ci(d) * taps;

    for (int i = 0; i < d->co; i++)
        memcpy(c->dweights + i * row, c->wide + i * wide_row, row * sizeof *c->wide);
}

void onednn_call_run(const onednn_call *c)
{
    const int threads = gd_set_openmp_threads(1);

    dnnl_primitive_execute(c->conv->run, one.stream, c->n_args, c->arg);
    if (c->unpack[0].memory)
        dnnl_primitive_execute(c->conv->reorder, one.stream, 2, c->unpack);
    if (c->wide != c->dweights)
        drop_padding(c);
    gd_set_openmp_threads(threads);
}

/* ---- matrix products ---- */

void onednn_dot_products(float *c, const float *a, const float *b, int m, int n, int k)
{
    const int threads = gd_set_openmp_threads(1);

    dnnl_sgemm('N', 'T', m, n, k, 1, a, k, b, k, 0, c, n);
    gd_set_openmp_threads(threads);
}
