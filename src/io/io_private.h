/* io_private.h - what the readers behind gd_bundle share.  Tests and fuzz targets open bundles from memory through it. */
#ifndef GD_IO_PRIVATE_H
#define GD_IO_PRIVATE_H

#include "io/io.h"

/* ---- zip.c: the entries of an archive in memory, by libzip ---- */

typedef struct io_zip io_zip;
typedef struct io_entry {
    const char *name;
    const unsigned char *packed; /* inside the archive */
    uint64_t packed_bytes, bytes;
    bool deflated; /* else stored: packed is the content */
    bool checked;  /* its CRC-32 was right */
} io_entry;

/* Every entry's name, sizes and place are valid, names are unique and no bytes belong to two entries. */
GD_CHECKED gd_status io_zip_open(io_zip **out, const gd_mapped *map, gd_arena *mem, const char *file);
void io_zip_close(io_zip *zip); /* NULL is fine */
int io_zip_count(const io_zip *zip);
const io_entry *io_zip_entry(const io_zip *zip, int i);
int io_zip_find(const io_zip *zip, const char *name); /* -1 if absent */
/* Read the whole entry once and compare its CRC-32; free the second time. `drop`: let go of the file's pages behind. */
GD_CHECKED gd_status io_zip_check(io_zip *zip, int i, bool drop);
/* The first `bytes` bytes of the entry's content; its CRC-32 is compared when that is all. */
GD_CHECKED gd_status io_zip_read(io_zip *zip, int i, void *out, uint64_t bytes);

/* ---- bundle.c ---- */

/* Where an array's elements lie: `offset` elements into a storage, then by strides. */
typedef struct io_source {
    const unsigned char *data; /* the storage; NULL: in a deflated zip entry, `skip` bytes from its beginning */
    uint64_t bytes, skip;      /* of the storage */
    int entry;                 /* the zip entry that holds it; -1: none */
    int64_t offset;
    int64_t stride[GD_MAX_RANK]; /* >= 0 */
} io_source;

struct gd_bundle {
    gd_arena *mem;
    gd_mapped map;
    bool owns_map; /* false: the caller's memory */
    const char *path;
    const char *format;
    gd_array *array;
    io_source *source; /* of array[i] */
    int n, capacity;
    int *by_name; /* indices of arrays, sorted */
    gd_meta *meta;
    int n_meta;
    const unsigned char *data; /* safetensors: the data section */
    uint64_t data_bytes;
    io_zip *zip; /* NULL: not an archive */
};

/* `data` stays the caller's and must outlive the bundle.  With `root` the file may be any torch.save tree (gd_pickle_open). */
GD_CHECKED gd_status io_open_memory(gd_bundle **out, const gd_pickle_node **root, const void *data, size_t bytes,
                                    const char *name);
/* Checks name, shape and that every element lies inside the storage; copies the name. */
GD_CHECKED gd_status io_add_array(gd_bundle *b, const gd_array *array, const io_source *source);
/* GD_EFORMAT when the shape has a negative size or 2^63 elements or more; works on shapes with zeros, too. */
GD_CHECKED gd_status io_count(int64_t *out, const gd_array *array, const char *file);
void io_row_major(int64_t *stride, const gd_array *array);
/* Well-formed UTF-8 without control characters: fit for a name and for a message */
bool io_is_text(const unsigned char *text, uint64_t bytes);

/* Each reads the whole of b->map into b. */
GD_CHECKED gd_status io_read_safetensors(gd_bundle *b);
GD_CHECKED gd_status io_read_torch_zip(gd_bundle *b, const gd_pickle_node **root);
GD_CHECKED gd_status io_read_torch_legacy(gd_bundle *b, const gd_pickle_node **root);
GD_CHECKED gd_status io_read_npz(gd_bundle *b);
/* One .npy file, up to its data: fills dtype, shape and strides */
GD_CHECKED gd_status io_read_npy_header(gd_array *array, io_source *source, gd_cursor *c);

/* ---- convert.c ---- */

/* n elements of `dtype`, `step` elements apart, as they are / as float32 */
void io_copy_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);
void io_widen_row(float *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);

/* ---- pickle.c, pickle_build.c: one pickle as tagged values ---- */

typedef enum io_tag {
    IO_MARK, IO_NONE, IO_BOOL, IO_INT, IO_LONG, IO_FLOAT, IO_STRING, IO_TUPLE, IO_LIST, IO_DICT, IO_GLOBAL, IO_STORAGE,
    IO_TENSOR
} io_tag;

typedef struct io_items io_items;
typedef struct io_storage io_storage;
typedef struct io_tensor io_tensor;

typedef struct io_bytes {
    uint64_t n;
    const char *text; /* NUL-terminated; of a LONG the bytes, least significant first */
} io_bytes;

typedef struct io_value {
    io_tag tag;
    union {
        int64_t integer; /* BOOL, INT; GLOBAL: index in the list of what is allowed */
        double real;
        const io_bytes *bytes; /* STRING, LONG */
        io_items *items;
        io_storage *storage;
        const io_tensor *tensor;
    };
} io_value;

/* TUPLE, LIST: items; DICT: keys and values in turn */
struct io_items {
    io_value *item;
    int count, capacity;
    bool is_ordered; /* made by collections.OrderedDict */
    int height;      /* pickle_tree.c: of the tree below, 0 = not visited, -1 = being visited */
    uint64_t weight; /* nodes of that tree when nothing is shared */
    const gd_pickle_node *node;
};

/* A persistent id: the container's reader finds the bytes. */
struct io_storage {
    io_storage *next; /* in order of first mention */
    const char *key;
    gd_dtype dtype;
    int64_t count; /* elements */
    const unsigned char *data;
    uint64_t bytes; /* 0 until found */
    int entry;
};

struct io_tensor {
    const io_storage *storage;
    int rank;
    int64_t offset, dim[GD_MAX_RANK], stride[GD_MAX_RANK];
};

/* The values of one file's pickles; they die with `mem`. */
typedef struct io_pickle {
    gd_arena *mem;
    const char *file;
    uint64_t used_bytes; /* of GD_MAX_PICKLE_BYTES */
    io_storage *first, **last;
} io_pickle;

/* One pickle from the cursor, up to and with its STOP */
GD_CHECKED gd_status io_pickle_read(io_value *out, io_pickle *p, gd_cursor *c);
/* Memory for values, counted; NULL and a recorded failure when there is too much of it */
void *io_pickle_alloc(io_pickle *p, uint64_t bytes);
const char *io_tag_name(io_tag tag);
bool io_is_string(io_value v, const char *text);

/* What the opcodes GLOBAL, BINPERSID, REDUCE and BUILD make: records or failures.  Messages hold the reason only. */
GD_CHECKED gd_status io_build_global(io_value *out, const char *module, const char *name);
GD_CHECKED gd_status io_build_storage(io_value *out, io_pickle *p, io_value id);
GD_CHECKED gd_status io_build_call(io_value *out, io_pickle *p, io_value callable, io_value args);
GD_CHECKED gd_status io_build_state(io_value object, io_value state);

/* ---- pickle_tree.c: values as arrays of a bundle ---- */

/* A flat mapping name -> tensor */
GD_CHECKED gd_status io_add_state_dict(gd_bundle *b, const io_pickle *p, io_value root);
/* Any tree; arrays are named by path */
GD_CHECKED gd_status io_add_tree(gd_bundle *b, const gd_pickle_node **out, io_pickle *p, io_value root);

#endif
