/* SPDX-License-Identifier: MIT */
/* fuzz_recipe.c - run.json, and the recipe of a picture: read with options that are given, or
 * refused with a message; printed as text. */
#include "jobs/maker.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    job_recipe recipe = { 0 };
    gd_job *job; /* what it prints goes nowhere */

    if (job_open(&job, "info") != GD_OK)
        abort();
    gd_job *before = job_use(job);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (job_recipe_read(&recipe, text, "run.json") == GD_OK) {
        if (!recipe.choice.model || recipe.choice.n < 1)
            abort();
        if (gd_records_compare("run.json", text, text, NULL) != GD_OK)
            abort();
    } else if (!*gd_error()) {
        abort();
    }
    job_recipe_close(&recipe);
    if (job_recipe_print(text, "3", "picture.png") != GD_OK && !*gd_error())
        abort();
    free(text);
    job_use(before);
    job_close(job);
    return 0;
}
