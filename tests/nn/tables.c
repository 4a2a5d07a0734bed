/* SPDX-License-Identifier: MIT */
/* tables.c - see tables.h */
#include "tables.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void table_open(table *t)
{
    *t = (table){ 0 };
    assert_int_equal(gd_arena_make(&t->mem), GD_OK);
    t->array = gd_alloc(t->mem, TABLE_MOST * sizeof *t->array);
    assert_non_null(t->array);
}

void table_close(table *t)
{
    gd_arena_free(t->mem);
}

void table_add(table *t, const char *name, int rank, const int64_t *dim)
{
    gd_array *a = &t->array[t->n++];

    assert_true(t->n <= TABLE_MOST && rank <= GD_MAX_RANK);
    *a = (gd_array){ .name = gd_strdup(t->mem, name), .dtype = GD_F32, .rank = rank };
    memcpy(a->dim, dim, (size_t)rank * sizeof *dim);
}

gd_array *table_find(const table *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->array[i].name, name) == 0)
            return &t->array[i];
    fail_msg("no array %s", name);
    return NULL;
}

void table_remove(table *t, const char *name)
{
    gd_array *a = table_find(t, name);

    memmove(a, a + 1, (size_t)(t->array + t->n - a - 1) * sizeof *a);
    t->n--;
}

void table_of_config(table *t, const gd_model_config *config)
{
    gd_param_spec *spec;
    int n;

    if (gd_config_params(config, t->mem, &spec, &n) != GD_OK)
        fail_msg("%s", gd_error());
    for (int i = 0; i < n; i++)
        table_add(t, spec[i].name, spec[i].rank, spec[i].dim);
}

const char *shared_path(const char *format, ...)
{
    static char path[512];
    const char *root = getenv("GUIDED_SHARED");
    va_list ap;

    snprintf(path, sizeof path, "%s/", root ? root : "../shared");
    if (access(path, R_OK) != 0) {
        print_message("no reference data at %s\n", path);
        skip();
    }
    va_start(ap, format);
    vsnprintf(path + strlen(path), sizeof path - strlen(path), format, ap);
    va_end(ap);
    return path;
}

void table_read_tsv(table *t, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char *shape = strchr(line, '\t');
        int64_t dim[GD_MAX_RANK];
        int rank = 0;

        assert_non_null(shape);
        *shape++ = 0;
        while (*shape >= '0' && *shape <= '9') {
            dim[rank++] = strtol(shape, &shape, 10);
            shape += *shape == 'x';
        }
        table_add(t, line, rank, dim);
    }
    fclose(file);
}

json_t *table_read_case(table *t, const char *folder)
{
    char path[600];
    json_error_t e;
    json_t *root, *weights, *row;
    size_t i, d;

    snprintf(path, sizeof path, "%s/case.json", folder);
    root = json_load_file(path, 0, &e);
    assert_non_null(root);
    weights = json_object_get(root, "weights");
    weights = json_object_iter_value(
        json_object_iter(weights)); /* "model" or "classifier": there is one */
    json_array_foreach(json_object_get(weights, "table"), i, row)
    {
        json_t *shape = json_array_get(row, 1);
        int64_t dim[GD_MAX_RANK];
        for (d = 0; d < json_array_size(shape); d++)
            dim[d] = json_integer_value(json_array_get(shape, d));
        table_add(t, json_string_value(json_array_get(row, 0)), (int)json_array_size(shape), dim);
    }
    assert_true(t->n > 0);
    return root;
}

void assert_params_equal(const gd_model_config *config, const table *t)
{
    gd_param_spec *spec;
    gd_arena *mem;
    int n;

    assert_int_equal(gd_arena_make(&mem), GD_OK);
    if (gd_config_params(config, mem, &spec, &n) != GD_OK)
        fail_msg("%s", gd_error());
    for (int i = 0; i < GD_MIN(n, t->n); i++) {
        assert_string_equal(spec[i].name, t->array[i].name);
        if (spec[i].rank != t->array[i].rank ||
            memcmp(spec[i].dim, t->array[i].dim, (size_t)spec[i].rank * 8) != 0)
            fail_msg("%s: other shape", spec[i].name);
    }
    assert_int_equal(n, t->n);
    gd_arena_free(mem);
}

/* ---- as files ---- */

static uint64_t array_bytes(const gd_array *a)
{
    uint64_t bytes = gd_dtype_bytes(a->dtype);

    for (int d = 0; d < a->rank; d++)
        bytes *= (uint64_t)a->dim[d];
    return bytes;
}

static json_t *header(const table *t, const char *config_json, uint64_t *data_bytes)
{
    json_t *root = json_object();
    uint64_t offset = 0;

    if (config_json)
        json_object_set_new(root, "__metadata__", json_pack("{s:s}", "guided.config", config_json));
    for (int i = 0; i < t->n; i++) {
        const gd_array *a = &t->array[i];
        const json_int_t begin = (json_int_t)offset, end = (json_int_t)(offset += array_bytes(a));
        json_t *shape = json_array();
        for (int d = 0; d < a->rank; d++)
            json_array_append_new(shape, json_integer(a->dim[d]));
        json_object_set_new(root, a->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", gd_dtype_name(a->dtype),
                                      "shape", shape, "data_offsets", begin, end));
    }
    *data_bytes = offset;
    return root;
}

void table_write(const table *t, const char *path, const char *config_json)
{
    uint64_t data_bytes;
    json_t *root = header(t, config_json, &data_bytes);
    char *text = json_dumps(root, JSON_COMPACT);
    const uint64_t n = strlen(text);
    unsigned char length[8];
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(n >> 8 * i);
    assert_int_equal(fwrite(length, 1, 8, file), 8);
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
    assert_int_equal(truncate(path, (off_t)(8 + n + data_bytes)), 0);
    free(text);
    json_decref(root);
}

gd_status table_recognise(const table *t, const char *file_name, const char *config_json,
                          const gd_flag *flags, int n_flags, gd_model_config *out,
                          char assumed[4096])
{
    char folder[] = "/tmp/guided-test-XXXXXX", path[256], *lines = NULL;
    gd_bundle *bundle = NULL;
    gd_arena *mem;
    gd_status s;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, file_name);
    table_write(t, path, config_json);
    assert_int_equal(gd_arena_make(&mem), GD_OK);
    s = gd_bundle_open(&bundle, path);
    if (s == GD_OK)
        s = gd_config_recognise(out, mem, &lines, bundle, flags, n_flags);
    snprintf(assumed, 4096, "%s", s == GD_OK && lines ? lines : "");
    gd_bundle_close(bundle);
    gd_arena_free(mem);
    unlink(path);
    rmdir(folder);
    return s;
}
