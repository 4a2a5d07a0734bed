/* SPDX-License-Identifier: MIT */
/* recompute.c - gradient checkpointing (Chen et al. 2016): of each block only what other blocks
 * read is kept, the rest is computed again where the backward pass first reads it.  Runs after the
 * other passes, so that what is computed again has the same bits. */
#include "graph/ops.h"

typedef struct pass {
    gd_graph *g;
    int boundary;  /* the last forward node */
    int *block;    /* [node]: the block's first node; -1: in no block, or not forward */
    bool *kept;    /* [value] */
    gd_val *again; /* [value]: its second computation */
    gd_node *node; /* the new list */
    gd_value *value;
    int n_node, n_value;
} pass;

/* "input_blocks.3" of "input_blocks.3.0.in_layers.2", "middle_block": bytes; 0 elsewhere */
static size_t block_name(const char *scope)
{
    static const char *const numbered[] = { "input_blocks.", "output_blocks." };
    static const char middle[] = "middle_block";

    for (int i = 0; i < COUNT(numbered); i++) {
        const size_t n = strlen(numbered[i]);
        if (strncmp(scope, numbered[i], n) == 0)
            return n + strcspn(scope + n, ".");
    }
    return strncmp(scope, middle, sizeof middle - 1) == 0 ? sizeof middle - 1 : 0;
}

static bool same_block(const char *a, const char *b)
{
    const size_t n = block_name(a);
    return n == block_name(b) && strncmp(a, b, n) == 0;
}

/* A block's nodes need not follow one another: all since the first of its name are looked at. */
static void find_blocks(pass *p)
{
    for (int i = 0; i < p->g->n_node; i++) {
        const char *scope = p->g->node[i].scope;
        p->block[i] = -1;
        if (i > p->boundary || block_name(scope) == 0)
            continue;
        p->block[i] = i;
        for (int k = 0; k < i && p->block[i] == i; k++)
            if (p->block[k] == k && same_block(scope, p->g->node[k].scope))
                p->block[i] = k;
    }
}

static int block_of(const pass *p, gd_val v)
{
    const gd_value *value = &p->g->value[v.id];
    return v.id && value->role == GD_ROLE_NODE ? p->block[value->node] : -1;
}

static void mark_kept(pass *p, const gd_val *outputs, int n_outputs)
{
    for (int i = 0; i <= p->boundary; i++)
        for (int k = 0; k < p->g->node[i].n_in; k++) {
            const gd_val v = p->g->node[i].in[k];
            if (block_of(p, v) != p->block[i])
                p->kept[v.id] = true;
        }
    for (int i = 0; i < n_outputs; i++)
        p->kept[outputs[i].id] = true;
}

static gd_val copy_value(pass *p, gd_val v)
{
    if (!v.id)
        return GD_NONE;
    p->value[p->n_value] = p->g->value[v.id];
    p->value[p->n_value].node = p->n_node;
    p->again[v.id] = (gd_val){ p->n_value };
    return (gd_val){ p->n_value++ };
}

/* v for a backward node: itself, or made again, with what it is made from, just before the node */
static gd_val second(pass *p, gd_val v)
{
    gd_node n;

    if (block_of(p, v) < 0 || p->kept[v.id])
        return v;
    if (p->again[v.id].id)
        return p->again[v.id];
    n = p->g->node[p->g->value[v.id].node];
    for (int k = 0; k < n.n_in; k++)
        n.in[k] = second(p, n.in[k]);
    n.out = copy_value(p, n.out);
    n.aux = copy_value(p, n.aux);
    p->node[p->n_node++] = n;
    return p->again[v.id];
}

static void add_node(pass *p, int i)
{
    gd_node n = p->g->node[i];

    for (int k = 0; k < n.n_in && i > p->boundary; k++)
        n.in[k] = second(p, n.in[k]);
    p->value[n.out.id].node = p->n_node;
    if (n.aux.id)
        p->value[n.aux.id].node = p->n_node;
    p->node[p->n_node++] = n;
}

void gd_graph_recompute(gd_graph *g, gd_val boundary, const gd_val *outputs, int n_outputs)
{
    /* no node is made again twice */
    const size_t nodes = 2 * (size_t)g->n_node, values = (size_t)g->n_value + nodes;
    const int n_node = g->n_node;
    pass p = { .g = g, .boundary = g->value[boundary.id].node, .n_value = g->n_value };

    if (g->first_error != GD_OK)
        return;
    p.block = gd_alloc(g->mem, (size_t)n_node * sizeof *p.block);
    p.kept = gd_alloc(g->mem, (size_t)g->n_value * sizeof *p.kept);
    p.again = gd_alloc(g->mem, (size_t)g->n_value * sizeof *p.again);
    p.node = gd_alloc(g->mem, nodes * sizeof *p.node);
    p.value = gd_alloc(g->mem, values * sizeof *p.value);
    if (!p.block || !p.kept || !p.again || !p.node || !p.value) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return;
    }
    memcpy(p.value, g->value, (size_t)g->n_value * sizeof *p.value);
    find_blocks(&p);
    mark_kept(&p, outputs, n_outputs);
    for (int i = 0; i < n_node; i++)
        add_node(&p, i);
    g->node = p.node;
    g->value = p.value;
    g->n_node = p.n_node;
    g->n_value = p.n_value;
    g->cap_node = (int)nodes;
    g->cap_value = (int)values;
}
