/* SPDX-License-Identifier: MIT */
/* stop.c - whoever runs the library may want it to end between two pieces of long work. */
#include "base/base.h"

#include <stdatomic.h>

gd_status gd_check_stop(void)
{
    return gd_stop_wanted() ? gd_fail(GD_EINTERRUPTED, "cancelled") : GD_OK;
}

bool gd_stop_wanted(void)
{
    const gd_settings *own = gd_used_settings();

    return own && own->cancelled && atomic_load(own->cancelled);
}
