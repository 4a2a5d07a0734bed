/* SPDX-License-Identifier: MIT */
/* image_format.c - the formats of pictures: a table, one file each. */
#include "io/io_private.h"

#include <string.h>
#include <strings.h>

#define ADDRESS(name) &io_format_##name,
static const io_image_format *const formats[] = { IO_IMAGE_FORMATS(ADDRESS) };
#undef ADDRESS

const io_image_format *io_image_format_of(const void *data, size_t bytes)
{
    for (int i = 0; i < COUNT(formats); i++)
        if (formats[i]->is(data, bytes))
            return formats[i];
    return NULL;
}

bool gd_image_is(const void *data, size_t bytes)
{
    return io_image_format_of(data, bytes) != NULL;
}

bool gd_image_named(const char *name)
{
    const char *dot = strrchr(name, '.');

    for (int i = 0; dot && i < COUNT(formats); i++)
        for (int k = 0; k < COUNT(formats[i]->suffix) && formats[i]->suffix[k]; k++)
            if (strcasecmp(dot + 1, formats[i]->suffix[k]) == 0)
                return true;
    return false;
}

void gd_image_formats(char out[GD_IMAGE_FORMATS])
{
    size_t at = 0;

    for (int i = 0; i < COUNT(formats) && at < GD_IMAGE_FORMATS; i++)
        at += (size_t)snprintf(out + at, GD_IMAGE_FORMATS - at, "%s%s",
                               i == 0                   ? ""
                               : i < COUNT(formats) - 1 ? ", "
                                                        : " and ",
                               formats[i]->name);
}
