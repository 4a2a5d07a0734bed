/* SPDX-License-Identifier: MIT */
/* grad.c - reverse-mode differentiation: append, from the last node to the first, the nodes that
 * each op's vjp asks for. */
#include "graph/graph.h"

#include <string.h>

typedef struct reverse {
    gd_graph *g;
    gd_val *gradient; /* [value]: what has been summed so far */
    bool *needed;     /* [value]: lies between wrt and y */
} reverse;

static void accumulate(reverse *r, gd_val v, gd_val d)
{
    if (!v.id || !d.id)
        return;
    r->gradient[v.id] = r->gradient[v.id].id ? gd_plus(r->g, r->gradient[v.id], d) : d;
}

/* A value is needed when it is in wrt or made from a needed value. */
static void mark_needed(reverse *r, int n_node, const gd_val *wrt, int n)
{
    const gd_graph *g = r->g;

    for (int i = 0; i < n; i++)
        r->needed[wrt[i].id] = wrt[i].id != 0;
    for (int i = 0; i < n_node; i++)
        for (int k = 0; k < g->node[i].n_in; k++)
            if (r->needed[g->node[i].in[k].id])
                r->needed[g->node[i].out.id] = true;
    r->needed[0] = false;
}

static void visit(reverse *r, int i)
{
    gd_node node = r->g->node[i];
    gd_adjoint a = { .g = r->g, .node = &node, .dout = r->gradient[node.out.id] };
    gd_val dx[GD_MAX_IN] = { GD_NONE };

    if (!a.dout.id || !r->needed[node.out.id])
        return;
    for (int k = 0; k < node.n_in; k++)
        a.wanted[k] = r->needed[node.in[k].id];
    if (!node.op->vjp) {
        gd_graph_fail(r->g, GD_EUSAGE, "%s has no gradient", node.op->name);
        return;
    }
    r->g->scope = node.scope;
    node.op->vjp(&a, dx);
    for (int k = 0; k < node.n_in; k++)
        if (a.wanted[k])
            accumulate(r, node.in[k], dx[k]);
}

void gd_gradient(gd_graph *g, gd_val y, gd_val dy, const gd_val *wrt, gd_val *out, int n)
{
    const char *scope = g->scope;
    const int n_node = g->n_node;
    const size_t n_value = (size_t)g->n_value;
    reverse r = { g, gd_alloc(g->mem, n_value * sizeof(gd_val)),
                  gd_alloc(g->mem, n_value * sizeof(bool)) };

    memset(out, 0, (size_t)n * sizeof *out);
    if (g->first_error != GD_OK)
        return;
    if (!r.gradient || !r.needed) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return;
    }
    if (memcmp(gd_type_of(g, y)->dim, gd_type_of(g, dy)->dim, sizeof g->value->type.dim) != 0) {
        gd_graph_fail(g, GD_EUSAGE, "gradient: dy is not shaped like y");
        return;
    }
    mark_needed(&r, n_node, wrt, n);
    r.gradient[y.id] = dy;
    for (int i = n_node - 1; i >= 0; i--)
        visit(&r, i);
    for (int i = 0; i < n; i++)
        out[i] = r.gradient[wrt[i].id];
    g->scope = scope;
}
