/* SPDX-License-Identifier: MIT */
/* fuzz_json.c - the JSON parser's limits. */
#include "io/io.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *root;

    if (gd_json_parse(&root, (const char *)data, bytes, 4, "FILE") == GD_OK)
        json_decref(root);
    return 0;
}
