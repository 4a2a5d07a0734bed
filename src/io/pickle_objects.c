/* SPDX-License-Identifier: MIT */
/* pickle_objects.c - inert records of objects: EDM's persistent objects, containers of modules,
 * name spaces, numpy's scalars, nested storages.  Each argument is checked, nothing is called. */
#include "io/pickle_private.h"

#include <string.h>

/* ---- objects ---- */

/* The value of a text key; NULL: none */
static const value *entry(const value *dict, const char *key)
{
    for (int i = 0; i < dict->node.count; i++)
        if (is(item(dict, 2 * i), GD_PICKLE_STRING) &&
            strcmp(item(dict, 2 * i)->node.text, key) == 0)
            return item(dict, 2 * i + 1);
    return NULL;
}

static gd_status push_object(machine *m, const char *name, const value *state)
{
    value *v;

    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_OBJECT, TAG_DATA));
    v->node.text = name;
    return state ? io_pickle_append(m, v, (value *)state) : GD_OK;
}

/* One mapping of type, version, module_src, class_name, state.  module_src is a program that the
 * authors' reader executes: here it is not even looked at. */
static gd_status push_persistent(machine *m, const value *args)
{
    enum { VERSION = 6 };
    const value *meta = args->node.count == 1 ? item(args, 0) : NULL, *type, *version, *name,
                *state;

    if (!meta || !is(meta, GD_PICKLE_DICT))
        return io_pickle_refuse(m, "a persistent object with wrong arguments");
    type = entry(meta, "type");
    version = entry(meta, "version");
    name = entry(meta, "class_name");
    state = entry(meta, "state");
    if (!type || !is(type, GD_PICKLE_STRING) || strcmp(type->node.text, "class") != 0 || !version ||
        !is(version, GD_PICKLE_INT) || version->node.integer != VERSION)
        return io_pickle_refuse(m, "a persistent object of another version than 6");
    if (!name || !is(name, GD_PICKLE_STRING) || !state || !is(state, GD_PICKLE_DICT))
        return io_pickle_refuse(m, "a persistent object without class and state");
    return push_object(m, name->node.text, state);
}

/* NEWOBJ: class, () */
gd_status io_pickle_new_object(machine *m)
{
    value *args, *class, *v;

    GD_TRY(io_pickle_pop(m, &args));
    GD_TRY(io_pickle_pop(m, &class));
    if (!is(args, GD_PICKLE_TUPLE) || args->node.count != 0 || class->tag != TAG_GLOBAL)
        return io_pickle_refuse(m, "an object of something that is no known class");
    if (class->global == GLOBAL_CLASS)
        return push_object(m, class->node.text, NULL);
    if (class->global == GLOBAL_DICT_CLASS || class->global == GLOBAL_ORDERED_DICT)
        return io_pickle_make(m, &v, GD_PICKLE_DICT, TAG_DATA);
    return io_pickle_refuse(m, "an object of something that is no known class");
}

/* ---- numpy ---- */

static gd_status push_dtype(machine *m, const value *args)
{
    value *v;

    if (args->node.count != 3 || !is(item(args, 0), GD_PICKLE_STRING))
        return io_pickle_refuse(m, "a numpy.dtype with wrong arguments");
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_NONE, TAG_DTYPE));
    v->node.text = item(args, 0)->node.text;
    return GD_OK;
}

/* BUILD: a mapping for an object, once; (version, byte order, ...) for a dtype */
gd_status io_pickle_build_object(machine *m, value *object, value *state)
{
    if (object->tag == TAG_DTYPE) {
        if (!is(state, GD_PICKLE_TUPLE) || state->node.count < 2 ||
            !is(item(state, 1), GD_PICKLE_STRING) || strlen(item(state, 1)->node.text) != 1 ||
            !strchr("<|=", item(state, 1)->node.text[0]))
            return io_pickle_refuse(m, "a numpy.dtype that is not little-endian");
        return GD_OK;
    }
    if (!is(state, GD_PICKLE_DICT) || object->node.count != 0)
        return io_pickle_refuse(m, "an object whose state is no mapping, or given twice");
    return io_pickle_append(m, object, state);
}

/* A little-endian integer of n bytes */
static int64_t integer_of(const char *bytes, int64_t n, bool is_signed)
{
    uint64_t v = 0;

    for (int64_t i = 0; i < n; i++)
        v |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    if (is_signed && n < 8 && v >> (8 * n - 1))
        v |= ~0ull << (8 * n);
    return (int64_t)v;
}

/* (dtype, bytes): a number; the dtype is a letter and the number of bytes */
static gd_status push_scalar(machine *m, const value *args)
{
    const value *type = args->node.count == 2 ? item(args, 0) : NULL,
                *bytes = type ? item(args, 1) : NULL;
    double real = 0;
    float single = 0;
    value *v;

    if (!type || type->tag != TAG_DTYPE || !is(bytes, GD_PICKLE_BYTES))
        return io_pickle_refuse(m, "a numpy scalar with wrong arguments");
    const char *name = type->node.text;
    const int64_t n = bytes->node.integer;
    if (strlen(name) != 2 || !strchr("fiub", name[0]) || !strchr("1248", name[1]) ||
        n != name[1] - '0' || (name[0] == 'f' && n < 4))
        return io_pickle_refuse(m, "a numpy scalar of an unknown type");
    if (name[0] != 'f') {
        GD_TRY(io_pickle_make(m, &v, GD_PICKLE_INT, TAG_DATA));
        v->node.integer = integer_of(bytes->node.text, n, name[0] == 'i');
        return GD_OK;
    }
    memcpy(n == 8 ? (void *)&real : (void *)&single, bytes->node.text, (size_t)n);
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_FLOAT, TAG_DATA));
    v->node.real = n == 8 ? real : (double)single;
    return GD_OK;
}

/* ---- bytes ---- */

/* Code points below 256 become bytes.  false: others, or no UTF-8 */
static bool to_latin1(unsigned char *out, int64_t *n, const unsigned char *text, int64_t bytes)
{
    *n = 0;
    for (int64_t i = 0; i < bytes; i++) {
        const bool two = text[i] >= 0x80;
        if (two && ((text[i] != 0xc2 && text[i] != 0xc3) || i + 1 == bytes ||
                    (text[i + 1] & 0xc0) != 0x80))
            return false;
        out[(*n)++] = two ? (unsigned char)(text[i] << 6 | (text[i + 1] & 0x3f)) : text[i];
        i += two;
    }
    return true;
}

/* (text, "latin1"): how protocol 2 writes bytes.  What is decoded lies beside the file in memory,
 * but is not more than the file. */
static gd_status push_decoded(machine *m, const value *args)
{
    const value *text = args->node.count == 2 ? item(args, 0) : NULL,
                *code = text ? item(args, 1) : NULL;
    unsigned char *out;
    int64_t bytes;
    value *v;

    if (!text || !is(code, GD_PICKLE_STRING) || strcmp(code->node.text, "latin1") != 0 ||
        (!is(text, GD_PICKLE_STRING) && !is(text, GD_PICKLE_BYTES)))
        return io_pickle_refuse(m, "bytes that are not a text in latin1");
    bytes = is(text, GD_PICKLE_BYTES) ? text->node.integer : (int64_t)strlen(text->node.text);
    m->decoded_bytes += (uint64_t)bytes;
    if (m->decoded_bytes > (uint64_t)(m->c->end - m->c->base))
        return io_pickle_refuse(m, "more bytes than the file has");
    out = gd_alloc(m->mem, (size_t)bytes + 1);
    if (!out)
        return gd_fail(GD_ENOMEM, "%s: out of memory", m->c->file);
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_BYTES, TAG_DATA));
    v->node.text = (const char *)out;
    if (to_latin1(out, &v->node.integer, (const unsigned char *)text->node.text, bytes))
        return GD_OK;
    return io_pickle_refuse(m, "bytes that are not a text in latin1");
}

/* (bytes): the legacy container of one storage */
static gd_status push_nested_storage(machine *m, const value *args)
{
    const value *bytes = args->node.count == 1 ? item(args, 0) : NULL;
    io_storage storage;
    value *v;

    if (!bytes || !is(bytes, GD_PICKLE_BYTES))
        return io_pickle_refuse(m, "a storage that is not bytes");
    const unsigned char *p = (const unsigned char *)bytes->node.text;
    gd_cursor c = { p, p, p + bytes->node.integer, m->c->file };
    if (io_read_nested_storage(&storage, &c) != GD_OK) {
        gd_context("pickle offset %llu", (unsigned long long)m->op_offset);
        return GD_EFORMAT;
    }
    GD_TRY(io_pickle_make(m, &v, GD_PICKLE_NONE, TAG_STORAGE));
    return io_pickle_add_storage(m, &v->storage, &storage);
}

/* ---- REDUCE ---- */

/* (), or (list) */
static gd_status push_set(machine *m, const value *args)
{
    value *v;

    if (args->node.count == 1 && is(item(args, 0), GD_PICKLE_LIST))
        return io_pickle_push(m, (value *)item(args, 0));
    return args->node.count == 0 ? io_pickle_make(m, &v, GD_PICKLE_LIST, TAG_DATA)
                                 : io_pickle_refuse(m, "a set with wrong arguments");
}

gd_status io_pickle_reduce_object(machine *m, const value *callable, const value *args)
{
    switch (callable->global) {
    case GLOBAL_PERSISTENT:
        return push_persistent(m, args);
    case GLOBAL_STORAGE_BYTES:
        return push_nested_storage(m, args);
    case GLOBAL_DTYPE:
        return push_dtype(m, args);
    case GLOBAL_SCALAR:
        return push_scalar(m, args);
    case GLOBAL_ENCODE:
        return push_decoded(m, args);
    case GLOBAL_SET:
        return push_set(m, args);
    default:
        return io_pickle_refuse(m, "a call of a class");
    }
}
