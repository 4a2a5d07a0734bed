/* SPDX-License-Identifier: MIT */
/* pickle_private.h - the machine that reads pickles: pickle.c runs its opcodes, pickle_globals.c
 * knows what a pickle may name, pickle_records.c makes tuples, mappings, storages and tensors of
 * what lies on its stack, pickle_objects.c inert records of objects. */
#ifndef GD_IO_PICKLE_PRIVATE_H
#define GD_IO_PICKLE_PRIVATE_H

#include "io/io_private.h"

typedef enum tag { TAG_DATA, TAG_MARK, TAG_GLOBAL, TAG_STORAGE, TAG_MAGIC, TAG_DTYPE } tag;
typedef enum global {
    GLOBAL_ORDERED_DICT,
    GLOBAL_REBUILD_TENSOR,
    GLOBAL_REBUILD_PARAMETER,
    GLOBAL_STORAGE,
    GLOBAL_STORAGE_BYTES, /* a legacy container in a text of bytes */
    GLOBAL_PERSISTENT,    /* an object of EDM's torch_utils.persistence */
    GLOBAL_CLASS,         /* a class whose objects become records */
    GLOBAL_DICT_CLASS,    /* one whose objects are mappings */
    GLOBAL_SET,
    GLOBAL_ENCODE, /* protocol 2's form of bytes */
    GLOBAL_DTYPE,
    GLOBAL_SCALAR
} global;

/* A tensor's view of its storage */
typedef struct view {
    int rank;
    int64_t offset, dim[GD_MAX_RANK], stride[GD_MAX_RANK];
} view;

/* A value: what the tree shows (TAG_DATA), or what only the machine sees.  Small numbers, marks and
 * the like are shared: a value does not change once it is made, but for items added. */
typedef struct value value;
struct value {
    gd_pickle_node node; /* first: item arrays hold pointers to it */
    tag tag;
    global global;
    gd_dtype dtype; /* GLOBAL_STORAGE */
    int storage;    /* TAG_STORAGE, and tensors */
    int capacity;   /* of node.item */
    const view *view;
};

enum { SMALL_INTEGERS = 256, KEY_SLOTS = 1 << 17 };

struct io_pickle {
    gd_cursor *c;
    gd_arena *mem;
    uint64_t held_bytes, most_bytes;
    uint64_t op_offset;
    uint8_t op;
    uint64_t decoded_bytes; /* of protocol 2's bytes: at most as many as the file has */
    value **stack, **memo;
    int depth, cap_stack, n_memo, used_memo, n_storage, cap_storage;
    io_storage *storage;
    int32_t *slot; /* [KEY_SLOTS] of storages by the hash of their key: index + 1 */
    value *mark, *none, *boolean[2], *small[SMALL_INTEGERS];
    value *root;
    int walked;
    bool script; /* of TorchScript: classes of its program are named */
};

typedef io_pickle machine;

/* pickle.c */
/* Records a failure with file, offset, opcode. */
gd_status io_pickle_refuse(const machine *m, const char *what);
/* NULL and a recorded failure when the pickle asks for too much */
void *io_pickle_take(machine *m, uint64_t bytes);
gd_status io_pickle_pop(machine *m, value **out);
gd_status io_pickle_push(machine *m, value *v);
gd_status io_pickle_make(machine *m, value **out, gd_pickle_kind kind, tag t);
gd_status io_pickle_append(machine *m, value *to, value *v);
gd_status io_pickle_from_mark(machine *m, int *first);
/* pickle_globals.c */
gd_status io_pickle_push_global(machine *m);       /* names stand in the pickle */
gd_status io_pickle_push_stack_global(machine *m); /* names are on the stack */
/* pickle_objects.c */
gd_status io_pickle_new_object(machine *m);
gd_status io_pickle_reduce_object(machine *m, const value *callable, const value *args);
gd_status io_pickle_build_object(machine *m, value *object, value *state);
/* pickle_records.c */
gd_status io_pickle_add_storage(machine *m, int *out, const io_storage *s); /* without a key */
gd_status io_pickle_push_storage(machine *m);
gd_status io_pickle_reduce(machine *m);
gd_status io_pickle_build(machine *m);
gd_status io_pickle_tuple_of(machine *m, int n);
gd_status io_pickle_tuple_from_mark(machine *m);
gd_status io_pickle_add_items(machine *m, int first, int target, gd_pickle_kind kind);
gd_status io_pickle_items_from_mark(machine *m, gd_pickle_kind kind);

static inline const value *item(const value *v, int i)
{
    return (const value *)v->node.item[i];
}

static inline bool is(const value *v, gd_pickle_kind kind)
{
    return v->tag == TAG_DATA && v->node.kind == kind;
}

#endif
