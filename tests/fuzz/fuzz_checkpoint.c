/* SPDX-License-Identifier: MIT */
/* fuzz_checkpoint.c - a training checkpoint: opened with its options and configuration, or refused
 * with a message. */
#define _GNU_SOURCE
#include "fuzz_folder.h"
#include "train/train.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gd_train_options options;
    gd_model_config config;
    gd_bundle *b;
    int64_t step;

    need_folder();
    put_file("checkpoint-000000003.safetensors", data, bytes);
    gd_train_defaults(&options, GD_NET_UNET);
    if (gd_checkpoint_open(&b, inside("checkpoint-000000003.safetensors"), &options, &config) ==
        GD_OK) {
        if (gd_train_check(&options, 1) != GD_OK)
            require(*gd_error() != '\0');
        gd_bundle_close(b);
    } else {
        require(*gd_error() != '\0');
    }
    gd_checkpoint_step(fuzz_folder, &step);
    return 0;
}
