/* SPDX-License-Identifier: MIT */
/* graphdef.c - TensorFlow's GraphDef (frozen .pb): its float32 Const nodes as named arrays, and as
 * scalars NODE/variance_epsilon and NODE/scale_after_normalization (0, 1) what its batch
 * normalisations are marked by attributes.
 *
 * Protocol buffers on the wire: a message is a row of fields, each a key (number * 8 + kind) and a
 * value: a varint, four or eight bytes, or a length and so many bytes, which may be a message
 * again.  Only five levels are gone into, and what is not needed is stepped over:
 *   GraphDef    1 node: NodeDef
 *   NodeDef     1 name, 2 op, 5 attr: pairs 1 key, 2 value: AttrValue
 *   AttrValue   4 float, 5 bool, 8 tensor: TensorProto
 *   TensorProto 1 dtype, 2 tensor_shape: (2 dim: (1 size)), 4 tensor_content, 5 float_val
 * There is no end mark and no checksum: a file cut between two nodes reads as one with fewer. */
#include "io/io_private.h"

#include <string.h>

enum { KIND_VARINT = 0, KIND_8_BYTES = 1, KIND_BYTES = 2, KIND_4_BYTES = 5 };
enum { DT_FLOAT = 1 };

typedef struct field {
    uint64_t number;
    int kind;
    uint64_t integer; /* VARINT */
    gd_cursor inside; /* the value's bytes, for the other kinds */
} field;

typedef struct node {
    field name, op;
    field value, epsilon, scale; /* attributes; number 0: absent */
} node;

typedef struct tensor {
    gd_array array;
    uint64_t dtype;
    gd_cursor content;            /* tensor_content */
    uint64_t value_bytes, pieces; /* float_val: in how many fields */
    const unsigned char *values;  /* the only piece, or all copied together */
} tensor;

static gd_status wrong(const gd_cursor *c, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: offset %llu: %s: not a GraphDef, or damaged", c->file,
                   (unsigned long long)gd_cursor_offset(c), what);
}

static gd_status take_field(field *f, gd_cursor *c)
{
    const unsigned char *data;
    uint64_t key, bytes;

    GD_TRY(gd_take_varint(c, &key));
    *f = (field){ .number = key >> 3, .kind = (int)(key & 7) };
    if (f->number == 0 || key > UINT32_MAX)
        return wrong(c, "an impossible field number");
    switch (f->kind) {
    case KIND_VARINT:
        return gd_take_varint(c, &f->integer);
    case KIND_8_BYTES:
        bytes = 8;
        break;
    case KIND_4_BYTES:
        bytes = 4;
        break;
    case KIND_BYTES:
        GD_TRY(gd_take_varint(c, &bytes));
        break;
    default:
        return wrong(c, "an unknown kind of field");
    }
    GD_TRY(gd_take_bytes(c, &data, bytes));
    f->inside = (gd_cursor){ c->base, data, data + bytes, c->file };
    return GD_OK;
}

static bool holds(const field *f, const char *text)
{
    return gd_cursor_left(&f->inside) == strlen(text) &&
           memcmp(f->inside.at, text, strlen(text)) == 0;
}

/* ---- nodes ---- */

/* Where an attribute is kept; NULL: it is stepped over */
static field *kept(node *n, const field *key)
{
    return holds(key, "value")                                       ? &n->value
           : holds(key, "variance_epsilon") || holds(key, "epsilon") ? &n->epsilon
           : holds(key, "scale_after_normalization")                 ? &n->scale
                                                                     : NULL;
}

/* One pair of the map */
static gd_status read_attribute(node *n, gd_cursor c)
{
    field key = { 0 }, value = { 0 }, f;

    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.number == 1 && f.kind == KIND_BYTES)
            key = f;
        else if (f.number == 2 && f.kind == KIND_BYTES)
            value = f;
    }
    field *to = key.number == 0 ? NULL : kept(n, &key);
    if (!to)
        return GD_OK;
    if (value.number == 0 || to->number != 0)
        return wrong(&c, "a node's value is missing or given twice");
    *to = value;
    return GD_OK;
}

static gd_status read_node(node *n, gd_cursor c)
{
    field f;

    *n = (node){ .name = { 0 } };
    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.kind != KIND_BYTES)
            continue;
        if (f.number == 1)
            n->name = f;
        else if (f.number == 2)
            n->op = f;
        else if (f.number == 5)
            GD_TRY(read_attribute(n, f.inside));
    }
    return GD_OK;
}

/* ---- tensors ---- */

static gd_status read_dimension(tensor *t, gd_cursor c)
{
    int64_t size = 0;
    field f;

    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.number == 1 && f.kind == KIND_VARINT)
            size = (int64_t)f.integer;
    }
    if (size < 0 || t->array.rank == GD_MAX_RANK)
        return wrong(&c, "a shape with a negative size or more than 8 dimensions");
    t->array.dim[t->array.rank++] = size;
    return GD_OK;
}

static gd_status read_shape(tensor *t, gd_cursor c)
{
    field f;

    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.number == 2 && f.kind == KIND_BYTES)
            GD_TRY(read_dimension(t, f.inside));
        else if (f.number == 3)
            return wrong(&c, "a constant of unknown rank");
    }
    return GD_OK;
}

static bool is_float_val(const field *f)
{
    return f->number == 5 && (f->kind == KIND_BYTES || f->kind == KIND_4_BYTES);
}

static gd_status read_tensor(tensor *t, gd_cursor c)
{
    field f;

    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.number == 1 && f.kind == KIND_VARINT) {
            t->dtype = f.integer;
        } else if (f.number == 2 && f.kind == KIND_BYTES) {
            GD_TRY(read_shape(t, f.inside));
        } else if (f.number == 4 && f.kind == KIND_BYTES) {
            t->content = f.inside;
        } else if (is_float_val(&f)) {
            t->values = f.inside.at;
            t->value_bytes += gd_cursor_left(&f.inside);
            t->pieces++;
        }
    }
    return GD_OK;
}

/* float_val in several fields: one after another */
static gd_status gather_values(tensor *t, gd_cursor c, gd_arena *mem)
{
    unsigned char *to = gd_alloc(mem, t->value_bytes);
    field f;

    if (!to)
        return gd_fail(GD_ENOMEM, "%s: out of memory", c.file);
    t->values = to;
    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (!is_float_val(&f))
            continue;
        memcpy(to, f.inside.at, gd_cursor_left(&f.inside));
        to += gd_cursor_left(&f.inside);
    }
    return GD_OK;
}

/* All elements in row-major order, or one that stands for all */
static gd_status find_elements(io_source *s, const tensor *t, const gd_cursor *c)
{
    const bool content = gd_cursor_left(&t->content) > 0;
    int64_t count;

    GD_TRY(io_count(&count, &t->array, c->file));
    s->data = content ? t->content.at : t->values;
    s->storage_bytes = content ? gd_cursor_left(&t->content) : t->value_bytes;
    if (content && t->pieces > 0)
        return wrong(c, "a constant with two kinds of values");
    if (s->storage_bytes == sizeof(float)) /* strides stay 0 */
        return GD_OK;
    if (s->storage_bytes % sizeof(float) != 0 || s->storage_bytes / sizeof(float) != count)
        return gd_fail(GD_EFORMAT,
                       "%s: offset %llu: %s: %llu bytes of values, %lld float32 by its shape",
                       c->file, (unsigned long long)gd_cursor_offset(c), t->array.name,
                       (unsigned long long)s->storage_bytes, (long long)count);
    io_row_major(s->stride, &t->array);
    return GD_OK;
}

static gd_status copy_name(const char **out, const gd_cursor *name, const gd_cursor *c,
                           gd_arena *mem)
{
    const uint64_t n = gd_cursor_left(name);
    char *copy;

    if (n == 0 || n > GD_MAX_NAME || !gd_is_text(name->at, n))
        return wrong(c, "a constant without a name of 1 to 512 bytes");
    *out = copy = gd_alloc(mem, n + 1);
    if (!copy)
        return gd_fail(GD_ENOMEM, "%s: out of memory", c->file);
    memcpy(copy, name->at, n);
    return GD_OK;
}

/* end: behind the node, for messages */
static gd_status add_constant(gd_bundle *b, const node *n, const gd_cursor *end)
{
    tensor t = { .dtype = 0 };
    io_source source = { .entry = -1 };
    gd_cursor c = n->value.inside;
    field f = { 0 };

    while (gd_cursor_left(&c) > 0 && f.number != 8)
        GD_TRY(take_field(&f, &c));
    if (f.number != 8 || f.kind != KIND_BYTES)
        return wrong(end, "a constant without a tensor");
    GD_TRY(copy_name(&t.array.name, &n->name.inside, end, b->mem));
    GD_TRY(read_tensor(&t, f.inside));
    if (t.dtype != DT_FLOAT)
        return GD_OK;
    if (t.pieces > 1)
        GD_TRY(gather_values(&t, f.inside, b->mem));
    GD_TRY(find_elements(&source, &t, &f.inside));
    t.array.dtype = GD_F32;
    return io_add_array(b, &t.array, &source);
}

/* ---- batch normalisation ---- */

static bool is_norm(const node *n)
{
    static const char *const ops[] = { "BatchNormWithGlobalNormalization", "FusedBatchNorm",
                                       "FusedBatchNormV2", "FusedBatchNormV3" };

    for (int i = 0; i < COUNT(ops); i++)
        if (holds(&n->op, ops[i]))
            return true;
    return false;
}

/* The float or bool of an attribute; neither: the default 0 */
static gd_status read_scalar(float *out, gd_cursor c)
{
    uint32_t bits;
    field f;

    *out = 0;
    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.number == 5 && f.kind == KIND_VARINT)
            *out = f.integer != 0;
        if (f.number != 4 || f.kind != KIND_4_BYTES)
            continue;
        GD_TRY(gd_take_u32(&f.inside, &bits));
        memcpy(out, &bits, sizeof *out);
    }
    return GD_OK;
}

static gd_status add_scalar(gd_bundle *b, const node *n, const field *attribute, const char *leaf,
                            const gd_cursor *end)
{
    gd_array array = { .dtype = GD_F32 };
    io_source source = { .entry = -1, .storage_bytes = sizeof(float) };
    float *value = gd_alloc(b->mem, sizeof *value);
    const char *name;

    if (attribute->number == 0)
        return GD_OK;
    GD_TRY(copy_name(&name, &n->name.inside, end, b->mem));
    array.name = gd_sprintf(b->mem, "%s/%s", name, leaf);
    if (!value || !array.name)
        return gd_fail(GD_ENOMEM, "%s: out of memory", end->file);
    if (strlen(array.name) > GD_MAX_NAME)
        return wrong(end, "a node with a name that is too long");
    GD_TRY(read_scalar(value, attribute->inside));
    source.data = (const unsigned char *)value;
    return io_add_array(b, &array, &source);
}

static gd_status add_norm(gd_bundle *b, const node *n, const gd_cursor *end)
{
    GD_TRY(add_scalar(b, n, &n->epsilon, "variance_epsilon", end));
    return add_scalar(b, n, &n->scale, "scale_after_normalization", end);
}

gd_status io_read_graphdef(gd_bundle *b)
{
    gd_cursor c = { b->map.data, b->map.data, b->map.data + b->map.bytes, b->path };
    node n;
    field f;

    b->format = "GraphDef";
    while (gd_cursor_left(&c) > 0) {
        GD_TRY(take_field(&f, &c));
        if (f.number != 1 || f.kind != KIND_BYTES)
            continue;
        GD_TRY(read_node(&n, f.inside));
        if (holds(&n.op, "Const"))
            GD_TRY(add_constant(b, &n, &c));
        else if (is_norm(&n))
            GD_TRY(add_norm(b, &n, &c));
    }
    return b->n > 0 ? GD_OK : wrong(&c, "no float32 constants");
}
