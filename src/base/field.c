/* SPDX-License-Identifier: MIT */
/* field.c - a value that stands as text, read into a field of a structure: of options, parameters
 * of solvers, settings of operators. */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static gd_status bad(const char *name, const char *text, const char *expected)
{
    return gd_fail(GD_EUSAGE, "%s %s: expected %s", name, *text ? text : "\"\"", expected);
}

double gd_field_number(gd_field_type type, const void *of)
{
    return type == GD_INT    ? *(const int *)of
           : type == GD_WIDE ? (double)*(const int64_t *)of
                             : *(const double *)of;
}

static gd_status read_number(const gd_field *f, const char *text, void *to)
{
    char *end, expected[96];
    const double number = strtod(text, &end);
    const bool whole = f->type != GD_REAL,
               inside = *text && !*end && number >= f->min && number <= f->max; /* NaN is not */

    if (!inside || (whole && number != (double)(int64_t)number)) {
        snprintf(expected, sizeof expected,
                 whole ? "a whole number from %.0f to %.0f" : "a number from %g to %g", f->min,
                 f->max);
        return bad(f->name, text, expected);
    }
    if (f->type == GD_INT)
        *(int *)to = (int)number;
    else if (f->type == GD_WIDE)
        *(int64_t *)to = (int64_t)number;
    else
        *(double *)to = number;
    return GD_OK;
}

static gd_status read_seed(const gd_field *f, const char *text, uint64_t *to)
{
    char *end;

    errno = 0;
    const unsigned long long seed = strtoull(text, &end, 10);
    if (!*text || *end || errno || *text == '-')
        return bad(f->name, text, "a whole number from 0 to 2^64 - 1");
    *to = seed;
    return GD_OK;
}

/* What means true and false to the authors' scripts too */
static gd_status read_switch(const gd_field *f, const char *text, bool *to)
{
    static const char *const yes[] = { "true", "yes", "t", "y", "1" };
    static const char *const no[] = { "false", "no", "f", "n", "0" };

    for (int i = 0; i < COUNT(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *to = strcasecmp(text, yes[i]) == 0;
            return GD_OK;
        }
    }
    return bad(f->name, text, "true or false");
}

gd_status gd_field_read(const gd_field *f, const char *text, void *to)
{
    switch (f->type) {
    case GD_SWITCH:
        return read_switch(f, text, to);
    case GD_SEED:
        return read_seed(f, text, to);
    case GD_TEXT:
        *(const char **)to = text;
        return GD_OK;
    default:
        return read_number(f, text, to);
    }
}

gd_status gd_field_choose(const char *name, const char *text, const char *const *list, int n,
                          int *out)
{
    char all[1024] = "one of ";

    for (*out = 0; *out < n; *out += 1)
        if (strcmp(list[*out], text) == 0)
            return GD_OK;
    for (int i = 0; i < n; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", list[i]);
    gd_status s = bad(name, text, all);
    const char *near = gd_nearest(text, list, n);
    if (near)
        gd_detail("hint: did you mean %s?", near);
    return s;
}
