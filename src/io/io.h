/* SPDX-License-Identifier: MIT */
/* io.h - files as named arrays.  Sees base only.
 *
 * Untrusted bytes: whatever a file holds, these functions return a status with file, offset and
 * remedy; they never crash, hang, evaluate anything, or hold more than 64 MiB beyond the file's
 * size before the caller asked for an array's data. Only cursor.c takes integers out of untrusted
 * bytes; sizes go through gd_mul / gd_add.  See docs/reliability.md. */
#ifndef GD_IO_H
#define GD_IO_H

#include "base/base.h"

/* ---- limits, one table ---- */
enum {
    GD_MAX_HEADER_BYTES =
        100 * 1000 * 1000, /* safetensors header, as the reference implementation allows */
    GD_MAX_ARRAYS = 65536,
    GD_MAX_RANK = 8,
    GD_MAX_NAME = 512,
    GD_MAX_PICKLE_STACK = 65536,
    GD_MAX_PICKLE_MEMO = 1000000,
    GD_MAX_PICKLE_STRING = 4096,
    GD_MAX_PICKLE_DEPTH = 64,
    GD_MAX_ZIP_ENTRIES = 65536,
    GD_MAX_IMAGE_SIDE = 65500
};

/* ---- cursor.c: the only reader of integers from untrusted bytes ---- */

typedef struct gd_cursor {
    const unsigned char *base, *at, *end;
    const char *file; /* for messages; borrowed */
} gd_cursor;
/* All take little-endian values and fail with "FILE: offset N: ..." past the end. */
GD_CHECKED gd_status gd_take_u8(gd_cursor *c, uint8_t *out);
GD_CHECKED gd_status gd_take_u16(gd_cursor *c, uint16_t *out);
GD_CHECKED gd_status gd_take_u32(gd_cursor *c, uint32_t *out);
GD_CHECKED gd_status gd_take_u64(gd_cursor *c, uint64_t *out);
/* Seven bits a byte, low ones first, the top bit for "more" (protocol buffers) */
GD_CHECKED gd_status gd_take_varint(gd_cursor *c, uint64_t *out);
GD_CHECKED gd_status gd_take_bytes(gd_cursor *c, const unsigned char **out, uint64_t n);
uint64_t gd_cursor_offset(const gd_cursor *c);
uint64_t gd_cursor_left(const gd_cursor *c);

/* Well-formed UTF-8 without control characters: fit for a name and for a message */
bool gd_is_text(const void *text, uint64_t bytes);

/* ---- bundle: the named arrays of one file ---- */

typedef struct gd_array {
    const char *name;
    gd_dtype dtype;
    int rank;
    int64_t dim[GD_MAX_RANK];
} gd_array;

typedef struct gd_bundle gd_bundle;

/* Open .safetensors, .pt (zip or legacy container, a state dict: flat mapping name -> tensor),
 * .npz or .pb (TensorFlow's GraphDef: the float32 constants, by node name); recognised by content,
 * not by name. GD_EFORMAT for anything else.  A .pt whose top level is not such a mapping is
 * refused here (gd_pickle_open reads other trees).  Everything is validated before this returns;
 * array data is read later, when asked for: archives then compare the CRC-32, once for each entry.
 * One thread at a time may use a bundle. */
GD_CHECKED gd_status gd_bundle_open(gd_bundle **out, const char *path);
/* The same for a .pt of any tree: *root, which lives as long as the bundle, and arrays named by
 * their paths in it ("ema.out.2.bias").  NULL: another file. */
struct gd_pickle_node;
GD_CHECKED gd_status gd_bundle_open_tree(gd_bundle **out, const struct gd_pickle_node **root,
                                         const char *path);
void gd_bundle_close(gd_bundle *bundle);
const char *gd_bundle_path(const gd_bundle *bundle);
/* "safetensors", "torch zip", "torch legacy", "npz", "GraphDef", "network pickle" */
const char *gd_bundle_format(const gd_bundle *bundle);
int gd_bundle_count(const gd_bundle *bundle);
const gd_array *gd_bundle_array(const gd_bundle *bundle, int i); /* in file (state_dict) order */
const gd_array *gd_bundle_find(const gd_bundle *bundle, const char *name); /* NULL if absent */
/* safetensors __metadata__, and of a network pickle GD_NETWORK_META; NULL if absent */
const char *gd_bundle_meta(const gd_bundle *bundle, const char *key);
/* The constructor of a pickled network as JSON: {"class_name", "init_kwargs", "attributes": those
 * of the object itself that are numbers, "skip_scale": of all its blocks} */
#define GD_NETWORK_META "edm.network"
/* Keep only the arrays whose names begin with `prefix`, and take it off.  GD_EUSAGE if there are
 * none. */
GD_CHECKED gd_status gd_bundle_select(gd_bundle *bundle, const char *prefix);
/* Put `new` for the first `old` of every name that has one.  GD_EFORMAT as gd_bundle_strip. */
GD_CHECKED gd_status gd_bundle_replace(gd_bundle *bundle, const char *old, const char *new);
/* A text of `bytes` bytes that came with the file, as gd_bundle_meta gives it */
GD_CHECKED gd_status gd_bundle_add_meta(gd_bundle *bundle, const char *key, const void *text,
                                        size_t bytes);
/* Take `prefix` off the names that begin with it.  GD_EFORMAT if two arrays then have one name. */
GD_CHECKED gd_status gd_bundle_strip(gd_bundle *bundle, const char *prefix);
int64_t gd_array_count(const gd_array *array); /* number of elements */
/* It is dim[rank], but for ones in front */
bool gd_array_has_shape(const gd_array *array, const int64_t *dim, int rank);
/* Elements in row-major order, as the file's dtype / converted to float32 (any numeric dtype; F16
 * and BF16 exactly). */
GD_CHECKED gd_status gd_bundle_read(const gd_bundle *bundle, const gd_array *array, void *out);
GD_CHECKED gd_status gd_bundle_read_f32(const gd_bundle *bundle, const gd_array *array, float *out);
/* Integers of any width; GD_EFORMAT for others */
GD_CHECKED gd_status gd_bundle_read_i64(const gd_bundle *bundle, const gd_array *array,
                                        int64_t *out);
/* gd_bundle_find that fails: GD_EFORMAT lists what the file holds.  Members of an .npz that cannot
 * be read (objects, texts) are no arrays of the bundle; here the message is why. */
GD_CHECKED gd_status gd_bundle_need(const gd_array **out, const gd_bundle *bundle,
                                    const char *name);
bool gd_bundle_refuses(const gd_bundle *bundle, const char *name); /* there, but cannot be read */
/* The elements where they lie in the file, in row-major order; NULL where they do not lie so
 * (deflated, strided, big-endian).  Valid as long as the bundle; unchecked but for its offset. */
const void *gd_bundle_view(const gd_bundle *bundle, const gd_array *array);
/* Drop the file's pages from resident memory after reading `array`; a hint. */
void gd_bundle_release(const gd_bundle *bundle, const gd_array *array);
/* Check guided.data_xxh3 where the file has it: GD_EFORMAT "does not match its hash".  *checked
 * tells if there was one.  gd_bundle_open does this itself for every file with a guided.* key, and
 * compares guided.header_xxh3 with the header's text in which both hashes are 32 zeros: our own
 * files are refused whichever bit is damaged. */
GD_CHECKED gd_status gd_bundle_verify(const gd_bundle *bundle, bool *checked);
/* The XXH3-128 of all arrays as float32 in their order, where opening the file has found it right;
 * NULL: not known yet */
const char *gd_bundle_f32_hash(const gd_bundle *bundle);

/* ---- elements.c: an array of an archive, one element after another ---- */

typedef struct gd_elements gd_elements;
/* From the first element on, row-major, as the file's dtype, in memory that does not grow with the
 * array, unless it is in Fortran order or big-endian.  The bundle stays open meanwhile.  GD_EUSAGE:
 * no archive. */
GD_CHECKED gd_status gd_elements_open(gd_elements **out, gd_bundle *bundle, const gd_array *array);
/* The next bytes; with the last ones the CRC-32 is compared. */
GD_CHECKED gd_status gd_elements_read(gd_elements *elements, void *out, size_t bytes);
/* The next n elements as float32, or as bytes, whatever their type; GD_EFORMAT for a value that is
 * no whole number from 0 to 255 */
GD_CHECKED gd_status gd_elements_read_f32(gd_elements *elements, float *out, int64_t n);
GD_CHECKED gd_status gd_elements_read_u8(gd_elements *elements, uint8_t *out, int64_t n);
void gd_elements_close(gd_elements *elements); /* NULL is fine */
/* Adds a description of an array in an archive, without reading it: type, shape, CRC-32 */
GD_CHECKED gd_status gd_bundle_fingerprint(const gd_bundle *bundle, const gd_array *array,
                                           gd_hasher *hasher);

/* ---- pickle.c, torch.c: any torch.save file as a tree of typed records (optimiser files, nested
 * dicts) ---- */

typedef enum gd_pickle_kind {
    GD_PICKLE_NONE,
    GD_PICKLE_BOOL,
    GD_PICKLE_INT,
    GD_PICKLE_FLOAT,
    GD_PICKLE_STRING,
    GD_PICKLE_LIST,
    GD_PICKLE_TUPLE,
    GD_PICKLE_DICT,
    GD_PICKLE_TENSOR,
    GD_PICKLE_BYTES, /* bytes, and texts that are longer than GD_MAX_PICKLE_STRING or have control
                        characters */
    GD_PICKLE_OBJECT /* an inert record: the name of a class and what it would be set up with */
} gd_pickle_kind;
typedef struct gd_pickle_node gd_pickle_node;
struct gd_pickle_node {
    gd_pickle_kind kind;
    int64_t integer;  /* INT, BOOL; BYTES: how many */
    double real;      /* FLOAT */
    const char *text; /* STRING, UTF-8, NUL-terminated; BYTES: not terminated; OBJECT: its class */
    int count; /* LIST (sets too), TUPLE: items; DICT: pairs; OBJECT: 1, or 0 without state */
    const gd_pickle_node *const
        *item;              /* LIST, TUPLE, OBJECT: [count]; DICT: [2*count] key, value, in order */
    const gd_array *tensor; /* TENSOR: pass it to gd_bundle_read with the bundle it came from */
};
/* Open any torch.save file; `root` lives as long as the bundle. Arrays of the bundle are the tree's
 * tensors, named by path
 * ("state.0.exp_avg"). */
GD_CHECKED gd_status gd_pickle_open(gd_bundle **out, const gd_pickle_node **root, const char *path);
/* The value under a text; NULL: no such key, or `dict` is NULL or no mapping */
const gd_pickle_node *gd_pickle_get(const gd_pickle_node *dict, const char *key);

/* ---- pickle_write.c, torch_write.c: writing torch.save files ---- */

/* A list, tuple or mapping of `count` items, to be filled below; NULL: out of memory.  Leaves are
 * plain values, copied. */
gd_pickle_node *gd_pickle_new(gd_arena *mem, gd_pickle_kind kind, int count);
/* Item i (of a mapping: 2 i is a key, 2 i + 1 its value); pair i under a text.  false: out of
 * memory, of the container's too.  Texts and arrays are borrowed. */
bool gd_pickle_put(gd_arena *mem, gd_pickle_node *to, int i, const gd_pickle_node *value);
bool gd_pickle_set(gd_arena *mem, gd_pickle_node *dict, int i, const char *key,
                   const gd_pickle_node *value);

/* Begin PATH (atomic, see gd_file_create) with this tree, which torch.load takes with
 * weights_only=True.  The tree's tensors (row-major, each below 4 GiB) must be given by
 * gd_torch_add in the order in which they stand in it, in pieces as it pleases.  Equal content
 * gives equal bytes. */
typedef struct gd_torch_writer gd_torch_writer;
GD_CHECKED gd_status gd_torch_begin(gd_torch_writer **out, const char *path, gd_replace replace,
                                    const gd_pickle_node *root);
GD_CHECKED gd_status gd_torch_add(gd_torch_writer *writer, const void *data, size_t bytes);
GD_CHECKED gd_status gd_torch_commit(gd_torch_writer *writer); /* frees */
void gd_torch_abort(gd_torch_writer *writer);                  /* frees; NULL is fine */

/* ---- safetensors.c: writing ---- */

typedef struct gd_safetensors_writer gd_safetensors_writer;
typedef struct gd_meta {
    const char *key, *value;
} gd_meta;
/* Begin PATH (atomic, see gd_file_create) with these arrays in this order and this metadata; the
 * writer adds guided.data_xxh3 (XXH3-128 of the data section) and guided.header_xxh3 (of the
 * header's text with both hashes as 32 zeros) at the end.  Data begins at a multiple of 64 bytes;
 * arrays follow one another without gaps.  The data of array i must be given in order by
 * gd_safetensors_add, in pieces as it pleases. */
GD_CHECKED gd_status gd_safetensors_begin(gd_safetensors_writer **out, const char *path,
                                          gd_replace replace, const gd_array *arrays, int n_arrays,
                                          const gd_meta *meta, int n_meta);
GD_CHECKED gd_status gd_safetensors_add(gd_safetensors_writer *writer, const void *data,
                                        size_t bytes);
GD_CHECKED gd_status gd_safetensors_commit(gd_safetensors_writer *writer); /* frees */
void gd_safetensors_abort(gd_safetensors_writer *writer);                  /* frees; NULL is fine */

/* float32 -> BF16 / F16, round to nearest even */
void gd_narrow(void *out, gd_dtype dtype, const float *in, int64_t n);

/* ---- npz.c: writing ---- */

/* Atomic .npz of stored .npy v1.0 members "NAME.npy" with a fixed date, C order: equal content
 * gives equal bytes. */
GD_CHECKED gd_status gd_npz_write(const char *path, gd_replace replace, const gd_array *arrays,
                                  const void *const *data, int n);

/* ---- npy_file.c: one array in a file of its own ---- */

/* Little-endian C order, atomic: see gd_file_put. */
GD_CHECKED gd_status gd_npy_write(const char *path, gd_replace replace, const gd_array *array,
                                  const void *data);
/* Float32, float64 or bytes as doubles; *out is a block, array->dim its shape.  GD_EFORMAT: any
 * other type, Fortran order of a matrix, a number that is not finite. */
GD_CHECKED gd_status gd_npy_read(double **out, gd_array *array, const char *path);

/* ---- npz_writer.c: the same file in pieces, of any size ---- */

typedef struct gd_npz_writer gd_npz_writer;
GD_CHECKED gd_status gd_npz_begin(gd_npz_writer **out, const char *path, gd_replace replace,
                                  uint64_t expected_bytes);
/* The next array; its elements follow by gd_npz_add, in pieces as the caller pleases. */
GD_CHECKED gd_status gd_npz_array(gd_npz_writer *writer, const gd_array *array);
GD_CHECKED gd_status gd_npz_add(gd_npz_writer *writer, const void *data, size_t bytes);
GD_CHECKED gd_status gd_npz_commit(gd_npz_writer *writer); /* frees */
void gd_npz_abort(gd_npz_writer *writer);                  /* frees; NULL is fine */

/* ---- png.c ---- */

typedef struct gd_text {
    const char *key, *value;
} gd_text; /* PNG tEXt / iTXt: keyword, UTF-8 value */
/* Encode [height,width,channels] 8-bit, channels 1 or 3.  *out is a block (gd_block_free). */
GD_CHECKED gd_status gd_png_encode(void **out, size_t *bytes, const uint8_t *pixels, int width,
                                   int height, int channels, const gd_text *texts, int n_texts);
/* png_text.c: the texts of a PNG file, whose chunks are walked over; its pixels are not read.  A
 * text is inflated when it is asked for, to at most 16 MiB, and lives as long as the gd_png. */
typedef struct gd_png gd_png;
GD_CHECKED gd_status gd_png_open(gd_png **out, const char *path);
const char *gd_png_text(const gd_png *png, const char *key); /* NULL if absent */
void gd_png_close(gd_png *png);

/* ---- image.c: how much a file may become in memory ---- */

/* Pictures of more than 178,956,970 pixels (Pillow's limit) are GD_EFORMAT, and so are those that
 * take more than 64 MiB and 32 times their file, as is what inflates to more.  max_pixels of
 * gd_settings allows both.  GD_EFORMAT for `packed` bytes of NAME in FILE that become `bytes` */
GD_CHECKED gd_status gd_inflation_check(const char *file, const char *name, uint64_t packed,
                                        uint64_t bytes);
/* ---- identify.c ---- */

/* GD_EFORMAT for a file that begins with data[bytes] (the whole of it, or its first 512 bytes and
 * more) and that the caller does not read: what it is, where that is known ("a Git LFS pointer"),
 * and the remedy; otherwise `expected` ("no set of images") with the caller's own (NULL: none). */
gd_status gd_not_read(const void *data, size_t bytes, const char *name, const char *expected,
                      const char *remedy);

/* ---- image.c, and a file for each format: decoding, as Pillow does it ---- */

typedef struct gd_image {
    int width, height, channels;
    uint8_t *pixels; /* block: [height][width][channels] */
    /* Of the file that it was decoded from: it had an alpha channel, which is dropped; its
     * format is a lossy one (JPEG, WebP) */
    bool had_alpha, lossy;
} gd_image;
void gd_image_free(gd_image *image);
/* A picture of gd_image_formats, recognised by content; of several frames the first.  channels: 3
 * (Pillow's convert("RGB"): alpha is dropped, palettes are expanded), 1 (convert("L")), or 0: 1 for
 * grey images, 3 for others. GD_EFORMAT "NAME: ..." for anything damaged, warnings of the decoder
 * included.  Thread-safe. */
GD_CHECKED gd_status gd_image_decode(gd_image *out, const void *data, size_t bytes, int channels,
                                     const char *name);
GD_CHECKED gd_status gd_image_open(gd_image *out, const char *path, int channels);
bool gd_image_is(const void *data, size_t bytes); /* it begins as one of the formats does */
bool gd_image_named(const char *name);            /* by its suffix, in any case */
enum { GD_IMAGE_FORMATS = 128 };
void gd_image_formats(char out[GD_IMAGE_FORMATS]); /* "PNG, JPEG, .. and PPM" */

/* ---- zip.c: the members of an archive ---- */

typedef struct gd_archive gd_archive;
GD_CHECKED gd_status gd_archive_open(gd_archive **out, const char *path);
void gd_archive_close(gd_archive *archive); /* NULL is fine */
int gd_archive_count(const gd_archive *archive);
const char *gd_archive_name(const gd_archive *archive, int i);
/* A member's content, its CRC-32 compared; *out is a block.  Thread-safe.  `most`: GD_EFORMAT for a
 * larger one */
GD_CHECKED gd_status gd_archive_read(gd_archive *archive, int i, void **out, size_t *bytes,
                                     uint64_t most);
/* Adds a description of a member without reading it: name, size, CRC-32 */
void gd_archive_fingerprint(const gd_archive *archive, int i, gd_hasher *hasher);

/* ---- json.c: a checked view of jansson for untrusted text ---- */

struct json_t;
/* A JSON string of any text: bytes that are no UTF-8, and controls, as gd_escape writes them; NULL:
 * out of memory.  The texts of a parsed object in their own bytes again. */
struct json_t *gd_json_text(const char *text);
void gd_json_decode_texts(struct json_t *object);
struct json_t *gd_json_number(double x); /* null for what JSON cannot hold: NaN, infinities */
/* As json_dumps, in ASCII that no terminal obeys; free(); NULL: out of memory, or `json` is NULL */
char *gd_json_dump(const struct json_t *json, size_t flags);
/* Parse with a depth limit, at most 44 MiB of values, no duplicates; the caller json_decref()s. The
 * message has "FILE: JSON line L column C: ...". */
GD_CHECKED gd_status gd_json_parse(struct json_t **out, const char *text, size_t bytes,
                                   int max_depth, const char *file);

#endif
