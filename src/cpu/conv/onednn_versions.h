/* SPDX-License-Identifier: MIT */
/* onednn_versions.h - what differs between the C APIs of oneDNN 2.x and 3.x; part of onednn.c, the
 * rest of which does not know which one it is. */
#ifndef GD_CPU_ONEDNN_VERSIONS_H
#define GD_CPU_ONEDNN_VERSIONS_H

#include "cpu/conv/conv_private.h"

#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t;
typedef const_dnnl_memory_desc_t md_view;
#define EVERY_ISA dnnl_cpu_isa_default
#else
typedef dnnl_memory_desc_t *md_t;
typedef const dnnl_memory_desc_t *md_view;
#define EVERY_ISA dnnl_cpu_isa_all
#endif

static dnnl_status_t md_make(md_t *out, int rank, const int64_t *dim, dnnl_data_type_t dtype,
                             dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = { 0 };

    memcpy(dims, dim, (size_t)rank * sizeof *dim);
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(out, rank, dims, dtype, tag);
#else
    *out = malloc(sizeof **out);
    return *out ? dnnl_memory_desc_init_by_tag(*out, rank, dims, dtype, tag) : dnnl_out_of_memory;
#endif
}

/* Dense but for the first dimension, whose elements are `row` numbers apart: filters */
static dnnl_status_t md_make_rows(md_t *out, int rank, const int64_t *dim, dnnl_data_type_t dtype,
                                  int64_t row)
{
    dnnl_dims_t dims = { 0 }, strides = { 0 };

    memcpy(dims, dim, (size_t)rank * sizeof *dim);
    strides[rank - 1] = 1;
    for (int i = rank - 2; i > 0; i--)
        strides[i] = strides[i + 1] * dims[i + 1];
    strides[0] = row;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides(out, rank, dims, dtype, strides);
#else
    *out = malloc(sizeof **out);
    return *out ? dnnl_memory_desc_init_by_strides(*out, rank, dims, dtype, strides)
                : dnnl_out_of_memory;
#endif
}

static void md_free(md_t md)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_destroy(md);
#else
    free(md);
#endif
}

/* How a tensor lies, as numbers: these four, then [rank] sizes, padded sizes and strides, then
 * [blocks] sizes of the inner blocks and which dimensions they cut.  Returns how many; 0: not in
 * blocks. */
enum { LAYOUT_RANK, LAYOUT_TYPE, LAYOUT_OFFSET, LAYOUT_BLOCKS, LAYOUT_DIMS };
enum { MAX_LAYOUT = LAYOUT_DIMS + 5 * DNNL_MAX_NDIMS };

static int put_dims(int64_t *out, const int64_t *from, int n)
{
    memcpy(out, from, (size_t)n * sizeof *out);
    return n;
}

static int md_layout(int64_t *out, md_view md)
{
    int n = 0;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_dims_t *dims, *padded, *strides, *sizes, *which;
    dnnl_data_type_t type;
    dnnl_format_kind_t kind;
    dnnl_dim_t offset;
    int rank, blocks;

    if (dnnl_memory_desc_query(md, dnnl_query_format_kind, &kind) != dnnl_success ||
        kind != dnnl_blocked ||
        dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &rank) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_data_type, &type) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_submemory_offset_s64, &offset) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_dims, &dims) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_padded_dims, &padded) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_strides, &strides) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &blocks) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_blks, &sizes) != dnnl_success ||
        dnnl_memory_desc_query(md, dnnl_query_inner_idxs, &which) != dnnl_success)
        return 0;
    const int64_t *dim = *dims, *padded_dim = *padded, *stride = *strides, *size = *sizes,
                  *index = *which;
#else
    const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
    const int64_t *dim = md->dims, *padded_dim = md->padded_dims, *stride = b->strides,
                  *size = b->inner_blks, *index = b->inner_idxs, offset = md->offset0;
    const int rank = md->ndims, blocks = b->inner_nblks;
    const dnnl_data_type_t type = md->data_type;

    if (md->format_kind != dnnl_blocked)
        return 0;
#endif
    out[n++] = rank;
    out[n++] = type;
    out[n++] = offset;
    out[n++] = blocks;
    n += put_dims(out + n, dim, rank);
    n += put_dims(out + n, padded_dim, rank);
    n += put_dims(out + n, stride, rank);
    n += put_dims(out + n, size, blocks);
    return n + put_dims(out + n, index, blocks);
}

typedef struct conv_mds {
    md_t x, w, bias, y;
} conv_mds;

/* The pass's primitive descriptor for one algorithm */
static dnnl_status_t pd_make(dnnl_primitive_desc_t *pd, const gd_conv_desc *d, const conv_mds *m,
                             dnnl_alg_kind_t alg, const_dnnl_primitive_attr_t attr,
                             dnnl_engine_t engine)
{
    const dnnl_dims_t stride = { d->stride, d->stride }, dilate = { 0, 0 },
                      pad = { d->pad, gd_conv_pad_w(d) };
    dnnl_dims_t pad_end; /* the right and bottom padding that makes (out - 1) * stride + kernel fit
                            exactly */

    pad_end[0] = (gd_conv_out(d->h, d) - 1) * d->stride + d->kernel - d->h - d->pad;
    pad_end[1] = (gd_conv_out_w(d->w, d) - 1) * d->stride + gd_conv_kernel_w(d) - d->w - pad[1];
#if DNNL_VERSION_MAJOR >= 3
    switch (d->pass) {
    case GD_CONV_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_inference,
                                                              alg, m->x, m->w, m->bias, m->y,
                                                              stride, dilate, pad, pad_end, attr);
    case GD_CONV_GRAD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, alg, m->x, m->w, m->y, stride, dilate, pad, pad_end, NULL, attr);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, alg, m->x, m->w, NULL, m->y, stride, dilate, pad, pad_end, NULL, attr);
    }
#else
    dnnl_convolution_desc_t c;
    dnnl_status_t s;
    switch (d->pass) {
    case GD_CONV_FORWARD:
        s = dnnl_dilated_convolution_forward_desc_init(&c, dnnl_forward_inference, alg, m->x, m->w,
                                                       m->bias, m->y, stride, dilate, pad, pad_end);
        break;
    case GD_CONV_GRAD_DATA:
        s = dnnl_dilated_convolution_backward_data_desc_init(&c, alg, m->x, m->w, m->y, stride,
                                                             dilate, pad, pad_end);
        break;
    default:
        s = dnnl_dilated_convolution_backward_weights_desc_init(&c, alg, m->x, m->w, NULL, m->y,
                                                                stride, dilate, pad, pad_end);
    }
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &c, attr, engine, NULL) : s;
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
    return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

static dnnl_status_t append_relu(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
#else
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
#endif
}

#endif
