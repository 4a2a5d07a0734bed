/* SPDX-License-Identifier: MIT */
/* need.c - an array that must be there: if it is not, what the file holds instead, or why it cannot
 * be read. */
#include "io/io_private.h"

#include <string.h>

/* "a, b, c", as far as there is room */
static void list_names(const gd_bundle *b, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < b->n && used < size; i++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%.40s", i ? ", " : "", b->array[i].name);
    if (used >= size)
        memcpy(out + size - 4, "...", 4);
}

gd_status gd_bundle_need(const gd_array **out, const gd_bundle *b, const char *name)
{
    char names[160];

    *out = gd_bundle_find(b, name);
    if (*out)
        return GD_OK;
    for (int i = 0; i < b->n_refused; i++)
        if (strcmp(b->refused[i].name, name) == 0)
            return gd_fail(GD_EFORMAT, "%s: %s", b->path, b->refused[i].why);
    list_names(b, names, sizeof names);
    return gd_fail(GD_EFORMAT, "%s: has no %s%s%s%s", b->path, name, *names ? " (it holds " : "",
                   names, *names ? ")" : "");
}

bool gd_bundle_refuses(const gd_bundle *b, const char *name)
{
    for (int i = 0; i < b->n_refused; i++)
        if (strcmp(b->refused[i].name, name) == 0)
            return true;
    return false;
}
