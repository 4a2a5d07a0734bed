/* SPDX-License-Identifier: MIT */
/* feature_net.h - a network from prepared images to rows of features, ready to run, whichever
 * network it is. */
#ifndef GD_NN_FEATURE_NET_H
#define GD_NN_FEATURE_NET_H

#include "graph/graph.h"

/* What a file of weights tells of it, as long as the file is open */
typedef struct gd_feature_source {
    int image, width; /* side of its images; numbers of a row */
    /* Into a graph: x [N,image,image,3] -> [N,1,1,width]; *x is the input */
    gd_val (*build)(gd_graph *g, const void *config, int n, gd_val *x);
    const void *config;
    gd_weights weights;
} gd_feature_source;

typedef struct gd_feature_net gd_feature_net;
/* `batch`: most images of one run of the network */
GD_CHECKED gd_status gd_feature_net_make(gd_feature_net **out, const gd_feature_source *source,
                                         int batch);
void gd_feature_net_close(gd_feature_net *net); /* NULL is fine */
/* x [n][3][image][image], any n -> features [n][width].  The result of an image depends neither on
 * n, on `batch`, on its place nor on the number of threads. */
void gd_feature_net_run(gd_feature_net *net, int n, const float *x, float *features);
void gd_feature_net_hash(const gd_feature_net *net, char text[33]); /* of the weights as used */

#endif
