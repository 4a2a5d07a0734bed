/* SPDX-License-Identifier: MIT */
/* dialect.c - the table of dialects, and those whose input the network makes itself. */
#include "eval/dialect.h"

#include <string.h>

const gd_dialect gd_dialect_adm = {
    .name = "adm",
    .program = "guided-diffusion's evaluator.py",
    .input = "TensorFlow 1 bilinear to 299, (v - 128) / 128",
    .statistic = "",
    .rows = "adm",
};

const gd_dialect gd_dialect_torch_fidelity = {
    .name = "torch-fidelity",
    .program = "torch-fidelity 0.4",
    .input = "TensorFlow 1 bilinear to 299, (v - 128) / 128",
    .statistic = "score over 10 parts and subsets of the kernel distance by numpy's "
                 "RandomState(2020), precision and recall in VGG16 features, all images",
    .rows = "adm",
    .fidelity = true,
};

static const gd_dialect *const dialects[] = {
    &gd_dialect_adm,       &gd_dialect_pytorch_fid,       &gd_dialect_torch_fidelity,
    &gd_dialect_clean_fid, &gd_dialect_clean_fid_pytorch, &gd_dialect_clean_fid_tensorflow,
    &gd_dialect_edm,
};

const gd_dialect *gd_dialect_at(int i)
{
    return i < COUNT(dialects) ? dialects[i] : NULL;
}

gd_status gd_dialect_read(const gd_dialect **out, const char *word)
{
    char names[256];
    size_t used = 0;

    for (int i = 0; i < COUNT(dialects); i++) {
        if (strcmp(word, dialects[i]->name) == 0) {
            *out = dialects[i];
            return GD_OK;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 dialects[i]->name);
    }
    return gd_fail(GD_EUSAGE, "--dialect %s: expected one of %s, or all", word, names);
}
