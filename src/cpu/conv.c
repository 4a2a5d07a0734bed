/* conv.c - which engine and algorithm a convolution gets, and the object around them. */
#include "cpu/conv_private.h"

#include <stdlib.h>
#include <string.h>

/* Pixels from which Winograd's gain outweighs its 4x larger weights (kernels.md: it pays at 64x64
 * and 32x32, not at 16x16) */
enum { WINOGRAD_MIN_PIXELS = 32 * 32 };

struct gd_conv {
    gd_conv_desc desc;
    gd_conv_algo algo;
    onednn_conv *onednn; /* NULL: plain */
};

struct gd_conv_call {
    const gd_conv *conv;
    gd_conv_buffers buffers;
    onednn_call *onednn;
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

gd_status gd_conv_mode(const char **out)
{
    const char *mode = getenv("GUIDED_CONV");

    *out = mode && *mode ? mode : "auto";
    if (strcmp(*out, "auto") == 0 || strcmp(*out, "direct") == 0 || strcmp(*out, "winograd") == 0)
        return GD_OK;
    return gd_fail(GD_EUSAGE, "GUIDED_CONV=%s: expected auto, direct or winograd", *out);
}

/* oneDNN's Winograd gave other bits for other thread counts where a channel count was not a
 * multiple of 16 */
static bool winograd_possible(const gd_conv_desc *d)
{
    return d->dtype == GD_F32 && d->blocked && d->kernel == 3 && d->stride == 1 && d->pad == 1 &&
           !d->kernel_w && d->ci % 16 == 0 && d->co % 16 == 0 && gd_isa_used() >= GD_ISA_AVX512;
}

gd_conv_algo gd_conv_choose(const gd_conv_desc *d)
{
    const char *mode = "auto";

    if (gd_isa_used() == GD_ISA_C)
        return GD_CONV_PLAIN;
    if (gd_conv_mode(&mode) != GD_OK || strcmp(mode, "direct") == 0 || !winograd_possible(d))
        return GD_CONV_DIRECT;
    if (strcmp(mode, "winograd") == 0)
        return GD_CONV_WINOGRAD;
    return (int64_t)d->h * d->w >= WINOGRAD_MIN_PIXELS ? GD_CONV_WINOGRAD : GD_CONV_DIRECT;
}

const char *gd_conv_algo_name(gd_conv_algo algo)
{
    static const char *const name[] = { "direct", "winograd", "plain" };
    return name[algo];
}

gd_status gd_conv_make_as(gd_conv **out, const gd_conv_desc *desc, gd_conv_algo algo)
{
    gd_status s = GD_OK;
    gd_conv *c;

    if (desc->dtype == GD_BF16 && gd_isa_used() < GD_ISA_AVX512)
        return gd_fail(GD_EUSAGE, "bf16 needs AVX-512; this machine, or GUIDED_ISA, gives %s",
                       gd_isa_name(gd_isa_used()));
    c = calloc(1, sizeof *c);
    if (!c)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    c->desc = *desc;
    c->algo = algo;
    if (algo != GD_CONV_PLAIN)
        s = onednn_conv_make(&c->onednn, desc, algo);
    if (s != GD_OK) {
        gd_conv_free(c);
        return s;
    }
    *out = c;
    return GD_OK;
}

/* Not every oneDNN has Winograd kernels (3.x has none): direct then. */
gd_status gd_conv_make(gd_conv **out, const gd_conv_desc *desc)
{
    const char *mode;

    GD_TRY(gd_conv_mode(&mode));
    if (gd_conv_choose(desc) == GD_CONV_WINOGRAD &&
        gd_conv_make_as(out, desc, GD_CONV_WINOGRAD) == GD_OK)
        return GD_OK;
    return gd_conv_make_as(out, desc, gd_isa_used() == GD_ISA_C ? GD_CONV_PLAIN : GD_CONV_DIRECT);
}

void gd_conv_free(gd_conv *c)
{
    if (!c)
        return;
    onednn_conv_free(c->onednn);
    free(c);
}

gd_conv_algo gd_conv_algo_of(const gd_conv *c)
{
    return c->algo;
}

const char *gd_conv_kernel_name(const gd_conv *c)
{
    return c->onednn ? onednn_conv_kernel_name(c->onednn) : "plain";
}

static size_t plain_weights_bytes(const gd_conv_desc *d)
{
    return (size_t)d->co * d->ci * d->kernel * gd_conv_kernel_w(d) * sizeof(float);
}

size_t gd_conv_weights_bytes(const gd_conv *c)
{
    if (c->desc.pass == GD_CONV_GRAD_WEIGHTS)
        return 0;
    return c->onednn ? onednn_conv_weights_bytes(c->onednn) : plain_weights_bytes(&c->desc);
}

size_t gd_conv_scratch_bytes(const gd_conv *c)
{
    return c->onednn ? onednn_conv_scratch_bytes(c->onednn) : 0;
}

gd_status gd_conv_pack(const gd_conv *c, void *packed, const float *weights)
{
    if (c->onednn)
        return onednn_conv_pack(c->onednn, packed, weights);
    plain_conv_pack(&c->desc, packed, weights);
    return GD_OK;
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
        s = onednn_call_make(&call->onednn, conv->onednn, buffers);
    if (s != GD_OK) {
        gd_conv_call_free(call);
        return s;
    }
    *out = call;
    return GD_OK;
}

void gd_conv_run(const gd_conv_call *call)
{
    if (call->onednn)
        onednn_call_run(call->onednn);
    else
        plain_conv_run(&call->conv->desc, &call->buffers);
}

void gd_conv_call_free(gd_conv_call *call)
{
    if (!call)
        return;
    onednn_call_free(call->onednn);
    free(call);
}
