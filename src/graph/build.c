/* SPDX-License-Identifier: MIT */
/* build.c - making a graph: values, nodes, scopes, the first error, printing. */
#include "graph/graph.h"

#include <string.h>

/* Arrays double inside the arena: at most twice the memory, freed with the graph. */
static void *grown(gd_graph *g, void *array, int n, int *cap, size_t item_bytes)
{
    int new_cap = *cap ? *cap * 2 : 64;
    void *bigger;

    if (n < *cap)
        return array;
    bigger = gd_alloc(g->mem, (size_t)new_cap * item_bytes);
    if (!bigger)
        return NULL;
    if (n > 0)
        memcpy(bigger, array, (size_t)n * item_bytes);
    *cap = new_cap;
    return bigger;
}

gd_status gd_graph_make(gd_graph **out)
{
    gd_arena *mem;
    gd_graph *g;

    GD_TRY(gd_arena_make(&mem));
    g = gd_alloc(mem, sizeof *g);
    if (g) {
        g->mem = mem;
        g->value = grown(g, NULL, 0, &g->cap_value, sizeof *g->value);
        g->scope = "";
    }
    if (!g || !g->value) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "graph: out of memory");
    }
    g->n_value = 1; /* value 0 is the poison */
    *out = g;
    return GD_OK;
}

void gd_graph_free(gd_graph *g)
{
    if (g)
        gd_arena_free(g->mem);
}

void gd_graph_fail(gd_graph *g, gd_status status, const char *format, ...)
{
    va_list ap;
    int used;

    if (g->first_error != GD_OK)
        return;
    g->first_error = status;
    used = snprintf(g->error, sizeof g->error, "%s%s", g->scope, *g->scope ? ": " : "");
    va_start(ap, format);
    if (used >= 0 && (size_t)used < sizeof g->error)
        vsnprintf(g->error + used, sizeof g->error - (size_t)used, format, ap);
    va_end(ap);
}

gd_status gd_graph_check(const gd_graph *g)
{
    return g->first_error == GD_OK ? GD_OK : gd_fail(g->first_error, "%s", g->error);
}

gd_type gd_act_type(int64_t n, int64_t h, int64_t w, int64_t c)
{
    return (gd_type){ { n, h, w, c }, GD_F32 };
}

const gd_type *gd_type_of(const gd_graph *g, gd_val v)
{
    return &g->value[v.id].type;
}

void gd_input_types(const gd_graph *g, const gd_node *n, const gd_type *in[GD_MAX_IN])
{
    for (int k = 0; k < GD_MAX_IN; k++)
        in[k] = n->in[k].id ? gd_type_of(g, n->in[k]) : NULL;
}

int gd_channels(const gd_graph *g, gd_val v)
{
    return (int)g->value[v.id].type.dim[3];
}

static gd_val value_add(gd_graph *g, gd_type type, gd_place place, gd_role role, const char *name,
                        int node)
{
    gd_value *v = grown(g, g->value, g->n_value, &g->cap_value, sizeof *g->value);

    if (!v) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return GD_NONE;
    }
    g->value = v;
    g->value[g->n_value] = (gd_value){ type, place, role, name, node, 0 };
    return (gd_val){ g->n_value++ };
}

gd_val gd_find_input(const gd_graph *g, const char *name)
{
    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role == GD_ROLE_INPUT && strcmp(g->value[i].name, name) == 0)
            return (gd_val){ i };
    return GD_NONE;
}

gd_val gd_input(gd_graph *g, const char *name, gd_type type, gd_place place)
{
    const int64_t most_pixels = 1 << 30; /* kernels count them in 32 bits */
    uint64_t pixels;

    for (int d = 0; d < 4; d++)
        if (type.dim[d] < 1 || type.dim[d] > INT32_MAX) {
            gd_graph_fail(g, GD_EUSAGE, "input %s: dimension %d is %lld", name, d,
                          (long long)type.dim[d]);
            return GD_NONE;
        }
    if (!gd_mul((uint64_t)type.dim[0] * (uint64_t)type.dim[1], (uint64_t)type.dim[2], &pixels) ||
        pixels > (uint64_t)most_pixels) {
        gd_graph_fail(g, GD_EUSAGE, "input %s: %lld pictures of %lld x %lld pixels are too many",
                      name, (long long)type.dim[0], (long long)type.dim[1], (long long)type.dim[2]);
        return GD_NONE;
    }
    return value_add(g, type, place, GD_ROLE_INPUT, gd_strdup(g->mem, name), -1);
}

gd_val gd_param(gd_graph *g, const char *name, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    gd_type type = { { d0, d1, d2, d3 }, GD_F32 };

    for (int i = 1; i < g->n_value; i++) {
        const gd_value *v = &g->value[i];
        if (v->role != GD_ROLE_PARAM || strcmp(v->name, name) != 0)
            continue;
        if (memcmp(v->type.dim, type.dim, sizeof type.dim) != 0)
            gd_graph_fail(g, GD_EUSAGE, "parameter %s is used with two shapes", name);
        return (gd_val){ i };
    }
    return value_add(g, type, GD_PLACE_PLAIN, GD_ROLE_PARAM, gd_strdup(g->mem, name), -1);
}

gd_val gd_param_interleaved(gd_graph *g, const char *name, int64_t d0, int64_t d1, int64_t d2,
                            int64_t d3, int heads)
{
    gd_val v = gd_param(g, name, d0, d1, d2, d3);
    const int64_t rows = d0 > 1 ? d0 : d3; /* of weights, of a bias */

    if (heads < 1 || rows % (3 * (int64_t)heads) != 0)
        gd_graph_fail(g, GD_EUSAGE, "parameter %s: %lld rows for %d heads", name, (long long)rows,
                      heads);
    else if (v.id)
        g->value[v.id].interleaved = heads;
    return v;
}

/* Poison spreads: a node with a poisoned input is not made. */
static bool inputs_present(const gd_op *op, const gd_val *in, int n_in)
{
    for (int i = 0; i < n_in; i++)
        if (in[i].id == 0 && !(op->optional >> i & 1))
            return false;
    return true;
}

static gd_status infer(const gd_graph *g, gd_infer *c, const gd_op *op, const gd_attr *attr,
                       const gd_val *in, int n_in)
{
    *c = (gd_infer){ .attr = attr, .n_in = n_in };
    for (int i = 0; i < n_in; i++)
        c->in[i] = in[i].id ? &g->value[in[i].id].type : NULL;
    return op->infer(c);
}

gd_val gd_node_add(gd_graph *g, const gd_op *op, const gd_attr *attr, const gd_val *in, int n_in)
{
    gd_infer c;
    gd_node *nodes, *node;

    if (g->first_error != GD_OK || !inputs_present(op, in, n_in))
        return GD_NONE;
    if (infer(g, &c, op, attr, in, n_in) != GD_OK) {
        gd_graph_fail(g, GD_EUSAGE, "%s", gd_error());
        return GD_NONE;
    }
    nodes = grown(g, g->node, g->n_node, &g->cap_node, sizeof *g->node);
    if (!nodes) {
        gd_graph_fail(g, GD_ENOMEM, "out of memory");
        return GD_NONE;
    }
    g->node = nodes;
    node = &g->node[g->n_node];
    *node = (gd_node){ .op = op, .attr = *attr, .scope = g->scope, .n_in = (uint8_t)n_in };
    memcpy(node->in, in, (size_t)n_in * sizeof *in);
    node->out = value_add(g, c.out, c.out_place, GD_ROLE_NODE, g->scope, g->n_node);
    if (c.aux.dim[0])
        node->aux = value_add(g, c.aux, c.aux_place, GD_ROLE_NODE, g->scope, g->n_node);
    g->n_node++;
    return node->out;
}

static void print_value(const gd_graph *g, gd_val v, FILE *out)
{
    const gd_value *value = &g->value[v.id];
    const int64_t *d = value->type.dim;

    if (!v.id)
        fprintf(out, " -");
    else if (value->role == GD_ROLE_NODE)
        fprintf(out, " %%%d", v.id);
    else
        fprintf(out, " %s", value->name);
    if (v.id)
        fprintf(out, "[%lldx%lldx%lldx%lld %s]", (long long)d[0], (long long)d[1], (long long)d[2],
                (long long)d[3], gd_dtype_name(value->type.dtype));
}

void gd_graph_print(const gd_graph *g, FILE *out)
{
    for (int i = 0; i < g->n_node; i++) {
        const gd_node *n = &g->node[i];
        fprintf(out, "%4d %-18s", i, n->op->name);
        print_value(g, n->out, out);
        fprintf(out, " <-");
        for (int k = 0; k < n->n_in; k++)
            print_value(g, n->in[k], out);
        fprintf(out, "  %s\n", n->scope);
    }
}
