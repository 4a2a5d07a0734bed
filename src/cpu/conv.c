/* conv.c - a convolution's engine and buffers. */
#include "cpu/conv_private.h"

#include <stdlib.h>
#include <string.h>

/* Another number when winograd_pack or plain_conv_pack lays out its weights otherwise */
enum { OWN_LAYOUT = 1 };

struct gd_conv {
    gd_conv_desc desc;
    gd_conv_algo algo;
    int threads;         /* at most */
    sliced_conv *onednn; /* NULL: another engine */
};

struct gd_conv_call {
    const gd_conv *conv;
    gd_conv_buffers buffers;
    sliced_call *onednn;
};

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
    static const char *const name[] = { "direct", "winograd",        "outer",
                                        "tiles",  "onednn winograd", "plain" };
    return name[algo];
}

gd_status gd_conv_make_as(gd_conv **out, const gd_conv_desc *desc, gd_conv_algo algo)
{
    gd_status s = GD_OK;
    gd_conv *c;

    if (desc->dtype == GD_BF16 && gd_isa_used() < GD_ISA_AVX512)
        return gd_fail(GD_EUSAGE, "bf16 needs AVX-512; this machine, or GUIDED_ISA, gives %s",
                       gd_isa_name(gd_isa_used()));
    if ((algo == GD_CONV_WINOGRAD && !winograd_can(desc)) ||
        (algo == GD_CONV_OUTER && !outer_can(desc)) || (algo == GD_CONV_TILES && !tiles_can(desc)))
        return gd_fail(GD_EUSAGE, "convolution %dx%d %d->%d kernel %d: no %s", desc->h, desc->w,
                       desc->ci, desc->co, desc->kernel, gd_conv_algo_name(algo));
    c = calloc(1, sizeof *c);
    if (!c)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    c->desc = *desc;
    c->algo = algo;
    c->threads = desc->threads ? desc->threads : gd_threads();
    if (algo == GD_CONV_DIRECT || algo == GD_CONV_ONEDNN_WINOGRAD)
        s = sliced_conv_make(&c->onednn, desc, algo, c->threads);
    if (s != GD_OK) {
        gd_conv_free(c);
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
    sliced_conv_free(c->onednn);
    free(c);
}

gd_conv_algo gd_conv_algo_of(const gd_conv *c)
{
    return c->algo;
}

const char *gd_conv_kernel_name(const gd_conv *c)
{
    return c->onednn ? sliced_conv_kernel_name(c->onednn) : gd_conv_algo_name(c->algo);
}

static size_t plain_weights_bytes(const gd_conv_desc *d)
{
    return (size_t)d->co * d->ci * d->kernel * gd_conv_kernel_w(d) * sizeof(float);
}

size_t gd_conv_weights_bytes(const gd_conv *c)
{
    if (c->desc.pass == GD_CONV_GRAD_WEIGHTS)
        return 0;
    if (c->algo == GD_CONV_WINOGRAD)
        return winograd_weights_bytes(&c->desc);
    if (c->algo == GD_CONV_TILES)
        return tiles_weights_bytes(&c->desc);
    return c->onednn ? sliced_conv_weights_bytes(c->onednn) : plain_weights_bytes(&c->desc);
}

size_t gd_conv_scratch_bytes(const gd_conv *c)
{
    if (c->algo == GD_CONV_WINOGRAD)
        return winograd_scratch_bytes(&c->desc, c->threads);
    if (c->algo == GD_CONV_TILES)
        return tiles_scratch_bytes(&c->desc);
    if (c->algo == GD_CONV_OUTER)
        return (size_t)gd_outer_scratch(c->desc.kernel * c->desc.kernel, c->threads) *
               sizeof(float);
    return c->onednn ? sliced_conv_scratch_bytes(c->onednn) : 0;
}

int gd_conv_pack_bands(const gd_conv *c)
{
    const bool has_bands =
        c->onednn ? sliced_conv_has_bands(c->onednn) : c->algo == GD_CONV_WINOGRAD;

    return has_bands ? c->desc.co / GD_BAND : 0;
}

void gd_conv_pack_band(const gd_conv *c, void *packed, const float *weights, int band, bool stream)
{
    const gd_conv_desc *d = &c->desc;
    const gd_winograd_packing winograd = { packed, d->dtype, weights,
                                           d->co,  d->ci,    d->pass == GD_CONV_GRAD_DATA,
                                           stream };

    if (c->onednn)
        sliced_conv_pack_band(c->onednn, packed, weights, band, stream);
    else
        gd_kernels_get()->winograd_pack(&winograd, band);
}

gd_status gd_conv_pack(const gd_conv *c, void *packed, const float *weights)
{
    const int bands = gd_conv_pack_bands(c);

    for (int i = 0; i < bands; i++)
        gd_conv_pack_band(c, packed, weights, i, false);
    if (bands > 0)
        return GD_OK;
    if (c->onednn)
        return sliced_conv_pack(c->onednn, packed, weights);
    if (c->algo == GD_CONV_TILES)
        gd_kernels_get()->tiles_pack(packed, weights, c->desc.co, c->desc.ci,
                                     c->desc.kernel * c->desc.kernel,
                                     c->desc.pass == GD_CONV_GRAD_DATA);
    else
        plain_conv_pack(&c->desc, packed, weights);
    return GD_OK;
}

gd_status gd_conv_hash_layout(const gd_conv *c, gd_hasher *hasher)
{
    const gd_conv_desc *d = &c->desc;
    const int32_t what[] = {
        OWN_LAYOUT, (int32_t)c->algo, (int32_t)d->dtype,  d->pass == GD_CONV_GRAD_DATA, d->co,
        d->ci,      d->kernel,        gd_conv_kernel_w(d)
    };

    gd_hasher_add(hasher, what, sizeof what);
    return c->onednn ? sliced_conv_hash_layout(c->onednn, hasher) : GD_OK;
}

gd_status gd_conv_bind(gd_conv_call **out, const gd_conv *conv, const gd_conv_buffers *buffers)
{
    gd_conv_call *call = calloc(1, sizeof *call);
    gd_status s = GD_OK;

    if (!call)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    call->conv = conv;
    call->buffers = *buffers;
    if (conv->onednn)
        s = sliced_call_make(&call->onednn, conv->onednn, buffers);
    if (s != GD_OK) {
        gd_conv_call_free(call);
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

static void outer_run(const gd_conv_desc *d, int threads, const gd_conv_buffers *b)
{
    const gd_outer job = { .x = conv_x(d, b->x),
                           .dy = conv_y(d, b->y),
                           .kernel = d->kernel,
                           .stride = d->stride,
                           .pad = d->pad,
                           .dweights = b->dweights,
                           .threads = threads,
                           .scratch = b->scratch };

    gd_kernels_get()->outer_weights(&job);
}

/* oneDNN and plain C add to what y holds. */
static void put_residual(const gd_conv_desc *d, const gd_conv_buffers *b)
{
    const gd_view y = conv_y(d, b->y), residual = conv_y(d, (void *)b->residual);

    gd_kernels_get()->convert(&y, &residual);
}

void gd_conv_run(const gd_conv_call *call)
{
    const gd_conv *c = call->conv;

    if (c->algo == GD_CONV_WINOGRAD) {
        winograd_conv_run(&c->desc, c->threads, &call->buffers);
        return;
    }
    if (c->algo == GD_CONV_TILES) {
        tiles_conv_run(&c->desc, c->threads, &call->buffers);
        return;
    }
    if (c->algo == GD_CONV_OUTER) {
        outer_run(&c->desc, c->threads, &call->buffers);
        return;
    }
    if (c->desc.accumulate && call->buffers.residual != call->buffers.y)
        put_residual(&c->desc, &call->buffers);
    if (call->onednn)
        sliced_call_run(call->onednn);
    else
        plain_conv_run(&c->desc, &call->buffers);
}

void gd_conv_call_free(gd_conv_call *call)
{
    if (!call)
        return;
    sliced_call_free(call->onednn);
    free(call);
}
