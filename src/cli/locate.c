/* locate.c - where the built-in model and the class names are. */
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

gd_status cli_built_in(const char **model, char *file, const char *name)
{
    if (!*model)
        *model = cli_locate(file, name);
    return *model
               ? GD_OK
               : gd_fail(GD_EUSAGE,
                         "no --model given, and the built-in one is not installed (GUIDED_MODELS)");
}
