/* SPDX-License-Identifier: MIT */
/* fuzz_lmdb.c - LMDB files of images, as the data.mdb of a folder: whatever it begins with, it is
 * read as one. */
#include "fuzz_dataset.h"

static const char file[] = "data.mdb";

static void tidy(void)
{
    drop_file(file);
    rmdir(fuzz_folder);
}

/* The linker gives the reader this one: copying finds a value that ends outside the file, which the
 * decoders, built without sanitizers, may not */
gd_status __real_gd_image_decode(gd_image *out, const void *data, size_t bytes, int channels,
                                 const char *name);
gd_status __wrap_gd_image_decode(gd_image *out, const void *data, size_t bytes, int channels,
                                 const char *name);
gd_status __wrap_gd_image_decode(gd_image *out, const void *data, size_t bytes, int channels,
                                 const char *name)
{
    const void *copy = memcpy(make_exactly(bytes), data, bytes);
    const gd_status s = __real_gd_image_decode(out, copy, bytes, channels, name);

    free_exactly(copy);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    /* Many values may be the same bytes, and those a bomb: small images are enough here, and
     * fuzz_image has the decoders' limits */
    gd_set_memory_limit(4 << 20);
    if (!fuzz_folder[0])
        make_folder(tidy);
    put_file(file, data, bytes);
    open_and_read(fuzz_folder, &(gd_dataset_options){ .channels = 3 });
    return 0;
}
