/* SPDX-License-Identifier: MIT */
/* graphdef_file.h - TensorFlow's GraphDef, written field by field. */
#ifndef GRAPHDEF_FILE_H
#define GRAPHDEF_FILE_H

#include "fixture.h"

void put_varint(bytes *to, uint64_t value);
/* A field of bytes or of a message; frees the content */
void put_field(bytes *to, int number, bytes content);
void put_text_field(bytes *to, int number, const char *text);
void put_integer_field(bytes *to, int number, uint64_t value);

/* Where a constant's numbers stand: tensor_content, float_val packed or one by one */
typedef enum values_as { AS_CONTENT, AS_PACKED, AS_LOOSE } values_as;
/* A TensorProto of float32 with this shape and so many numbers: 0.5, 1.5, ... */
bytes make_tensor(int rank, const int64_t *dim, values_as as, int n_values);
/* A whole Const node around it, appended as one of a GraphDef's */
void put_constant(bytes *to, const char *name, bytes tensor);
/* Any other node */
void put_other_node(bytes *to, const char *name, const char *op);

#endif
