/* stop.c - a caller can end long work between two pieces of it. */
#include "base/base.h"

static bool (*stop_wanted)(void);

void gd_set_stop(bool (*wanted)(void))
{
    stop_wanted = wanted;
}

gd_status gd_check_stop(void)
{
    const gd_settings *own = gd_used_settings();

    if (own)
        return *own->cancelled ? gd_fail(GD_EINTERRUPTED, "cancelled") : GD_OK;
    return stop_wanted && stop_wanted() ? gd_fail(GD_EINTERRUPTED, "stopped by a signal") : GD_OK;
}
