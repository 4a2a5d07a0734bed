/* SPDX-License-Identifier: MIT */
/* fuzz_safetensors.c - whole safetensors files. */
#include "fuzz_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 9 && data[8] == '{')
        open_and_read(data, bytes, true);
    return 0;
}
