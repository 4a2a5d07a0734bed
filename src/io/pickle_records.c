/* SPDX-License-Identifier: MIT */
/* pickle_records.c - what a pickle builds: tuples, lists, mappings, storages, tensors; each
 * argument is checked, nothing is called. */
#include "io/pickle_private.h"

#include <string.h>

enum { MAX_STORAGES = GD_MAX_ARRAYS };

/* The slot of `key`, or the free one where it belongs.  The hash is seeded: no file can choose keys
 * that meet in one slot. */
static int32_t *slot_of(const machine *m, const char *key)
{
    const uint64_t hash = gd_seeded_hash(key, strlen(key));

    for (uint64_t i = hash % KEY_SLOTS;; i = (i + 1) % KEY_SLOTS)
        if (m->slot[i] == 0 || strcmp(m->storage[m->slot[i] - 1].key, key) == 0)
            return &m->slot[i];
}

io_storage *io_pickle_find_storage(io_pickle *p, const char *key)
{
    const int32_t index = p->slot ? *slot_of(p, key) : 0;
    return index > 0 ? &p->storage[index - 1] : NULL;
}

static gd_status grow_storages(machine *m)
{
    const int n = GD_MIN(GD_MAX(64, 2 * m->cap_storage), (int)MAX_STORAGES);
    io_storage *bigger;

    if (n == m->cap_storage)
        return io_pickle_refuse(m, "too many storages");
    bigger = io_pickle_take(m, (uint64_t)n * sizeof *bigger);
    if (!bigger)
        return GD_EFORMAT;
    if (m->n_storage > 0)
        memcpy(bigger, m->storage, (size_t)m->n_storage * sizeof *bigger);
    m->storage = bigger;
    m->cap_storage = n;
    return GD_OK;
}

/* The storage's index: a new one, or the same as before with the same type and count */
static gd_status index_of(machine *m, int *out, const io_storage *s)
{
    int32_t *slot;

    if (!m->slot && !(m->slot = io_pickle_take(m, KEY_SLOTS * sizeof *m->slot)))
        return GD_EFORMAT;
    slot = slot_of(m, s->key);
    if (*slot == 0) {
        if (m->n_storage == m->cap_storage)
            GD_TRY(grow_storages(m));
        m->storage[m->n_storage++] = *s;
        *slot = m->n_storage;
    }
    *out = *slot - 1;
    if (m->storage[*out].dtype != s->dtype || m->storage[*out].count != s->count)
        return io_pickle_refuse(m, "one storage with two types or sizes");
    return GD_OK;
}

gd_status io_pickle_add_storage(machine *m, int *out, const io_storage *s)
{
    if (m->n_storage == m->cap_storage)
        GD_TRY(grow_storages(m));
    *out = m->n_storage;
    m->storage[m->n_storage++] = *s;
    return GD_OK;
}

/* A decimal number or a plain word: never a path */
static bool is_key(const char *text)
{
    return *text && strlen(text) <= 64 &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") ==
               strlen(text);
}

/* ('storage', torch.FloatStorage, key, location, count[, None]) */
gd_status io_pickle_push_storage(machine *m)
{
    value *t, *v;
    int index;

    GD_TRY(io_pickle_pop(m, &t));
    if (!is(t, GD_PICKLE_TUPLE) || t->node.count < 5 || t->node.count > 6 ||
        !is(item(t, 0), GD_PICKLE_STRING) || strcmp(item(t, 0)->node.text, "storage") != 0 ||
        item(t, 1)->tag != TAG_GLOBAL || item(t, 1)->global != GLOBAL_STORAGE ||
        !is(item(t, 2), GD_PICKLE_STRING) || !is_key(item(t, 2)->node.text) ||
        !is(item(t, 3), GD_PICKLE_STRING) || !is(item(t, 4), GD_PICKLE_INT) ||
        item(t, 4)->node.integer < 0 || (t->node.count == 6 && !is(item(t, 5), GD_PICKLE_NONE)))
        return io_pickle_refuse(m, "a persistent id that is no storage");
    GD_TRY(index_of(m, &index,
                    &(io_storage){ .key = item(t, 2)->node.text,
                                   .dtype = item(t, 1)->dtype,
                                   .count = item(t, 4)->node.integer,
                                   .entry = -1 }));
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_NONE, TAG_STORAGE));
    v->storage = index;
    return GD_OK;
}

static gd_status take_sizes(machine *m, int64_t *out, int *rank, const value *t)
{
    if (!is(t, GD_PICKLE_TUPLE) || t->node.count > GD_MAX_RANK)
        return io_pickle_refuse(m, "a tensor's size or stride is not a tuple of at most 8");
    for (int i = 0; i < t->node.count; i++) {
        if (!is(item(t, i), GD_PICKLE_INT) || item(t, i)->node.integer < 0)
            return io_pickle_refuse(m, "a tensor's size or stride is not a number from 0 up");
        out[i] = item(t, i)->node.integer;
    }
    *rank = t->node.count;
    return GD_OK;
}

/* (storage, offset, size, stride, requires_grad, hooks[, metadata]) */
static gd_status push_tensor(machine *m, const value *t)
{
    view *at = io_pickle_take(m, sizeof *at);
    value *v;
    int strides;

    if (!at)
        return GD_EFORMAT;
    if (t->node.count < 6 || t->node.count > 7 || item(t, 0)->tag != TAG_STORAGE ||
        !is(item(t, 1), GD_PICKLE_INT) || !is(item(t, 4), GD_PICKLE_BOOL) ||
        !is(item(t, 5), GD_PICKLE_DICT))
        return io_pickle_refuse(m, "a tensor with wrong arguments");
    at->offset = item(t, 1)->node.integer;
    GD_TRY(take_sizes(m, at->dim, &at->rank, item(t, 2)));
    GD_TRY(take_sizes(m, at->stride, &strides, item(t, 3)));
    if (strides != at->rank)
        return io_pickle_refuse(m, "a tensor with another number of sizes than strides");
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_TENSOR, TAG_DATA));
    v->storage = item(t, 0)->storage;
    v->view = at;
    return GD_OK;
}

gd_status io_pickle_reduce(machine *m)
{
    value *args, *callable, *v;

    GD_TRY(io_pickle_pop(m, &args));
    GD_TRY(io_pickle_pop(m, &callable));
    if (!is(args, GD_PICKLE_TUPLE) || callable->tag != TAG_GLOBAL)
        return io_pickle_refuse(m, "a call of something that is no known record");
    switch (callable->global) {
    case GLOBAL_ORDERED_DICT:
        return args->node.count == 0 ? io_pickle_make(m, &v, GD_PICKLE_DICT, TAG_DATA)
                                     : io_pickle_refuse(m, "an OrderedDict with arguments");
    case GLOBAL_REBUILD_TENSOR:
        return push_tensor(m, args);
    case GLOBAL_REBUILD_PARAMETER:
        if (args->node.count != 3 || !is(item(args, 0), GD_PICKLE_TENSOR))
            return io_pickle_refuse(m, "a parameter with wrong arguments");
        return io_pickle_push(m, (value *)item(args, 0));
    case GLOBAL_STORAGE:
        return io_pickle_refuse(m, "a call of a storage type");
    default:
        return io_pickle_reduce_object(m, callable, args);
    }
}

/* BUILD on a mapping carries its _metadata: discarded */
gd_status io_pickle_build(machine *m)
{
    value *state;

    GD_TRY(io_pickle_pop(m, &state));
    if (m->depth > 0 &&
        (is(m->stack[m->depth - 1], GD_PICKLE_OBJECT) || m->stack[m->depth - 1]->tag == TAG_DTYPE))
        return io_pickle_build_object(m, m->stack[m->depth - 1], state);
    if (m->depth == 0 || !is(m->stack[m->depth - 1], GD_PICKLE_DICT) || !is(state, GD_PICKLE_DICT))
        return io_pickle_refuse(m, "BUILD of something that is no mapping");
    return GD_OK;
}

static gd_status tuple(machine *m, int first)
{
    const int end = m->depth;
    value *v;

    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_TUPLE, TAG_DATA));
    for (int i = first; i < end; i++) {
        if (m->stack[i]->tag == TAG_MARK)
            return io_pickle_refuse(m, "a mark inside a tuple");
        GD_TRY(io_pickle_append(m, v, m->stack[i]));
    }
    m->depth = first;
    return io_pickle_push(m, v);
}

gd_status io_pickle_tuple_of(machine *m, int n)
{
    return m->depth < n ? io_pickle_refuse(m, "the stack is empty") : tuple(m, m->depth - n);
}

gd_status io_pickle_tuple_from_mark(machine *m)
{
    int first;
    value *v;

    GD_TRY(io_pickle_from_mark(m, &first));
    GD_TRY(tuple(m, first));
    v = m->stack[--m->depth];
    m->stack[m->depth - 1] = v; /* over the mark */
    return GD_OK;
}

/* Values from `first` into the list or mapping below them */
gd_status io_pickle_add_items(machine *m, int first, int target, gd_pickle_kind kind)
{
    value *to = target >= 0 ? m->stack[target] : NULL;

    if (!to || !is(to, kind) || (kind == GD_PICKLE_DICT && (m->depth - first) % 2 != 0))
        return io_pickle_refuse(m, "items for something that is no list or mapping");
    for (int i = first; i < m->depth; i++) {
        if (m->stack[i]->tag != TAG_DATA)
            return io_pickle_refuse(m, "an item that is no data");
        GD_TRY(io_pickle_append(m, to, m->stack[i]));
        if (kind == GD_PICKLE_DICT && (i - first) % 2 == 0) { /* key: its value follows at once */
            to->node.count++;
            ((const gd_pickle_node **)to->node.item)[2 * to->node.count - 1] = &m->stack[++i]->node;
            if (m->stack[i]->tag != TAG_DATA)
                return io_pickle_refuse(m, "an item that is no data");
        }
    }
    m->depth = target + 1;
    return GD_OK;
}

gd_status io_pickle_items_from_mark(machine *m, gd_pickle_kind kind)
{
    int first;

    GD_TRY(io_pickle_from_mark(m, &first));
    return io_pickle_add_items(m, first, first - 2, kind);
}
