/* SPDX-License-Identifier: MIT */
/* inception_private.h - the network's graph, for the files that read its weights and run it. */
#ifndef GD_NN_INCEPTION_PRIVATE_H
#define GD_NN_INCEPTION_PRIVATE_H

#include "nn/inception.h"

enum { INCEPTION_LAYERS = 94 };

/* A convolution; its parameters are SCOPE.weight [co,ci,kh,kw] and SCOPE.bias [co] */
typedef struct inception_layer {
    const char *scope; /* TensorFlow's, with dots: "mixed_4.tower_1.conv_3" */
    const char *torch; /* "Mixed_6b.branch7x7dbl_4" */
    int co, ci, kh, kw;
} inception_layer;

typedef struct inception_net {
    gd_graph *graph;
    gd_val pixels;                           /* plain U8 [N,H,W,3], or F32 [N,299,299,3] */
    gd_val pool;                             /* [N,1,1,2048] */
    gd_val spatial;                          /* [N,17,17,7] */
    gd_val logits;                           /* [N,1,1,1008] */
    inception_layer layer[INCEPTION_LAYERS]; /* in the order in which parameters are made */
    int n_layer;
} inception_net;

/* Into a new graph, which the caller frees; NULL when it fails.  h, w 0: no resize */
GD_CHECKED gd_status inception_build(inception_net *out, int n, int h, int w);

#endif
