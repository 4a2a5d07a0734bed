/* SPDX-License-Identifier: MIT */
/* "TOYSET " and the path of a picture */
#include "data/data_private.h"

static bool is_set(const gd_mapped *map)
{
    return data_begins_with(map, "TOYSET ", 7);
}

static gd_status open_set(gd_dataset *set)
{
    gd_mapped map;

    GD_TRY(gd_map_file(&map, set->path));
    set->path = gd_sprintf(set->mem, "%.*s", (int)map.bytes - 7, (const char *)map.data + 7);
    gd_unmap(&map);
    return set->path ? data_open_picture(set) : GD_ENOMEM;
}

const data_format data_format_toy = { "a set of a test", is_set, open_set };
