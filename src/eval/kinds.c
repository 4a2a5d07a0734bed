/* kinds.c - the table of feature networks. */
#include "eval/kinds.h"

#include <string.h>

static const gd_feature_kind *const kinds[] = { &gd_kind_vgg16 };

const gd_feature_kind *gd_feature_kind_of(const char *path)
{
    const gd_feature_kind *found = NULL;
    gd_bundle *bundle;

    if (gd_bundle_open(&bundle, path) != GD_OK)
        return NULL;
    for (int i = 0; i < COUNT(kinds) && !found; i++)
        if (kinds[i]->matches(bundle))
            found = kinds[i];
    gd_bundle_close(bundle);
    return found;
}

void gd_feature_kind_names(char *out, size_t size)
{
    size_t used = 0;

    *out = 0;
    for (int i = 0; i < COUNT(kinds) && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", kinds[i]->name);
}
