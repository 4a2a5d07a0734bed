/* SPDX-License-Identifier: MIT */
/* settings.c - one thread's calls can go by settings of their own: contexts of the public API. */
#include "base/base.h"

static _Thread_local const gd_settings *used;

const gd_settings *gd_use_settings(const gd_settings *settings)
{
    const gd_settings *before = used;

    used = settings;
    return before;
}

const gd_settings *gd_used_settings(void)
{
    return used;
}
