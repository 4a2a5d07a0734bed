/* SPDX-License-Identifier: MIT */
/* io_private.h - what the readers behind gd_bundle share; tests and fuzz targets open bundles from
 * memory through it. */
#ifndef GD_IO_PRIVATE_H
#define GD_IO_PRIVATE_H

#include "io/io.h"

/* ---- zip.c: the entries of an archive in memory, by libzip ---- */

typedef struct io_zip io_zip;
typedef struct io_entry {
    const char *name;
    const unsigned char *packed; /* inside the archive */
    uint64_t packed_bytes, bytes;
    uint32_t crc;  /* from the directory */
    bool deflated; /* else stored: packed is the content */
    bool checked;  /* its CRC-32 was found right */
} io_entry;

/* Every entry's name, sizes and offset are valid, names are unique, no byte belongs to two. */
GD_CHECKED gd_status io_zip_open(io_zip **out, const gd_mapped *map, gd_arena *mem,
                                 const char *file);
void io_zip_close(io_zip *zip); /* NULL is fine */
int io_zip_count(const io_zip *zip);
const io_entry *io_zip_entry(const io_zip *zip, int i);
int io_zip_find(const io_zip *zip, const char *name); /* -1 if absent */
/* The first `bytes` bytes of the entry's content; all of them: the CRC-32 is compared, too. */
GD_CHECKED gd_status io_zip_read(io_zip *zip, int i, void *out, uint64_t bytes);
/* Compare a stored entry's CRC-32, the first time it is asked for.  `map` not NULL: let go of the
 * pages behind. */
GD_CHECKED gd_status io_zip_check(io_zip *zip, int i, const gd_mapped *map);
/* A member's content in pieces, one after another.  Of `map`, which may be NULL, pages behind are
 * let go.  io_member_end, when all is read: CRC-32 and length are those of the directory. */
typedef struct io_member io_member;
GD_CHECKED gd_status io_member_open(io_member **out, io_zip *zip, int i, const gd_mapped *map);
GD_CHECKED gd_status io_member_read(io_member *member, void *out, uint64_t bytes);
GD_CHECKED gd_status io_member_end(io_member *member);
void io_member_close(io_member *member); /* NULL is fine */

/* ---- bundle.c ---- */

/* Where an array's elements lie: `offset` elements into a storage, then by strides. */
typedef struct io_source {
    const unsigned char *data; /* the storage; NULL: `skip` bytes into a deflated zip entry */
    uint64_t storage_bytes, skip;
    int entry;                           /* the zip entry; -1: not in an archive */
    int64_t offset, stride[GD_MAX_RANK]; /* in elements */
    bool big_endian;
} io_source;

/* A member of an .npz that cannot be read, which matters only to those who need it */
typedef struct io_refused {
    const char *name, *why;
} io_refused;

struct gd_bundle {
    gd_arena *mem;
    gd_mapped map; /* owned unless borrowed */
    bool borrowed;
    const char *path, *format;
    gd_array *array;
    io_source *source;
    int n, capacity;
    int *by_name; /* indices of arrays, sorted by name */
    gd_meta *meta;
    int n_meta;
    const unsigned char *data; /* safetensors: the data section, for its hash */
    uint64_t data_bytes;
    io_zip *zip;                /* NULL: no archive */
    const gd_pickle_node *root; /* of a .pt */
    io_refused *refused;        /* [n_refused] */
    int n_refused;
};

/* Checks name, shape and that every element lies inside the storage. */
GD_CHECKED gd_status io_add_array(gd_bundle *b, const gd_array *array, const io_source *source);
/* Elements of a shape; GD_EFORMAT on a negative size or when the sizes that are not 0 overflow */
GD_CHECKED gd_status io_count(int64_t *out, const gd_array *array, const char *file);
void io_row_major(int64_t *stride, const gd_array *array);

/* Each reads b->map, which is whole, into b. */
GD_CHECKED gd_status io_read_safetensors(gd_bundle *b);
GD_CHECKED gd_status io_read_torch_zip(gd_bundle *b);
GD_CHECKED gd_status io_read_torch_legacy(gd_bundle *b);
GD_CHECKED gd_status io_read_network_pickle(gd_bundle *b);
/* torchscript.c: the tensors of an archive of torch.jit.save, named as in a state dict */
GD_CHECKED gd_status io_read_torchscript(gd_bundle *b);
GD_CHECKED gd_status io_read_npz(gd_bundle *b);
GD_CHECKED gd_status io_read_graphdef(gd_bundle *b);
/* A .npy file up to its data: dtype, shape and strides of what follows */
GD_CHECKED gd_status io_read_npy_header(gd_array *array, io_source *source, gd_cursor *c);
/* From memory that the caller keeps; any tree of torch.save when flat is false */
GD_CHECKED gd_status io_bundle_open_memory(gd_bundle **out, const void *data, size_t bytes,
                                           const char *name, bool flat);

/* ---- npz.c ---- */

enum { IO_NPY_HEADER = 512 };
/* The header of a .npy v1.0 member for this array in C order; returns its bytes */
size_t io_npy_header(unsigned char out[IO_NPY_HEADER], const gd_array *a);

/* ---- zip_records.c: for those who write archives ---- */

enum {
    IO_ZIP_VERSION = 20,
    IO_ZIP_VERSION_64 = 45,
    IO_ZIP_DATE = 0x21, /* 1980: equal content is equal bytes */
    IO_ZIP_END = 22,    /* bytes of the last record, and of those before it in a large archive */
    IO_ZIP_END64 = 56 + 20
};
static const uint64_t IO_MAX_32 = 0xffffffff; /* in a 32-bit field: see the zip64 one */

typedef struct io_fields {
    unsigned char byte[GD_MAX_NAME + 128];
    size_t n;
} io_fields;
void io_put(io_fields *f, uint64_t value, int bytes); /* little-endian */
/* Do this many entries in `end` bytes, the directory included, need zip64? */
bool io_zip_is_large(uint64_t entries, uint64_t end);
/* The records behind the directory, which begins at `directory` */
void io_put_zip_end(io_fields *f, uint64_t entries, uint64_t directory, uint64_t directory_bytes);

/* ---- convert.c: n elements that lie `step` elements apart ---- */

void io_copy_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);
void io_widen_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);
/* To int64; of integer types */
bool io_is_integer(gd_dtype dtype);
void io_integer_row(void *out, const unsigned char *in, gd_dtype dtype, int64_t n, int64_t step);
/* Big-endian elements to little-endian ones, in place */
void io_swap_bytes(unsigned char *data, gd_dtype dtype, int64_t n);

/* ---- image.c, and a file for each format ---- */

/* GD_EFORMAT for a size that a picture of `bytes` bytes may not have: before memory is taken */
GD_CHECKED gd_status io_image_check(const gd_image *image, size_t bytes, const char *name);
/* GD_EFORMAT: a format whose library was not there when this program was built */
gd_status io_not_built(const char *name, const char *format, const char *library);
/* Value x of a row of values of 1, 2, 4 or 8 bits, the first in the highest bits of a byte */
static inline int io_bits(const unsigned char *row, int64_t x, int bits)
{
    const int per_byte = 8 / bits, shift = 8 - bits * ((int)(x % per_byte) + 1);

    return row[x / per_byte] >> shift & ((1 << bits) - 1);
}
/* Pillow's CMYK to RGB of `width` pixels; inverted: as Adobe's JPEG files hold it */
void io_cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, int width, bool inverted);
/* What a decoder may hold besides for a file of so many bytes */
uint64_t io_decoder_bytes(size_t bytes);
/* A format of pictures is a file that defines io_format_NAME, and its name in IO_IMAGE_FORMATS. */
typedef struct io_image_format {
    const char *name;      /* "PNG" */
    const char *suffix[4]; /* lower case, without the dot */
    bool (*is)(const void *data, size_t bytes);
    /* out->pixels is a block even when it fails */
    gd_status (*decode)(gd_image *out, const void *data, size_t bytes, const char *name);
    bool lossy; /* its pixels are not those that were stored */
} io_image_format;
#define IO_IMAGE_FORMATS(X) X(png) X(jpeg) X(webp) X(bmp) X(gif) X(tiff) X(ppm)
#define IO_DECLARE_FORMAT(name) extern const io_image_format io_format_##name;
IO_IMAGE_FORMATS(IO_DECLARE_FORMAT)
#undef IO_DECLARE_FORMAT
bool io_is_png(const void *data, size_t bytes);
/* image_format.c: by content; NULL: none */
const io_image_format *io_image_format_of(const void *data, size_t bytes);

/* ---- pickle.c ---- */

/* A storage that a pickle refers to by key */
typedef struct io_storage {
    const char *key;
    gd_dtype dtype;
    int64_t count;             /* elements, from the pickle */
    const unsigned char *data; /* filled in by the container's reader, as in io_source */
    uint64_t bytes;
    int entry;
    bool found;
} io_storage;
typedef struct io_pickle io_pickle;
/* One pickle from the cursor, up to its STOP. Values live in `mem`, up to `most_bytes` of them. */
GD_CHECKED gd_status io_pickle_read(io_pickle **out, gd_cursor *c, gd_arena *mem,
                                    uint64_t most_bytes);
/* The same of a TorchScript archive: objects of its program's classes are inert records. */
GD_CHECKED gd_status io_pickle_read_script(io_pickle **out, gd_cursor *c, gd_arena *mem,
                                           uint64_t most_bytes);
/* One pickle whose value is a storage alone, as in a container of one storage */
GD_CHECKED gd_status io_pickle_read_storage(io_storage *out, gd_cursor *c, gd_arena *mem,
                                            uint64_t most_bytes);
const gd_pickle_node *io_pickle_root(const io_pickle *p);
/* The distinct storages it refers to */
int io_pickle_storages(const io_pickle *p);
io_storage *io_pickle_storage(io_pickle *p, int i);
io_storage *io_pickle_find_storage(io_pickle *p, const char *key); /* NULL if absent */
/* Once all storages have data: check every tensor against its storage and add it to the bundle,
 * named by its path in the tree. */
GD_CHECKED gd_status io_pickle_tensors(io_pickle *p, gd_bundle *b);
/* The same for one tensor of the tree, under this name */
GD_CHECKED gd_status io_pickle_add_tensor(io_pickle *p, gd_bundle *b, const gd_pickle_node *tensor,
                                          const char *name);
/* torch.c: data.pkl of a zip by one of the two readers, its storages found in the archive */
typedef gd_status io_pickle_reader(io_pickle **out, gd_cursor *c, gd_arena *mem,
                                   uint64_t most_bytes);
GD_CHECKED gd_status io_read_torch_pickle(io_pickle **out, gd_bundle *b, io_pickle_reader *read);
/* torch.c: a storage that torch.storage._load_from_bytes would read of this text */
GD_CHECKED gd_status io_read_nested_storage(io_storage *out, gd_cursor *c);
/* Is the root the legacy container's magic number, 0x1950a86a20f9469cfc6c? */
bool io_pickle_is_magic(const io_pickle *p);

/* ---- pickle_write.c ---- */

typedef struct io_pickled {
    const unsigned char *data;
    size_t n;
    const gd_array *const *tensor; /* [n_tensor] in order: storage i is tensor i's */
    int n_tensor;
} io_pickled;
GD_CHECKED gd_status io_pickle_write(io_pickled *out, gd_arena *mem, const gd_pickle_node *root);

/* ---- exif.c ---- */

/* 1 to 8 as in EXIF; 1, upright, where nothing else can be read */
int io_exif_orientation(const void *file, size_t bytes);
/* One line for the first picture of this process that is not upright */
void io_report_orientation(const void *file, size_t bytes, const char *name);

#endif
