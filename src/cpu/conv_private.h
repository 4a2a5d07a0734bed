/* conv_private.h - the engines behind conv.h: oneDNN (onednn.c), our Winograd (conv_winograd.c),
 * our tiles of AMX (conv_tiles.c) and plain C (conv_plain.c). */
#ifndef GD_CPU_CONV_PRIVATE_H
#define GD_CPU_CONV_PRIVATE_H

#include "cpu/conv.h"

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

/* ---- conv_slices.c: a convolution as slices for the threads, each one by oneDNN ---- */

typedef struct sliced_conv sliced_conv;
typedef struct sliced_call sliced_call;

/* threads: at most so many run it, which only scratch depends on */
gd_status sliced_conv_make(sliced_conv **out, const gd_conv_desc *d, gd_conv_algo algo,
                           int threads);
void sliced_conv_free(sliced_conv *s);
const char *sliced_conv_kernel_name(const sliced_conv *s);
size_t sliced_conv_weights_bytes(const sliced_conv *s);
size_t sliced_conv_scratch_bytes(const sliced_conv *s);
gd_status sliced_conv_hash_layout(const sliced_conv *s, gd_hasher *hasher);
/* As gd_conv_pack and its bands; in bands or not */
bool sliced_conv_has_bands(const sliced_conv *s);
void sliced_conv_pack_band(const sliced_conv *s, void *packed, const float *weights, int band,
                           bool stream);
gd_status sliced_conv_pack(const sliced_conv *s, void *packed, const float *weights);
gd_status sliced_call_make(sliced_call **out, const sliced_conv *s, const gd_conv_buffers *b);
void sliced_call_free(sliced_call *c);
void sliced_call_run(const sliced_call *c);

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

bool outer_can(const gd_conv_desc *d);
/* threads: at most so many, of both calls */
bool winograd_can(const gd_conv_desc *d);
size_t winograd_weights_bytes(const gd_conv_desc *d);
size_t winograd_scratch_bytes(const gd_conv_desc *d, int threads);
void winograd_conv_run(const gd_conv_desc *d, int threads, const gd_conv_buffers *b);

bool tiles_can(const gd_conv_desc *d);
size_t tiles_weights_bytes(const gd_conv_desc *d);
size_t tiles_scratch_bytes(const gd_conv_desc *d);
void tiles_conv_run(const gd_conv_desc *d, int threads, const gd_conv_buffers *b);

/* For linear.c: the engine once, outside parallel regions; then products on the calling thread */
gd_status onednn_ready(void);
void onednn_dot_products(float *c, const float *a, const float *b, int m, int n, int k);

/* x and y float32 nhwc; packed: as large as the weights */
void plain_conv_pack(const gd_conv_desc *d, float *packed, const float *weights);
void plain_conv_run(const gd_conv_desc *d, const gd_conv_buffers *b);

#endif
