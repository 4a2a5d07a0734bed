/* SPDX-License-Identifier: MIT */
/* fuzz_network.c - networks that are pickled as objects, and the containers of single storages that
 * such pickles hold. */
#include "fuzz_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gd_cursor c = { data, data, data + bytes, "FILE" };
    io_storage storage;

    if (io_read_nested_storage(&storage, &c) == GD_OK &&
        (storage.data < data || storage.data + storage.bytes != data + bytes))
        abort();
    open_and_read(data, bytes, true);
    return 0;
}
