/* SPDX-License-Identifier: MIT */
/* memory.c - an offset in one arena for every value of a plan.
 *
 * A value lives from the wave that makes it to the last wave that reads it; inputs and outputs live
 * throughout.  An op that allows it writes over an input that dies there: the two values share one
 * buffer.  What is joined along the channels is made side by side in the joint value's buffer where
 * that is possible, and need not be copied.  Buffers are placed largest first, each at the lowest
 * offset where it meets no other that lives at the same time. */
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

typedef struct buffer {
    int first, last; /* waves between which it lives */
    size_t bytes, offset;
    bool used;
} buffer;

typedef struct placing {
    gd_plan *plan;
    buffer *buffer; /* [value]: the root's entry counts */
    int *root;      /* [value] */
    size_t *shift;  /* [value]: where it begins in the root's buffer */
} placing;

size_t gd_plan_value_bytes(const gd_plan *plan, gd_val v)
{
    const gd_value *value = &plan->graph->value[v.id];
    const int64_t *d = value->type.dim;
    int64_t channels = d[3];

    if (value->place == GD_PLACE_ACTIVATION && plan->blocked)
        channels = (channels + 15) / 16 * 16;
    return gd_round_up((size_t)(d[0] * d[1] * d[2] * channels) * gd_dtype_bytes(value->type.dtype));
}

static void begin(placing *p, gd_val v, int wave)
{
    buffer *b = &p->buffer[v.id];

    if (!v.id)
        return;
    *b = (buffer){
        .first = wave, .last = wave, .bytes = gd_plan_value_bytes(p->plan, v), .used = true
    };
    p->root[v.id] = v.id;
}

static void live_ranges(placing *p)
{
    const gd_plan *plan = p->plan;
    const gd_graph *g = plan->graph;

    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role == GD_ROLE_INPUT) {
            begin(p, (gd_val){ i }, -1);
            p->buffer[i].last = plan->n_step;
        }
    for (int i = 0; i < plan->n_step; i++) {
        const gd_node *n = plan->step[i].node;
        const int wave = plan->step[i].wave;
        for (int k = 0; k < n->n_in; k++)
            p->buffer[n->in[k].id].last = GD_MAX(p->buffer[n->in[k].id].last, wave);
        begin(p, n->out, wave);
        begin(p, n->aux, wave);
    }
    for (int i = 0; i < plan->n_output; i++)
        p->buffer[plan->output[i].id].last = plan->n_step;
}

/* Whether a step of i's wave, by another input than k of step i, reads this buffer */
static bool read_besides(const placing *p, int i, int k, int root)
{
    const gd_step *s = p->plan->step;
    int first = i;

    while (first > 0 && s[first - 1].wave == s[i].wave)
        first--;
    for (int o = first; o < gd_wave_end(p->plan, i); o++)
        for (int other = 0; other < s[o].node->n_in; other++) {
            const gd_val in = s[o].node->in[other];
            if ((o != i || other != k) && in.id && p->root[in.id] == root)
                return true;
        }
    return false;
}

/* May step i write its output over input k?  Not if the same memory is read besides: that might be
 * after it is written. */
static bool may_overwrite(const placing *p, int i, int k)
{
    const gd_node *n = p->plan->step[i].node;
    const gd_value *in = &p->plan->graph->value[n->in[k].id],
                   *out = &p->plan->graph->value[n->out.id];
    const int root = p->root[n->in[k].id];

    if (!(n->op->inplace >> k & 1) || in->role != GD_ROLE_NODE ||
        p->buffer[root].last != p->plan->step[i].wave)
        return false;
    if (in->type.dtype != out->type.dtype ||
        memcmp(in->type.dim, out->type.dim, sizeof in->type.dim) != 0 || in->place != out->place)
        return false;
    return !read_besides(p, i, k, root);
}

/* The channels of one image in blocks of 16 lie one after another, so that the inputs of step i can
 * be parts of its output, if each fills a buffer of its own and dies there.  (Those that live on,
 * as in training, would keep the memory of all.) */
static bool may_join(const placing *p, int i)
{
    const gd_node *n = p->plan->step[i].node;
    const gd_value *value = p->plan->graph->value, *out = &value[n->out.id];

    if (!n->op->joins || !p->plan->blocked || out->type.dim[0] != 1)
        return false;
    for (int k = 0; k < n->n_in; k++) {
        const gd_value *in = &value[n->in[k].id];
        const int root = p->root[n->in[k].id];
        if (value[root].role != GD_ROLE_NODE || p->buffer[root].last != p->plan->step[i].wave ||
            in->type.dim[3] % 16 != 0 || in->type.dtype != out->type.dtype ||
            p->buffer[root].bytes != gd_plan_value_bytes(p->plan, n->in[k]))
            return false;
        for (int other = 0; other < k; other++)
            if (p->root[n->in[other].id] == root)
                return false;
    }
    return true;
}

static void join(placing *p, int i)
{
    const gd_node *n = p->plan->step[i].node;
    buffer *joint = &p->buffer[n->out.id];
    size_t shift = 0;

    for (int k = 0; k < n->n_in; k++) {
        const int root = p->root[n->in[k].id];
        buffer *b = &p->buffer[root];
        for (int v = 1; v < p->plan->graph->n_value; v++)
            if (p->root[v] == root) {
                p->root[v] = n->out.id;
                p->shift[v] += shift;
            }
        joint->first = GD_MIN(joint->first, b->first);
        b->used = false;
        shift += b->bytes;
    }
}

static void share_buffers(placing *p)
{
    for (int i = 0; i < p->plan->n_step; i++) {
        const gd_node *n = p->plan->step[i].node;
        if (may_join(p, i))
            join(p, i);
        for (int k = 0; k < n->n_in; k++) {
            int root = p->root[n->in[k].id];
            if (!may_overwrite(p, i, k))
                continue;
            p->root[n->out.id] = root;
            p->shift[n->out.id] = p->shift[n->in[k].id];
            p->buffer[root].last = p->buffer[n->out.id].last;
            p->buffer[n->out.id].used = false;
            break;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const buffer *x = *(buffer *const *)a, *y = *(buffer *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->first - y->first;
}

/* The lowest offset for b among those already placed, which are kept sorted by offset */
static size_t lowest_offset(const buffer *b, buffer *const *placed, int n)
{
    size_t offset = 0;

    for (int i = 0; i < n; i++) {
        const buffer *o = placed[i];
        if (o->last < b->first || o->first > b->last)
            continue;
        if (o->offset >= offset + b->bytes)
            break;
        offset = GD_MAX(offset, o->offset + o->bytes);
    }
    return offset;
}

static void insert_sorted(buffer **placed, int n, buffer *b)
{
    int i = n;

    for (; i > 0 && placed[i - 1]->offset > b->offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = b;
}

static gd_status assign_offsets(placing *p, int n_value)
{
    buffer **order = gd_alloc(p->plan->mem, (size_t)n_value * sizeof *order);
    buffer **placed = gd_alloc(p->plan->mem, (size_t)n_value * sizeof *placed);
    int n = 0;

    if (!order || !placed)
        return gd_fail(GD_ENOMEM, "plan: out of memory");
    for (int i = 1; i < n_value; i++)
        if (p->buffer[i].used)
            order[n++] = &p->buffer[i];
    qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        order[i]->offset = lowest_offset(order[i], placed, i);
        insert_sorted(placed, i, order[i]);
        p->plan->arena_bytes = GD_MAX(p->plan->arena_bytes, order[i]->offset + order[i]->bytes);
    }
    return GD_OK;
}

gd_status gd_plan_place(gd_plan *plan)
{
    const int n_value = plan->graph->n_value;
    placing p = { plan, gd_alloc(plan->mem, (size_t)n_value * sizeof *p.buffer),
                  gd_alloc(plan->mem, (size_t)n_value * sizeof *p.root),
                  gd_alloc(plan->mem, (size_t)n_value * sizeof *p.shift) };

    if (!p.buffer || !p.root || !p.shift)
        return gd_fail(GD_ENOMEM, "plan: out of memory");
    live_ranges(&p);
    share_buffers(&p);
    GD_TRY(assign_offsets(&p, n_value));
    for (int i = 1; i < n_value; i++)
        if (p.root[i])
            plan->slot[i] = (gd_slot){ p.buffer[p.root[i]].offset + p.shift[i],
                                       gd_plan_value_bytes(plan, (gd_val){ i }), true };
    return GD_OK;
}
