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

double gd_field_number(gd_field_type type, const void *place)
{
    return type == GD_INT    ? *(const int *)place
           : type == GD_WIDE ? (double)*(const int64_t *)place
                             : *(const double *)place;
}

static gd_status read_number(const gd_field *v, const char *text, void *place)
{
    char *end, expected[96];
    const double number = strtod(text, &end);
    const bool whole = v->type != GD_REAL,
               inside = *text && !*end && number >= v->min && number <= v->max; /* NaN is not */

    if (!inside || (whole && number != (double)(int64_t)number)) {
        snprintf(expected, sizeof expected,
                 whole ? "a whole number from %.0f to %.0f" : "a number from %g to %g", v->min,
                 v->max);
        return bad(v->name, text, expected);
    }
    if (v->type == GD_INT)
        *(int *)place = (int)number;
    else if (v->type == GD_WIDE)
        *(int64_t *)place = (int64_t)number;
    else
        *(double *)place = number;
    return GD_OK;
}

static gd_status read_seed(const gd_field *v, const char *text, uint64_t *place)
{
    char *end;

    errno = 0;
    const unsigned long long seed = strtoull(text, &end, 10);
    if (!*text || *end || errno || *text == '-')
        return bad(v->name, text, "a whole number from 0 to 2^64 - 1");
    *place = seed;
    return GD_OK;
}

/* What means true and false to the authors' scripts too */
static gd_status read_switch(const gd_field *v, const char *text, bool *place)
{
    static const char *const yes[] = { "true", "yes", "t", "y", "1" };
    static const char *const no[] = { "false", "no", "f", "n", "0" };

    for (int i = 0; i < COUNT(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *place = strcasecmp(text, yes[i]) == 0;
            return GD_OK;
        }
    }
    return bad(v->name, text, "true or false");
}

gd_status gd_field_read(const gd_field *v, const char *text, void *place)
{
    switch (v->type) {
    case GD_SWITCH:
        return read_switch(v, text, place);
    case GD_SEED:
        return read_seed(v, text, place);
    case GD_TEXT:
        *(const char **)place = text;
        return GD_OK;
    default:
        return read_number(v, text, place);
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
