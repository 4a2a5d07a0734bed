/* SPDX-License-Identifier: MIT */
/* locate.c - finds files of models/ and data/. */
#include "jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

const char *job_locate(char *out, const char *name)
{
    const char *models = getenv("GUIDED_MODELS");
    char own[3000] = ""; /* relative to the program, because an installation can be moved */
    const char *const folders[] = { own, GUIDED_DATA_DIR, GUIDED_SOURCE_DIR };

    if (gd_own_folder(own, sizeof own - sizeof GUIDED_DATA_FROM_BIN))
        strcat(own, "/" GUIDED_DATA_FROM_BIN);
    snprintf(out, 4096, "%s/%s", models ? models : "", name);
    if (models && *models && gd_path_exists(out))
        return out;
    for (int i = 0; i < 2 * COUNT(folders); i++) {
        snprintf(out, 4096, "%s/%s/%s", folders[i / 2], i % 2 ? "data" : "models", name);
        if (*folders[i / 2] && gd_path_exists(out))
            return out;
    }
    return NULL;
}
