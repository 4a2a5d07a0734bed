/* SPDX-License-Identifier: MIT */
/* fuzz_graphdef.c - TensorFlow's GraphDef: input that begins like one, or is made to. */
#include "fuzz_bundle.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes + 1);

    memcpy(copy, data, bytes);
    if (bytes > 0)
        copy[0] = 0x0a; /* the field "node": what the container is told by */
    open_and_read(copy, bytes, true);
    free(copy);
    return 0;
}
