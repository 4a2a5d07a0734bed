/* SPDX-License-Identifier: MIT */
/* small.c - what many layers need and no library has. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool gd_ends_with(const char *path, const char *suffix)
{
    const size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcasecmp(path + n - k, suffix) == 0;
}

const char *gd_suffix(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');

    return dot && dot > name ? dot : "";
}

gd_status gd_suffix_check(const char *path, const char *known, const char *hint)
{
    const char *suffix = gd_suffix(path);

    if (!*suffix)
        return GD_OK;
    for (const char *at = known; *at;) {
        const size_t n = strcspn(at, " ");
        if (strlen(suffix + 1) == n && strncasecmp(suffix + 1, at, n) == 0)
            return GD_OK;
        at += n + (at[n] == ' ');
    }
    gd_status s = gd_fail(GD_EUSAGE, "%s: %s is not written here", path, suffix);
    gd_detail("hint: %s", hint);
    return s;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double gd_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}
