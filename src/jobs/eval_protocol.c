/* SPDX-License-Identifier: MIT */
/* eval_protocol.c - a published reference and what does not fit it: said once, and kept in the
 * report. */
#include "jobs/eval.h"

#include "eval/protocol.h"

#include <jansson.h>
#include <string.h>

enum { MOST = 6, LENGTH = 300 };

typedef struct cautions {
    char text[MOST][LENGTH];
    int n;
} cautions;

static char *next(cautions *c)
{
    return c->text[c->n < MOST - 1 ? c->n++ : c->n];
}

/* Is the file what its name says? */
static bool fits(const gd_published *p, const eval_run *r)
{
    const int height = gd_images_height(r->ref.images);

    return p->size == 0 || height == 0 || height == p->size;
}

static void compare(cautions *c, const gd_published *p, const eval_run *r)
{
    const int64_t n = gd_images_count(r->samples.images);
    const int height = gd_images_height(r->samples.images);

    if (strcmp(p->dialect, r->dialect->rows) != 0 && strcmp(p->dialect, r->dialect->name) != 0)
        snprintf(next(c), LENGTH, "its statistics are of the dialect %s, not of %s", p->dialect,
                 r->dialect->name);
    if (n > 0 && n != p->samples)
        snprintf(next(c), LENGTH, "published numbers are of %lld samples, these of %lld",
                 (long long)p->samples, (long long)n);
    if (p->size > 0 && height > 0 && height != p->size)
        snprintf(next(c), LENGTH, "samples are %d x %d, its images %d x %d",
                 gd_images_width(r->samples.images), height, p->size, p->size);
    if (p->note)
        snprintf(next(c), LENGTH, "%s", p->note);
}

static const gd_published *collect(cautions *c, const eval_run *r)
{
    const gd_published *p = r->o.ref ? gd_published_find(r->ref.path) : NULL;

    c->n = 0;
    if (!p || r->o.features)
        return NULL;
    if (!fits(p, r)) {
        snprintf(next(c), LENGTH,
                 "the name is that of %s, whose images are %d x %d, and not its "
                 "content",
                 p->what, p->size, p->size);
        return p;
    }
    compare(c, p, r);
    return p;
}

void eval_protocol_say(const eval_run *r)
{
    cautions c;
    const gd_published *p = collect(&c, r);

    if (!p)
        return;
    gd_log(GD_LOG_NOTE, "%s: by its name and shape %s", r->ref.path, p->what);
    for (int i = 0; i < c.n; i++)
        gd_log(GD_LOG_NOTE, "%s: %s", r->ref.path, c.text[i]);
}

void eval_protocol_set(json_t *j, const eval_run *r)
{
    cautions c;
    const gd_published *p = collect(&c, r);
    json_t *list;

    if (!p)
        return;
    list = json_array();
    for (int i = 0; i < c.n; i++)
        json_array_append_new(list, json_string(c.text[i]));
    json_object_set_new(j, "reference_known_as", json_string(p->what));
    json_object_set_new(j, "cautions", list);
}
