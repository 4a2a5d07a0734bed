/* SPDX-License-Identifier: MIT */
/* layout.c - how a plan's packed weights lie, as a hash: every parameter's name, offset and order.
 */
#include "graph/plan.h"

#include <string.h>

static void add_place(gd_hasher *hasher, const char *name, size_t offset, size_t bytes)
{
    const uint64_t extent[2] = { offset, bytes };

    gd_hasher_add(hasher, name, strlen(name) + 1);
    gd_hasher_add(hasher, extent, sizeof extent);
}

static gd_status add_all(const gd_plan *plan, gd_hasher *hasher)
{
    const gd_graph *g = plan->graph;

    for (int i = 0; i < plan->n_step; i++) {
        const gd_step *s = &plan->step[i];
        if (!s->conv || s->desc.pass == GD_CONV_GRAD_WEIGHTS)
            continue;
        add_place(hasher, g->value[s->node->in[1].id].name, s->weights_offset,
                  gd_conv_weights_bytes(s->conv));
        GD_TRY(gd_conv_hash_layout(s->conv, hasher));
    }
    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role == GD_ROLE_PARAM && plan->slot[i].placed)
            add_place(hasher, g->value[i].name, plan->slot[i].offset, plan->slot[i].bytes);
    return GD_OK;
}

gd_status gd_plan_layout(const gd_plan *plan, char text[33])
{
    gd_hasher *hasher;
    gd_status s;

    GD_TRY(gd_hasher_make(&hasher));
    s = add_all(plan, hasher);
    if (s == GD_OK)
        gd_hasher_text(hasher, text);
    gd_hasher_free(hasher);
    return s;
}
