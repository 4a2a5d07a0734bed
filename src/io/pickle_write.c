/* SPDX-License-Identifier: MIT */
/* pickle_write.c - a tree of records as a protocol 2 pickle, as torch.save's zip container holds
 * it.  No memo: nothing is referred to twice, and every reader of pickles takes that. */
#include "io/io_private.h"

#include <string.h>

/* Opcodes of pickle protocol 2 */
enum {
    OP_PROTO = 0x80,
    OP_STOP = '.',
    OP_MARK = '(',
    OP_NONE = 'N',
    OP_FALSE = 0x89,
    OP_TRUE = 0x88,
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_LONG1 = 0x8a,
    OP_BINFLOAT = 'G',
    OP_BINUNICODE = 'X',
    OP_EMPTY_DICT = '}',
    OP_SETITEMS = 'u',
    OP_EMPTY_LIST = ']',
    OP_APPENDS = 'e',
    OP_TUPLE = 't',
    OP_GLOBAL = 'c',
    OP_REDUCE = 'R',
    OP_EMPTY_TUPLE = ')',
    OP_BINPERSID = 'Q'
};

typedef struct pickler {
    unsigned char *out; /* NULL: the bytes are only counted */
    size_t n;
    const gd_array **tensor; /* likewise */
    int n_tensor;
} pickler;

static void put(pickler *p, const void *bytes, size_t n)
{
    if (p->out)
        memcpy(p->out + p->n, bytes, n);
    p->n += n;
}

static void put_op(pickler *p, int op)
{
    const unsigned char byte = (unsigned char)op;
    put(p, &byte, 1);
}

static void put_little(pickler *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        put_op(p, (int)(v >> (8 * i) & 0xff));
}

static void put_text(pickler *p, const char *text)
{
    put_op(p, OP_BINUNICODE);
    put_little(p, strlen(text), 4);
    put(p, text, strlen(text));
}

static void put_integer(pickler *p, int64_t v)
{
    if (v >= 0 && v < 256) {
        put_op(p, OP_BININT1);
        put_little(p, (uint64_t)v, 1);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        put_op(p, OP_BININT);
        put_little(p, (uint64_t)v, 4);
    } else {
        put_op(p, OP_LONG1);
        put_op(p, 8);
        put_little(p, (uint64_t)v, 8);
    }
}

/* Big-endian, the only such number of a pickle */
static void put_real(pickler *p, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_op(p, OP_BINFLOAT);
    for (int i = 7; i >= 0; i--)
        put_op(p, (int)(bits >> (8 * i) & 0xff));
}

static void put_global(pickler *p, const char *module, const char *name)
{
    put_op(p, OP_GLOBAL);
    put(p, module, strlen(module));
    put_op(p, '\n');
    put(p, name, strlen(name));
    put_op(p, '\n');
}

static void put_sizes(pickler *p, const int64_t *size, int rank)
{
    put_op(p, OP_MARK);
    for (int i = 0; i < rank; i++)
        put_integer(p, size[i]);
    put_op(p, OP_TUPLE);
}

static const char *storage_name(gd_dtype dtype)
{
    static const char *const names[] = {
        [GD_F32] = "FloatStorage",  [GD_BF16] = "BFloat16Storage", [GD_F16] = "HalfStorage",
        [GD_F64] = "DoubleStorage", [GD_I64] = "LongStorage",      [GD_I32] = "IntStorage",
        [GD_I16] = "ShortStorage",  [GD_I8] = "CharStorage",       [GD_U8] = "ByteStorage",
        [GD_BOOL] = "BoolStorage"
    };
    return names[dtype];
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks), its storage data/N */
static void put_tensor(pickler *p, const gd_array *a)
{
    int64_t stride[GD_MAX_RANK];
    char key[16];

    snprintf(key, sizeof key, "%d", p->n_tensor);
    if (p->tensor)
        p->tensor[p->n_tensor] = a;
    p->n_tensor++;
    put_global(p, "torch._utils", "_rebuild_tensor_v2");
    put_op(p, OP_MARK);
    put_op(p, OP_MARK);
    put_text(p, "storage");
    put_global(p, "torch", storage_name(a->dtype));
    put_text(p, key);
    put_text(p, "cpu");
    put_integer(p, gd_array_count(a));
    put_op(p, OP_TUPLE);
    put_op(p, OP_BINPERSID);
    put_integer(p, 0);
    put_sizes(p, a->dim, a->rank);
    io_row_major(stride, a);
    put_sizes(p, stride, a->rank);
    put_op(p, OP_FALSE);
    put_global(p, "collections", "OrderedDict");
    put_op(p, OP_EMPTY_TUPLE);
    put_op(p, OP_REDUCE);
    put_op(p, OP_TUPLE);
    put_op(p, OP_REDUCE);
}

static void put_node(pickler *p, const gd_pickle_node *n);

static void put_items(pickler *p, const gd_pickle_node *n, int items)
{
    put_op(p, OP_MARK);
    for (int i = 0; i < items; i++)
        put_node(p, n->item[i]);
}

static void put_node(pickler *p, const gd_pickle_node *n)
{
    switch (n->kind) {
    case GD_PICKLE_NONE:
        put_op(p, OP_NONE);
        break;
    case GD_PICKLE_BOOL:
        put_op(p, n->integer ? OP_TRUE : OP_FALSE);
        break;
    case GD_PICKLE_INT:
        put_integer(p, n->integer);
        break;
    case GD_PICKLE_FLOAT:
        put_real(p, n->real);
        break;
    case GD_PICKLE_STRING:
        put_text(p, n->text);
        break;
    case GD_PICKLE_LIST:
        put_op(p, OP_EMPTY_LIST);
        put_items(p, n, n->count);
        put_op(p, OP_APPENDS);
        break;
    case GD_PICKLE_TUPLE:
        put_items(p, n, n->count);
        put_op(p, OP_TUPLE);
        break;
    case GD_PICKLE_DICT:
        put_op(p, OP_EMPTY_DICT);
        put_items(p, n, 2 * n->count);
        put_op(p, OP_SETITEMS);
        break;
    case GD_PICKLE_TENSOR:
        put_tensor(p, n->tensor);
        break;
    case GD_PICKLE_BYTES: /* read, never written */
    case GD_PICKLE_OBJECT:
        put_op(p, OP_NONE);
    }
}

static void put_all(pickler *p, const gd_pickle_node *root)
{
    put_op(p, OP_PROTO);
    put_op(p, 2);
    put_node(p, root);
    put_op(p, OP_STOP);
}

gd_status io_pickle_write(io_pickled *out, gd_arena *mem, const gd_pickle_node *root)
{
    pickler count = { 0 }, write = { 0 };

    put_all(&count, root);
    write.out = gd_alloc(mem, count.n);
    write.tensor = gd_alloc(mem, (size_t)(count.n_tensor + 1) * sizeof *write.tensor);
    if (!write.out || !write.tensor)
        return gd_fail(GD_ENOMEM, "pickle: out of memory");
    put_all(&write, root);
    *out = (io_pickled){ write.out, write.n, write.tensor, write.n_tensor };
    return GD_OK;
}

/* ---- making a tree ---- */

gd_pickle_node *gd_pickle_new(gd_arena *mem, gd_pickle_kind kind, int count)
{
    const int items = kind == GD_PICKLE_DICT ? 2 * count : count;
    gd_pickle_node *n = gd_alloc(mem, sizeof *n);
    const gd_pickle_node **item = gd_alloc(mem, (size_t)(items + 1) * sizeof *item);

    if (!n || !item)
        return NULL;
    *n = (gd_pickle_node){ .kind = kind, .count = count, .item = item };
    return n;
}

/* Leaves are small and many: a copy each. */
static const gd_pickle_node *keep(gd_arena *mem, const gd_pickle_node *value)
{
    gd_pickle_node *n = gd_alloc(mem, sizeof *n);

    if (n)
        *n = *value;
    return n;
}

bool gd_pickle_put(gd_arena *mem, gd_pickle_node *list, int i, const gd_pickle_node *value)
{
    const gd_pickle_node *kept = keep(mem, value);

    if (!list || !kept)
        return false;
    ((const gd_pickle_node **)list->item)[i] = kept;
    return true;
}

bool gd_pickle_set(gd_arena *mem, gd_pickle_node *dict, int i, const char *key,
                   const gd_pickle_node *value)
{
    const gd_pickle_node name = { .kind = GD_PICKLE_STRING, .text = key };

    return gd_pickle_put(mem, dict, 2 * i, &name) && gd_pickle_put(mem, dict, 2 * i + 1, value);
}
