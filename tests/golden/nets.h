/* SPDX-License-Identifier: MIT */
/* nets.h - the networks of a case as a denoiser: one image at a time, as in `guided sample`. */
#ifndef TESTS_GOLDEN_NETS_H
#define TESTS_GOLDEN_NETS_H

#include "golden.h"

typedef struct golden_nets_one {
    golden_graph u;
    gd_net net;
    gd_val out;
} golden_nets_one;

typedef struct golden_nets {
    golden *g;
    gd_net_size size; /* of one image */
    golden_nets_one model, classifier;
    int channels, out_channels;
    float *low_res; /* [n][C][low_h][low_w], or NULL */
} golden_nets;

/* Weights "model" or, of a classifier, "classifier"; false: the case has failed */
bool golden_nets_add(golden_nets *nets, json_t *config, gd_net_kind kind);
/* The same with weights of another name, as nets->model */
bool golden_nets_add_named(golden_nets *nets, json_t *config, const char *weights);
gd_denoiser golden_nets_denoiser(golden_nets *nets, bool guided);
void golden_nets_release(golden_nets *nets);

#endif
