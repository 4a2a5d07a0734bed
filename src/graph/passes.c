/* SPDX-License-Identifier: MIT */
/* passes.c - rewriting a finished graph: fusion, bfloat16 conversions, dead code.  Every pass keeps
 * the nodes in an order in which each value is made before it is read, and keeps the ids of the
 * values that others hold. */
#include "graph/ops.h"

typedef struct pass {
    gd_graph *g;
    int *uses;  /* [value]: readers, outputs counted as one */
    bool *keep; /* [value]: is an output */
} pass;

static void count_uses(pass *p, const gd_val *outputs, int n_outputs)
{
    const gd_graph *g = p->g;

    memset(p->uses, 0, (size_t)g->n_value * sizeof *p->uses);
    for (int i = 0; i < g->n_node; i++)
        for (int k = 0; k < g->node[i].n_in; k++)
            p->uses[g->node[i].in[k].id]++;
    for (int i = 0; i < n_outputs; i++) {
        p->uses[outputs[i].id]++;
        p->keep[outputs[i].id] = true;
    }
}

/* The node that makes v, if it is `op` and v has this one reader; -1 otherwise */
static int only_reader_of(const pass *p, gd_val v, const gd_op *op)
{
    int i = p->g->value[v.id].role == GD_ROLE_NODE ? p->g->value[v.id].node : -1;

    return i >= 0 && p->g->node[i].op == op && p->uses[v.id] == 1 && !p->keep[v.id] ? i : -1;
}

/* A node that does nothing any more: dead code removes it. */
static void retire(pass *p, int i)
{
    p->g->node[i].op = NULL;
}

static void give_output(pass *p, int from, int to)
{
    gd_graph *g = p->g;

    g->node[to].out = g->node[from].out;
    g->value[g->node[to].out.id].node = to;
}

/* ---- norm, then silu -> norm with silu ---- */

static void fuse_silu(pass *p)
{
    gd_graph *g = p->g;

    for (int i = 0; i < g->n_node; i++) {
        int norm =
            g->node[i].op == &gd_op_silu ? only_reader_of(p, g->node[i].in[0], &gd_op_norm) : -1;
        if (norm < 0 || g->node[norm].attr.act != GD_ACT_NONE)
            continue;
        g->node[norm].attr.act = GD_ACT_SILU;
        give_output(p, i, norm);
        retire(p, i);
    }
}

/* ---- a + conv(x) -> conv(x) with residual a, at the position of the sum, where a exists ---- */

static void fuse_residual(pass *p)
{
    gd_graph *g = p->g;

    for (int i = 0; i < g->n_node; i++) {
        if (g->node[i].op != &gd_op_add)
            continue;
        for (int k = 1; k >= 0; k--) {
            int conv = only_reader_of(p, g->node[i].in[k], &gd_op_conv);
            gd_val other = g->node[i].in[1 - k], sum = g->node[i].out;
            if (conv < 0 || g->node[conv].in[3].id || g->node[conv].attr.relu ||
                other.id == g->node[i].in[k].id)
                continue;
            g->node[i] = g->node[conv];
            g->node[i].in[3] = other;
            g->node[i].out = sum;
            retire(p, conv);
            break;
        }
    }
}

/* ---- bfloat16 ---- */

/* Where the machine does not multiply bfloat16, only Winograd takes it: direct kernels would
 * emulate it, three times slower than float32. */
static bool takes_bf16(const gd_graph *g, const gd_node *n)
{
    const gd_type *in[GD_MAX_IN];
    gd_conv_desc d;

    if (gd_isa_used() >= GD_ISA_AVX512_BF16)
        return true;
    gd_input_types(g, n, in);
    n->op->conv(&d, &n->attr, in, gd_type_of(g, n->out));
    d.dtype = GD_BF16;
    return gd_conv_choose(&d) == GD_CONV_WINOGRAD;
}

/* Which inputs of a node are multiplied as bfloat16: bit k.  Convolutions only; the stem and the
 * head keep float32, as the authors' fp16 mode keeps the head and because few channels leave
 * nothing to gain; linear layers too, which read each weight once. */
static unsigned bf16_operands(const gd_graph *g, const gd_node *n)
{
    const bool forward = n->op == &gd_op_conv, data = n->op == &gd_op_conv_grad_data;
    const gd_type *a, *b;

    if (!forward && !data && n->op != &gd_op_conv_grad_weights)
        return 0;
    a = gd_type_of(g, n->in[0]);
    b = forward || data ? gd_type_of(g, n->out) : gd_type_of(g, n->in[1]);
    if (a->dim[3] % 16 != 0 || b->dim[3] % 16 != 0 || a->dim[1] * a->dim[2] == 1 ||
        !takes_bf16(g, n))
        return 0;
    return forward || data ? IN0 : IN0 | IN1;
}

/* Values whose every reader multiplies them as bfloat16 and whose producer can write it */
static void narrow_producers(pass *p)
{
    gd_graph *g = p->g;
    int *multiplied = gd_alloc(g->mem, (size_t)g->n_value * sizeof *multiplied);

    if (!multiplied) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return;
    }
    for (int i = 0; i < g->n_node; i++)
        for (int k = 0; k < 2; k++)
            multiplied[g->node[i].in[k].id] += bf16_operands(g, &g->node[i]) >> k & 1;
    for (int i = 0; i < g->n_node; i++) {
        const gd_node *n = &g->node[i];
        if (n->op->bf16_out && multiplied[n->out.id] && multiplied[n->out.id] == p->uses[n->out.id])
            g->value[n->out.id].type.dtype = GD_BF16;
    }
}

static gd_val converted(gd_graph *g, gd_val *made, gd_val v)
{
    if (gd_type_of(g, v)->dtype == GD_BF16)
        return v;
    if (!made[v.id].id) {
        gd_val c = gd_node_add(g, &gd_op_convert, &(gd_attr){ 0 }, &v, 1);
        g->value[c.id].type.dtype = GD_BF16;
        made[v.id] = c;
    }
    return made[v.id];
}

/* Append the old nodes again, each after the conversions that it needs. */
static void insert_conversions(pass *p)
{
    gd_graph *g = p->g;
    const gd_node *old = g->node;
    const int n_old = g->n_node;
    const char *scope = g->scope;
    gd_val *made = gd_alloc(g->mem, (size_t)g->n_value * sizeof *made);

    g->cap_node = 3 * n_old + 1; /* every node may need two conversions */
    g->node = gd_alloc(g->mem, (size_t)g->cap_node * sizeof *g->node);
    if (!made || !g->node) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return;
    }
    g->n_node = 0;
    for (int i = 0; i < n_old; i++) {
        gd_node n = old[i];
        unsigned operands = bf16_operands(g, &n);
        g->scope = n.scope;
        for (int k = 0; k < 2; k++)
            if (operands >> k & 1)
                n.in[k] = converted(g, made, n.in[k]);
        g->value[n.out.id].node = g->n_node;
        g->value[n.aux.id].node = g->n_node;
        g->node[g->n_node++] = n;
    }
    g->scope = scope;
}

/* Both passes: the gradient computes the weights again, to fit the forward's log-sum-exp. */
static void narrow_attention(gd_graph *g)
{
    for (int i = 0; i < g->n_node; i++)
        if (g->node[i].op == &gd_op_attention || g->node[i].op == &gd_op_attention_grad)
            g->node[i].attr.bf16 = true;
}

/* ---- dead code ---- */

static void remove_dead(pass *p)
{
    gd_graph *g = p->g;
    bool *live = gd_alloc(g->mem, (size_t)g->n_value);
    int n = 0;

    if (!live) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return;
    }
    memcpy(live, p->keep, (size_t)g->n_value);
    for (int i = g->n_node - 1; i >= 0; i--) {
        const gd_node *node = &g->node[i];
        if (!node->op || (!live[node->out.id] && !(node->aux.id && live[node->aux.id])))
            retire(p, i);
        for (int k = 0; node->op && k < node->n_in; k++)
            live[node->in[k].id] = true;
    }
    for (int i = 0; i < g->n_node; i++) {
        if (!g->node[i].op)
            continue;
        g->node[n] = g->node[i];
        g->value[g->node[n].out.id].node = n;
        g->value[g->node[n].aux.id].node = n;
        n++;
    }
    g->n_node = n;
    g->value[0].node = -1;
}

static void start(pass *p, const gd_val *outputs, int n_outputs)
{
    p->uses = gd_alloc(p->g->mem, (size_t)p->g->n_value * sizeof *p->uses);
    p->keep = gd_alloc(p->g->mem, (size_t)p->g->n_value * sizeof *p->keep);
    if (!p->uses || !p->keep)
        gd_graph_fail(p->g, GD_ENOMEM, "out of memory");
    else
        count_uses(p, outputs, n_outputs);
}

void gd_graph_optimise(gd_graph *g, const gd_val *outputs, int n_outputs, bool bf16)
{
    pass p = { .g = g };

    start(&p, outputs, n_outputs);
    if (g->first_error != GD_OK)
        return;
    fuse_silu(&p);
    fuse_residual(&p);
    remove_dead(&p);
    if (!bf16)
        return;
    start(&p, outputs, n_outputs);
    if (g->first_error != GD_OK)
        return;
    narrow_attention(g);
    narrow_producers(&p);
    if (g->first_error == GD_OK)
        insert_conversions(&p);
}
