/* SPDX-License-Identifier: MIT */
/* conv.c - a convolution's engine and buffers. */
#include "cpu/conv/conv_private.h"

#include <stdlib.h>
#include <string.h>

enum { OWN_LAYOUT = 1 }; /* another number when an engine of ours lays out its weights otherwise */

static const conv_engine *const engines[] = {
    [GD_CONV_DIRECT] = &conv_engine_direct,
    [GD_CONV_WINOGRAD] = &conv_engine_winograd,
    [GD_CONV_OUTER] = &conv_engine_outer,
    [GD_CONV_TILES] = &conv_engine_tiles,
    [GD_CONV_ONEDNN_WINOGRAD] = &conv_engine_onednn_winograd,
    [GD_CONV_PLAIN] = &conv_engine_plain,
};

const conv_engine *conv_engine_of(gd_conv_algo algo)
{
    return engines[algo];
}

static const conv_engine *engine_of(const gd_conv *c)
{
    return engines[c->algo];
}

int gd_conv_out(int height, const gd_conv_desc *d)
{
    return (height + 2 * d->pad - d->kernel) / d->stride + 1;
}

int gd_conv_out_w(int width, const gd_conv_desc *d)
{
    return (width + 2 * gd_conv_pad_w(d) - gd_conv_kernel_w(d)) / d->stride + 1;
}

double gd_conv_macs(const gd_conv_desc *d)
{
    return (double)d->n * gd_conv_out(d->h, d) * gd_conv_out_w(d->w, d) * d->co * d->ci *
           d->kernel * gd_conv_kernel_w(d);
}

const char *gd_conv_algo_name(gd_conv_algo algo)
{
    return engines[algo]->name;
}

gd_status gd_conv_make_as(gd_conv **out, const gd_conv_desc *desc, gd_conv_algo algo)
{
    const conv_engine *e = engines[algo];
    gd_status s = GD_OK;
    gd_conv *c;

    if (desc->dtype == GD_BF16 && gd_isa_used() < GD_ISA_AVX512)
        return gd_fail(GD_EUSAGE, "bf16 needs AVX-512; this machine, or GUIDED_ISA, gives %s",
                       gd_isa_name(gd_isa_used()));
    if (e->can && !e->can(desc))
        return gd_fail(GD_EUSAGE, "convolution %dx%d %d->%d kernel %d: no %s", desc->h, desc->w,
                       desc->ci, desc->co, desc->kernel, e->name);
    c = calloc(1, sizeof *c);
    if (!c)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    c->desc = *desc;
    c->algo = algo;
    c->threads = desc->threads ? desc->threads : gd_threads();
    if (e->make)
        s = e->make(c);
    if (s != GD_OK) {
        free(c);
        return s;
    }
    *out = c;
    return GD_OK;
}

gd_status gd_conv_make(gd_conv **out, const gd_conv_desc *desc)
{
    const char *mode;

    GD_TRY(gd_isa_check());
    GD_TRY(gd_conv_mode(&mode));
    return gd_conv_make_as(out, desc, gd_conv_choose(desc));
}

void gd_conv_free(gd_conv *c)
{
    if (!c)
        return;
    if (engine_of(c)->free)
        engine_of(c)->free(c);
    free(c);
}

gd_conv_algo gd_conv_algo_of(const gd_conv *c)
{
    return c->algo;
}

const char *gd_conv_kernel_name(const gd_conv *c)
{
    return engine_of(c)->kernel_name ? engine_of(c)->kernel_name(c) : engine_of(c)->name;
}

size_t gd_conv_weights_bytes(const gd_conv *c)
{
    return c->desc.pass == GD_CONV_GRAD_WEIGHTS ? 0 : engine_of(c)->weights_bytes(c);
}

size_t gd_conv_scratch_bytes(const gd_conv *c)
{
    return engine_of(c)->scratch_bytes ? engine_of(c)->scratch_bytes(c) : 0;
}

int gd_conv_pack_bands(const gd_conv *c)
{
    return engine_of(c)->has_bands && engine_of(c)->has_bands(c) ? c->desc.co / GD_BAND : 0;
}

void gd_conv_pack_band(const gd_conv *c, void *packed, const float *weights, int band, bool stream)
{
    engine_of(c)->pack_band(c, packed, weights, band, stream);
}

gd_status gd_conv_pack(const gd_conv *c, void *packed, const float *weights)
{
    const int bands = gd_conv_pack_bands(c);

    for (int i = 0; i < bands; i++)
        gd_conv_pack_band(c, packed, weights, i, false);
    return bands > 0 ? GD_OK : engine_of(c)->pack(c, packed, weights);
}

gd_status gd_conv_hash_layout(const gd_conv *c, gd_hasher *hasher)
{
    const gd_conv_desc *d = &c->desc;
    const int32_t what[] = {
        OWN_LAYOUT, (int32_t)c->algo, (int32_t)d->dtype,  d->pass == GD_CONV_GRAD_DATA, d->co,
        d->ci,      d->kernel,        gd_conv_kernel_w(d)
    };

    gd_hasher_add(hasher, what, sizeof what);
    return engine_of(c)->hash_layout ? engine_of(c)->hash_layout(c, hasher) : GD_OK;
}

gd_status gd_conv_bind(gd_conv_call **out, const gd_conv *conv, const gd_conv_buffers *buffers)
{
    gd_conv_call *call = calloc(1, sizeof *call);
    gd_status s = GD_OK;

    if (!call)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    call->conv = conv;
    call->buffers = *buffers;
    if (engine_of(conv)->bind)
        s = engine_of(conv)->bind(call);
    if (s != GD_OK) {
        free(call);
        return s;
    }
    *out = call;
    return GD_OK;
}

static gd_view view_of(const gd_conv_desc *d, gd_dtype dtype, void *data, int channels, int h,
                       int w)
{
    const int64_t pixels = (int64_t)h * w;

    return (gd_view){ .data = data,
                      .dtype = dtype,
                      .n = d->n,
                      .c = channels,
                      .h = h,
                      .w = w,
                      .pixel = d->blocked ? 16 : channels,
                      .block = d->blocked ? 16 * pixels : 16,
                      .image = pixels * (d->blocked ? (channels + 15) / 16 * 16 : channels) };
}

gd_view conv_x(const gd_conv_desc *d, void *data)
{
    const gd_dtype dtype = d->pass == GD_CONV_GRAD_DATA ? GD_F32 : d->dtype;

    return view_of(d, dtype, data, d->ci, d->h, d->w);
}

gd_view conv_y(const gd_conv_desc *d, void *data)
{
    const gd_dtype dtype = d->pass == GD_CONV_FORWARD ? GD_F32 : d->dtype;

    return view_of(d, dtype, data, d->co, gd_conv_out(d->h, d), gd_conv_out_w(d->w, d));
}

gd_view conv_input(const gd_conv_desc *d, const gd_conv_buffers *b)
{
    return d->pass == GD_CONV_FORWARD ? conv_x(d, b ? b->x : NULL) : conv_y(d, b ? b->y : NULL);
}

gd_view conv_output(const gd_conv_desc *d, const gd_conv_buffers *b)
{
    return d->pass == GD_CONV_FORWARD ? conv_y(d, b ? b->y : NULL) : conv_x(d, b ? b->x : NULL);
}

int conv_in_channels(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_FORWARD ? d->ci : d->co;
}

int conv_out_channels(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_FORWARD ? d->co : d->ci;
}

int conv_in_pad(const gd_conv_desc *d)
{
    return d->pass == GD_CONV_FORWARD ? d->pad : d->kernel - 1 - d->pad;
}

static void put_residual(const gd_conv_desc *d, const gd_conv_buffers *b)
{
    const gd_view y = conv_y(d, b->y), residual = conv_y(d, (void *)b->residual);

    gd_kernels_get()->convert(&y, &residual);
}

void gd_conv_run(const gd_conv_call *call)
{
    const conv_engine *e = engine_of(call->conv);
    const gd_conv_desc *d = &call->conv->desc;

    if (e->adds && d->accumulate && call->buffers.residual != call->buffers.y)
        put_residual(d, &call->buffers);
    e->run(call);
}

void gd_conv_call_free(gd_conv_call *call)
{
    if (!call)
        return;
    if (engine_of(call->conv)->unbind)
        engine_of(call->conv)->unbind(call);
    free(call);
}
