/* SPDX-License-Identifier: MIT */
/* pickle.c - torch.save's pickles as typed records: about thirty opcodes, nothing is evaluated
 * (docs/reliability.md).
 *
 * Every value has a tag and every use checks it.  A global must be one of a short list; REDUCE
 * builds one of three records or fails. Whatever else a pickle asks for is refused with opcode and
 * offset. */
#include "io/pickle_private.h"

#include <string.h>

enum { MAX_WALK = 1 << 20 };

gd_status io_pickle_refuse(const machine *m, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: pickle offset %llu, opcode 0x%02x: %s", m->c->file,
                   (unsigned long long)m->op_offset, m->op, what);
}

void *io_pickle_take(machine *m, uint64_t bytes)
{
    void *out = NULL;
    gd_status s = GD_OK;

    m->held_bytes += bytes;
    if (m->held_bytes > m->most_bytes)
        s = io_pickle_refuse(m, "more values than a model file needs");
    else if (!(out = gd_alloc(m->mem, bytes)))
        s = gd_fail(GD_ENOMEM, "%s: out of memory", m->c->file);
    return s == GD_OK ? out : NULL;
}

/* ---- stack and memo ---- */

static gd_status grow_stack(machine *m)
{
    const int capacity = GD_MAX(64, 2 * m->cap_stack);
    value **bigger = io_pickle_take(m, (uint64_t)capacity * sizeof *bigger);

    if (!bigger)
        return GD_EFORMAT;
    if (m->depth > 0)
        memcpy(bigger, m->stack, (size_t)m->depth * sizeof *bigger);
    m->stack = bigger;
    m->cap_stack = capacity;
    return GD_OK;
}

gd_status io_pickle_push(machine *m, value *v)
{
    if (m->depth == GD_MAX_PICKLE_STACK)
        return io_pickle_refuse(m, "the stack is full");
    if (m->depth == m->cap_stack)
        GD_TRY(grow_stack(m));
    m->stack[m->depth++] = v;
    return GD_OK;
}

gd_status io_pickle_pop(machine *m, value **out)
{
    if (m->depth == 0)
        return io_pickle_refuse(m, "the stack is empty");
    *out = m->stack[--m->depth];
    return (*out)->tag == TAG_MARK ? io_pickle_refuse(m, "a mark where a value belongs") : GD_OK;
}

gd_status io_pickle_make(machine *m, value **out, gd_pickle_kind kind, tag t)
{
    *out = io_pickle_take(m, sizeof **out);
    if (!*out)
        return GD_EFORMAT;
    (*out)->node.kind = kind;
    (*out)->tag = t;
    return io_pickle_push(m, *out);
}

/* One value for all uses: made at its first use */
static gd_status push_shared(machine *m, value **shared, gd_pickle_kind kind, tag t, int64_t n)
{
    if (*shared)
        return io_pickle_push(m, *shared);
    GD_TRY(io_pickle_make(m, shared, kind, t));
    (*shared)->node.integer = n;
    return GD_OK;
}

static gd_status push_int(machine *m, int64_t n)
{
    value *v;

    if (n >= 0 && n < SMALL_INTEGERS)
        return push_shared(m, &m->small[n], GD_PICKLE_INT, TAG_DATA, n);
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_INT, TAG_DATA));
    v->node.integer = n;
    return GD_OK;
}

static gd_status push_bool(machine *m, int n)
{
    return push_shared(m, &m->boolean[n], GD_PICKLE_BOOL, TAG_DATA, n);
}

/* Values above the last mark; the mark goes */
gd_status io_pickle_from_mark(machine *m, int *first)
{
    for (int i = m->depth - 1; i >= 0; i--)
        if (m->stack[i]->tag == TAG_MARK) {
            *first = i + 1;
            return GD_OK;
        }
    return io_pickle_refuse(m, "no mark on the stack");
}

gd_status io_pickle_append(machine *m, value *to, value *v)
{
    const int used = to->node.kind == GD_PICKLE_DICT ? 2 * to->node.count : to->node.count;
    const gd_pickle_node **items = (const gd_pickle_node **)to->node.item;

    if (used == to->capacity) {
        const int capacity = GD_MAX(8, 2 * to->capacity);
        items = io_pickle_take(m, (uint64_t)capacity * sizeof *items);
        if (!items)
            return GD_EFORMAT;
        if (used > 0)
            memcpy(items, to->node.item, (size_t)used * sizeof *items);
        to->capacity = capacity;
        to->node.item = items;
    }
    items[used] = &v->node;
    if (to->node.kind != GD_PICKLE_DICT)
        to->node.count++;
    return GD_OK;
}

static gd_status memoise(machine *m, uint32_t index)
{
    if (m->depth == 0)
        return io_pickle_refuse(m, "nothing to memoise");
    if (index >= GD_MAX_PICKLE_MEMO)
        return io_pickle_refuse(m, "memo index too large");
    if ((uint32_t)m->n_memo <= index) {
        const int n = GD_MAX(256, 2 * (int)index);
        value **memo = io_pickle_take(m, (uint64_t)n * sizeof *memo);
        if (!memo)
            return GD_EFORMAT;
        if (m->n_memo > 0)
            memcpy(memo, m->memo, (size_t)m->n_memo * sizeof *memo);
        m->memo = memo;
        m->n_memo = n;
    }
    m->used_memo += !m->memo[index];
    m->memo[index] = m->stack[m->depth - 1];
    return GD_OK;
}

static gd_status recall(machine *m, uint32_t index)
{
    if (index >= (uint32_t)m->n_memo || !m->memo[index])
        return io_pickle_refuse(m, "memo entry does not exist");
    return io_pickle_push(m, m->memo[index]);
}

/* ---- texts and numbers ---- */

/* A text of any bytes is inert: it is not copied, and no name or key is taken from it. */
static gd_status push_bytes(machine *m, uint64_t n)
{
    const unsigned char *p;
    value *v;

    GD_TRY(gd_take_bytes(m->c, &p, n));
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_BYTES, TAG_DATA));
    v->node.text = (const char *)p;
    v->node.integer = (int64_t)n;
    return GD_OK;
}

static gd_status push_text(machine *m, uint64_t n)
{
    const unsigned char *p = m->c->at;
    char *text;
    value *v;

    if (n > GD_MAX_PICKLE_STRING || n > gd_cursor_left(m->c) || !gd_is_text(p, n))
        return push_bytes(m, n);
    GD_TRY(gd_take_bytes(m->c, &p, n));
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_STRING, TAG_DATA));
    text = io_pickle_take(m, n + 1);
    if (!text)
        return GD_EFORMAT;
    memcpy(text, p, n);
    v->node.text = text;
    return GD_OK;
}

/* Little-endian two's complement of up to 8 bytes, or the legacy container's magic number */
static gd_status push_long(machine *m)
{
    static const unsigned char magic[] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                           0x20, 0x6a, 0xa8, 0x50, 0x19 };
    const unsigned char *p;
    uint64_t n = 0;
    uint8_t bytes;
    value *v;

    GD_TRY(gd_take_u8(m->c, &bytes));
    GD_TRY(gd_take_bytes(m->c, &p, bytes));
    if (bytes == sizeof magic && memcmp(p, magic, sizeof magic) == 0)
        return io_pickle_make(m, &v, GD_PICKLE_INT, TAG_MAGIC);
    if (bytes > 8)
        return io_pickle_refuse(m, "an integer of more than 64 bits");
    for (int i = 0; i < bytes; i++)
        n |= (uint64_t)p[i] << (8 * i);
    if (bytes > 0 && bytes < 8 && p[bytes - 1] & 0x80)
        n |= ~0ull << (8 * bytes);
    return push_int(m, (int64_t)n);
}

/* BINFLOAT is big-endian */
static gd_status push_real(machine *m)
{
    const unsigned char *p;
    uint64_t bits = 0;
    value *v;

    GD_TRY(gd_take_bytes(m->c, &p, 8));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_FLOAT, TAG_DATA));
    memcpy(&v->node.real, &bits, sizeof bits);
    return GD_OK;
}

/* ---- the machine ---- */

static gd_status with_u8(machine *m, gd_status (*f)(machine *, uint32_t))
{
    uint8_t n;

    GD_TRY(gd_take_u8(m->c, &n));
    return f(m, n);
}

static gd_status with_u32(machine *m, gd_status (*f)(machine *, uint32_t))
{
    uint32_t n;

    GD_TRY(gd_take_u32(m->c, &n));
    return f(m, n);
}

static gd_status int_u(machine *m, uint32_t n)
{
    return push_int(m, n);
}

static gd_status int_s(machine *m, uint32_t n)
{
    return push_int(m, (int32_t)n);
}

static gd_status text_u(machine *m, uint32_t n)
{
    return push_text(m, n);
}

static gd_status bytes_u(machine *m, uint32_t n)
{
    return push_bytes(m, n);
}

static gd_status with_u64(machine *m, gd_status (*f)(machine *, uint64_t))
{
    uint64_t n;

    GD_TRY(gd_take_u64(m->c, &n));
    return f(m, n);
}

static gd_status frame(machine *m, uint64_t n)
{
    return n <= gd_cursor_left(m->c) ? GD_OK : io_pickle_refuse(m, "a frame beyond the file's end");
}

static gd_status int_u16(machine *m)
{
    uint16_t n;

    GD_TRY(gd_take_u16(m->c, &n));
    return push_int(m, n);
}

static gd_status protocol(machine *m, uint32_t n)
{
    gd_status s;

    if (n >= 2 && n <= 5)
        return GD_OK;
    s = io_pickle_refuse(m, "a pickle protocol other than 2 to 5");
    gd_detail("hint: save the file again with torch.save(..., pickle_protocol=2)");
    return s;
}

static gd_status run_structure(machine *m, uint8_t op);
static gd_status run_record(machine *m, uint8_t op);

static gd_status run_op(machine *m, uint8_t op)
{
    switch (op) {
    case 0x80:
        return with_u8(m, protocol);
    case '(':
        return push_shared(m, &m->mark, GD_PICKLE_NONE, TAG_MARK, 0);
    case 'N':
        return push_shared(m, &m->none, GD_PICKLE_NONE, TAG_DATA, 0);
    case 0x88:
        return push_bool(m, 1);
    case 0x89:
        return push_bool(m, 0);
    case 'J':
        return with_u32(m, int_s);
    case 'K':
        return with_u8(m, int_u);
    case 'M':
        return int_u16(m);
    case 0x8a:
        return push_long(m);
    case 'G':
        return push_real(m);
    case 'X':
        return with_u32(m, text_u);
    case 0x8c:
        return with_u8(m, text_u);
    case 0x8d:
        return with_u64(m, push_text);
    case 'C':
        return with_u8(m, bytes_u);
    case 'B':
        return with_u32(m, bytes_u);
    case 0x8e:
        return with_u64(m, push_bytes);
    case 0x95:
        return with_u64(m, frame);
    default:
        return run_structure(m, op);
    }
}

/* Opcodes that build something of what is there */
static gd_status run_structure(machine *m, uint8_t op)
{
    value *v;

    switch (op) {
    case '}':
        return io_pickle_make(m, &v, GD_PICKLE_DICT, TAG_DATA);
    case ']':
    case 0x8f: /* a set: its order means nothing */
        return io_pickle_make(m, &v, GD_PICKLE_LIST, TAG_DATA);
    case ')':
        return io_pickle_make(m, &v, GD_PICKLE_TUPLE, TAG_DATA);
    case 't':
        return io_pickle_tuple_from_mark(m);
    case 0x85:
        return io_pickle_tuple_of(m, 1);
    case 0x86:
        return io_pickle_tuple_of(m, 2);
    case 0x87:
        return io_pickle_tuple_of(m, 3);
    case 'a':
        return io_pickle_add_items(m, m->depth - 1, m->depth - 2, GD_PICKLE_LIST);
    case 'e':
    case 0x90:
        return io_pickle_items_from_mark(m, GD_PICKLE_LIST);
    case 's':
        return m->depth < 3 ? io_pickle_refuse(m, "the stack is empty")
                            : io_pickle_add_items(m, m->depth - 2, m->depth - 3, GD_PICKLE_DICT);
    case 'u':
        return io_pickle_items_from_mark(m, GD_PICKLE_DICT);
    default:
        return run_record(m, op);
    }
}

/* The memo, and opcodes that name something or build records of it */
static gd_status run_record(machine *m, uint8_t op)
{
    switch (op) {
    case 'q':
        return with_u8(m, memoise);
    case 'r':
        return with_u32(m, memoise);
    case 0x94:
        return memoise(m, (uint32_t)m->used_memo);
    case 'h':
        return with_u8(m, recall);
    case 'j':
        return with_u32(m, recall);
    case 'c':
        return io_pickle_push_global(m);
    case 0x93:
        return io_pickle_push_stack_global(m);
    case 'Q':
        return io_pickle_push_storage(m);
    case 'R':
        return io_pickle_reduce(m);
    case 0x81:
        return io_pickle_new_object(m);
    case 'b':
        return io_pickle_build(m);
    default:
        return io_pickle_refuse(m, "is not part of a model file: refused");
    }
}

/* A tree, not a maze: bounded depth (so no cycles) and a bounded number of visits (so no
 * exponential sharing) */
static gd_status check_tree(machine *m, const gd_pickle_node *n, int depth)
{
    const int items = n->kind == GD_PICKLE_DICT ? 2 * n->count : n->count;

    if (depth > GD_MAX_PICKLE_DEPTH || ++m->walked > MAX_WALK)
        return io_pickle_refuse(m, "values nested too deeply or too often");
    if (((const value *)n)->tag != TAG_DATA && ((const value *)n)->tag != TAG_MAGIC)
        return io_pickle_refuse(m, "a record where data belongs");
    for (int i = 0; n->kind == GD_PICKLE_DICT && i < items; i += 2)
        if (n->item[i]->kind != GD_PICKLE_STRING && n->item[i]->kind != GD_PICKLE_INT)
            return io_pickle_refuse(m, "a key that is neither a text nor an integer");
    for (int i = 0; i < items; i++)
        GD_TRY(check_tree(m, n->item[i], depth + 1));
    return GD_OK;
}

/* One pickle, up to its STOP, with one value left */
static gd_status run(machine *m)
{
    for (;;) {
        m->op_offset = gd_cursor_offset(m->c);
        GD_TRY(gd_take_u8(m->c, &m->op));
        if (m->op == '.')
            break;
        GD_TRY(run_op(m, m->op));
    }
    GD_TRY(io_pickle_pop(m, &m->root));
    return m->depth == 0 ? GD_OK : io_pickle_refuse(m, "values left on the stack");
}

static gd_status read_tree(io_pickle **out, gd_cursor *c, gd_arena *mem, uint64_t most_bytes,
                           bool script)
{
    machine *m = gd_alloc(mem, sizeof *m);

    if (!m)
        return gd_fail(GD_ENOMEM, "%s: out of memory", c->file);
    m->c = c;
    m->mem = mem;
    m->most_bytes = most_bytes;
    m->script = script;
    GD_TRY(run(m));
    GD_TRY(check_tree(m, &m->root->node, 0));
    *out = m;
    return GD_OK;
}

gd_status io_pickle_read(io_pickle **out, gd_cursor *c, gd_arena *mem, uint64_t most_bytes)
{
    return read_tree(out, c, mem, most_bytes, false);
}

gd_status io_pickle_read_script(io_pickle **out, gd_cursor *c, gd_arena *mem, uint64_t most_bytes)
{
    return read_tree(out, c, mem, most_bytes, true);
}

gd_status io_pickle_read_storage(io_storage *out, gd_cursor *c, gd_arena *mem, uint64_t most_bytes)
{
    machine *m = gd_alloc(mem, sizeof *m);

    if (!m)
        return gd_fail(GD_ENOMEM, "%s: out of memory", c->file);
    m->c = c;
    m->mem = mem;
    m->most_bytes = most_bytes;
    GD_TRY(run(m));
    if (m->root->tag != TAG_STORAGE)
        return io_pickle_refuse(m, "a container that holds no storage");
    *out = m->storage[m->root->storage];
    return GD_OK;
}

const gd_pickle_node *io_pickle_root(const io_pickle *p)
{
    return &p->root->node;
}

bool io_pickle_is_magic(const io_pickle *p)
{
    return p->root->tag == TAG_MAGIC;
}

int io_pickle_storages(const io_pickle *p)
{
    return p->n_storage;
}

io_storage *io_pickle_storage(io_pickle *p, int i)
{
    return &p->storage[i];
}

/* ---- tensors ---- */

/* Where in the tree: a name that grows and shrinks */
typedef struct path {
    char text[GD_MAX_NAME + 1];
    size_t length;
} path;

gd_status io_pickle_add_tensor(io_pickle *p, gd_bundle *b, const gd_pickle_node *tensor,
                               const char *called)
{
    value *v = (value *)tensor;
    const io_storage *s = &p->storage[v->storage];
    const size_t length = strlen(called);
    gd_array *a = io_pickle_take(p, sizeof *a);
    char *name = io_pickle_take(p, length + 1);
    io_source source = { s->data, s->bytes, 0, s->entry, v->view->offset, { 0 } };

    if (!a || !name)
        return GD_EFORMAT;
    memcpy(name, called, length);
    *a = (gd_array){ .name = name, .dtype = s->dtype, .rank = v->view->rank };
    memcpy(a->dim, v->view->dim, sizeof a->dim);
    memcpy(source.stride, v->view->stride, sizeof source.stride);
    v->node.tensor = a;
    return io_add_array(b, a, &source);
}

static gd_status extend(path *at, const gd_bundle *b, const gd_pickle_node *key, int i)
{
    char number[24];
    const char *text = number;
    size_t n;

    if (key && key->kind == GD_PICKLE_STRING)
        text = key->text;
    else
        snprintf(number, sizeof number, "%lld", key ? (long long)key->integer : (long long)i);
    n = strlen(text);
    if (n + 1 > GD_MAX_NAME - at->length)
        return gd_fail(GD_EFORMAT, "%s: a name longer than %d bytes", b->path, GD_MAX_NAME);
    if (at->length > 0)
        at->text[at->length++] = '.';
    memcpy(at->text + at->length, text, n + 1);
    at->length += n;
    return GD_OK;
}

static gd_status name_tensors(io_pickle *p, gd_bundle *b, const gd_pickle_node *n, path *at)
{
    const size_t length = at->length;

    if (n->kind == GD_PICKLE_TENSOR)
        return io_pickle_add_tensor(p, b, n, at->text);
    for (int i = 0; i < n->count; i++) {
        const bool dict = n->kind == GD_PICKLE_DICT;
        GD_TRY(extend(at, b, dict ? n->item[2 * i] : NULL, i));
        GD_TRY(name_tensors(p, b, dict ? n->item[2 * i + 1] : n->item[i], at));
        at->text[at->length = length] = '\0';
    }
    return GD_OK;
}

gd_status io_pickle_tensors(io_pickle *p, gd_bundle *b)
{
    path at = { .length = 0 };

    b->root = &p->root->node;
    return name_tensors(p, b, b->root, &at);
}

const gd_pickle_node *gd_pickle_get(const gd_pickle_node *dict, const char *key)
{
    for (int i = 0; dict && dict->kind == GD_PICKLE_DICT && i < dict->count; i++)
        if (dict->item[2 * i]->kind == GD_PICKLE_STRING &&
            strcmp(dict->item[2 * i]->text, key) == 0)
            return dict->item[2 * i + 1];
    return NULL;
}
