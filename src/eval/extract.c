/* SPDX-License-Identifier: MIT */
/* extract.c - features of images, whichever network they come from. */
#include "eval/extract_private.h"

void gd_extractor_free(gd_extractor *e)
{
    if (e)
        e->free(e);
}

bool gd_extractor_set_size(gd_extractor *e, int height, int width)
{
    if (e->set_size)
        e->set_size(e, height, width);
    return e->set_size != NULL;
}

gd_extractor_shape gd_extractor_get_shape(const gd_extractor *e)
{
    return e->shape;
}

int gd_extractor_row(const gd_extractor_shape *s)
{
    return s->width + s->spatial + s->classes;
}

gd_status gd_extractor_hash(const gd_extractor *e, char text[33])
{
    return e->hash(e, text);
}

gd_status gd_extractor_run(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    return e->run(e, n, pixels, rows);
}

const char *gd_extractor_format(const gd_extractor *e)
{
    return e->format(e);
}
