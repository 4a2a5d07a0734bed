/* SPDX-License-Identifier: MIT */
/* conv_private.h - the engines behind conv.h: slices by oneDNN (slices.c, onednn.c), our Winograd
 * (winograd.c), outer products (outer.c), tiles of AMX (tiles.c) and plain C (plain.c). */
#ifndef GD_CPU_CONV_PRIVATE_H
#define GD_CPU_CONV_PRIVATE_H

#include "cpu/conv.h"
#include "cpu/kernels/conv_jobs.h"

/* ---- engines ---- */

typedef struct sliced_conv sliced_conv;
typedef struct sliced_call sliced_call;

struct gd_conv {
    gd_conv_desc desc;
    gd_conv_algo algo;
    int threads;         /* at most */
    sliced_conv *slices; /* of an engine that makes them, else NULL */
};

struct gd_conv_call {
    const gd_conv *conv;
    gd_conv_buffers buffers;
    sliced_call *slices;
};

/* A way to compute convolutions; conv.c has the table.  NULL: as said. */
typedef struct conv_engine {
    const char *name;
    bool (*can)(const gd_conv_desc *d);  /* NULL: every shape, as far as `make` does not refuse */
    bool (*pays)(const gd_conv_desc *d); /* of what it can, is it the fastest?  NULL: always */
    gd_status (*make)(gd_conv *c);       /* NULL: nothing is made */
    void (*free)(gd_conv *c);
    const char *(*kernel_name)(const gd_conv *c); /* NULL: the engine's name */
    size_t (*weights_bytes)(const gd_conv *c);    /* packed; NULL: it has only weight gradients */
    size_t (*scratch_bytes)(const gd_conv *c);    /* NULL: none */
    bool (*has_bands)(const gd_conv *c);          /* packs them singly; NULL: no */
    void (*pack_band)(const gd_conv *c, void *packed, const float *weights, int band, bool stream);
    gd_status (*pack)(const gd_conv *c, void *packed, const float *weights); /* without bands */
    gd_status (*hash_layout)(const gd_conv *c, gd_hasher *hasher); /* NULL: the shape fixes it */
    gd_status (*bind)(gd_conv_call *call);                         /* NULL: nothing is made */
    void (*unbind)(gd_conv_call *call);
    void (*run)(const gd_conv_call *call);
    bool adds; /* to what y holds: a residual is copied there first */
} conv_engine;

extern const conv_engine conv_engine_direct, conv_engine_onednn_winograd, conv_engine_winograd,
    conv_engine_outer, conv_engine_tiles, conv_engine_plain;
const conv_engine *conv_engine_of(gd_conv_algo algo);

/* ---- onednn.c: one kernel on the calling thread ---- */

typedef struct onednn_conv onednn_conv;
typedef struct onednn_call onednn_call;

/* row_channels: of x in a row of the plain weights, of which a slice of the data's gradient has
 * some; else d->ci */
gd_status onednn_conv_make(onednn_conv **out, const gd_conv_desc *d, gd_conv_algo algo,
                           int row_channels);
void onednn_conv_free(onednn_conv *o);
const char *onednn_conv_kernel_name(const onednn_conv *o);
size_t onednn_conv_weights_bytes(const onednn_conv *o);
size_t onednn_conv_scratch_bytes(const onednn_conv *o);
gd_status onednn_conv_hash_layout(const onednn_conv *o, gd_hasher *hasher);
/* How float32 weights of a 1x1 kernel lie if they lie in blocks of 16 x 16 channels, else NULL */
const gd_blocks *onednn_conv_blocks(const onednn_conv *o);
gd_status onednn_conv_pack(const onednn_conv *o, void *packed, const float *weights);
gd_status onednn_call_make(onednn_call **out, const onednn_conv *conv, const gd_conv_buffers *b);
void onednn_call_free(onednn_call *c);
void onednn_call_run(const onednn_call *c);

/* ---- conv.c: shapes ---- */

/* The activations x and y of d, and what has their shapes */
gd_view conv_x(const gd_conv_desc *d, void *data);
gd_view conv_y(const gd_conv_desc *d, void *data);
/* What is read and what is written by our engines: the gradient of the data goes from y to x, as a
 * convolution with padding of its own.  b: NULL for the shapes alone */
gd_view conv_input(const gd_conv_desc *d, const gd_conv_buffers *b);
gd_view conv_output(const gd_conv_desc *d, const gd_conv_buffers *b);
int conv_in_channels(const gd_conv_desc *d);
int conv_out_channels(const gd_conv_desc *d);
int conv_in_pad(const gd_conv_desc *d); /* square kernels */

/* For linear.c: the engine once, outside parallel regions; then products on the calling thread */
gd_status onednn_ready(void);
void onednn_dot_products(float *c, const float *a, const float *b, int m, int n, int k);

#endif
