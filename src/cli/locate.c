/* locate.c - where files of models/ and data/ are. */
#include "cli/cli.h"

#include <stdlib.h>

const char *cli_locate(char *out, const char *name)
{
    const char *models = getenv("GUIDED_MODELS");
    const char *const folders[] = { models ? models : "", GUIDED_DATA_DIR "/models",
                                    GUIDED_DATA_DIR "/data", GUIDED_SOURCE_DIR "/models",
                                    GUIDED_SOURCE_DIR "/data" };

    for (int i = 0; i < COUNT(folders); i++) {
        snprintf(out, 4096, "%s/%s", folders[i], name);
        if (*folders[i] && gd_path_exists(out))
            return out;
    }
    return NULL;
}
