/* io_private.h - what the readers behind gd_bundle share; tests and fuzz targets open bundles from
 * memory through it. */
#ifndef GD_IO_PRIVATE_H
#define GD_IO_PRIVATE_H

#include "io/io.h"

/* Where an array's elements lie: `data` + offset elements, with strides, in a storage of
 * `storage_bytes` */
typedef struct io_source {
    const unsigned char *data; /* NULL: no elements */
    uint64_t storage_bytes;
    int64_t offset, stride[GD_MAX_RANK]; /* in elements */
} io_source;

typedef struct io_meta {
    const char *key, *value;
} io_meta;

struct gd_bundle {
    gd_arena *mem;
    gd_mapped map; /* owned unless borrowed */
    bool borrowed;
    const char *path, *format;
    gd_array *array;
    io_source *source;
    int n, capacity;
    io_meta *meta;
    int n_meta;
    const unsigned char *data; /* safetensors: the data section, for its hash */
    uint64_t data_bytes;
    const gd_pickle_node *root; /* of a .pt */
};

GD_CHECKED gd_status io_add_array(gd_bundle *b, const gd_array *array, const io_source *source);
/* Elements of a shape; GD_EFORMAT on overflow or a negative dimension */
GD_CHECKED gd_status io_count(int64_t *out, const gd_array *array, const char *file);

/* Each reads b->map, which is whole, into b. */
GD_CHECKED gd_status io_read_safetensors(gd_bundle *b);
GD_CHECKED gd_status io_read_torch_zip(gd_bundle *b);
GD_CHECKED gd_status io_read_torch_legacy(gd_bundle *b);
/* From memory that the caller keeps; any format when flat is false, state dicts and arrays only
 * when it is true */
GD_CHECKED gd_status io_bundle_open_memory(gd_bundle **out, const void *data, size_t bytes,
                                           const char *name, bool flat);

/* ---- zip.c: entries of an archive in memory ---- */
typedef struct io_zip io_zip;
typedef struct io_entry {
    const char *name;
    const unsigned char
        *data; /* inside the archive, which must store it uncompressed: others are refused */
    uint64_t bytes;
} io_entry;
GD_CHECKED gd_status io_zip_open(io_zip **out, gd_bundle *b);
void io_zip_close(io_zip *zip);
int io_zip_count(const io_zip *zip);
const char *io_zip_name(const io_zip *zip, int i);
GD_CHECKED gd_status io_zip_entry(io_entry *out, io_zip *zip, int i);
int io_zip_find(const io_zip *zip, const char *name); /* -1 if absent */

/* ---- pickle.c ---- */
/* A storage that a pickle refers to by key */
typedef struct io_storage {
    const char *key;
    gd_dtype dtype;
    int64_t count;             /* elements, as the pickle says */
    const unsigned char *data; /* filled in by the container's reader */
    uint64_t bytes;
} io_storage;
typedef struct io_pickle io_pickle;
/* One pickle from the cursor, up to its STOP. Values live in `mem`. */
GD_CHECKED gd_status io_pickle_read(io_pickle **out, gd_cursor *c, gd_arena *mem);
const gd_pickle_node *io_pickle_root(const io_pickle *p);
/* The distinct storages it refers to */
int io_pickle_storages(const io_pickle *p);
io_storage *io_pickle_storage(io_pickle *p, int i);
/* Once all storages have data: check every tensor against its storage and add it to the bundle,
 * named by its path in the tree. */
GD_CHECKED gd_status io_pickle_tensors(io_pickle *p, gd_bundle *b);
/* The integer text of a LONG1 for the legacy magic number: compares the root with
 * 0x1950a86a20f9469cfc6c */
bool io_pickle_is_magic(const io_pickle *p);

#endif
