/* SPDX-License-Identifier: MIT */
/* data_private.h - what the kinds of image sets share; for this folder alone. */
#ifndef GD_DATA_PRIVATE_H
#define GD_DATA_PRIVATE_H

#include "data/data.h"

/* How a kind reads; `set->state` is its own */
typedef struct data_kind {
    gd_status (*read)(const gd_dataset *set, int64_t index, gd_image *out);
    void (*name)(const gd_dataset *set, int64_t index, char *out, size_t size);
    void (*close)(gd_dataset *set);
    void (*fingerprint)(const gd_dataset *set, gd_hasher *hasher); /* NULL: the file's bytes */
} data_kind;

struct gd_dataset {
    gd_arena *mem;
    const char *path;
    gd_dataset_options options;
    const data_kind *kind;
    void *state;
    int64_t count;
    int32_t *label; /* [count]; NULL: none */
    int classes;
    const char **class_name; /* NULL: numbers only */
    bool labels_guessed;     /* from file names, without an option that asks for it */
};

/* A file that is a set: a file of ours that defines data_format_NAME, and its name in DATA_FORMATS.
 * `open` fills kind, state, count, and labels as options.labels asks, as the functions below do. */
typedef struct data_format {
    const char *about; /* "an IDX file of the MNIST family"; NULL: listed elsewhere */
    bool (*is)(const gd_mapped *map);
    gd_status (*open)(gd_dataset *set);
} data_format;
#define DATA_FORMATS(X) X(picture) X(archive) X(lmdb) X(idx)
#define DATA_DECLARE_FORMAT(name) extern const data_format data_format_##name;
DATA_FORMATS(DATA_DECLARE_FORMAT)
#undef DATA_DECLARE_FORMAT
GD_CHECKED gd_status data_open_folder(gd_dataset *set);
GD_CHECKED gd_status data_open_picture(gd_dataset *set);
GD_CHECKED gd_status data_open_npz(gd_dataset *set);
GD_CHECKED gd_status data_open_zip(gd_dataset *set);
GD_CHECKED gd_status data_open_lmdb(gd_dataset *set);
bool data_begins_with(const gd_mapped *map, const char *magic, size_t n);

/* ---- listed.c: files of a folder, members of a zip ---- */

#define DATA_JSON "dataset.json"
#define DATA_LMDB "data.mdb"
/* Hidden files and those of systems (".x", __MACOSX, Thumbs.db, desktop.ini) are no part of a set.
 */
bool data_is_hidden(const char *name, size_t length); /* one component of a path */
bool data_has_hidden(const char *path);
/* As strcmp, in the order of the authors' walk over a folder */
int data_path_order(const char *a, const char *b);
/* Files that were found and are no pictures by name: one line reports them. */
typedef struct data_passed {
    int64_t n;
    char first[256], suffixes[128];
} data_passed;
void data_pass_over(data_passed *p, const char *path);
void data_report_passed(const data_passed *p, const char *path);
/* Labels of set->count pictures in the order above, as options.labels asks: AUTO takes the "labels"
 * of dataset.json (json NULL: there is none), else folders where all pictures lie in some, else
 * names. */
GD_CHECKED gd_status data_label_listed(gd_dataset *set, const char *const *path, const char *json,
                                       size_t json_bytes);

/* Classes from a name for each image: sorted unique names become 0, 1, ..  names: [set->count] */
GD_CHECKED gd_status data_label_by_name(gd_dataset *set, const char *const *names);
/* Labels given as numbers: 0 to the largest; GD_EFORMAT for a negative one or one above 2^20 */
GD_CHECKED gd_status data_label_by_number(gd_dataset *set, const int64_t *labels);
/* The authors' class of a file: its name up to the first "_", the whole name where there is none */
const char *data_authors_class(gd_arena *mem, const char *file_name);
/* Pixels that are in memory, in the channels that options ask for */
GD_CHECKED gd_status data_copy_image(gd_image *out, const gd_dataset *set, const uint8_t *pixels,
                                     int width, int height, int channels);

#endif
