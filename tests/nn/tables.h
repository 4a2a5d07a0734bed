/* SPDX-License-Identifier: MIT */
/* tables.h - lists of keys and shapes for the tests of configurations: from the reference data, or
 * made up; as checkpoints without data (files with a hole where the weights would be). */
#ifndef TABLES_H
#define TABLES_H

#include "nn/config.h"

#include <jansson.h>

enum { TABLE_MOST = GD_MAX_ARRAYS };

typedef struct table {
    gd_arena *mem;
    gd_array *array;
    int n;
} table;

void table_open(table *t);
void table_close(table *t);
void table_add(table *t, const char *name, int rank, const int64_t *dim);
gd_array *table_find(const table *t, const char *name); /* fails the test if absent */
void table_remove(table *t, const char *name);
void table_of_config(table *t, const gd_model_config *config);

/* PATH below GUIDED_SHARED; skips the test where the folder is absent. */
const char *shared_path(const char *format, ...) GD_PRINTF(1, 2);
void table_read_tsv(table *t, const char *path);
/* The weights of a reference case; returns its case.json, which the caller json_decref()s. */
json_t *table_read_case(table *t, const char *folder);

/* Every parameter of the configuration is in the table, in this order, with these shapes. */
void assert_params_equal(const gd_model_config *config, const table *t);

/* A safetensors file with these arrays and zeros; `config_json` is its guided.config, or NULL. */
void table_write(const table *t, const char *path, const char *config_json);
/* Write, open, recognise.  `assumed` (4 KiB) receives the lines, "" if none. */
gd_status table_recognise(const table *t, const char *file_name, const char *config_json,
                          const gd_flag *flags, int n_flags, gd_model_config *out,
                          char assumed[4096]);

#endif
