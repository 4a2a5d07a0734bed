/* SPDX-License-Identifier: MIT */
/* slices.c - a convolution by oneDNN as slices, each of which one thread runs: some images
 * with some of the output's channels or rows.
 *
 * How it is cut is a function of the shape alone and never of the number of threads: oneDNN chooses
 * the order of its sums by the size of what it is given, and bits must not depend on the threads.
 * All slices have one size, so that one kernel serves them all. */
#include "cpu/conv/conv_private.h"

#include <stdlib.h>

/* How the output of one item lies in the whole */
typedef enum cut { CUT_NOT, CUT_CHANNELS, CUT_ROWS } cut;

struct sliced_conv {
    gd_conv_desc desc, part;
    onednn_conv *kernel; /* of part */
    cut cut;
    int images, slices; /* groups of images, and slices of each: items */
    int threads;
};

struct sliced_call {
    const sliced_conv *conv;
    onednn_call *item[]; /* [images * slices] */
};

/* ---- the cut ---- */

static int *out_channels(gd_conv_desc *d)
{
    return d->pass == GD_CONV_GRAD_DATA ? &d->ci : &d->co;
}

/* Images by themselves; of many, groups, because every item has objects of oneDNN's.  The gradient
 * of weights is a sum over all images. */
static int image_groups(const gd_conv_desc *d)
{
    enum { FEW = 32 };
    int groups = d->n;

    if (d->pass == GD_CONV_GRAD_WEIGHTS)
        return 1;
    for (int k = 1; k <= d->n && d->n > FEW; k++)
        if (d->n % k == 0 && k >= FEW / 2)
            return k;
    return groups;
}

/* The most slices of at least `least` units, all of the same size */
static int equal_slices(int units, int least)
{
    enum { MAX_SLICES = 16 };

    for (int slices = GD_MIN(units / least, MAX_SLICES); slices > 1; slices--)
        if (units % slices == 0)
            return slices;
    return 1;
}

/* Slices of 48 channels and more are as fast together as the whole; halves of fewer channels, so
 * that two threads have work. */
static void cut_channels(sliced_conv *s)
{
    enum { BLOCK = 16, LEAST_BLOCKS = 3 };
    const int channels = *out_channels(&s->part), blocks = channels / BLOCK;

    if (channels % BLOCK != 0)
        return;
    s->slices = equal_slices(blocks, LEAST_BLOCKS);
    if (s->slices == 1 && blocks % 2 == 0)
        s->slices = 2;
    *out_channels(&s->part) /= s->slices;
    s->cut = CUT_CHANNELS;
}

static void cut_rows(sliced_conv *s)
{
    enum { LEAST_PIXELS = 32 };
    const gd_conv_desc *d = &s->desc;
    const bool square = !d->kernel_w && d->kernel == 1 && d->stride == 1 && d->pad == 0;

    if (!square || d->pass == GD_CONV_GRAD_WEIGHTS)
        return;
    s->slices = equal_slices(d->h, (LEAST_PIXELS + d->w - 1) / d->w);
    s->part.h /= s->slices;
    s->cut = CUT_ROWS;
}

static void cut_up(sliced_conv *s)
{
    const gd_conv_desc *d = &s->desc;
    const bool dense = d->blocked || d->h * d->w == 1; /* the channels of a slice, side by side */

    s->part = *d;
    s->images = image_groups(d);
    s->slices = 1;
    s->part.n /= s->images;
    if (dense && s->part.n == 1)
        cut_channels(s);
    else if (!d->blocked && s->part.n == 1)
        cut_rows(s);
}

/* ---- life ---- */

static gd_status make(gd_conv *c)
{
    sliced_conv *s = calloc(1, sizeof *s);
    gd_status status;

    if (!s)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    s->desc = c->desc;
    s->threads = c->threads;
    cut_up(s);
    status = onednn_conv_make(&s->kernel, &s->part, c->algo, c->desc.ci);
    if (status != GD_OK) {
        free(s);
        return status;
    }
    c->slices = s;
    return GD_OK;
}

static void release(gd_conv *c)
{
    onednn_conv_free(c->slices->kernel);
    free(c->slices);
}

static const char *kernel_name(const gd_conv *c)
{
    return onednn_conv_kernel_name(c->slices->kernel);
}

/* ---- weights: those of one slice after the other, or the same for all ---- */

static int weight_sets(const sliced_conv *s)
{
    return s->cut == CUT_CHANNELS ? s->slices : 1;
}

static size_t weights_bytes(const gd_conv *c)
{
    return (size_t)weight_sets(c->slices) * onednn_conv_weights_bytes(c->slices->kernel);
}

static gd_status hash_layout(const gd_conv *c, gd_hasher *hasher)
{
    const int32_t sets = weight_sets(c->slices);

    gd_hasher_add(hasher, &sets, sizeof sets);
    return onednn_conv_hash_layout(c->slices->kernel, hasher);
}

/* Where the plain weights of a slice begin: at a filter, or at a channel of every filter */
static size_t plain_offset(const sliced_conv *s, int slice)
{
    const gd_conv_desc *d = &s->desc, *p = &s->part;
    const size_t taps = (size_t)d->kernel * (size_t)gd_conv_kernel_w(d);

    if (s->cut != CUT_CHANNELS)
        return 0;
    return (size_t)slice * (d->pass == GD_CONV_GRAD_DATA ? p->ci : p->co * (size_t)d->ci) * taps;
}

static gd_status pack(const gd_conv *c, void *packed, const float *weights)
{
    const sliced_conv *s = c->slices;
    const size_t bytes = onednn_conv_weights_bytes(s->kernel);

    for (int k = 0; k < weight_sets(s); k++)
        GD_TRY(onednn_conv_pack(s->kernel, (char *)packed + (size_t)k * bytes,
                                weights + plain_offset(s, k)));
    return GD_OK;
}

static bool has_bands(const gd_conv *c)
{
    return onednn_conv_blocks(c->slices->kernel) != NULL;
}

/* A band is of filters: a slice of filters has some of the bands, one of channels some of each. */
static void pack_band(const gd_conv *c, void *packed, const float *weights, int band, bool stream)
{
    const sliced_conv *s = c->slices;
    const size_t floats = onednn_conv_weights_bytes(s->kernel) / sizeof(float);
    const bool by_channel = s->desc.pass == GD_CONV_GRAD_DATA;
    const int bands = s->part.co / GD_BAND; /* of a slice */
    const int first = by_channel ? 0 : band / bands;
    const int end = by_channel ? weight_sets(s) : first + 1;

    for (int k = first; k < end; k++)
        gd_kernels_get()->blocks_pack(
            &(gd_blocks_packing){ (float *)packed + (size_t)k * floats,
                                  weights + plain_offset(s, k), s->part.ci, s->desc.ci,
                                  *onednn_conv_blocks(s->kernel), stream },
            by_channel ? band : band % bands);
}

/* ---- running ---- */

static int items_of(const sliced_conv *s)
{
    return s->images * s->slices;
}

/* Items that need working space are run in as many parts as there are threads. */
static int parts_of(const sliced_conv *s)
{
    const int items = items_of(s);

    return onednn_conv_scratch_bytes(s->kernel) > 0 ? GD_MIN(items, s->threads) : items;
}

static size_t part_scratch(const sliced_conv *s)
{
    return (onednn_conv_scratch_bytes(s->kernel) + 63) / 64 * 64;
}

static size_t scratch_bytes(const gd_conv *c)
{
    return (size_t)parts_of(c->slices) * part_scratch(c->slices);
}

static int part_begin(const sliced_conv *s, int part)
{
    return (int)((int64_t)part * items_of(s) / parts_of(s));
}

static void *advance(const gd_view *v, int64_t elements)
{
    return v->data ? (char *)v->data + elements * (int64_t)gd_dtype_bytes(v->dtype) : NULL;
}

/* The first element of an item in an activation that is cut (by channels or rows) or is not */
static int64_t offset_in(const sliced_conv *s, const gd_view *v, bool is_output, int group,
                         int slice)
{
    const int64_t image = (int64_t)group * s->part.n * v->image;
    gd_conv_desc part = s->part;

    if (s->cut == CUT_ROWS)
        return image + (int64_t)slice * s->part.h * v->w * v->pixel;
    if (s->cut == CUT_CHANNELS && is_output)
        return image + (int64_t)slice * *out_channels(&part) / 16 * v->block;
    return image;
}

/* Items that follow one another are run by one thread: they share what is larger, the input of a
 * group of images or the weights of a slice. */
static bool slice_by_slice(const sliced_conv *s)
{
    const gd_view x = conv_input(&s->part, NULL);

    return onednn_conv_weights_bytes(s->kernel) * (size_t)weight_sets(s) >
           (size_t)(x.n * x.image) * gd_dtype_bytes(x.dtype);
}

static gd_conv_buffers item_buffers(const sliced_conv *s, const gd_conv_buffers *b, int i)
{
    const bool by_slice = slice_by_slice(s);
    const int group = by_slice ? i % s->images : i / s->slices;
    const int slice = by_slice ? i / s->images : i % s->slices;
    const bool x_is_cut = s->desc.pass == GD_CONV_GRAD_DATA;
    const gd_view x = conv_x(&s->desc, b->x), y = conv_y(&s->desc, b->y);
    const size_t set = weight_sets(s) > 1 ? (size_t)slice : 0;
    gd_conv_buffers item = *b;

    item.x = advance(&x, offset_in(s, &x, x_is_cut, group, slice));
    item.y = advance(&y, offset_in(s, &y, !x_is_cut, group, slice));
    if (b->weights)
        item.weights = (char *)b->weights + set * onednn_conv_weights_bytes(s->kernel);
    if (b->bias)
        item.bias = b->bias + set * (size_t)s->part.co;
    if (b->dweights)
        item.dweights = b->dweights + plain_offset(s, slice);
    return item;
}

static void unbind(gd_conv_call *call)
{
    sliced_call *c = call->slices;

    for (int i = 0; c && i < items_of(c->conv); i++)
        onednn_call_free(c->item[i]);
    free(c);
}

static gd_status bind(gd_conv_call *call)
{
    const sliced_conv *s = call->conv->slices;
    const gd_conv_buffers *b = &call->buffers;
    const int items = items_of(s);
    sliced_call *c = call->slices = calloc(1, sizeof *c + (size_t)items * sizeof *c->item);
    gd_status status = GD_OK;

    if (!c)
        return gd_fail(GD_ENOMEM, "convolution: out of memory");
    c->conv = s;
    for (int part = 0; part < parts_of(s); part++)
        for (int i = part_begin(s, part); i < part_begin(s, part + 1) && status == GD_OK; i++) {
            gd_conv_buffers item = item_buffers(s, b, i);
            if (part_scratch(s) > 0)
                item.scratch = (char *)b->scratch + (size_t)part * part_scratch(s);
            status = onednn_call_make(&c->item[i], s->kernel, &item);
        }
    if (status != GD_OK)
        unbind(call);
    return status;
}

static void run_part(void *ctx, int64_t part)
{
    const sliced_call *c = ctx;
    const int end = part_begin(c->conv, (int)part + 1);

    for (int i = part_begin(c->conv, (int)part); i < end; i++)
        onednn_call_run(c->item[i]);
}

static void run(const gd_conv_call *call)
{
    gd_par(parts_of(call->conv->slices), run_part, call->slices);
}

/* ---- the engines ---- */

#define SLICED_ENGINE(NAME)                                                                        \
    {                                                                                              \
        .name = NAME, .make = make, .free = release, .kernel_name = kernel_name,                   \
        .weights_bytes = weights_bytes, .scratch_bytes = scratch_bytes, .has_bands = has_bands,    \
        .pack_band = pack_band, .pack = pack, .hash_layout = hash_layout, .bind = bind,            \
        .unbind = unbind, .run = run, .adds = true                                                 \
    }
const conv_engine conv_engine_direct = SLICED_ENGINE("direct");
const conv_engine conv_engine_onednn_winograd = SLICED_ENGINE("onednn winograd");
