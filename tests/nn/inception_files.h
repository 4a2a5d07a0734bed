/* SPDX-License-Identifier: MIT */
/* inception_files.h - the 2015 Inception network's weights, made up, in every way of naming them.
 */
#ifndef INCEPTION_FILES_H
#define INCEPTION_FILES_H

#include "nn/inception.h"

/* Numbers are functions of the array's name, the same in every file.  Batch normalisation scales by
 * 1 or 2, which the port, having no scale, has in its weights and means: folded, all are equal to
 * the last bit. */
enum { GAMMA_PERIOD = 3 };

/* pytorch-fid's names, or the ports', in a safetensors file; GD_OK or the test fails */
void write_pytorch_file(const char *path);
void write_port_file(const char *path);
/* TensorFlow's GraphDef.  Every array with room for it in one number is that number when `flat`: a
 * smaller file of other weights, in which layer 10's variance may be `variance`. */
typedef struct graphdef_file {
    bool flat, no_gamma;
    float variance;  /* flat only */
    int n_constants; /* 0: all; else the file ends after so many */
    float epsilon;   /* above 0: every layer has a node with this variance_epsilon */
    bool unscaled;   /* and scale_after_normalization false, else true */
} graphdef_file;
void write_graphdef(const char *path, graphdef_file how);

#endif
