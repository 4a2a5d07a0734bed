/* SPDX-License-Identifier: MIT */
/* fuzz_torch.c - whole files of any kind, as trees and as state dicts. */
#include "fuzz_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    open_and_read(data, bytes, false);
    open_and_read(data, bytes, true);
    return 0;
}
