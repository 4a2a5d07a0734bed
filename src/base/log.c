/* log.c - notices go to the callback. */
#include "base/base.h"

static struct {
    gd_log_fn fn;
    void *ctx;
    gd_log_level most;
} sink;

void gd_set_log(gd_log_fn fn, void *ctx, gd_log_level most)
{
    sink.fn = fn;
    sink.ctx = ctx;
    sink.most = most;
}

bool gd_log_wanted(gd_log_level level)
{
    const gd_settings *own = gd_used_settings();

    return own ? own->log && level <= own->log_most : sink.fn && level <= sink.most;
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
    if (gd_used_settings())
        gd_used_settings()->log(gd_used_settings()->log_ctx, level, line);
    else
        sink.fn(sink.ctx, level, line);
}
