/* hash.c - XXH3-128 by libxxhash. */
#include "base/base.h"

#include <inttypes.h>
#include <xxhash.h>

gd_status gd_hasher_make(gd_hasher **out)
{
    XXH3_state_t *state = XXH3_createState();

    *out = (gd_hasher *)state;
    if (!state)
        return gd_fail(GD_ENOMEM, "hash: out of memory");
    XXH3_128bits_reset(state);
    return GD_OK;
}

void gd_hasher_add(gd_hasher *hasher, const void *data, size_t bytes)
{
    XXH3_128bits_update((XXH3_state_t *)hasher, data, bytes);
}

void gd_hasher_text(const gd_hasher *hasher, char text[33])
{
    XXH128_hash_t h = XXH3_128bits_digest((const XXH3_state_t *)hasher);

    snprintf(text, 33, "%016" PRIx64 "%016" PRIx64, h.high64, h.low64);
}

void gd_hasher_free(gd_hasher *hasher)
{
    XXH3_freeState((XXH3_state_t *)hasher);
}
