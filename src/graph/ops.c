/* SPDX-License-Identifier: MIT */
/* ops.c - the list of all operations and what they share. */
#include "graph/ops.h"

#define ADDRESS(name) &gd_op_##name,
const gd_op *const gd_ops[] = { OP_TABLE(ADDRESS) };
#undef ADDRESS
const int gd_n_ops = COUNT(gd_ops);

const char *shape_text(const gd_type *t)
{
    static _Thread_local char text[4][64];
    static _Thread_local int turn;
    char *s = text[turn++ & 3];

    snprintf(s, sizeof text[0], "%lldx%lldx%lldx%lld", (long long)t->dim[0], (long long)t->dim[1],
             (long long)t->dim[2], (long long)t->dim[3]);
    return s;
}

gd_val example_input(gd_graph *g, int i, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return gd_input(g, gd_sprintf(g->mem, "x%d", i), gd_act_type(n, h, w, c), GD_PLACE_ACTIVATION);
}

gd_status infer_like_first(gd_infer *c)
{
    c->out = *c->in[0];
    c->out.dtype = GD_F32;
    return GD_OK;
}

gd_status infer_all_equal(gd_infer *c)
{
    for (int i = 1; i < c->n_in; i++)
        if (!same_shape(c->in[0], c->in[i]))
            return gd_fail(GD_EUSAGE, "shapes differ: %s and %s", shape_text(c->in[0]),
                           shape_text(c->in[i]));
    return infer_like_first(c);
}
