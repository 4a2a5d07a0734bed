/* SPDX-License-Identifier: MIT */
/* guided.config from an untrusted file: refused with a message, or a configuration that lists its
 * parameters and survives being written and read again. */
#include "nn/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void survives(const gd_model_config *config, gd_arena *mem)
{
    gd_model_config back;
    char *text;

    require(gd_config_to_json(config, mem, &text) == GD_OK);
    require(gd_config_from_json(&back, text, "again") == GD_OK);
    require(memcmp(&back, config, sizeof back) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gd_model_config config;
    gd_param_spec *spec;
    gd_arena *mem;
    char *text;
    int n;

    require(gd_arena_make(&mem) == GD_OK);
    text = gd_alloc(mem, bytes + 1);
    memcpy(text, data, bytes);
    if (gd_config_from_json(&config, text, "fuzz") == GD_OK) {
        require(gd_config_params(&config, mem, &spec, &n) == GD_OK);
        survives(&config, mem);
    } else {
        require(gd_error()[0] != 0);
    }
    gd_arena_free(mem);
    return 0;
}
