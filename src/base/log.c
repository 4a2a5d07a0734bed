/* SPDX-License-Identifier: MIT */
/* log.c - notices go to the callback of the calling thread's settings; without settings nowhere. */
#include "base/base.h"

bool gd_log_wanted(gd_log_level level)
{
    const gd_settings *own = gd_used_settings();

    return own && own->log && level <= own->log_most;
}

void gd_log(gd_log_level level, const char *format, ...)
{
    char line[8192]; /* assumptions about a file are several lines */
    va_list ap;

    if (!gd_log_wanted(level))
        return;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    gd_used_settings()->log(gd_used_settings()->log_ctx, level, line);
}
